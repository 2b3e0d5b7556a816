"""Distribution shift: what if the model is used on data that are distributed differently from the training data?"""

from . import concept, covariate, detect, label

__all__ = ["concept", "covariate", "detect", "label"]
