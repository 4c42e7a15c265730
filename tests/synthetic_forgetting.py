"""Learners that forget a special batch in a known way, as the results of a run."""

import numpy as np
import pandas as pd

from probe.tasks import Facts

END = 300
"""Step at which the special batch was last shown."""
SINCE = np.unique(np.geomspace(1, 900, 45).round().astype(int))
STEPS = np.array([0, 100, 200, 299, END, *(END + SINCE)])
TASK = Facts(250, relations=4, special=0.2, special_passes=60)


def forgetter(
    model: str,
    n_params: int,
    baseline: float = 0.3,
    half_life: float = 40.0,
    start: float = 0.9,
    unseen: float = 0.06,
    noise: float = 0.01,
    draw: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Results of a model: each fact of the batch is kept for good with one probability, or forgotten at some step."""
    rng = np.random.default_rng(draw)
    n_facts = int(TASK.subsets["special"].sum())
    known = rng.random(n_facts) < start
    life = np.where(rng.random(n_facts) < baseline / start, np.inf, rng.exponential(half_life / np.log(2), n_facts))
    rows = []
    for step in STEPS.tolist():
        since = max(step - END, 0)
        recalled = np.mean(known & (life > since)) if step >= END else start * step / END
        recalled = float(np.clip(recalled + noise * rng.normal(), 0, 1))
        rows += [
            (step, "recall", "exposures", "special", min(step, END) / 5),
            (step, "recall", "exposures", "train", min(step, END) / 5 + since / 4),
            (step, "performance", "accuracy", "special", recalled),
            (step, "performance", "accuracy", "train", 0.95),
            (step, "performance", "accuracy", "test", unseen),
            (step, "performance", "loss", "special", 1.0),
        ]
    frame = pd.DataFrame(rows, columns=["step", "probe", "metric", "key", "value"])
    return frame.assign(model=model, n_params=n_params, seed=seed, site="")


def forgetters(slope: float, draw: int = 0, scatter: float = 0.02) -> pd.DataFrame:
    """Results of four sizes in three seeds, whose baseline rises by so much with every tenfold parameters."""
    rng = np.random.default_rng(draw)
    return pd.concat(
        [
            forgetter(
                f"d{n}-s{seed}",
                n,
                baseline=0.35 + slope * np.log10(n / 31_623) + scatter * rng.normal(),
                draw=int(rng.integers(2**31)),
                seed=seed,
            )
            for n in (256_000, 64_000, 16_000, 4000)
            for seed in range(3)
        ]
    )
