"""Results and arrays that look like a grokking run, made without any model."""

import math

import numpy as np
import pandas as pd
import xarray as xr

from probe.report import ReportData

P = 113
BUDGET = 20_000
SIZES = {"d16": 9_000, "d32": 24_400, "d64": 74_000, "d128": 226_000}
KEYS = {0: (14, 35, 41, 42, 52), 1: (6, 23, 37, 39), 2: (16, 30, 56)}


def steps(budget: int = BUDGET) -> np.ndarray:
    """Steps on a logarithmic grid up to 1000 and on a linear one after it, 0 and the budget included."""
    log = np.unique(np.geomspace(1, 1000, 34).round().astype(int))
    return np.unique(np.concatenate([[0], log, np.linspace(1000, budget, 46).round().astype(int)]))


def report_data(
    sizes: dict[str, int] = SIZES,
    seeds: tuple[int, ...] = (0, 1, 2),
    never: tuple[str, ...] = ("d16-s1",),
    budget: int = BUDGET,
    split: str = "ordered",
) -> ReportData:
    """A report's data; ``never`` names the models that do not generalize, an unordered split has no mirrors."""
    grid = steps(budget)
    tables, circles = [], {}
    for i, (size, n_params) in enumerate(sizes.items()):
        for seed in seeds:
            model = f"{size}-s{seed}"
            grok = math.inf if model in never else 5200 * (1 + 0.5 * seed) / (1 + 0.55 * i)
            rng = np.random.default_rng(100 * i + seed)
            rows = _rows(grid, 210 / (1 + 0.3 * i), grok, KEYS[seed % 3], split, rng)
            columns = ["step", "probe", "metric", "site", "key", "value"]
            table = pd.DataFrame(rows, columns=columns)
            table = table.assign(suite="synthetic", model=model, seed=seed, n_params=n_params)
            tables.append(table.assign(examples_seen=table["step"] * 3830, flops=6.0 * n_params * 3830 * table["step"]))
            if math.isfinite(grok):
                circles[model] = _circles(grid, grok, KEYS[seed % 3], rng)
    names = [
        "suite",
        "model",
        "seed",
        "n_params",
        "step",
        "examples_seen",
        "flops",
        "probe",
        "metric",
        "site",
        "key",
        "value",
    ]
    return ReportData(
        results=pd.concat(tables, ignore_index=True)[names],
        suite="synthetic-suite",
        batch_yaml="suite:\n  task: {p: 113, operation: a+b, train_fraction: 0.3}\n  seeds: [0, 1, 2]\n",
        command="probe run batch.yaml",
        arrays=lambda model, name: circles.get(model) if name == "embedding_circle" else None,
        versions={"grokscope": "0.1.0", "torch": "2.13.0"},
        device="CPU, 2 cores",
        description="Four sizes, three seeds each, trained on (a + b) mod 113.",
    )


def _rise(grid: np.ndarray, middle: float, sharpness: float) -> np.ndarray:
    """A smooth step from 0 to 1 in the logarithm of the step."""
    return np.zeros(len(grid)) if math.isinf(middle) else 1 / (1 + (middle / np.maximum(grid, 0.3)) ** sharpness)


def _rows(
    grid: np.ndarray, memory: float, grok: float, keys: tuple[int, ...], split: str, rng: np.random.Generator
) -> list[tuple[object, ...]]:
    learned, structure = _rise(grid, 0.8 * grok, 18), _rise(grid, 0.55 * grok, 5)
    memorized = _rise(grid, memory / 2, 7)
    noise = lambda scale: np.exp(rng.normal(0, scale, len(grid)))  # noqa: E731
    train = 4.73 * (1 - memorized) ** 2 + 3e-7 * noise(0.2) * (BUDGET / (grid + 300))
    test = (4.73 + 22 * memorized) * (1 - learned) ** 3 * noise(0.03) + 2e-7 * noise(0.2)
    mirror = 0.3 * memorized if split == "ordered" else np.zeros(len(grid))
    accuracy = {
        "train": 1 / P + (1 - 1 / P) * np.clip(1.01 * memorized, 0, 1),
        "test_nonmirror": 1 / P + (1 - 1 / P) * np.clip(1.005 * learned, 0, 1),
    }
    accuracy["test"] = accuracy["test_nonmirror"] * (1 - mirror) + mirror
    loss = {"train": train, "test": test * (1 - mirror), "test_nonmirror": test}
    curves = {("performance", "loss", "logits", key): value for key, value in loss.items()}
    curves |= {("performance", "accuracy", "logits", key): np.clip(value, 0, 1) for key, value in accuracy.items()}
    curves[("weights", "sum_of_squares", "weights", "all")] = (2400 - 1300 * learned + 300 * memorized) * noise(0.01)
    curves[("embedding_spectrum", "gini", "embed.W_E", "")] = 0.06 + 0.5 * structure
    if math.isfinite(grok):
        curves[("fourier_progress", "restricted_loss", "logits", "all")] = 4.73 * (1 - structure) ** 3 + 1e-8 * noise(
            0.2
        )
        curves[("fourier_progress", "excluded_loss", "logits", "all keys")] = train + 8 * structure * noise(0.05)
        curves[("fourier_progress", "surviving", "logits", "train")] = np.clip(1 - structure, 0, 1)
        for metric, top in (("logit_fve", 0.95), ("logit_fve_directions", 0.96), ("sum_fve", 0.96)):
            curves[("fourier_progress", metric, "logits", "")] = top * structure + 0.002
    rows = [(int(s), *place, float(v)) for place, values in curves.items() for s, v in zip(grid, values, strict=True)]

    k = np.arange(1, P // 2 + 1)
    weight = np.where(np.isin(k, keys), 2.0 + np.sin(k) ** 2, 0.02)
    start = rng.dirichlet(np.full(len(k), 40.0))
    for step, share in zip(grid, structure, strict=True):
        power = (1 - share) * start + share * weight / weight.sum()
        rows.append((int(step), "embedding_spectrum", "power_share", "embed.W_E", "0", 0.001))
        rows += [
            (int(step), "embedding_spectrum", "power_share", "embed.W_E", str(f), float(v))
            for f, v in zip(k, power, strict=True)
        ]
    if math.isfinite(grok):
        rows += [(int(grid[-1]), "key_frequencies", "is_key", "logits", str(f), 1.0) for f in keys]
    return rows


def _circles(grid: np.ndarray, grok: float, keys: tuple[int, ...], rng: np.random.Generator) -> xr.DataArray:
    token = np.arange(P)
    angle = 2 * np.pi * np.outer(keys, token) / P
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    start = rng.normal(0, 0.09, ring.shape) + 0.12 * ring
    structure = _rise(grid, 0.55 * grok, 5)[:, None, None, None]
    values = (1 - structure) * start + structure * (0.7 * ring + rng.normal(0, 0.02, ring.shape))
    coords = {"step": grid, "frequency": list(keys), "token": token}
    return xr.DataArray(values.astype(np.float32), dims=("step", "frequency", "token", "axis"), coords=coords)
