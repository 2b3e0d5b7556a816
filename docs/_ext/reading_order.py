"""The order of the tutorials within a chapter: that of the notes, which the alphabet does not know."""

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


class ReadingOrder:
    """What sphinx-gallery sorts a chapter's scripts by; a script that has no place stops the build."""

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> int:
        """Return the place of a script."""
        name = Path(filename).stem
        if name not in ORDER:
            raise ValueError(f"{name} must have a place in the ORDER of {Path(__file__).name}, got none")
        return ORDER.index(name)

    def __repr__(self) -> str:
        """Return the same in every build, so that a setting that has not changed is seen not to have."""
        return type(self).__name__
