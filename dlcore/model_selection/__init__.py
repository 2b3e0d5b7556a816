r"""Which model will do best on data it has not seen?

The error on the data a model was fitted to is too small a number. Here rows are held out: once, or in turn, so that
each row is predicted by a model that never saw it. Whatever is learned from data, a mean for standardizing as much as
a weight, is learned from the training rows of the fold alone.
"""

from ._folds import CrossValidation, cross_validate, k_fold, train_test_split
from ._ridge_path import RidgePath, ridge_path_cross_validation
from ._vectorized import cross_validate_vectorized
from ._weighted import importance_weighted_cross_validation

__all__ = [
    "CrossValidation",
    "RidgePath",
    "cross_validate",
    "cross_validate_vectorized",
    "importance_weighted_cross_validation",
    "k_fold",
    "ridge_path_cross_validation",
    "train_test_split",
]
