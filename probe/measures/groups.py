"""Structure of any finite group's operation by its real irreducible representations.

What `probe.measures.fourier` is for Z_n, with irreps for frequencies: an algorithm that computes a b by multiplying
the matrices rho(a), rho(b) and reads off c by the trace of rho(a b c^-1) gives logits that are a multiple of the
character chi_rho(a b c^-1). ``logits[a, b, c]``, shape [*batch, order, order, order], are over the elements in the
order of ``group.table``; results are by the names of ``group.irreps``.

For permutation groups this describes the logits and does not settle the mechanism: circuits through cosets of a
subgroup have the same characters (Stander et al. 2023, arXiv 2312.06581). Source: Chughtai et al. 2023, arXiv
2302.03025, sections 4 and 5.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.algebra import Group
from probe.measures.arrays import checked, number
from probe.measures.cube import Centring, Components, Progress, checked_cubes, checked_mask, of_cubes, progress_of
from probe.measures.fourier.significance import null_cosine


def logit_cosines(group: Group, logits: Float[Tensor | np.ndarray, "*batch n n n"]) -> dict[str, Any]:
    """Cosine of the logits, centred over answers, with chi_rho(a b c^-1) for each irrep rho.

    That of the trivial irrep is 0. The squares sum to the share of the centred logits that is a symmetric class
    function of a b c^-1.
    """
    cubes = checked_cubes(logits, _order(group))
    components = _components(group, cubes.device)
    found = of_cubes(cubes, _table(group), lambda cube: {"": cube.cosines(components)})
    return {name: number(found[""][..., i]) for i, name in enumerate(group.irreps)}


def key_irreps(group: Group, logits: Float[Tensor | np.ndarray, "n n n"], threshold: float = 0.005) -> list[str]:
    """Irreps whose logit cosine is above ``threshold`` and above what noise of this shape gives, in group order."""
    if np.ndim(logits) != 3:
        raise ValueError(f"logits: shape {np.shape(logits)} given, expected [n, n, n]: one network at a time")
    cosines = logit_cosines(group, logits)
    bar = max(threshold, null_cosine(group.order, max(1, len(cosines) - 1)))
    return [name for name, cosine in cosines.items() if cosine > bar]


def logit_fve(
    group: Group,
    logits: Float[Tensor | np.ndarray, "*batch n n n"],
    irreps: Sequence[str],
    centring: Centring = "double",
) -> Any:
    """Fraction of the logits' sum of squares in the span of chi_rho(a b c^-1) for these irreps, 0 to 1."""
    cubes = checked_cubes(logits, _order(group))
    components, chosen = _components(group, cubes.device), _places(group, irreps)
    return number(of_cubes(cubes, _table(group), lambda cube: {"": cube.fve(components, chosen, centring)})[""])


def progress(
    group: Group,
    logits: Float[Tensor | np.ndarray, "*batch n n n"],
    train_mask: Bool[Tensor | np.ndarray, "n n"],
    irreps: Sequence[str] | None = None,
) -> Progress:
    """All progress measures of a network, or of a batch of them, in one go.

    ``irreps`` are `key_irreps` of one network unless given; along a trajectory and for a batch, give those of the
    final step. Raises ValueError as `logit_cosines` does, and for a mask of other inputs or one all true or false.
    """
    if irreps is None:
        irreps = key_irreps(group, logits)
    cubes = checked_cubes(logits, _order(group))
    components = _components(group, cubes.device)
    train = checked_mask(train_mask, group.order)
    return progress_of(cubes, _table(group), components, _places(group, irreps), irreps, train)


def irrep_power(group: Group, matrix: Float[Tensor | np.ndarray, "*batch n d"]) -> dict[str, Any]:
    """Share of the matrix's sum of squares in the matrix elements of each irrep; the shares sum to 1.

    ``matrix`` is an embedding of the elements, or a transposed neuron-logit map. Raises ValueError for zeros.
    """
    W = checked(matrix, "matrix", f"*batch {_order(group)} d")
    total = W.square().sum((-2, -1))
    if (total == 0).any():
        raise ValueError("matrix: zeros only given, which have no spectrum")
    components = _components(group, W.device)
    return {
        name: number((basis @ W).square().sum((-2, -1)) / total)
        for name, basis in zip(group.irreps, components.bases, strict=True)
    }


@dataclass(frozen=True)
class NeuronShares:
    """Shares of the neurons' variance, over all inputs (a, b), that one irrep explains.

    Attributes:
        first, second, product: functions of a, of b and of a b, in the irrep's matrix elements. They are orthogonal
            to each other, so they may be added, within an irrep and over irreps.
        both: products of a matrix element at a with one at b, which ``product`` is a part of. With ``first`` and
            ``second`` it is the degree-2 fit of `probe.measures.fourier.degree2_fit`.
    """

    first: Any
    second: Any
    product: Any
    both: Any


def neuron_shares(group: Group, neurons: Float[Tensor | np.ndarray, "*batch n n neuron"]) -> dict[str, NeuronShares]:
    """Shares of the neurons' variance, all neurons together, by irrep; the trivial one, the mean, is left out.

    Raises ValueError if no neuron varies.
    """
    power, variance, _ = _neuron_power(group, neurons)
    total = variance.sum(-1)
    if (total == 0).any():
        raise ValueError("neurons: the same for every input given, expected some that vary")
    shares = power.sum(-1) / total[..., None, None]
    return {
        name: NeuronShares(*(number(shares[..., part, i]) for part in range(4)))
        for i, name in enumerate(_nontrivial(group))
    }


def best_irreps(
    group: Group, neurons: Float[Tensor | np.ndarray, "*batch n n neuron"]
) -> tuple[np.ndarray, Float[Tensor, "*batch neuron"]]:
    """Name of each neuron's best irrep, [*batch, neuron], and its share of the neuron's variance.

    The share is of `NeuronShares` first + second + both. A neuron that is constant has the name "" and share 0.
    """
    power, variance, varies = _neuron_power(group, neurons)
    by_irrep = power[..., 0, :, :] + power[..., 1, :, :] + power[..., 3, :, :]
    share, best = (by_irrep / torch.where(varies, variance, 1.0).unsqueeze(-2)).max(-2)
    names = np.array([*_nontrivial(group), ""])
    return names[torch.where(varies, best, len(names) - 1).cpu().numpy()], torch.where(varies, share, 0.0)


def _neuron_power(group: Group, neurons: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of squares [*batch, part, irrep, neuron], in all [*batch, neuron], and whether a neuron varies at all."""
    maps = checked(neurons, "neurons", f"*batch {_order(group)} {group.order} neuron")
    components, table = _components(group, maps.device), _table(group).to(maps.device)
    squares = maps.square().sum((-3, -2))
    maps = maps - maps.mean((-3, -2), keepdim=True)
    n = torch.arange(group.order, device=maps.device)
    second = torch.empty_like(table).scatter_(1, table, n.expand(len(n), len(n)))  # a^-1 s
    by_product = maps[..., n, second.T, :].mean(-2)
    one_input = torch.stack([maps.mean(-2), maps.mean(-3), by_product], dim=-3)
    chosen = [components.bases[i] for i, name in enumerate(group.irreps) if name != "trivial"]
    alone = torch.stack([group.order * (basis @ one_input).square().sum(-2) for basis in chosen], dim=-2)
    both = [torch.einsum("ia, ...abm, jb -> ...ijm", basis, maps, basis).square().sum((-3, -2)) for basis in chosen]
    variance = maps.square().sum((-3, -2))
    power = torch.cat([alone, torch.stack(both, dim=-2).unsqueeze(-3)], dim=-3)
    varies = variance > 1e-20 * squares
    return torch.where(varies[..., None, None, :], power, 0.0), torch.where(varies, variance, 0.0), varies


def _order(group: Group) -> int:
    if not isinstance(group, Group):
        raise ValueError(f"group: {group!r} given, expected a group, such as probe.algebra.group('S3')")
    return group.order


def _nontrivial(group: Group) -> list[str]:
    return [name for name in group.irreps if name != "trivial"]


def _table(group: Group) -> Tensor:
    return torch.as_tensor(np.array(group.table))


def _components(group: Group, device: torch.device | str) -> Components:
    irreps = group.irreps.values()
    characters = torch.stack([torch.as_tensor(np.array(irrep.character), dtype=torch.float64) for irrep in irreps])
    bases = tuple(torch.as_tensor(np.array(irrep.basis), dtype=torch.float64, device=device) for irrep in irreps)
    return Components(bases, (characters / characters.norm(dim=-1, keepdim=True)).to(device))


def _places(group: Group, irreps: Sequence[str]) -> list[int]:
    names = list(group.irreps)
    for name in irreps:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"irreps: {name!r} given, expected names of {group.name}: {', '.join(names)}{hint}")
    if len(set(irreps)) < len(irreps):
        raise ValueError(f"irreps: {list(irreps)} given, expected each irrep once")
    return [names.index(name) for name in irreps]
