"""Learning in context across sizes: how much of it there is, and when it came, beside the heads that could do it."""

import numpy as np
import pandas as pd

PROBE = "in_context"
ROLES = "head_roles"
CONTROLS = ("uninformed", "shuffled")
DATED = ("learned", "matching")


def in_context_table(results: pd.DataFrame, shown: int = 1) -> pd.DataFrame:
    """A row per model that was measured with the probe ``in_context``, smallest first.

    Columns, of the last step: ``icl_score`` of sequences that are not trained on with ``icl_low`` and ``icl_high``, and
    the controls ``uninformed_score`` and ``shuffled_score``; ``accuracy`` after ``shown`` examples with
    ``accuracy_low`` and ``accuracy_high``, and ``uninformed``, ``shuffled``, the controls, and ``ceiling``, of an ideal
    learner. ``icl_gain`` with ``icl_gain_low`` and ``icl_gain_high``: the score less that of shuffled sequences.
    ``learns``: whether the score and the gain are both below 0 by more than sampling error. A model that counts the
    answers shown, and does not know what belongs to what, has a score below 0 and no gain.

    Dates: ``learned_step``, when the score had covered half of its way from the first evaluation to the end, with
    ``learned_low`` and ``learned_high`` (``probe.measures.transition.lead_times``); inf where nothing is learned. If
    the run has ``head_roles``: ``head``, of which the prefix matching is most beyond that of its control at the last
    step; there ``matching``, its control ``matching_elsewhere``, and ``gain``, what is beyond, with ``gain_low`` and
    ``gain_high``; and ``matching_step`` with ``matching_low`` and ``matching_high``, when the gain of that head had
    covered half of its way; inf where it is not above 0 by more than sampling error. ``first``: ``"score"`` or
    ``"heads"``, whichever has its interval before that of the other; empty if neither does or one has no date.

    Dates are nan where fewer than 10 evaluations are there, or the curve shows no transition.

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
            row = about | _learned(mine, key, shown) | _matching(results, model, _curve(mine, "accuracy", key))
            found.append(row | ({"first": _first(row)} if "head" in row else {}))
    return pd.DataFrame(found)


def _learned(rows: pd.DataFrame, key: str, shown: int) -> dict[str, object]:
    last = int(rows["step"].max())
    at_last = rows[rows["step"] == last].set_index(["metric", "key"])["value"]
    score, low, high = (float(at_last[f"icl_score{end}", "test"]) for end in ("", "_low", "_high"))
    gain, gain_low, gain_high = (float(at_last[f"icl_gain{end}", "test"]) for end in ("", "_low", "_high"))
    learns = max(high, gain_high) < 0
    controls = {name: float(at_last.get(("accuracy", f"{name}/{shown}"), np.nan)) for name in CONTROLS}
    return {
        "step": last,
        "icl_score": score,
        "icl_low": low,
        "icl_high": high,
        **{f"{name}_score": float(at_last["icl_score", name]) for name in CONTROLS},
        "icl_gain": gain,
        "icl_gain_low": gain_low,
        "icl_gain_high": gain_high,
        "accuracy": float(at_last["accuracy", key]),
        "accuracy_low": float(at_last["accuracy_low", key]),
        "accuracy_high": float(at_last["accuracy_high", key]),
        **controls,
        "ceiling": float(at_last["ceiling", str(shown)]),
        "learns": learns,
        **_date("learned", learns, _curve(rows, "icl_score", "test"), _curve(rows, "accuracy", key)),
    }


def _matching(results: pd.DataFrame, model: str, accuracy: pd.Series) -> dict[str, object]:
    of_probe = results[(results["probe"] == ROLES) & (results["model"] == model)]
    rows = of_probe[of_probe["metric"].str.startswith("induction") & (of_probe["key"] != "uniform")]
    if rows.empty:
        return {}
    table = rows.pivot(index="step", columns=["metric", "key"], values="value").sort_index()
    head, last = str(table["induction_gain"].iloc[-1].idxmax()), table.iloc[-1]
    low = float(last["induction_gain_low", head])
    return {
        "head": head,
        "matching": float(last["induction", head]),
        "matching_elsewhere": float(last["induction_elsewhere", head]),
        "gain": float(last["induction_gain", head]),
        "gain_low": low,
        "gain_high": float(last["induction_gain_high", head]),
        **_date("matching", low > 0, table["induction_gain", head].astype(float), accuracy),
    }


def _curve(rows: pd.DataFrame, metric: str, key: str) -> pd.Series:
    found = rows[(rows["metric"] == metric) & (rows["key"] == key)]
    return found.set_index("step")["value"].astype(float).sort_index()


def _date(what: str, there: bool, curve: pd.Series, accuracy: pd.Series) -> dict[str, float]:
    """When a curve had covered half of its way; ``lead_times`` wants an accuracy beside it."""
    from probe.measures.transition import lead_times  # loads torch, which reading a table does not need
    from probe.measures.transition.noise import MIN_EVALUATIONS

    names = (f"{what}_step", f"{what}_low", f"{what}_high")
    if not there:
        return dict.fromkeys(names, np.inf)
    together = pd.DataFrame({"accuracy": accuracy, "curve": curve})
    together = together[np.isfinite(together.to_numpy()).all(axis=1)]
    date = None
    if len(together) >= MIN_EVALUATIONS:
        steps, accuracies = together.index.to_numpy(), together["accuracy"].to_numpy()
        date = lead_times(steps, accuracies, {what: together["curve"].to_numpy()}).measures[what].date
    ends = ("estimate", "low", "high")
    return {name: float(getattr(date, end, np.nan)) for name, end in zip(names, ends, strict=True)}


def _first(row: dict[str, object]) -> str:
    learned, matching = (np.array([row[f"{what}_{end}"] for end in ("step", "low", "high")], float) for what in DATED)
    if not (np.isfinite(learned[0]) and np.isfinite(matching[0])):
        return ""
    return "score" if learned[2] < matching[1] else "heads" if matching[2] < learned[1] else ""
