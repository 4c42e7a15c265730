"""Where abilities emerge: the table that Wei et al. (2022, arXiv 2206.07682, table 1) have, of any suite."""

from typing import Any

import numpy as np
import pandas as pd

from probe.scaling.tidy import SCALES
from probe.scaling.verdicts import chance_of, curves_of, standard_errors, threshold_or_reason


def emergence_table(table: pd.DataFrame, along: str = "n_params", confidence: float = 0.95) -> pd.DataFrame:
    """A row per curve: the first model above chance, and between which sizes the ability emerges.

    Columns: ``task``, ``metric``, ``n_shot`` and whatever else tells curves apart; of the smallest model above chance
    ``flops``, ``n_params``, ``tokens`` and ``model``, as in ``published_emergence``; ``low`` and ``high``, ends of its
    interval in units of ``along``; ``kind``, the verdict on the shape; ``reason``, why there is no such model. See
    ``threshold`` and ``shape``.

    Args:
        table: what ``read`` returns; each model counts at its last step.
        along: ``"n_params"``, ``"flops"`` or ``"tokens"``.
        confidence: of the intervals.

    Raises:
        ValueError: ``along`` is no size, or no row has it; a curve has one size twice; the message names the curve.
    """
    if along not in SCALES:
        raise ValueError(f"along: {along!r} given, expected {', '.join(SCALES)}")
    rows = []
    for of_curve, curve in curves_of(table, along):
        try:
            rows.append(of_curve | _emerges(curve, along, confidence))
        except ValueError as error:
            raise ValueError(f"{of_curve}: {error}") from error
    return pd.DataFrame(rows)


def _emerges(curve: pd.DataFrame, along: str, confidence: float) -> dict[str, Any]:
    from probe.measures.scale import shape

    unknown: dict[str, Any] = dict.fromkeys(("flops", "n_params", "tokens"), np.nan) | {"model": None}
    scale, value = (curve[column].to_numpy(dtype=float) for column in (along, "value"))
    stderr, chance = standard_errors(curve), chance_of(curve)
    kind = shape(scale, value, stderr, chance, confidence).kind if len(curve) > 1 else "undecided"
    if stderr is None or chance is None:
        what = "the chance level is unknown" if chance is None else "the sampling error is unknown"
        return unknown | {"low": np.nan, "high": np.nan, "kind": kind, "reason": what}
    found = threshold_or_reason(scale, value, stderr, chance, confidence)
    if np.isfinite(found.scale):
        first = curve[scale == found.scale].iloc[0]
        unknown = {column: first[column] for column in unknown}
    return unknown | {"low": found.low, "high": found.high, "kind": kind, "reason": found.reason}
