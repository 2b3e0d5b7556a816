"""sphinx-gallery sorts tutorials by name, size or title: this is the order in which they are read."""

from pathlib import Path

ORDER = [
    "plot_norm_balls",
    "plot_noise_to_loss",
    "plot_batch_size_three_ways",
    "plot_softmax_family",
    "plot_where_exp_breaks",
    "plot_softmax_regression_on_digits",
    "plot_surprise",
    "plot_activations",
    "plot_mlp_looked_into",
    "plot_polynomial_degree",
    "plot_k_fold_done_right",
    "plot_weight_decay",
    "plot_dropout",
    "plot_backpropagation_by_hand",
    "plot_vanishing_and_exploding",
    "plot_symmetry",
    "plot_xavier_understood",
    "plot_covariate_shift",
    "plot_label_shift",
    "plot_when_correction_hurts",
    "plot_detecting_a_shift",
    "plot_concept_drift",
]


def place(script: str) -> int:
    """Return the place of a script; one that is not in ORDER stops the build."""
    return ORDER.index(Path(script).stem)
