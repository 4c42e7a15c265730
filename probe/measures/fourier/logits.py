"""The logit cube of an addition in Z_n: how much of it the Fourier algorithm accounts for.

All take ``logits[a, b, c]``, shape [*batch, n, n, n], whose right answer is c = (a + b) % n; w_k = 2 pi k / n. The
logits of another operation that is an addition after renaming are taken in the order that makes them one: that of
``task.cyclic_form``, or ``probe.algebra.cyclic.find_cyclic_form(answers)``.

Source: Nanda et al. 2023, arXiv 2301.05217, sections 4.2, 5.1, appendix; the logit cosine as in Chughtai et al. 2023,
arXiv 2302.03025, section 4; `sum_fve` is this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import number
from probe.measures.cube import Centring, Components, checked_cubes, of_cubes
from probe.measures.fourier.basis import fourier_basis, read_frequencies


def logit_cosines(logits: Float[Tensor | np.ndarray, "*batch n n n"]) -> Float[Tensor, "*batch frequency"]:
    """Cosine of the logits, centred over answers, with cos w_k(a + b - c); index = frequency, n // 2 + 1 of them.

    That of frequency 0, the constant, is 0. The squares sum to the share of the centred logits that is an even
    function of a + b - c.
    """
    cubes = checked_cubes(logits)
    table, components = addition(cubes)
    cosines = of_cubes(cubes, table, lambda cube: {"": cube.cosines(components)})[""]
    return torch.nn.functional.pad(cosines, (1, 0))


def logit_fve(
    logits: Float[Tensor | np.ndarray, "*batch n n n"], frequencies: Sequence[int], centring: Centring = "double"
) -> Any:
    """Fraction of the logits' sum of squares in the span of cos w_k(a + b - c) for these frequencies, 0 to 1.

    One direction of the whole cube per frequency: the Fourier algorithm's exact prediction. The answer to (a, b) is
    taken to be a + b: logits of another operation come in the order that makes it one (top of this module).

    Centring ("none", over answers: "classes", over inputs: "inputs", or "double") takes away what the prediction says
    nothing of: what the softmax does not see, and each answer's bias. It only changes the denominator.
    """
    cubes = checked_cubes(logits)
    table, components = addition(cubes)
    chosen = places(frequencies, len(table))
    return number(of_cubes(cubes, table, lambda cube: {"": cube.fve(components, chosen, centring)})[""])


def logit_fve_directions(
    logits: Float[Tensor | np.ndarray, "*batch n n n"], frequencies: Sequence[int], centring: Centring = "inputs"
) -> Any:
    """Fraction of the logits' sum of squares in the span of cos and sin of w_k(a + b) for these frequencies.

    Two functions of the input per frequency, with free coefficients for each answer: a weaker claim than that of
    `logit_fve`, and never a smaller number under the same centring. "none" and "inputs" are the two conventions in
    use; the default leaves out each answer's bias, as a fraction of variance does.
    """
    cubes = checked_cubes(logits)
    table, components = addition(cubes)
    chosen = places(frequencies, len(table))
    return number(of_cubes(cubes, table, lambda cube: {"": cube.fve_directions(components, chosen, centring)})[""])


def sum_fve(logits: Float[Tensor | np.ndarray, "*batch n n n"]) -> Any:
    """Fraction of the doubly centred logits that is a function of a + b - c: no choice of frequencies.

    The answer to (a, b) is taken to be a + b: logits of another operation come in the order that makes it one (top of
    this module). It is not evidence of the algorithm by itself: it rises before test accuracy does, and a random cube
    has about 1 / n^2 of it.
    """
    cubes = checked_cubes(logits)
    table, _ = addition(cubes)
    return number(of_cubes(cubes, table, lambda cube: {"": cube.fve_quotient()})[""])


def addition(cubes: Float[Tensor, "*batch n n n"]) -> tuple[Int[Tensor, "n n"], Components]:
    """The table of Z_n and its frequencies 1..n//2, for cubes of that size, on their device."""
    return _group(cubes.shape[-1], str(cubes.device))


@cache
def _group(n: int, device: str) -> tuple[Int[Tensor, "n n"], Components]:
    t = torch.arange(n, device=device)
    basis = fourier_basis(n, device)
    bases = tuple(basis[2 * k - 1 : 2 * k + 1] for k in range(1, n // 2 + 1))
    return (t[:, None] + t) % n, Components(bases, basis[1::2])


def places(frequencies: Sequence[int], n: int) -> list[int]:
    """Places of frequencies among the components."""
    return [k - 1 for k in read_frequencies(frequencies, n)]
