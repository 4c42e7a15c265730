"""Ridge probes of many sites and targets against scikit-learn's RidgeCV site by site, at equal coefficients."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.linear_model import Ridge, RidgeCV
from torch import Tensor

from probe.measures.folds import assign_folds
from probe.measures.fourier import fourier_targets
from probe.measures.linear import RidgeProbes, ridge
from probe.measures.moments import accumulate
from tests.benchmarks.timing import seconds

ENTRIES, EXAMPLES, UNITS, P = 200, 4096, 128, 113
ALPHAS = np.logspace(-3, 5, 9)
BATCH = 1024


def rows() -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be. On the CPU, where scikit-learn is."""
    X, Y = clock_activations()
    found, theirs, fastest = {}, {}, fastest_ridge_cv(X[0], Y)

    def ours() -> None:
        found["probes"] = probes_of(X, Y)

    def scikit_learn() -> None:
        theirs["models"] = [ridge_cv(x, Y, *fastest) for x in X]

    took = seconds({"ours": ours, "RidgeCV": scikit_learn}, rounds=2)
    same_alpha = check_coefficients(X, Y, found["probes"], theirs["models"])
    what = f"linear probes, {ENTRIES} (site, step) x {Y.shape[1]} targets"
    yield f"{what}, RidgeCV ({fastest[1]}, {fastest[0]}) / ours", f"{took['RidgeCV'] / took['ours']:.2f}", "at least 3"
    yield f"{what}, ours", f"{took['ours']:.1f} s", ""
    yield "sites at which RidgeCV chose the same alpha, by leaving out one", f"{same_alpha} of {ENTRIES}", ""
    small, large = peak_megabytes(16), peak_megabytes(128)
    yield "linear probes, peak memory with 8 times as many examples", f"{large / small:.2f} times", "at most 1.5 times"


def clock_activations() -> tuple[Tensor, Tensor]:
    """Sites with clocks of a few frequencies each, among units of unequal spread, and all frequencies as targets."""
    generator = torch.Generator().manual_seed(0)
    c = torch.randint(P, (EXAMPLES,), generator=generator)
    Y = fourier_targets(c, P).values.float()
    X = torch.randn(ENTRIES, EXAMPLES, UNITS, generator=generator) * torch.logspace(0, -2, UNITS)
    for x in X:
        chosen = torch.randint(Y.shape[1], (8,), generator=generator)
        x += 0.3 * Y[:, chosen] @ torch.randn(8, UNITS, generator=generator) + 1
    return X, Y


def probes_of(X: Tensor, Y: Tensor) -> RidgeProbes:
    """From activations that come batch by batch, to coefficients and held-out errors."""
    fold = assign_folds(len(Y))
    pieces = (slice(i, i + BATCH) for i in range(0, len(Y), BATCH))
    return ridge(accumulate((X[:, s], Y[s], fold[s]) for s in pieces), ALPHAS)


def ridge_cv(x: Tensor, Y: Tensor, mode: str, dtype: str) -> RidgeCV:
    return RidgeCV(ALPHAS, gcv_mode=mode).fit(x.numpy().astype(dtype), Y.numpy().astype(dtype))


def fastest_ridge_cv(x: Tensor, Y: Tensor) -> tuple[str, str]:
    """Its fastest way: leaving out one example, by either decomposition, in either precision."""
    ways = [(mode, dtype) for mode in ("auto", "svd", "eigen") for dtype in ("float32", "float64")]
    took = seconds({" ".join(way): lambda way=way: ridge_cv(x, Y, *way) for way in ways}, rounds=5)
    return min(ways, key=lambda way: took[" ".join(way)])


def check_coefficients(X: Tensor, Y: Tensor, found: RidgeProbes, theirs: list[RidgeCV]) -> int:
    """At how many sites both chose the same alpha. Coefficients agree there, and with Ridge's at other sites too."""
    n_same = 0
    for i, (x, model) in enumerate(zip(X, theirs, strict=True)):
        alpha = found.alpha[i, 0].item()
        same = bool(np.isclose(alpha, model.alpha_))
        n_same += same
        if same or i % 10 == 0:
            exact = model if same else Ridge(alpha=alpha).fit(x.double().numpy(), Y.double().numpy())
            difference = np.abs(found.coef[i].numpy() - exact.coef_).max() / np.abs(exact.coef_).max()
            assert difference < 1e-3, f"site {i}: coefficients differ by {difference:.1e}"
    return n_same


def peak_megabytes(n_batches: int) -> float:
    """What the probes of 20 sites take at most, in a process of its own (Linux), beyond what it took to begin."""
    code = f"""
import re, torch
from pathlib import Path
from probe.measures.folds import assign_folds
from probe.measures.linear import ridge
from probe.measures.moments import accumulate
import scipy.stats
def peak():
    # of this process alone; getrusage's maximum is handed down by the parent
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
def batches():
    for i in range({n_batches}):
        at = slice(i * {BATCH}, (i + 1) * {BATCH})
        yield torch.randn(20, {BATCH}, {UNITS}), torch.randn({BATCH}, {P - 1}), fold[at]
torch.set_num_threads(1)
fold = assign_folds({n_batches * BATCH})
before = peak()
ridge(accumulate(batches()), {ALPHAS.tolist()}).held_out.score()
print(peak() - before)
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
