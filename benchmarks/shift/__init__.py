"""The estimators of :mod:`dlcore.shift` and those of other packages: accuracy and time."""
