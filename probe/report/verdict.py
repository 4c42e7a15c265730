"""What happened, in words and numbers, and no more than the run shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """A headline, the sentences that support it, and what it does not show."""

    headline: str
    sentences: tuple[str, ...]
    caveat: str


def verdict(transitions: pd.DataFrame, sizes: pd.DataFrame, of_size: bool = True, once: bool = False) -> Verdict:
    """How many models memorized and grokked within the budget, when (medians by size), and how far to trust that.

    Args:
        transitions: what ``probe.scaling.transitions`` returns.
        sizes: what ``probe.scaling.by_size`` returns for it.
        of_size: whether those groups of models differ in size alone; if not, nothing is said of size.
        once: whether each model was evaluated only once, so that its date is no more than a bound.
    """
    if transitions.empty:
        return Verdict("The results hold no model.", (), "")
    if not transitions["train_measured"].any():
        return Verdict("Accuracy was not measured, so nothing is said of memorization or generalization.", (), "")
    tested = transitions[transitions["test_measured"]]
    sentences = [_memorized(transitions[transitions["train_measured"]], once)]
    if tested.empty:
        headline = f"{_count(transitions['memorized_step'].notna(), 'memorized')}; generalization was not measured."
        sentences.append("No model was evaluated 3 times or more on pairs that it was not trained on.")
    else:
        headline = _grokked(tested)
        sentences += [*_without_plateau(tested), *_censored(tested)]
    diverged = transitions[transitions["diverged_step"].notna()]
    if len(diverged):
        sentences.append(f"The loss stopped being finite in {_names(diverged)}: read their numbers with care.")
    if of_size and len(sizes) > 1 and np.isfinite(sizes["generalized_step_median"]).any():
        sentences.append(_smallest_and_largest(sizes))
    caveat = _caveat(sizes, "size" if of_size else "group")
    if transitions["memorized_step"].isna().any() or tested["generalized_step"].isna().any():
        caveat += " “Not within the budget” is not “cannot”."
    return Verdict(headline, tuple(sentences), caveat)


def steps_text(step: float) -> str:
    """A number of steps, or a dash when there is none."""
    return f"{step:,.0f}" if np.isfinite(step) else "—"


def keys_head(table: pd.DataFrame) -> str:
    """What the keys of these models are called."""
    return "key irreps" if table["key_irreps"].map(bool).any() else "key frequencies"


def keys_text(model: Mapping[Any, Any]) -> str:
    """The key irreps of a model, or its key frequencies; "" where none were found or looked for."""
    return ", ".join(map(str, model["key_irreps"] or model["key_frequencies"]))


def median_text(row: pd.Series, event: str) -> str:
    """Median over seeds with its 95 % interval, in words where they were not reached: ``5,200 [4,100, 7,000]``."""
    median, low, high = (float(row[f"{event}_{part}"]) for part in ("median", "low", "high"))
    if np.isnan(median):
        return "not measured" if event != "plateau" else "—"
    if np.isinf(median):
        return "not within the budget"
    if np.isnan(high):
        return f"{median:,.0f}"
    upper = f"{high:,.0f}" if np.isfinite(high) else "> budget"
    return f"{median:,.0f} [{low:,.0f}, {upper}]"


def _memorized(table: pd.DataFrame, once: bool) -> str:
    done = table["memorized_step"].notna()
    text = f"{_count(done, 'memorized')} the training pairs"
    if not done.any():
        return f"{text}."
    median = f"{table.loc[done, 'memorized_step'].median():,.0f}"
    return f"{text} by the only evaluation (step {median})." if once else f"{text} (median step {median})."


def _grokked(table: pd.DataFrame) -> str:
    grokked = table["plateau"] > 0
    text = f"{_count(grokked, 'grokked')} within {_budget(table)}: memorized first, generalized later"
    if not grokked.any():
        return f"{_count(grokked, 'grokked')} within {_budget(table)}."
    plateau = table.loc[grokked, "plateau"]
    longest = f" to {plateau.max():,.0f}" if plateau.max() > plateau.min() else ""
    return f"{text}, after a plateau of {plateau.min():,.0f}{longest} steps."


def _without_plateau(table: pd.DataFrame) -> list[str]:
    at_once = table[table["generalized_step"].notna() & ~(table["plateau"] > 0)]
    return [f"{_names(at_once)} generalized without a plateau, which is not grokking."] if len(at_once) else []


def _censored(table: pd.DataFrame) -> list[str]:
    late = table[table["generalized_step"].isna()]
    if late.empty:
        return []
    best = late["final_test_accuracy"].max()
    ended = f" (final test accuracy {'at most ' if len(late) > 1 else ''}{best:.4f})" if np.isfinite(best) else ""
    return [f"{_names(late)} had not generalized by the last step{ended}; whether more steps would do is not known."]


def _smallest_and_largest(sizes: pd.DataFrame) -> str:
    small, large = sizes.iloc[0], sizes.iloc[-1]
    text = f"Median step of generalization: {small['size']} {median_text(small, 'generalized_step')}"
    text += f", {large['size']} {median_text(large, 'generalized_step')}"
    ends = [small["generalized_step_low"], large["generalized_step_low"]]
    if not np.all(np.isfinite(ends)):
        return f"{text}."
    overlap = max(ends) <= min(small["generalized_step_high"], large["generalized_step_high"])
    if overlap:
        return f"{text}; the intervals overlap, so these runs do not tell the two sizes apart."
    return f"{text}; the intervals do not overlap, which describes these runs and is not yet a trend over size."


def _caveat(sizes: pd.DataFrame, group: str) -> str:
    low, high = sizes["n"].min(), sizes["n"].max()
    if high == 1:
        return f"One seed a {group}: nothing here says how much another seed would differ."
    seeds = f"{low}" if low == high else f"{low} to {high}"
    text = f"Intervals are 95 % bootstrap intervals of the median over {seeds} seeds a {group}"
    if low >= 8:
        return f"{text}."
    # the range of n values holds the median of their distribution with probability 1 - 2^(1 - n)
    best = 1 - 2.0 ** (1 - low)
    return f"{text}; with {low}, such an interval covers the true median {best:.0%} of the time at best."


def _count(done: pd.Series, verb: str) -> str:
    return f"{int(done.sum())} of {len(done)} {'model' if len(done) == 1 else 'models'} {verb}"


def _budget(table: pd.DataFrame) -> str:
    low, high = table["final_step"].min(), table["final_step"].max()
    return f"{high:,.0f} steps" if low == high else f"their budgets of {low:,.0f} to {high:,.0f} steps"


def _names(rows: pd.DataFrame) -> str:
    names = list(rows["model"])
    if len(names) > 4:
        return f"{len(names)} models ({', '.join(names[:3])}, …)"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
