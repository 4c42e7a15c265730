"""Learners whose memory is known, as the results and arrays of a run."""

import numpy as np
import pandas as pd
import xarray as xr

from probe.tasks import Task

STEPS = np.array([0, *np.unique(np.geomspace(1, 2000, 60).round().astype(int))])
PER_STEP = 0.5  # exposures of a fact


def learner(model: str, n_params: int, time: float, unseen: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Results of a model that knows a share 1 - exp(-x / time) of its facts after x exposures, beside a rule."""
    rows = []
    for step in STEPS.tolist():
        x = step * PER_STEP
        memory = 1 - np.exp(-x / time)
        rows += [
            (step, "recall", "exposures", "train", x),
            (step, "recall", "exposures", "all", 0.9 * x),
            (step, "performance", "accuracy", "train", unseen + (1 - unseen) * memory),
            (step, "performance", "accuracy", "test", unseen),
            (step, "performance", "loss", "train", 1.0),
        ]
    frame = pd.DataFrame(rows, columns=["step", "probe", "metric", "key", "value"])
    return frame.assign(model=model, n_params=n_params, seed=seed, site="")


def suite(exponent: float, draw: int, sizes=(1000, 4000, 16_000, 64_000, 256_000), scatter=0.1) -> pd.DataFrame:
    rng = np.random.default_rng(draw)
    return pd.concat(
        [
            learner(f"d{n}-s{seed}", n, 40 * (n / 16_000) ** -exponent * np.exp(scatter * rng.normal()), seed=seed)
            for n in sizes[::-1]
            for seed in range(3)
        ]
    )


def arrays_of(task: Task, steps: list[int], seed: int = 0) -> dict[str, xr.DataArray]:
    """What the probe ``recall`` would store of a model that learns trained facts by lot, and no other."""
    rng = np.random.default_rng(seed)
    learned_at = rng.uniform(0, 1.2 * steps[-1], len(task.answers))
    right = np.array([(learned_at <= step) & task.train_mask for step in steps])
    exposures = np.array([step * task.exposures for step in steps])
    n_answers = task.n_answers
    wrong = (task.scored_answers + 1) % n_answers
    predicted = np.where(right[..., None], task.scored_answers, np.where(task.scored_answers < 0, -1, wrong))
    on = {"step": steps}
    return {
        "recall_exact": xr.DataArray(right.astype(np.int8), dims=("step", "example"), coords=on),
        "recall_exposures": xr.DataArray(exposures, dims=("step", "example"), coords=on),
        "recall_predicted": xr.DataArray(predicted, dims=("step", "example", "token"), coords=on),
    }


def bits(model: str, n_params: int, steps: list[int]) -> pd.DataFrame:
    """Rows of the probe ``capacity`` of a model that holds a bit more at each evaluation, and none of the control."""
    rows = [(step, "bits", key, value) for i, step in enumerate(steps) for key, value in (("train", i), ("test", 0.0))]
    frame = pd.DataFrame(rows, columns=["step", "metric", "key", "value"])
    return frame.assign(model=model, n_params=n_params, seed=0, site="", probe="capacity")
