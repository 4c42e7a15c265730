"""Results and arrays of a run whose models have structure of every kind, made without any model."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from probe.report import ReportData

STEPS = np.array([0, 1, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400, 500])
P, KEYS, N_NEURONS = 31, (3, 7, 12), 40
IRREPS = ("trivial", "standard", "[2,2]", "[2,1,1]", "sign")
KEY_IRREPS = ("standard", "sign")
MEMORIZED, GENERALIZED = 75, 300
CYCLIC, GROUP, POLYNOMIAL, PLAIN = "d32-s0", "S4-s0", "a2+b2-s0", "plain-s0"

Row = tuple[int, str, str, str, str, float]


def structure_data() -> ReportData:
    """Four models: one that adds, one of a group, one of a polynomial, and one of which only accuracy is known."""
    parts = {CYCLIC: [*_outcome(), *_cyclic()], GROUP: [*_outcome(), *_group()]}
    parts |= {POLYNOMIAL: [*_outcome(), *_polynomial()], PLAIN: list(_outcome())}
    columns = ["step", "probe", "metric", "site", "key", "value"]
    tables = [
        pd.DataFrame(rows, columns=columns).assign(suite="structure", model=model, seed=i, n_params=1000 * (i + 1))
        for i, (model, rows) in enumerate(parts.items())
    ]
    results = pd.concat(tables, ignore_index=True)
    results["examples_seen"], results["flops"] = results["step"] * 100.0, results["step"] * 1e6
    return ReportData(
        results=results,
        suite="structure",
        batch_yaml="suite: {}\n",
        command="probe run batch.yaml",
        description="Models of every kind.",
        arrays=lambda model, name: arrays().get((model, name)),
        tasks={CYCLIC: "a+b mod 31, 70 % of the pairs trained on", GROUP: "a b in the group S4"},
        stopped={POLYNOMIAL: "the disk was full"},
    )


def arrays() -> dict[tuple[str, str], xr.DataArray]:
    """By model and name. The neurons' shares rise with the step and with the neuron; the spectra are not symmetric."""
    rng = np.random.default_rng(0)
    neuron = np.arange(N_NEURONS)
    frequency = np.where(
        STEPS[:, None] < 100,
        rng.integers(1, P // 2 + 1, (len(STEPS), N_NEURONS)),
        np.array(KEYS)[neuron % 3],
    )
    frequency[:, 0] = 0  # never fires
    share = np.minimum(0.05 + 0.93 * _rise()[:, None] * (0.5 + neuron / 60), 0.99)
    share[:, 0] = 0
    dims = {"step": STEPS}
    found = {
        (CYCLIC, "neuron_frequency"): xr.DataArray(frequency.astype(np.int32), dims=("step", "neuron"), coords=dims),
        (CYCLIC, "neuron_share"): xr.DataArray(share.astype(np.float32), dims=("step", "neuron"), coords=dims),
        (CYCLIC, "logit_spectrum_group"): _spectrum(rng, 16),
        (POLYNOMIAL, "logit_spectrum_additive"): _spectrum(rng, 16),
        (POLYNOMIAL, "logit_spectrum_multiplicative"): _spectrum(rng, 16),
    }
    angle = 2 * np.pi * np.outer(KEYS, np.arange(P)) / P
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    planes = 0.2 * rng.normal(size=(len(STEPS), *ring.shape)) + _rise()[:, None, None, None] * ring
    found[CYCLIC, "embedding_circle"] = xr.DataArray(
        planes.astype(np.float32),
        dims=("step", "frequency", "token", "axis"),
        coords={**dims, "frequency": list(KEYS), "token": np.arange(P)},
    )
    return found


def _spectrum(rng: np.random.Generator, n: int) -> xr.DataArray:
    power = rng.dirichlet(np.full(n * n, 0.2), len(STEPS)).reshape(len(STEPS), n, n)
    power[:, 0, 0] = 0
    return xr.DataArray(power.astype(np.float32), dims=("step", "frequency_a", "frequency_b"), coords={"step": STEPS})


def _rise(middle: float = 150.0) -> np.ndarray:
    return 1 / (1 + (middle / np.maximum(STEPS, 0.3)) ** 3)


def _over_steps(probe: str, metric: str, site: str, key: str, values: np.ndarray) -> Iterator[Row]:
    for step, value in zip(STEPS, np.broadcast_to(values, STEPS.shape), strict=True):
        yield int(step), probe, metric, site, key, float(value)


def _outcome() -> Iterator[Row]:
    train, test = STEPS >= MEMORIZED, STEPS >= GENERALIZED
    for subset, right in (("train", train), ("test", test)):
        yield from _over_steps("performance", "accuracy", "logits", subset, np.where(right, 1.0, 0.03))
        yield from _over_steps("performance", "loss", "logits", subset, np.where(right, 0.001, 3.4))
    yield from _over_steps("weights", "sum_of_squares", "weights", "all", 500 - 100 * _rise())


def _spectra(n: int) -> Iterator[Row]:
    for probe, site in (("embedding_spectrum", "embed.W_E"), ("neuron_logit_spectrum", "neuron_logit_map")):
        for k in range(n):
            share = (1 - _rise()) / n + _rise() * (0.3 if k in KEYS else 0.001 * (k + len(probe)))
            yield from _over_steps(probe, "power_share", site, str(k), share)
        yield from _over_steps(probe, "gini", site, "", 0.1 + 0.5 * _rise())


def _cyclic() -> Iterator[Row]:
    yield from _spectra(P // 2 + 1)
    last = int(STEPS[-1])
    for k in range(1, P // 2 + 1):
        yield last, "key_frequencies", "logit_cosine", "logits", str(k), 0.1 * k if k in KEYS else 0.001 * k
    for k in KEYS:
        yield last, "key_frequencies", "is_key", "logits", str(k), 1.0
    yield last, "key_frequencies", "null_quantile", "logits", "", 0.02
    for i, key in enumerate(("all", "train", "test")):
        yield from _over_steps("fourier_progress", "restricted_loss", "logits", key, (3.4 + i) * (1 - _rise()) + 1e-4)
        yield from _over_steps("fourier_progress", "trig_loss", "logits", key, (2.4 + i) * (1 - _rise()) + 1e-4)
    yield from _over_steps("fourier_progress", "excluded_loss", "logits", "all keys", 3.4 + 4 * _rise())
    for k in KEYS:
        yield from _over_steps("fourier_progress", "excluded_loss", "logits", f"k={k}", 0.1 * k + _rise())
        yield from _over_steps("embedding_circle", "circularity", "embed.W_E", str(k), 0.5 + 0.04 * k * _rise())
    for metric, top in (("logit_fve", 0.95), ("logit_fve_directions", 0.96), ("sum_fve", 0.97)):
        yield from _over_steps("fourier_progress", metric, "logits", "", top * _rise())
    site = "blocks.0.mlp.hook_post"
    yield from _over_steps("neuron_frequencies", "single_frequency_share", site, "", 0.8 * _rise())
    yield from _over_steps("neuron_frequencies", "mean_share", site, "", 0.1 + 0.8 * _rise())
    for step in STEPS[STEPS >= 100]:  # no rows before: no neuron was of one frequency
        for k, count in neurons_at(int(step)).items():
            yield int(step), "neuron_frequencies", "neurons", site, str(k), count
    for head in range(4):
        pattern = "blocks.0.attn.hook_pattern"
        frequency = np.where(STEPS < 100, 5 + head, KEYS[head % 3])
        yield from _over_steps("attention_frequencies", "frequency", pattern, f"head {head}", frequency)
        yield from _over_steps("attention_frequencies", "share", pattern, f"head {head}", (0.9 - 0.2 * head) * _rise())
    yield from _over_steps("logit_spectrum", "diagonal_share", "logits", "group", 0.98 * _rise())
    yield from _others()


def neurons_at(step: int) -> dict[int, float]:
    """Neurons of one frequency, by frequency; from step 200 on there are some at seven frequencies."""
    counts = {3: step / 20, 7: step / 50, 12: step / 100}
    return counts | ({1: 4.0, 5: 3.0, 9: 2.0, 11: 1.0} if step >= 200 else {})


def _others() -> Iterator[Row]:
    yield from _over_steps("algorithm", "gradient_symmetricity", "logits", "", 0.3 + 0.6 * _rise())
    yield from _over_steps("algorithm", "gradient_symmetricity_low", "logits", "", 0.25 + 0.6 * _rise())
    yield from _over_steps("algorithm", "gradient_symmetricity_high", "logits", "", 0.36 + 0.6 * _rise())
    yield from _over_steps("representation", "effective_rank", "embed.W_E", "", 20 - 12 * _rise())
    for k in KEYS:
        yield from _over_steps("representation", "neighbour_agreement", "embed.W_E", str(k), 0.05 * k * _rise())
        yield from _over_steps("representation", "neighbour_agreement_null", "embed.W_E", str(k), np.array(0.06))
        yield from _over_steps("representation", "neighbour_agreement_null_high", "embed.W_E", str(k), np.array(0.09))
    yield from _over_steps("mine", "circularity", "embed.W_E", "3", np.array(0.123))  # not that of embedding_circle
    for layer in (0, 1):
        yield from _over_steps("mine", "energy_low", f"blocks.{layer}.hook_resid_post", "", np.array(2.0 + layer))


def _group() -> Iterator[Row]:
    yield from _spectra(13)
    for name in KEY_IRREPS:
        yield int(STEPS[-1]), "key_irreps", "is_key", "logits", name, 1.0
    site = "blocks.0.mlp.hook_post"
    for i, name in enumerate(IRREPS):
        yield from _over_steps("irrep_progress", "logit_cosine", "logits", name, (0.1 + 0.1 * i) * _rise())
        yield from _over_steps("irrep_power", "power_share", "embed.W_E", name, 0.1 + 0.02 * i * _rise())
        for j, part in enumerate(("first", "second", "product")):
            yield from _over_steps("irrep_power", f"neuron_{part}", site, name, 0.01 * (i + 1) * (j + 1) * _rise())
    for name in KEY_IRREPS:
        yield from _over_steps("irrep_progress", "excluded_loss", "logits", name, len(name) + _rise())
    yield from _over_steps("irrep_progress", "excluded_loss", "logits", "all keys", 9 + _rise())
    for i, key in enumerate(("all", "train", "test")):
        yield from _over_steps("irrep_progress", "restricted_loss", "logits", key, 3 + i - 2 * _rise())
    yield from _over_steps("irrep_progress", "character_loss", "logits", "all", 2.5 - 2 * _rise())
    yield from _over_steps("irrep_progress", "logit_fve", "logits", "", 0.9 * _rise())
    yield from _over_steps("irrep_progress", "class_fve", "logits", "", 0.93 * _rise())
    yield from _over_steps("irrep_power", "single_irrep_share", site, "", 0.5 * _rise())
    yield int(STEPS[-1]), "irrep_power", "neurons", site, "sign", 8.0


def _polynomial() -> Iterator[Row]:
    yield from _spectra(P // 2 + 1)
    yield from _over_steps("logit_spectrum", "diagonal_share", "logits", "additive", 0.1 * _rise())
    yield from _over_steps("logit_spectrum", "diagonal_share", "logits", "multiplicative", 0.2 * _rise())
