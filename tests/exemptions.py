"""What does not hold for a function inside torch's machinery, and why: one list for all chapters.

It is about the layers that compile with changing shapes, export, or run in two processes. Each reason has the functions
that it holds for. The evidence page shows them, and a line that is not needed fails. What ``torch.compile`` cannot
compile at all, by its own entry, needs no line: it can be neither compiled with changing shapes nor exported.
"""

NO_TENSOR = "it takes a shape, and every process returns the whole tensor"
ROWS_BY_INDEX = "it takes rows by their number, and torch cannot index the rows that other processes hold"
TENSORS_OF_ITS_OWN = "it compares the rows with tensors that it makes, and torch does not mix these with DTensors"
NO_RULE = "torch has no rule for one of its operations on the rows of several processes"
IN_ORDER = "it refuses sharded losses, because a stream is read in its order"

FOR_ONE_NUMBER_OF_ROWS = {
    "the rows of each fold or batch are found in Python, so the program is for one number of rows": (
        "batches.minibatches",
        "model_selection.cross_validate",
        "model_selection.importance_weighted_cross_validation",
        "model_selection.k_fold",
        "model_selection.ridge_path_cross_validation",
    ),
    "the length of the tail is computed in Python, so the program is for one number of weights": (
        "importance.diagnose",
        "importance.pareto_shape",
        "importance.pareto_smoothed_weights",
    ),
    "the recursion over the sorted distances has a step for each row": ("shift.detect.ks_test",),
    "the product has a factor for each matrix": ("propagation.log_singular_values",),
}

COLLECTIVE = "it brings rows into the layout itself, in all processes at once"

EXEMPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "dynamic": FOR_ONE_NUMBER_OF_ROWS,
    "export": FOR_ONE_NUMBER_OF_ROWS,
    "ddp": {COLLECTIVE: ("batches.shard_rows",)},
    "fsdp": {COLLECTIVE: ("batches.shard_rows",)},
    "dtensor": {
        COLLECTIVE: ("batches.shard_rows",),
        "it has no gradient where rows are sharded": (
            "linear.least_squares",
            "linear.ridge",
            "model_selection.ridge_path_cross_validation",
        ),
        NO_TENSOR: (
            "init.constant",
            "init.he_normal",
            "init.he_uniform",
            "init.normal",
            "init.xavier_normal",
            "init.xavier_uniform",
            "init.zeros",
            "mlp.init_mlp",
            "regularization.dropout_mask",
        ),
        "it draws its examples in one process": (
            "datasets.gaussian_shift",
            "datasets.linear_regression",
            "datasets.polynomial_regression",
        ),
        ROWS_BY_INDEX: (
            "model_selection.cross_validate_vectorized",
            "model_selection.grouped_k_fold",
            "model_selection.k_fold",
            "model_selection.stratified_k_fold",
            "model_selection.time_ordered_folds",
        ),
        TENSORS_OF_ITS_OWN: (
            "importance.weighted_quantile",
            "mlp.backward",
            "propagation.gaussian_expectation",
            "propagation.signal_propagation",
        ),
        NO_RULE: ("propagation.log_singular_values",),
        "it refuses sharded rows, because it needs the kernel of all pairs in one process": (
            "shift.covariate.kernel_mean_matching",
        ),
        IN_ORDER: ("shift.concept.adwin", "shift.concept.page_hinkley"),
    },
}


def exemptions_of(name: str) -> dict[str, str]:
    """Return the layers that do not hold for a function, with the reasons."""
    return {
        layer: reason for layer, reasons in EXEMPTIONS.items() for reason, names in reasons.items() if name in names
    }
