"""Learning in context across sizes: how much of it there is, and when it came, beside the heads that could do it."""

import numpy as np
import pandas as pd

PROBE = "in_context"
ROLES = "head_roles"


def in_context_table(results: pd.DataFrame, shown: int = 1) -> pd.DataFrame:
    """A row per model that was measured with the probe ``in_context``, smallest first.

    Columns, of the last step: ``icl_score`` of sequences that are not trained on with ``icl_low`` and ``icl_high``, and
    ``uninformed_score``, the control; ``accuracy`` after ``shown`` examples with ``accuracy_low`` and
    ``accuracy_high``, ``uninformed``, the control, and ``ceiling``, of an ideal learner. ``learns``: whether the score
    is below 0 and below the control by more than sampling error.

    Dates: ``learned_step``, the first evaluation at which the score was half-way from that of the first evaluation to
    its last one, inf where nothing is learned. If the run has ``head_roles``: ``head``, of the largest prefix-matching
    score at the last step, ``matching`` with ``matching_low``, ``matching_uniform``, the control, and
    ``matching_step``, likewise, of that head; inf where it is not above the control by more than sampling error.

    Args:
        results: of a run, as ``probe.results`` gives them.
        shown: number of examples that accuracy is told after.

    Raises:
        ValueError: nothing was measured with ``in_context``, or never after so many examples.
    """
    rows = results[results["probe"] == PROBE]
    if rows.empty:
        raise ValueError(f"results: no row is of the probe {PROBE}; run a batch that lists it")
    key = f"test/{shown}"
    if key not in set(rows["key"]):
        known = sorted({int(key.partition("/")[2]) for key in rows["key"] if key.startswith("test/")})
        raise ValueError(f"shown: got {shown}; the test sequences have {', '.join(map(str, known))}")
    found = []
    names = results[["model", "n_params", "seed"]].drop_duplicates().sort_values(["n_params", "model"])
    for model, n_params, seed in names.itertuples(index=False):
        mine = rows[rows["model"] == model]
        if len(mine):
            about = {"model": model, "n_params": n_params, "seed": seed}
            found.append(about | _learned(mine, key, shown) | _matching(results, model))
    return pd.DataFrame(found)


def _learned(rows: pd.DataFrame, key: str, shown: int) -> dict[str, object]:
    last = int(rows["step"].max())
    at_last = rows[rows["step"] == last].set_index(["metric", "key"])["value"]
    score, low, high = (float(at_last[f"icl_score{end}", "test"]) for end in ("", "_low", "_high"))
    control = float(at_last["icl_score_low", "uninformed"])
    learns = high < min(0.0, control)
    curve = rows[(rows["metric"] == "icl_score") & (rows["key"] == "test")].set_index("step")["value"].sort_index()
    return {
        "step": last,
        "icl_score": score,
        "icl_low": low,
        "icl_high": high,
        "uninformed_score": float(at_last["icl_score", "uninformed"]),
        "accuracy": float(at_last["accuracy", key]),
        "accuracy_low": float(at_last["accuracy_low", key]),
        "accuracy_high": float(at_last["accuracy_high", key]),
        "uninformed": float(at_last.get(("accuracy", key.replace("test", "uninformed")), np.nan)),
        "ceiling": float(at_last["ceiling", str(shown)]),
        "learns": learns,
        "learned_step": _half_way(curve) if learns else np.inf,
    }


def _matching(results: pd.DataFrame, model: str) -> dict[str, object]:
    of_probe = results[(results["probe"] == ROLES) & (results["model"] == model)]
    rows = of_probe[of_probe["metric"].str.startswith("induction")]
    if rows.empty:
        return {}
    table = rows.pivot(index="step", columns=["metric", "key"], values="value").sort_index()
    scores = table["induction"].drop(columns="uniform")
    head, last = str(scores.iloc[-1].idxmax()), table.iloc[-1]
    low, uniform = float(last["induction_low", head]), float(last["induction", "uniform"])
    return {
        "head": head,
        "matching": float(last["induction", head]),
        "matching_low": low,
        "matching_uniform": uniform,
        "matching_step": _half_way(scores[head]) if low > uniform else np.inf,
    }


def _half_way(curve: pd.Series) -> float:
    """First step at which it is half-way from where it began to where it ended."""
    begun, ended = float(curve.iloc[0]), float(curve.iloc[-1])
    there = (curve - begun) * np.sign(ended - begun) >= abs(ended - begun) / 2
    return float(there.idxmax())
