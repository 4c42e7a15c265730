"""How many linear mappings a function is made of, on given examples: the linear mapping number, and ReLU regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.arrays import checked, number

# points on the line between two examples, both ends included (Liu et al. 2023, section 2, footnote 1)
LINE_POINTS = 21


def linear_connectivity(
    function: Callable[[Tensor], Tensor],
    inputs: Float[Any, "example ..."],
    *,
    pairs_per_call: int = 1024,
) -> Float[Tensor, "example example"]:
    """How straight the outputs are on the straight line between each two inputs: the matrix L of Liu et al.

    L_ij is the mean over outputs k of r^2, the squared correlation of y_k = f(x_i + t (x_j - x_i))_k with t, on 21
    even points of t from 0 to 1; L_ii = 1. It is 1 for an affine f, 0 where y is symmetric about the middle.

    function: inputs [row, *input] to outputs [row, *output], whose dimensions are all counted as outputs. It is
        called with 21 rows for each of ``pairs_per_call`` pairs, in the dtype of the inputs.

    Where an output is constant on the line r^2 is 0 / 0, which the paper leaves open: here it is 1, as a constant is
    affine. An output counts as constant if it varies by less than 100 roundings of its largest value on the line.

    Raises ValueError for fewer than 2 inputs, nan or infinity in inputs or outputs, or outputs not one per row.
    Source: Liu, Zhong & Tegmark 2023, arXiv 2310.05918, section 2.
    """
    x = inputs.detach() if isinstance(inputs, Tensor) else torch.from_numpy(np.require(inputs, requirements=["C", "W"]))
    if x.ndim < 1 or len(x) < 2 or not x.is_floating_point():
        raise ValueError(f"inputs: {x.dtype} of shape {tuple(x.shape)} given, expected [example, *input] real numbers")
    checked(x.reshape(len(x), -1), "inputs", "example input")
    if pairs_per_call < 1:
        raise ValueError(f"pairs_per_call: {pairs_per_call} given, expected at least 1")
    t = torch.linspace(0, 1, LINE_POINTS, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))
    i, j = torch.triu_indices(len(x), len(x), 1, device=x.device)
    L = torch.eye(len(x), dtype=torch.float64, device=x.device)
    for some_i, some_j in zip(i.split(pairs_per_call), j.split(pairs_per_call), strict=True):
        lines = x[some_i, None] + t * (x[some_j] - x[some_i])[:, None]
        with torch.no_grad():
            outputs = function(lines.flatten(0, 1))
        if not isinstance(outputs, Tensor):
            raise ValueError(f"function: {type(outputs).__name__} given, expected a tensor of outputs")
        if not outputs.is_floating_point() or outputs.shape[:1] != (len(lines) * LINE_POINTS,):
            given = f"{outputs.dtype} of shape {tuple(outputs.shape)}"
            raise ValueError(
                f"function: {given} given for {len(lines) * LINE_POINTS} inputs, expected real outputs of each"
            )
        straight = _straightness(outputs.reshape(len(lines), LINE_POINTS, -1))
        L[some_i, some_j] = L[some_j, some_i] = straight
    return L


def linear_mapping_number(connectivity: Float[Tensor | np.ndarray, "*batch example example"]) -> Any:
    """2^S, S the entropy (bits) of the absolute eigenvalues of L over their sum: the mappings that L tells apart.

    1 if all examples share one mapping (so for every affine function), the number of clusters if they are of one
    size and share nothing, at most the number of examples. It is not the number of linear pieces of a ReLU network:
    a line across one kink is still nearly straight, and ten even examples on both sides of the kink of |x| give 4.8.
    It grows with the number of examples: compare models on the same ones. It is a number of these examples, not an
    estimate from a sample of them.

    Raises ValueError for a matrix that is not symmetric with ones on its diagonal.
    Source: Liu, Zhong & Tegmark 2023, arXiv 2310.05918, equation 3.
    """
    L = checked(connectivity, "connectivity", "*batch example example")
    if (L - L.mT).abs().max() > 1e-6 or (L.diagonal(dim1=-2, dim2=-1) - 1).abs().max() > 1e-6:
        raise ValueError("connectivity: expected a symmetric matrix with ones on its diagonal")
    eigenvalues = torch.linalg.eigvalsh(L).abs()
    return number(_effective_number(eigenvalues / eigenvalues.sum(-1, keepdim=True)))


@dataclass(frozen=True)
class Regions:
    """``region``: of each example. ``count``: regions with an example in them. ``effective``: 2^entropy of shares."""

    region: Int[Tensor, " example"]
    count: int
    effective: float


def activation_regions(
    layers: Bool[Any, "example neuron"] | Float[Any, "example neuron"] | Sequence[Any],
) -> Regions:
    """Activation regions of a ReLU network, by the examples in them: those of one pattern share a linear mapping.

    layers: [example, neuron], or a sequence of them, one per layer: booleans (active), or preactivations, of which
        those above 0 are active.

    ``effective`` is the linear mapping number of the matrix that is 1 where two examples share a region, else 0:
    `linear_mapping_number`'s entropy with a hard notion of "the same mapping". Regions no example is in are not
    counted, and two regions may have the same mapping (Hanin & Rolnick 2019, arXiv 1901.09021): ``count`` is at most
    the number of activation regions of the network, and can be more than that of its linear ones.

    Raises ValueError for no layers, layers of different examples, nan or infinity.
    """
    given = list(layers) if isinstance(layers, Sequence) else [layers]
    if not given:
        raise ValueError("layers: none given, expected one array [example, neuron] per layer")
    active = [checked(layer, f"layers[{i}]", "example neuron") > 0 for i, layer in enumerate(given)]
    if len(sizes := {len(layer) for layer in active}) > 1:
        raise ValueError(f"layers: {sorted(sizes)} examples given, expected the same ones in every layer")
    _, region, counts = torch.unique(torch.cat(active, dim=1), dim=0, return_inverse=True, return_counts=True)
    shares = counts.to(torch.float64) / len(region)
    return Regions(region, len(counts), _effective_number(shares).item())


def _straightness(y: Float[Tensor, "pair point output"]) -> Float[Tensor, " pair"]:
    """Mean over outputs of the squared correlation with the position on the line."""
    rounding = torch.finfo(y.dtype).eps
    y = checked(y, "function", "pair point output")
    t = torch.linspace(-1, 1, LINE_POINTS, dtype=torch.float64, device=y.device)
    centred = y - y.mean(1, keepdim=True)
    explained = torch.einsum("t,pto->po", t, centred).square() / t.square().sum()
    total = centred.square().sum(1)
    constant = (total / LINE_POINTS).sqrt() <= 100 * rounding * y.abs().amax(1)
    return torch.where(constant, 1.0, explained / total).clamp(max=1).mean(-1)


def _effective_number(shares: Float[Tensor, "*batch share"]) -> Float[Tensor, "*batch"]:
    return torch.exp2(-torch.xlogy(shares, shares).sum(-1) / np.log(2))
