"""Fourier and group measures against the transforms and cross-entropies that they cannot do without, and batched."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from probe.algebra import group
from probe.measures import fourier, groups
from probe.measures.performance import cross_entropy
from tests.benchmarks.timing import seconds

P, D_MODEL, NEURONS = 113, 128, 512
KEYS = (14, 35, 41, 42, 52)
CHECKPOINTS = 200


def rows(device: str) -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be."""
    yield one_checkpoint(device)
    for p in (P, 23, 7):
        yield batched("all progress measures", p, device)
    yield batched_spectra(device)
    yield s5(device)


def network(p: int, device: str, *batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that are a noisy Fourier algorithm, the answers, and which inputs were trained on."""
    generator = torch.Generator(device).manual_seed(0)
    t = torch.arange(p, device=device)
    apart = (t[:, None, None] + t[:, None] - t) % p
    keys = [k for k in KEYS if k <= p // 2] or [1, 2]
    wave = sum(torch.cos(2 * math.pi * k * apart / p) for k in keys)
    logits = 5 * wave + torch.randn(*batch, p, p, p, generator=generator, device=device)
    train = torch.rand(p, p, generator=generator, device=device) < 0.3
    return logits, (t[:, None] + t) % p, train


def one_checkpoint(device: str) -> tuple[str, str, str]:
    logits, answers, train = network(P, device)
    generator = torch.Generator(device).manual_seed(1)
    rand = lambda *shape: torch.randn(*shape, generator=generator, device=device)  # noqa: E731
    W_E, W_L, neurons = rand(P, D_MODEL), rand(NEURONS, P), rand(P, P, NEURONS).relu()

    def ours() -> None:
        keys = fourier.key_frequencies(logits)
        fourier.progress(logits, answers, train, keys)
        for matrix in (W_E, W_L.T):
            fourier.frequency_power(matrix)
            fourier.gini(fourier.fourier_norms(matrix))
        for k in keys:
            fourier.circle_circularity(W_E, k)
        fourier.degree2_fit(neurons)
        fourier.frequency_power_2d(logits)

    def floor() -> None:
        """Cross-entropy of the logits as they are and without all keys, on trained inputs without each; transforms."""
        cube, flat = logits.double(), answers.flatten()
        for _ in range(2):
            cross_entropy(cube.flatten(0, 1), flat)
        for _ in KEYS:
            cross_entropy(cube[train], answers[train])
        for matrix in (W_E, W_L.T):
            torch.fft.rfft(matrix.double(), dim=0)
        torch.fft.rfft2(neurons.double(), dim=(0, 1))
        torch.fft.rfft2(cube, dim=(0, 1))

    took = seconds({"ours": _timed(ours, device), "floor": _timed(floor, device)}, rounds=7)
    what = f"all Fourier measures of one checkpoint, p {P} ({1e3 * took['ours']:.0f} ms) / their transforms and losses"
    return what, f"{took['ours'] / took['floor']:.2f}", "at most 2"


def batched(what: str, p: int, device: str) -> tuple[str, str, str]:
    """Numbers are the same; on one core a large cube keeps it busy by itself, so only small ones gain."""
    logits, answers, train = network(p, device, CHECKPOINTS)
    keys = [k for k in KEYS if k <= p // 2] or [1, 2]
    found = {}

    def together() -> None:
        found["together"] = fourier.progress(logits, answers, train, keys).excluded_loss

    def one_by_one() -> None:
        found["apart"] = [fourier.progress(cube, answers, train, keys).excluded_loss for cube in logits]

    took = seconds({"together": _timed(together, device), "one by one": _timed(one_by_one, device)}, rounds=2)
    torch.testing.assert_close(found["together"].cpu(), torch.tensor(found["apart"], dtype=torch.float64))
    ratio = took["one by one"] / took["together"]
    return f"{what} of {CHECKPOINTS} checkpoints, p {p}: one by one / batched", f"{ratio:.2f}", "at least 5"


def batched_spectra(device: str) -> tuple[str, str, str]:
    embeddings = torch.randn(CHECKPOINTS, P, D_MODEL, device=device)
    took = seconds(
        {
            "together": _timed(lambda: fourier.frequency_power(embeddings), device),
            "one by one": _timed(lambda: [fourier.frequency_power(W) for W in embeddings], device),
        },
        rounds=7,
    )
    what = f"embedding spectra of {CHECKPOINTS} checkpoints, p {P}: one by one / batched"
    return what, f"{took['one by one'] / took['together']:.2f}", "at least 5"


def s5(device: str) -> tuple[str, str, str]:
    g = group("S5")
    cube = torch.randn(g.order, g.order, g.order, generator=torch.Generator().manual_seed(0)).to(device)
    train = torch.rand(g.order, g.order, generator=torch.Generator().manual_seed(1)) < 0.4

    def measure() -> None:
        groups.logit_cosines(g, cube)
        groups.progress(g, cube, train, list(g.irreps)[1:4])

    took = seconds({"S5": _timed(measure, device)}, rounds=3)
    return "cosines and progress of S_5, 120 x 120 x 120 logits, 7 irreps", f"{took['S5']:.2f} s", "seconds"


def _timed(work, device: str):
    """The work, and the wait until a GPU has done it."""

    def done() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return done
