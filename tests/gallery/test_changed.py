"""Every tutorial with changed numbers: it runs to its end, draws all its figures, and says what no longer holds."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.tutorials import CLOSING, SCRIPTS, cells, name_of, settings

from .reader import REPORT, run

# Three times other settings for each script: another seed, and each time another rate, noise, width, number of epochs,
# data set or the like; smaller sizes rather than larger ones, because all of these runs must take less than 4 minutes.
CHANGES: dict[str, list[dict[str, object]]] = {
    # 01
    "01_norms/plot_norm_balls": [
        {"seed": 1, "n_pairs": 100},
        {"orders": [0.25, 3], "n_targets": 5},
        {"matrix": [[1.0, 0.0], [0.0, 0.0]]},
    ],
    # 02
    "02_linear/plot_batch_size_three_ways": [
        {"seed": 1, "n_runs": 2},
        {"lr": 3.0, "n_runs": 1, "epochs": 1},
        {"batch_size": 50, "uneven_batch_size": 221, "n_runs": 1},
    ],
    "02_linear/plot_noise_to_loss": [
        {"seed": 1, "n_sets": 20, "n_splits": 2},
        {"delta": 0.2, "n_sets": 20, "n_splits": 1},
        {"outlier_share": 0.0, "n": 20, "n_sets": 10, "n_splits": 2},
    ],
    "02_linear/plot_sharded_rows": [
        {"seed": 1, "epochs": 1},
        {"share": 0.5, "lr": 0.5, "epochs": 2},
        {"share": 0.99, "batch_size": 1000},
    ],
    # 03
    "03_softmax/plot_mutual_information": [
        {"seed": 1, "n_shuffles": 2},
        {"threshold": 3, "n_shuffles": 2},
        {"n_best": 3, "n_shuffles": 2},
    ],
    "03_softmax/plot_softmax_family": [
        {"seed": 1, "n_distributions": 100},
        {"logits_apart": [1.0, 1.0, -3.0], "entropy_weight": 0.05},
        {"logits_tied": [0.0, 0.0, 0.0], "penalty": 1e-3},
    ],
    "03_softmax/plot_softmax_regression_on_digits": [
        {"seed": 1, "epochs": 1},
        {"lr": 20.0, "epochs": 3, "batch_size": 1000},
        {"n_test": 100, "init_std": 1.0, "epochs": 2},
    ],
    "03_softmax/plot_surprise": [
        {"seed": 1, "n_letters": 100},
        {"modes": [-1.0, 0.0], "mode_std": 2.0, "weak_penalty": 10.0},
        {"n_test": 100, "penalty": 100.0},
    ],
    "03_softmax/plot_where_exp_breaks": [
        {"seed": 1, "precision": "float16"},
        {"max_gap": 20, "formats": ["bfloat16"], "bad_gap": 5.0},
        {"precision": "float64", "tolerance": 1e-12, "batch_size": 1},
    ],
    # 04
    "04_mlp/plot_activations": [
        {"seed": 1, "width": 1, "max_depth": 100},
        {"alpha": 0.9, "lr": 0.01, "n_steps": 20},
        {"long_step": 1.0, "max_depth": 1},
    ],
    "04_mlp/plot_from_scratch_to_module": [{"seed": 1}, {"epochs": 4}, {"width": 25}],
    "04_mlp/plot_learning_rate": [{"seed": 1}, {"epochs": 4}, {"batch_size": 12}],
    "04_mlp/plot_mlp_looked_into": [
        {"seed": 1, "epochs": 3, "digit_epochs": 1},
        {"width": 2, "n_points": 60, "epochs": 20, "digit_epochs": 2},
        {"lr": 0.01, "epochs": 5, "digit_widths": [2, 4, 8], "digit_epochs": 2},
    ],
    "04_mlp/plot_universal_approximation": [
        {"seed": 1, "n_networks": 5, "max_depth": 1},
        {"frequencies": [30.0, 0.0], "max_units": 5},
        {"jump_at": -2.0, "far_away": 1.0, "max_depth": 9},
    ],
    # 05
    "05_generalization/plot_which_rows_share_a_fold": [
        {"seed": 1, "n_walks": 20},
        {"k": 4, "n_rare": 3},
        {"n_writers": 13, "gap": 0, "n_times": 60},
    ],
    "05_generalization/plot_k_fold_done_right": [
        {"seed": 1, "n_sets": 4, "n_shuffles": 4, "n_samples": 40},
        {"k": 3, "n_columns": 200, "n_sets": 4, "n_shuffles": 4, "n_samples": 40},
        {"n_chosen": 2, "n_sets": 4, "n_shuffles": 4, "n_samples": 40},
    ],
    "05_generalization/plot_polynomial_degree": [
        {"seed": 1, "n_samples": 20},
        {"truth": [0.0, 2.0], "n_samples": 20},
        {"n": 15, "noise_std": 0.1, "n_samples": 20},
    ],
    "05_generalization/plot_double_descent": [
        {"seed": 1, "n_samples": 20},
        {"truth": [0.0, 2.0], "few": 10, "n_samples": 20},
        {"noise_std": 0.1, "penalty": 1.0, "n_samples": 20},
    ],
    # 06
    "06_regularization/plot_dropout": [{"seed": 1}, {"lr": 0.16}, {"n_steps": 80}],
    "06_regularization/plot_smoothness": [{"seed": 1}, {"n_hidden": 25}, {"epochs": 6}],
    "06_regularization/plot_weight_decay": [{"seed": 1}, {"lr": 4e-05}, {"n_steps": 400}],
    "06_regularization/plot_weight_decay_in_adam": [{"seed": 1}, {"batch_size": 51}, {"n_steps": 80}],
    "06_regularization/plot_weight_decay_prior": [{"seed": 1}, {"n_few": 16}, {"n_many": 120}],
    # 07
    "07_propagation/plot_backpropagation_by_hand": [{"seed": 1}, {"n_images": 40}, {"n_hidden": 12}],
    "07_propagation/plot_clipping_gradients": [{"seed": 1}, {"n_steps": 24}, {"init_scale": 0.6}],
    "07_propagation/plot_symmetry": [{"seed": 1}, {"epochs": 18}, {"n_networks": 2}],
    "07_propagation/plot_vanishing_and_exploding": [{"seed": 1}, {"lr": 0.004}, {"n_steps": 80}],
    "07_propagation/plot_xavier_understood": [{"seed": 1}, {"wide": 160}, {"n_networks": 3}],
    # 08
    "08_shift/plot_which_density_ratio": [
        {"seed": 1, "n_samples": 2},
        {"n_source": 100, "n_target": 80, "n_samples": 2},
        {"share": 0.6, "halving": 6.0, "n_samples": 2},
    ],
    "08_shift/plot_importance_weights": [
        {"seed": 1, "n_samples": 20},
        {"n": 200, "n_samples": 20},
        {"stds": [1.1, 3.0], "level": 0.5, "n_samples": 20},
    ],
    "08_shift/plot_covariate_shift": [
        {"seed": 1, "n_draws": 20},
        {"target_mean": 2.5, "n_draws": 20},
        {"noise_std": 2.0, "n_source": 100, "n_target": 30, "n_draws": 20},
    ],
    "08_shift/plot_sample_selection_bias": [
        {"seed": 1, "n_draws": 5},
        {"halving": 1.0, "n_draws": 5},
        {"noise_std": 2.0, "n_source": 100, "n_target": 300, "n_draws": 5},
    ],
    "08_shift/plot_label_shift": [
        {"seed": 1, "n_draws": 3},
        {"spread": 0.5, "shown": 2, "n_draws": 3},
        {"n_train": 300, "n_rows": 200, "n_draws": 3},
    ],
    "08_shift/plot_prior_correction": [
        {"seed": 1, "n_draws": 3},
        {"penalty": 0.1, "n_draws": 3},
        {"n_train": 300, "n_rows": 200, "spread": 0.5, "n_draws": 3},
    ],
    "08_shift/plot_conformal_intervals": [
        {"seed": 1, "n_draws": 3},
        {"level": 0.5, "tilt": 0.0, "n_draws": 3},
        {"tilt": 3.0, "train_share": 0.9, "n_draws": 3},
    ],
    "08_shift/plot_treatment_effect": [
        {"seed": 1, "n_draws": 2},
        {"effect": 0.0, "hidden": "s5", "n_draws": 2},
        {"tilt": 2.0, "n_draws": 2},
    ],
    "08_shift/plot_when_correction_hurts": [
        {"seed": 1, "n_draws": 5},
        {"tilt": 0.5, "maximum": 2.0, "n_draws": 5},
        {"n": 1000, "tilt": 4.0, "n_draws": 5},
    ],
    "08_shift/plot_detecting_a_shift": [
        {"seed": 1, "n_draws": 20, "n_repeats": 5},
        {"n_images": 100, "n_draws": 20, "n_repeats": 5},
        {"n_permutations": 19, "n_rows": 30, "n_draws": 20, "n_repeats": 5},
    ],
    "08_shift/plot_concept_drift": [
        {"seed": 1, "n_streams": 1, "step": 200},
        {"change": 1300, "n_streams": 1, "step": 200},
        {"n_known": 200, "threshold": 2.0, "delta": 0.2, "n_streams": 1, "step": 200},
    ],
}


def changed(script: Path, changes: Mapping[str, object]) -> str:
    """Return a script with other settings."""
    text = script.read_text(encoding="utf-8")
    for name, value in changes.items():
        text, n_found = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
        assert n_found == 1, f"{script.name} assigns {name} {n_found} times"
    return text


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_each_tutorial_is_run_with_three_other_settings(script: Path) -> None:
    changes = CHANGES.get(name_of(script), [])

    first_cell = next(cell for kind, cell in cells(script) if kind == "code")
    published = settings(first_cell)
    assert len(changes) == 3
    assert any("seed" in change for change in changes)
    assert len({name for change in changes for name in change}) >= 3
    for change in changes:
        assert change.keys() <= published.keys()
        assert all(value != published[name] for name, value in change.items())


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_changed_tutorial_runs_to_its_end_and_draws_its_figures(script: Path, folder: Path) -> None:
    copies = [folder / f"{script.stem}_{number}.py" for number in (1, 2, 3)]
    for copy, changes in zip(copies, CHANGES[name_of(script)], strict=True):
        copy.write_text(changed(script, changes), encoding="utf-8")

    done = run(folder, *copies)

    assert done.returncode == 0, done.stderr
    n_figures = [int(number) for number, _ in REPORT.findall(done.stdout)]
    assert n_figures == [script.read_text(encoding="utf-8").count("plt.show()")] * 3


def test_a_claim_that_no_longer_holds_is_printed(folder: Path) -> None:
    script = folder / "plot.py"
    script.write_text(f'claims = {{"The loss falls": False, "The error falls": True}}\n{CLOSING}', encoding="utf-8")

    done = run(folder, script)

    assert done.stdout.startswith("No longer true with these settings: The loss falls.\n0 figures")
