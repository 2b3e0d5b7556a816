"""The reading order of the tutorials; sphinx-gallery can sort them only by name, size or title."""

from pathlib import Path

ORDER = [
    "plot_norm_balls",
    "plot_noise_to_loss",
    "plot_batch_size_three_ways",
    "plot_sharded_rows",
    "plot_softmax_family",
    "plot_where_exp_breaks",
    "plot_softmax_regression_on_digits",
    "plot_surprise",
    "plot_mutual_information",
    "plot_activations",
    "plot_mlp_looked_into",
    "plot_universal_approximation",
    "plot_learning_rate",
    "plot_from_scratch_to_module",
    "plot_polynomial_degree",
    "plot_double_descent",
    "plot_k_fold_done_right",
    "plot_which_rows_share_a_fold",
    "plot_weight_decay",
    "plot_weight_decay_prior",
    "plot_weight_decay_in_adam",
    "plot_dropout",
    "plot_smoothness",
    "plot_backpropagation_by_hand",
    "plot_vanishing_and_exploding",
    "plot_clipping_gradients",
    "plot_symmetry",
    "plot_xavier_understood",
    "plot_covariate_shift",
    "plot_sample_selection_bias",
    "plot_importance_weights",
    "plot_which_density_ratio",
    "plot_treatment_effect",
    "plot_conformal_intervals",
    "plot_label_shift",
    "plot_prior_correction",
    "plot_when_correction_hurts",
    "plot_detecting_a_shift",
    "plot_concept_drift",
]


def place(script: str) -> int:
    """Return the position of a script; a script that is not in ORDER fails the build."""
    return ORDER.index(Path(script).stem)
