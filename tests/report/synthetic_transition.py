"""Results tables of runs whose dates, leads, fractions and phases are known."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

STEPS = np.arange(0, 2001, 25)
MEMORIZED = 100
COLUMNS = ["suite", "model", "seed", "n_params", "step", "probe", "metric", "site", "key", "value"]


def step_up(grid: np.ndarray, middle: float, width: float = 0.08) -> np.ndarray:
    """A logistic in log(step + 1) from 0 to 1; 0 for a middle that is not finite."""
    if not math.isfinite(middle):
        return np.zeros(len(grid))
    return 1 / (1 + np.exp(-(np.log1p(grid) - np.log1p(middle)) / width))


def run(
    model: str,
    accuracy: float,
    measures: Mapping[tuple[str, str, str], tuple[float, float, float]] | None = None,
    memorized: float = MEMORIZED,
    seed: int = 0,
    n_params: int = 1000,
    grid: Sequence[int] | np.ndarray = STEPS,
) -> pd.DataFrame:
    """Rows of one run: test accuracy half its way at ``accuracy``, train accuracy right from ``memorized`` on.

    ``measures``: by probe, metric and key, the date and the levels before and after it.
    """
    at, rng = np.asarray(grid), np.random.default_rng(seed + len(model))
    curves = {
        ("performance", "accuracy", "train"): np.where(at >= memorized, 1.0, 0.3),
        ("performance", "accuracy", "test"): 0.02 + 0.98 * step_up(at, accuracy),
        ("performance", "loss", "train"): np.where(at >= memorized, 1e-4, 3.0),
    }
    for place, (date, before, after) in (measures or {}).items():
        curves[place] = before + (after - before) * step_up(at, date)
    rows = []
    for (probe, metric, key), values in curves.items():
        noise = 0.003 * np.ptp(values) * rng.normal(size=len(at)) if probe != "performance" or key == "test" else 0.0
        noise = 0.0 if metric == "accuracy" else noise
        rows += [(int(s), probe, metric, "somewhere", key, float(v)) for s, v in zip(at, values + noise, strict=True)]
    table = pd.DataFrame(rows, columns=["step", "probe", "metric", "site", "key", "value"])
    return table.assign(suite="synthetic", model=model, seed=seed, n_params=n_params)[COLUMNS]


LOSS, FVE, GINI = (
    ("performance", "loss", "test"),
    ("fourier_progress", "logit_fve", ""),
    ("embedding_spectrum", "gini", ""),
)
LEADS = {FVE: 200, LOSS: 50, GINI: -150}
"""Steps by which the measures of ``three_seeds`` move before test accuracy, give or take 25 between seeds."""


def three_seeds(n_late: int = 0) -> pd.DataFrame:
    """Three seeds that generalize around steps 600, 700 and 800, and some that do not."""
    tables = []
    for seed in range(3):
        date = 600 + 100 * seed
        levels = {FVE: (0.01, 0.9), LOSS: (8.0, 0.01), GINI: (0.1, 0.6)}
        measures = {place: (date - lead - 25 * (seed - 1), *levels[place]) for place, lead in LEADS.items()}
        tables.append(run(f"d8-s{seed}", date, measures, seed=seed))
    for seed in range(3, 3 + n_late):
        tables.append(run(f"d8-s{seed}", math.inf, {LOSS: (math.inf, 8.0, 0.01)}, seed=seed))
    return pd.concat(tables, ignore_index=True)


CRITICAL, EXPONENT, SCALE = 0.3, 1.0, 150.0


def over_fractions(seeds: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and settings of runs that reach .99 about 150 / (f - .3) steps in, those of f <= .3 never."""
    tables, settings = [], {}
    for fraction in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        for seed in range(seeds):
            model = f"d8-f{fraction:g}-s{seed}"
            date = SCALE / (fraction - CRITICAL) ** EXPONENT if fraction > CRITICAL else math.inf
            date *= (0.95, 1.0, 1.05)[seed % 3]
            before = np.expm1(np.log1p(date) - 0.03 * math.log(97)) if math.isfinite(date) else math.inf
            tables.append(run(model, math.inf, {("performance", "accuracy", "test"): (before, 0.0, 1.0)}, seed=seed))
            tables[-1] = _narrow(tables[-1], before)
            settings[model] = {"train_fraction": fraction, "learning_rate": 1e-3, "weight_decay": 1.0, "seed": seed}
    return pd.concat(tables, ignore_index=True), pd.DataFrame.from_dict(settings, orient="index")


def _narrow(table: pd.DataFrame, middle: float) -> pd.DataFrame:
    test = (table["metric"] == "accuracy") & (table["key"] == "test")
    table.loc[test, "value"] = step_up(table.loc[test, "step"].to_numpy(), middle, 0.03)
    return table


PHASES = {
    (1e-3, 0.0): "memorization",
    (1e-3, 1.0): "grokking",
    (1e-2, 0.0): "confusion",
    (1e-2, 1.0): "comprehension",
}
"""Phase of the runs of ``over_settings`` by learning rate and weight decay, the same at both fractions."""


def over_settings() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and settings of a run per phase and train fraction."""
    dates = {
        "comprehension": (100, 150),
        "grokking": (100, 900),
        "memorization": (100, math.inf),
        "confusion": (math.inf, math.inf),
    }
    tables, settings = [], {}
    for fraction in (0.5, 0.8):
        for (rate, decay), phase in PHASES.items():
            model = f"d8-f{fraction:g}-lr{rate:g}-wd{decay:g}-s0"
            memorized, accuracy = dates[phase]
            tables.append(run(model, accuracy, memorized=memorized))
            settings[model] = {"train_fraction": fraction, "learning_rate": rate, "weight_decay": decay, "seed": 0}
    return pd.concat(tables, ignore_index=True), pd.DataFrame.from_dict(settings, orient="index")
