"""Time to generalize against the share of pairs that is trained on, and the critical share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from probe.measures.transition.critical import CriticalBracket, CriticalFraction

MIN_FRACTIONS = 3


@dataclass(frozen=True)
class FractionLaw:
    """Runs that differ in nothing but their train fraction and their seed.

    Attributes:
        name: what they have in common of what differs in the suite; "" if nothing else does.
        runs: columns model, train_fraction, generalized_step (NaN: not within the budget), final_step.
        fit: the law t = c (f - f_c)^-alpha, None where it cannot be fitted.
        reason: why not, else "".
        bracket: fractions between which the share of runs that generalize crosses one half.
    """

    name: str
    runs: pd.DataFrame
    fit: "CriticalFraction | None"
    reason: str
    bracket: "CriticalBracket"


def fraction_laws(transitions: pd.DataFrame, settings: pd.DataFrame) -> list[FractionLaw]:
    """A law for each set of runs with 3 different train fractions or more, of which any generalized.

    Args:
        transitions: what ``probe.scaling.transitions`` returns; runs whose test accuracy was not measured are left out.
        settings: how each model was trained: index model, columns train_fraction, seed and others.
    """
    from probe.measures.transition.critical import MIN_GENERALIZED, critical_fraction_bracket, fit_critical_fraction

    laws = []
    for name, models in same_but(settings, "train_fraction", "seed").items():
        mine = transitions[transitions["model"].isin(models) & transitions["test_measured"]]
        runs = mine[["model", "generalized_step", "final_step"]].reset_index(drop=True)
        runs.insert(1, "train_fraction", settings.loc[runs["model"], "train_fraction"].to_numpy(dtype=float))
        if runs["train_fraction"].nunique() < MIN_FRACTIONS or runs["generalized_step"].isna().all():
            continue
        # a run right from its first evaluation on took a step or less, which a law of log time has no place for
        fractions, steps = runs["train_fraction"].to_numpy(), runs["generalized_step"].clip(lower=1).to_numpy(float)
        fit, reason = None, ""
        done = ~np.isnan(steps)
        if done.sum() < MIN_GENERALIZED or len(np.unique(fractions[done])) < 2:
            reason = f"it takes {MIN_GENERALIZED} runs that generalized, at 2 fractions or more"
        else:
            fit = fit_critical_fraction(fractions, steps, runs["final_step"].clip(lower=1).to_numpy(float))
        laws.append(FractionLaw(name, runs, fit, reason, critical_fraction_bracket(fractions, steps)))
    return laws


def same_but(settings: pd.DataFrame, *columns: str) -> dict[str, list[str]]:
    """Models that have all settings in common but these, by what they have in common of what differs.

    A setting that a model does not have counts as one that it has in common with others that do not have it.
    """
    others = settings.drop(columns=list(columns), errors="ignore")
    differing = [str(column) for column in others if others[column].nunique(dropna=False) > 1]
    named: dict[str, list[str]] = {}
    for model, row in others[differing].iterrows():
        parts = [f"{column.replace('_', ' ')} {_text(row[column])}" for column in differing if pd.notna(row[column])]
        named.setdefault(", ".join(parts), []).append(str(model))
    return named


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
