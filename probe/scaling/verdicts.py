"""The shape of every curve of a table of performance, and where it leaves chance."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe.progress import progress_shown
from probe.scaling.tidy import COLUMNS, SCALES

if TYPE_CHECKING:
    from probe.measures.scale import Threshold

ALONG = (*SCALES, "step")


def shape_table(
    table: pd.DataFrame, along: str = "n_params", confidence: float = 0.95, progress: bool = True
) -> pd.DataFrame:
    """A row per curve: task, metric, number of shots, and whatever else tells the rows of the table apart.

    Along sizes, each model counts at its last step; along ``step`` each model is a curve of its own.

    Columns: those that tell curves apart; ``n`` sizes; ``kind``, ``probability`` (of it, or of the likeliest kind),
    ``reason`` (why it is undecided); ``place``, ``place_low``, ``place_high`` (where it changes); ``change_low`` and
    ``change_high`` (of a flat curve, what may have been missed); ``excess`` (scatter beyond sampling error); and, where
    chance and sampling error are known, ``threshold``, ``threshold_low``, ``threshold_high`` and ``threshold_reason``.
    See ``shape`` and ``threshold``.

    Args:
        table: what ``read`` returns.
        along: ``"n_params"``, ``"flops"``, ``"tokens"`` or ``"step"``.
        confidence: of the intervals.
        progress: whether to show how far it is, on the error stream.

    Raises:
        ValueError: no such column; or a curve has one size only, or one twice; the message names the curve.
    """
    curves = curves_of(table, along)
    rows = []
    with progress_shown(f"{len(curves)} curves", 0, len(curves), progress) as advance:
        for of_curve, curve in curves:
            try:
                rows.append(of_curve | _verdict(curve, along, confidence))
            except ValueError as error:
                raise ValueError(f"{of_curve}: {error}") from error
            advance(1, str(of_curve["task"]))
    return pd.DataFrame(rows)


def curves_of(table: pd.DataFrame, along: str) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Every curve of a table: what tells it from the others, and its rows.

    Along sizes, each model counts at its last step; along ``step`` each model is a curve of its own.

    Raises:
        ValueError: ``along`` is no scale, or no row has it.
    """
    if along not in ALONG:
        raise ValueError(f"along: {along!r} given, expected {', '.join(ALONG)}")
    used = table[table[along] > 0]  # what is untrained is on no logarithmic scale with the others
    if used.empty:
        raise ValueError(f"along: no row of the table has {along}")
    others = [str(column) for column in table if column not in COLUMNS]
    keys = ["task", "metric", "n_shot", *others]
    if along == "step":
        keys = ["model", *keys]
    else:
        last = used.groupby(["model", *keys], dropna=False)["step"].transform("max")
        used = used[used["step"].isna() | (used["step"] == last)]
    groups = used.groupby(keys, dropna=False, sort=True)
    return [(dict(zip(keys, names, strict=True)), curve) for names, curve in groups]


def chance_of(curve: pd.DataFrame) -> float | None:
    """The chance level of a curve; None if it is unknown, or not the same for all of it."""
    levels = curve["chance"].dropna().unique()
    return float(levels[0]) if len(levels) == 1 else None


def _verdict(curve: pd.DataFrame, along: str, confidence: float) -> dict[str, object]:
    from probe.measures.scale import shape

    scale, value = (curve[column].to_numpy(dtype=float) for column in (along, "value"))
    stderr = standard_errors(curve)
    chance = chance_of(curve)
    found = shape(scale, value, stderr, chance, confidence)
    place = [np.nan] * 3 if found.place is None else [found.place.estimate, found.place.low, found.place.high]
    probability = found.probabilities.get(found.likeliest, np.nan)
    row: dict[str, object] = {"n": found.n, "kind": found.kind, "probability": probability}
    row |= {"reason": found.reason, **dict(zip(("place", "place_low", "place_high"), place, strict=True))}
    change = [np.nan] * 2 if found.change is None else [found.change.low, found.change.high]
    row |= {"change_low": change[0], "change_high": change[1], "excess": found.excess}
    if stderr is None or chance is None:
        unknown = "the chance level is unknown" if chance is None else "the sampling error is unknown"
        return (
            row
            | dict.fromkeys(("threshold", "threshold_low", "threshold_high"), np.nan)
            | {"threshold_reason": unknown}
        )
    left = threshold_or_reason(scale, value, stderr, chance, confidence)
    return row | {
        "threshold": left.scale,
        "threshold_low": left.low,
        "threshold_high": left.high,
        "threshold_reason": left.reason,
    }


def threshold_or_reason(
    scale: np.ndarray, value: np.ndarray, stderr: np.ndarray, chance: float, confidence: float
) -> "Threshold":
    """The threshold of a curve; if that is below chance, none and the reason, so that other curves go on without it."""
    from probe.measures.scale import Threshold, threshold

    try:
        return threshold(scale, value, stderr, chance, confidence)
    except ValueError as error:
        return Threshold(np.nan, np.nan, np.nan, str(error))


def standard_errors(curve: pd.DataFrame) -> np.ndarray | None:
    """Those of a curve, binomial where only the number of items is known; None if any is unknown."""
    value, n_items = curve["value"], curve["n_items"]
    binomial = ((value * (1 - value)).clip(lower=0) / n_items).pow(0.5)
    errors = curve["stderr"].fillna(binomial).to_numpy(dtype=float)
    return errors if np.isfinite(errors).all() else None
