"""What if the data that count are not distributed like the data at hand?"""

from . import concept, covariate, detect, label

__all__ = ["concept", "covariate", "detect", "label"]
