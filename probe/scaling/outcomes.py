"""Which runs generalize: the four learning phases of Liu et al. 2022 (arXiv 2205.10343), from a results table."""

import pandas as pd

from probe.scaling.measures import first_reached, measure_curves
from probe.scaling.transitions import transitions

THRESHOLD = 0.9


def outcomes(results: pd.DataFrame, gap: float | None = None) -> pd.DataFrame:
    """A row per run whose train and test accuracy were measured, in the order of ``transitions``.

    Columns: ``model``, ``train_step`` and ``test_step`` (first evaluation with an accuracy of .9 or more, NaN where not
    within the budget), ``final_step`` (the budget), ``gap`` and ``phase`` (comprehension, grokking, memorization or
    confusion, see ``probe.measures.transition.outcomes.learning_phase``).

    Args:
        results: tidy results table.
        gap: steps between the two from which it is grokking; None: 1000, as in the paper, or a tenth of the shortest
            budget where that is less.
    """
    from probe.measures.transition.outcomes import learning_phase

    table = transitions(results)
    by_model = dict(tuple(results.groupby("model", sort=False)))
    rows = []
    for model, final in zip(table["model"], table["final_step"], strict=True):
        curves = measure_curves(by_model[model])
        if {"train accuracy", "test accuracy"} <= set(curves):
            dates = [first_reached(curves[f"{subset} accuracy"], THRESHOLD) for subset in ("train", "test")]
            rows.append([model, *dates, float(final)])
    found = pd.DataFrame(rows, columns=["model", "train_step", "test_step", "final_step"])
    if gap is None:
        gap = min(1000.0, float(found["final_step"].min()) / 10) if len(found) else 1000.0
    gap = max(gap, 1.0)
    phase = learning_phase(found["train_step"].to_numpy(float), found["test_step"].to_numpy(float), gap=gap)
    return found.assign(gap=gap, phase=phase)
