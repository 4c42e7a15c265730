"""What a matrix or a map over Z_p is made of, by frequency: power, amplitude and phase, circles, degree-2 fits.

Sources: Nanda et al. 2023, arXiv 2301.05217, sections 4.1 and 4.2; Gini as in Hurley & Rickard 2009, arXiv 0811.4706;
inverse participation ratio as in Gromov 2023, arXiv 2301.02679.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import checked, number, unit_scale, valid
from probe.measures.fourier.basis import fourier_basis, read_frequencies


def fourier_norms(matrix: Float[Tensor | np.ndarray, "*batch p d"]) -> Float[Tensor, "*batch p"]:
    """Norm over d of each Fourier component of the matrix along p, in the order of `fourier_basis`."""
    W = checked_over_tokens(matrix, "matrix")
    return (fourier_basis(W.shape[-2], W.device) @ W).norm(dim=-1)


def frequency_power(matrix: Float[Tensor | np.ndarray, "*batch p d"]) -> Float[Tensor, "*batch frequency"]:
    """Share of the sum of squares in each frequency; index = frequency, 0 = the constant, p // 2 + 1 of them.

    The shares sum to 1 (Parseval). For an embedding that is its rows of tokens 0..p-1; for a neuron-logit map
    [neuron, c] it is the transpose. Raises ValueError for a matrix of zeros, which has no spectrum.
    """
    W = unit_scale(checked_over_tokens(matrix, "matrix"), 2)
    return _shares(_by_frequency(fourier_norms(W).square(), -1), "matrix", 1)


def frequency_power_2d(
    maps: Float[Tensor | np.ndarray, "*batch p p unit"],
) -> Float[Tensor, "*batch frequency frequency"]:
    """Share of the sum of squares at each pair of frequencies, of the first input and of the second, over all units.

    ``maps[a, b]`` are logits, neurons or attention of input (a, b). The algorithm of modular addition lives on the
    diagonal: cos and sin of w_k(a + b) are products of frequency k in a and k in b.
    """
    power = _components_2d(unit_scale(checked_over_tokens(maps, "maps", "*batch n n unit"), 3)).square().sum(-1)
    return _shares(_by_frequency(_by_frequency(power, -1), -2), "maps", 2)


def amplitudes_and_phases(
    matrix: Float[Tensor | np.ndarray, "*batch p d"],
) -> tuple[Float[Tensor, "*batch frequency d"], Float[Tensor, "*batch frequency d"]]:
    """A and f of each column: ``matrix[t] = sum_k A_k cos(w_k t - f_k)``, k = 0..p//2, A >= 0, f in (-pi, pi]."""
    W = checked_over_tokens(matrix, "matrix")
    p = W.shape[-2]
    basis = fourier_basis(p, W.device)
    components = basis @ W
    cosine = torch.cat([components[..., :1, :], components[..., 1::2, :]], dim=-2)
    cosine = cosine * torch.cat([basis[:1, 0], basis[1::2, 0]]).unsqueeze(-1)  # a cosine is largest at t = 0
    sine = torch.zeros_like(cosine)
    sine[..., 1 : (p + 1) // 2, :] = components[..., 2::2, :] * (2 / p) ** 0.5
    return torch.hypot(cosine, sine), torch.atan2(sine, cosine)


def degree2_fit(
    maps: Float[Tensor | np.ndarray, "*batch n n unit"],
) -> tuple[Int[Tensor, "*batch unit"], Float[Tensor, "*batch unit"]]:
    """Best frequency of each unit and its share of the unit's variance over all inputs (a, b).

    Units are neurons, or heads with their attention to one position. The share of k is that of a least-squares fit in
    the products of {1, cos w_k a, sin w_k a} with {1, cos w_k b, sin w_k b}, apart from the constant. A unit that is
    constant has frequency 0 and share 0.
    """
    maps = checked_over_tokens(maps, "maps", "*batch n n unit")
    n = maps.shape[-2]
    power = _components_2d(maps - maps.mean((-3, -2), keepdim=True)).square()
    # frequency k alone in a, alone in b, and in both
    alone = _by_frequency(power[..., 0, :], -2) + _by_frequency(power[..., 0, :, :], -2)
    row = torch.arange(1, n, device=maps.device)
    other = torch.where(row % 2 == 1, row + 1, row - 1).clamp(max=n - 1)  # the sine of a cosine, and the reverse
    crossed = torch.where((other != row)[:, None], power[..., row, other, :], 0.0)
    both = torch.cat([power[..., :1, 0, :], power[..., row, row, :] + crossed], dim=-2)
    by_frequency = (alone + _by_frequency(both, -2))[..., 1:, :]
    variance = power.sum((-3, -2))
    # a neuron that never fires leaves rounding error at most
    varies = variance > 1e-20 * maps.square().sum((-3, -2))
    share, best = (by_frequency / torch.where(varies, variance, 1.0).unsqueeze(-2)).max(-2)
    return torch.where(varies, best + 1, 0), torch.where(varies, share, 0.0)


def gini(x: Float[Tensor | np.ndarray, "*batch n"]) -> Any:
    """Gini coefficient of non-negative values, 0 (all equal) to 1 - 1/n (one of them is everything).

    ``sum((2 i - n - 1) x_i) / (n sum x)`` for x ascending, i = 1..n.
    Raises ValueError if a value is negative, or all are zero.
    """
    values = _nonnegative(checked(x, "x", "*batch n"))
    n = values.shape[-1]
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=values.device)
    return number(((2 * rank - n - 1) * values.sort(-1).values).sum(-1) / (n * values.sum(-1)))


def inverse_participation_ratio(x: Float[Tensor | np.ndarray, "*batch n"]) -> Any:
    """``sum x^4 / (sum x^2)^2``: 1 / (the number of values that share the sum of squares evenly), 1/n to 1.

    Raises ValueError if all are zero.
    """
    squares = unit_scale(checked(x, "x", "*batch n"), 1).square()
    if (squares.sum(-1) == 0).any():
        raise ValueError("x: zeros only given, expected a value that is not 0")
    return number(squares.square().sum(-1) / squares.sum(-1).square())


def circle(matrix: Float[Tensor | np.ndarray, "*batch p d"], k: int) -> Float[Tensor, "*batch p 2"]:
    """Coordinates of each token in the plane of the two Fourier components of frequency k.

    The first axis is the direction of the cosine component (d-vector ``sum_t cos(w_k t) matrix[t]``), the second
    that of the part of the sine component orthogonal to it. So if ``matrix[t] = cos(w_k t) u + sin(w_k t) v`` with
    u, v orthogonal and of length r, token t lies at r (cos(w_k t), sin(w_k t)), whatever u and v are: the
    picture does not turn along a training trajectory. Nothing is centred. An axis that does not exist (k =
    p/2, d = 1, or a component that is zero or parallel to the other) gets coordinate 0: one that is no longer than what
    rounding leaves of a matrix of this norm, in the type it is given in, is none.

    Raises ValueError if k is not an integer in 1..p//2.
    """
    given = valid(matrix, "matrix", "*batch p d")
    W = checked_over_tokens(given, "matrix")
    p = W.shape[-2]
    (k,) = read_frequencies([k], p, "k")
    components = fourier_basis(p, W.device)[2 * k - 1 : 2 * k + 1] @ W
    cosine, sine = components[..., 0, :], components[..., -1, :]
    # a type rounds each entry by at most half of its eps, and float64 sums add a little
    rounding = max(torch.finfo(given.dtype).eps if given.is_floating_point() else 0.0, 1e-12)
    negligible = rounding * W.flatten(-2).norm(dim=-1, keepdim=True)
    first = _unit(cosine, negligible)
    second = _unit(sine - (sine * first).sum(-1, keepdim=True) * first, negligible)
    return W @ torch.stack([first, second], dim=-1)


def circle_circularity(matrix: Float[Tensor | np.ndarray, "*batch p d"], k: int) -> Any:
    """How nearly the tokens go round once evenly in the plane of `circle`: 1 on a circle in order of k t, 0 to 1.

    The share of the coordinates' sum of squares that turns at w_k: an ellipse, other frequencies in the plane and
    noise lower it. The plane is fitted to the same matrix, so that noise has about d / (d + p) of it. For k = p/2
    there is no circle: 1 then says that the tokens lie in two places in turn.
    Raises ValueError where the matrix has no component of frequency k, as `circle` says.
    """
    plane = circle(matrix, k)
    p = plane.shape[-2]
    total = plane.square().sum((-2, -1))
    if (total == 0).any():
        raise ValueError(f"matrix: no component of frequency {k} given, expected one that lies in a plane")
    angle = torch.arange(p, device=plane.device).to(torch.float64) * (2 * torch.pi * k / p)
    turning = torch.view_as_complex(plane) * torch.polar(torch.ones_like(angle), -angle)
    return number(turning.sum(-1).abs().square() / (p * total))


def _by_frequency(power: Tensor, dim: int) -> Tensor:
    """Sums of the cosine's and the sine's power along a dimension in the order of `fourier_basis`."""
    power = power.movedim(dim, -1)
    n_frequencies = power.shape[-1] // 2
    # an even p lacks the sine of its last frequency: a zero in its place makes the rows pair up
    pairs = torch.nn.functional.pad(power[..., 1:], (0, 2 * n_frequencies - power.shape[-1] + 1))
    folded = torch.cat([power[..., :1], pairs.unflatten(-1, (n_frequencies, 2)).sum(-1)], dim=-1)
    return folded.movedim(-1, dim)


def _components_2d(maps: Tensor) -> Tensor:
    basis = fourier_basis(maps.shape[-2], maps.device)
    return torch.einsum("ia, ...abm, jb -> ...ijm", basis, maps, basis)


def _shares(power: Tensor, field: str, n_dims: int) -> Tensor:
    dims = tuple(range(-n_dims, 0))
    total = power.sum(dims, keepdim=True)
    if (total == 0).any():
        raise ValueError(f"{field}: zeros only given, which have no spectrum")
    return power / total


def _nonnegative(x: Tensor) -> Tensor:
    if (x < 0).any():
        raise ValueError(f"x: {x.min().item()} given, expected values of at least 0, such as norms or shares")
    if (x.sum(-1) == 0).any():
        raise ValueError("x: zeros only given, expected a value above 0")
    return x


def checked_over_tokens(array: Any, field: str, dims: str = "*batch p d") -> Float[Tensor, ...]:
    """`checked`, and of two tokens or more: those that the last but one of ``dims`` counts."""
    found = checked(array, field, dims)
    if found.shape[-2] < 2:
        *_, size, _ = names = dims.split()
        raise ValueError(f"{field}: shape {tuple(found.shape)} given, expected [{', '.join(names)}], {size} at least 2")
    return found


def _unit(vector: Tensor, negligible_length: Tensor) -> Tensor:
    """``vector`` at unit length, or zeros where it is no longer than what does not count."""
    length = vector.norm(dim=-1, keepdim=True)
    negligible = length <= negligible_length
    return torch.where(negligible, 0.0, vector / torch.where(negligible, 1.0, length))
