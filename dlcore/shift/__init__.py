"""What if the data that count are not distributed like the data at hand?"""

from . import covariate, detect, label

__all__ = ["covariate", "detect", "label"]
