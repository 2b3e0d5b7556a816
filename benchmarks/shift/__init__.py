"""The estimators of :mod:`dlcore.shift` beside those of other packages: how right they are, and how fast."""
