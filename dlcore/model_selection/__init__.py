r"""Model selection by held-out rows: which model will have the smallest error on new data?

The error on the rows that a model was fitted to underestimates its error on new data. Here, rows are held out: once, or
in turn, so that each row is predicted by a model that was fitted without it. Everything that is learned from data, be
it a weight or the mean that standardizes a column, is learned from the training rows of the fold only.
"""

from ._folds import CrossValidation, cross_validate, k_fold, train_test_split
from ._ridge_path import RidgePath, ridge_path_cross_validation
from ._standardize import Standardization, standardize
from ._structured_folds import grouped_k_fold, stratified_k_fold, time_ordered_folds
from ._vectorized import cross_validate_vectorized
from ._weighted import importance_weighted_cross_validation

__all__ = [
    "CrossValidation",
    "RidgePath",
    "Standardization",
    "cross_validate",
    "cross_validate_vectorized",
    "grouped_k_fold",
    "importance_weighted_cross_validation",
    "k_fold",
    "ridge_path_cross_validation",
    "standardize",
    "stratified_k_fold",
    "time_ordered_folds",
    "train_test_split",
]
