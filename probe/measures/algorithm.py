"""Clock or pizza: which algorithm for a + b mod p? Zhong et al. 2023, arXiv 2306.17844, sections 3 and 4.

Both put token t on circles, at angle w_k t, w_k = 2 pi k / p. The *clock* multiplies: its logits are
``cos w_k(a + b - c)``, the right answer's the same for every input. The *pizza* takes the midpoint of the two tokens:
its logits are ``|cos w_k(a - b)/2| cos w_k(a + b - c)``, and vanish for opposite tokens.

* gradient symmetricity: a midpoint treats its two operands alike, a product does not
* distance irrelevance: how little of the right answer's logit depends on a - b
* circularity: whether there are circles at all
* clock, pizza and accompanying fractions of variance explained (FVE): of the logits of one circle at a time

Networks with the pizza's circles have, at frequency 2k, *accompanying* ones that fill in where the pizza vanishes. So
the logits of a whole network look like a clock even if every circle is a pizza (the published one: FVE .995 as clock,
.824 as pizza): isolate a circle first, as the authors do, or judge by symmetricity and irrelevance.
"""

from __future__ import annotations

import functools
import inspect
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import at_first, checked, integers, number, valid
from probe.measures.cube import LogitCube, checked_cubes, of_cubes
from probe.measures.fourier import frequency_power
from probe.measures.fourier.basis import read_frequencies
from probe.measures.fourier.logits import addition
from probe.measures.intervals import Interval, bootstrap_interval
from probe.measures.representation.planes import components_of

Logits = Float[Tensor | np.ndarray, "*batch p p p"]
Embedding = Float[Tensor | np.ndarray, "p d_model"]
Triples = Int[Tensor | np.ndarray, "triple 3"] | Sequence[Sequence[int]]
Convention = Literal["standardized", "least_squares"]

PIZZA_SYMMETRICITY, PIZZA_IRRELEVANCE = 0.98, 0.6
"""The authors' bounds: a pizza has more of the one and less of the other."""
SOLVED = 0.99
BLOCK = 1024
"""Triples that are differentiated at a time."""


@dataclass(frozen=True)
class Algorithm:
    """The verdict on one network, and the numbers that it is from.

    Attributes:
        name: "pizza" by the authors' bounds, symmetricity > .98 and irrelevance < .6; "clock" if neither holds, which
            is how the known clocks look and no proof of one; else, or with an accuracy below .99, "neither".
        gradient_symmetricity: mean and bootstrap interval over triples.
        distance_irrelevance: nan where it is 0 / 0: the right answer's logit is the same for every input, as in a clock
            without noise. It is not in a pizza, so that the name then is "clock" or "neither", by symmetricity alone.
    """

    name: Literal["pizza", "clock", "neither"]
    gradient_symmetricity: Interval
    distance_irrelevance: float
    circularity: float
    accuracy: float


def which_algorithm(
    logits: Float[Tensor | np.ndarray, "p p p"],
    model_fn: Callable[..., Tensor],
    embedding: Embedding,
    triples: Triples | None = None,
) -> Algorithm:
    """Clock, pizza or neither, by the bounds of Zhong et al.; arguments as of the measures below, of one network."""
    cube = checked(logits, "logits", "p p p")
    if len(cube) != np.shape(embedding)[0]:
        raise ValueError(f"embedding: {np.shape(embedding)[0]} tokens given, expected {len(cube)} as in logits")
    t = torch.arange(len(cube), device=cube.device)
    accuracy = (cube.argmax(-1) == (t[:, None] + t) % len(t)).double().mean().item()
    symmetricity = bootstrap_interval(gradient_symmetricity_each(model_fn, embedding, triples), "mean")
    irrelevance = _irrelevance(cube).item()
    pizza = symmetricity.estimate > PIZZA_SYMMETRICITY, irrelevance < PIZZA_IRRELEVANCE
    name: Literal["pizza", "clock", "neither"] = "pizza" if all(pizza) else "neither" if any(pizza) else "clock"
    return Algorithm(
        name if accuracy >= SOLVED else "neither", symmetricity, irrelevance, circularity(embedding), accuracy
    )


def distance_irrelevance(logits: Logits) -> Any:
    """Spread of the right answer's logit over inputs with a - b = d, mean over d, as a share of that over all inputs.

    Spreads are population standard deviations (definition 4.2). 0: it depends on a - b only, as in an ideal pizza; 1:
    on a + b only; .74 and .83 in known clocks. The logits are taken as they are: what an input adds to all answers
    alike counts here. Any p: for an even one a + b takes half of the values at each d, each from two inputs.

    Raises ValueError where the right answer's logit is the same for all inputs, within 1e-6 of the largest logit: the
    irrelevance is 0 / 0. So it is in an ideal clock; `which_algorithm` then goes by symmetricity alone.
    """
    cube = checked(logits, "logits", "*batch p p p")
    irrelevance = _irrelevance(cube)
    if (undefined := irrelevance.isnan()).any():
        largest = cube.flatten(-3).abs().amax(-1)[undefined][0]
        raise ValueError(
            f"logits: the same for the right answer of every input{at_first(undefined)} given, within 1e-6 of the "
            f"largest logit, {largest:g}; expected them to differ by more. Distance irrelevance is 0 / 0 in an ideal "
            "clock: symmetricity tells it from a pizza. What makes logits huge (an offset, a mask) is to be taken away"
        )
    return number(irrelevance)


def _irrelevance(cube: Float[Tensor, "*batch p p p"]) -> Float[Tensor, "*batch"]:
    """`distance_irrelevance` of a checked cube, nan where it is 0 / 0."""
    p = _modulus(cube, "logits", -1)
    t = torch.arange(p, device=cube.device)
    a = (t + t[:, None]) % p  # [distance, b]
    right = cube[..., a, t, (a + t) % p]
    spread = right.flatten(-2).std(-1, correction=0)
    defined = spread > 1e-6 * cube.flatten(-3).abs().amax(-1)
    return torch.where(defined, right.std(-1, correction=0).mean(-1) / spread, torch.nan)


def gradient_symmetricity(
    model_fn: Callable[..., Tensor], embedding: Embedding, triples: Triples | None = None
) -> float:
    """Mean over triples (a, b, c) of the cosine of dL_c/dE_a and dL_c/dE_b, -1 to 1 (definition 4.1).

    ``model_fn`` takes embedded operands and gives the logits of each input at the answer's position, [n, n_answers]:

    * one tensor [n, 2, d_model], E_a before E_b, of the embedding's type and device;
    * or, if it has exactly two positional parameters without a default (of ``forward``, for a module), E_a and E_b,
      [n, d_model] each.

    Each input is to be computed by itself, as outside of batch normalization. Whatever comes before (lookup) is left
    out, whatever comes after ("=", positions, layers) is inside. The operands are two variables even where a = b.

    Triples: those of `symmetricity_triples` unless given. Nothing is left behind in ``.grad``, and neither parameters
    without gradients nor a surrounding ``no_grad`` or ``inference_mode`` make a difference.

    Raises ValueError for another shape of logits, triples out of range, or where a gradient is 0, nan or infinite.
    """
    return gradient_symmetricity_each(model_fn, embedding, triples).mean().item()


def gradient_symmetricity_each(
    model_fn: Callable[..., Tensor], embedding: Embedding, triples: Triples | None = None
) -> Float[Tensor, " triple"]:
    """The cosine of each triple of `gradient_symmetricity`: for an interval, ``bootstrap_interval(each, "mean")``."""
    E = valid(embedding, "embedding", "p d_model")
    if not E.is_floating_point():
        raise ValueError(f"embedding: {E.dtype} given, expected floating-point numbers")
    p = _modulus(E, "embedding", -2)
    given = symmetricity_triples(p) if triples is None else _triples(triples, p)
    two_operands = _takes_two(model_fn)
    cosines = []
    with torch.inference_mode(False), torch.enable_grad():
        # a copy made here can be part of a gradient, whatever mode the original was made in
        for part in given.to(E.device).clone().split(BLOCK):
            operands = E[part[:, :2]].clone().requires_grad_()
            logits = model_fn(operands[:, 0], operands[:, 1]) if two_operands else model_fn(operands)
            _check_logits(logits, part)
            (gradient,) = torch.autograd.grad(
                logits.gather(-1, part[:, 2:].to(logits.device)).sum(), operands, allow_unused=True
            )
            if gradient is None:
                raise ValueError("model_fn: logits that do not depend on the embeddings given, expected them to")
            cosines.append(_cosine(gradient.double(), part))
    return torch.cat(cosines)


def symmetricity_triples(p: int, n: int = 100, seed: int = 42) -> Int[Tensor, "triple 3"]:
    """The first n of all p^3 triples (a, b, c), row-major, after ``random.Random(seed).shuffle``: the authors' choice.

    All of them if there are fewer. The whole shuffle is done, once for each p: a second for p = 113, p^3 integers.
    """
    if p < 2 or n < 1:
        raise ValueError(f"p, n: {p}, {n} given, expected at least 2 and 1")
    index = torch.tensor(_shuffled(p**3, seed)[:n])
    return torch.stack([index // p**2, index // p % p, index % p], dim=-1)


def circularity(embedding: Float[Tensor | np.ndarray, "*batch p d_model"]) -> Any:
    """Mean over the first 4 principal components of the largest share that one frequency has of each, 0 to 1.

    Components over tokens, of the centred embedding. The share of k of a component v of unit norm is ``2 |sum_t v_t
    exp(2 pi i k t / p)|^2 / p`` (their appendix); for k = p/2 half of that. A circle takes two components: 1 if tokens
    lie on one or two of them. Fewer than 4 components that are more than rounding: the mean over those there are.
    Circles of the same variance share components, which lowers it. Its null: ``compared_with_null(circularity, E)``.

    Raises ValueError where all tokens are the same.
    """
    given = valid(embedding, "embedding", "*batch p d_model")
    E = given.double()
    p = _modulus(E, "embedding", -2)
    coordinates = components_of(E, min(4, p, E.shape[-1]), "embedding").coordinates
    # what the rounding of the embedding leaves of a component that is not there
    rounding = 4 * torch.finfo(given.dtype if given.is_floating_point() else torch.float64).eps
    there = coordinates.norm(dim=-2) > rounding * E.flatten(-2).norm(dim=-1, keepdim=True)
    vectors = torch.where(there.unsqueeze(-2), coordinates, 1.0).mT.unsqueeze(-1)
    share = frequency_power(vectors)[..., 1:].amax(-1)
    return number((share * there).sum(-1) / there.sum(-1))


def isolated_components(
    embedding: Float[Tensor | np.ndarray, "*batch p d_model"], components: Sequence[int]
) -> Float[Tensor, "*batch p d_model"]:
    """The embedding seen in some of its principal components (0 the first), about its mean: one circle at a time.

    A network run on it shows what that circle does (section 3): give the result, in the embedding's type, to the
    network instead of the embedding, and its logits to `pizza_fve`.
    """
    E = checked(embedding, "embedding", "*batch p d_model")
    chosen, n = integers(components, "components"), min(E.shape[-2:])
    if not chosen or not 0 <= min(chosen) <= max(chosen) < n:
        raise ValueError(f"components: {chosen} given, expected one or more of 0 to {n - 1}")
    found = components_of(E, max(chosen) + 1, "embedding")
    return found.mean.unsqueeze(-2) + found.coordinates[..., chosen] @ found.axes[..., chosen, :]


def clock_fve(logits: Logits, frequencies: Sequence[int], convention: Convention = "standardized") -> Any:
    """Fraction of the variance of the logits explained by ``cos w_k(a + b - c)``, k in frequencies.

    The formula is the best combination of those of the frequencies; r is its correlation with the logits over the cube,
    centred over answers and over inputs. By convention:

    * "standardized": 2 r - 1, the authors' number: 1 - mean (y - u)^2, both of variance 1. It is -1 for r = 0.
    * "least_squares": r^2, the usual fraction; for the clock it is `probe.measures.fourier.logit_fve`.

    Raises ValueError for logits that are constant, as `probe.measures.fourier.logit_fve` does, or frequencies outside
    1..(p - 1)/2: p/2 has no circle.
    """
    return _fve(logits, frequencies, convention, lambda half_angle: torch.ones_like(half_angle))


def pizza_fve(logits: Logits, frequencies: Sequence[int], convention: Convention = "standardized") -> Any:
    """As `clock_fve`, by ``|cos w_k(a - b)/2| cos w_k(a + b - c)``."""
    return _fve(logits, frequencies, convention, lambda half_angle: half_angle.cos().abs())


def accompanying_fve(logits: Logits, frequencies: Sequence[int], convention: Convention = "standardized") -> Any:
    """As `clock_fve`, by ``-cos w_k(a - b) cos w_k(a + b - c)``, the logits of the circle 2k beside the pizza of k."""
    return _fve(logits, frequencies, convention, lambda half_angle: (2 * half_angle).cos())


def _fve(
    logits: Logits, frequencies: Sequence[int], convention: Convention, of_distance: Callable[[Tensor], Tensor]
) -> Any:
    cubes = checked_cubes(logits)
    table, _ = addition(cubes)
    p = len(table)
    keys = read_frequencies(frequencies, p)
    if not keys or 2 * max(keys) == p:
        raise ValueError(f"frequencies: {keys} given, expected one or more of 1 to {(p - 1) // 2}")
    if convention not in ("standardized", "least_squares"):
        raise ValueError(f"convention: {convention!r} given, expected 'standardized' or 'least_squares'")
    k, t = torch.tensor(keys, device=cubes.device), torch.arange(p, device=cubes.device)
    turn = torch.polar(torch.ones(p, len(keys), dtype=torch.float64, device=cubes.device), _angle(t[:, None] * k, p))
    at_sum = turn[table]
    factor = of_distance(_angle((t[:, None] - t).unsqueeze(-1) * k, 2 * p))

    def explained_share(cube: LogitCube) -> dict[str, Tensor]:
        # sum over c of L cos w_k(a + b - c), [*batch, a, b, key]; formulas of different k are orthogonal over answers
        centred = cube.centred
        along = (centred @ turn.real) * at_sum.real + (centred @ turn.imag) * at_sum.imag
        squares = (factor * along).sum((-3, -2)).square() / (p / 2 * factor.square().sum((0, 1)))
        return {"": squares.sum(-1) / cube.norm_squared("double")}

    explained = of_cubes(cubes, table, explained_share)[""]
    return number(2 * explained.sqrt() - 1 if convention == "standardized" else explained)


def _angle(steps: Tensor, turn: int) -> Float[Tensor, ...]:
    """Angle of so many steps, ``turn`` to a full turn; reduced as integers, so that many steps lose no accuracy."""
    return (steps % turn).to(torch.float64) * (2 * torch.pi / turn)


def _modulus(array: Tensor, field: str, dim: int) -> int:
    if array.shape[dim] < 2:
        raise ValueError(f"{field}: shape {tuple(array.shape)} given, expected p of at least 2")
    return array.shape[dim]


@functools.lru_cache(maxsize=8)
def _shuffled(length: int, seed: int) -> array[int]:
    order = array("q", range(length))
    random.Random(seed).shuffle(order)
    return order


def _triples(triples: Triples, p: int) -> Int[Tensor, "triple 3"]:
    found = torch.as_tensor(triples)
    if found.ndim != 2 or found.shape[-1] != 3 or len(found) == 0 or found.is_floating_point():
        raise ValueError(f"triples: {found.dtype} of shape {tuple(found.shape)} given, expected integers [triple, 3]")
    if (found < 0).any() or (found[:, :2] >= p).any():
        raise ValueError(f"triples: {found.min()} to {found[:, :2].max()} given, expected a and b from 0 to {p - 1}")
    return found.long()


def _takes_two(model_fn: Callable[..., Tensor]) -> bool:
    """Whether it has exactly two positional parameters without a default."""
    try:
        signature = inspect.signature(model_fn.forward if isinstance(model_fn, torch.nn.Module) else model_fn)
    except (TypeError, ValueError):  # some built-in functions have none
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [x for x in signature.parameters.values() if x.kind in positional and x.default is x.empty]
    return len(required) == 2


def _check_logits(logits: Any, part: Int[Tensor, "triple 3"]) -> None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(part):
        raise ValueError(f"model_fn: {shape} returned, expected logits of shape [{len(part)}, n_answers]")
    if part[:, 2].max() >= logits.shape[1]:
        raise ValueError(
            f"triples: c of {part[:, 2].max()} given, expected 0 to {logits.shape[1] - 1} as in the logits"
        )
    if not logits.requires_grad:
        raise ValueError("model_fn: logits without a gradient returned, expected them to depend on the embeddings")


def _cosine(gradient: Float[Tensor, "triple 2 d_model"], part: Int[Tensor, "triple 3"]) -> Float[Tensor, " triple"]:
    norm = gradient.norm(dim=-1, keepdim=True)
    wrong = ~((norm > 0) & norm.isfinite()).flatten(1).all(1)
    if wrong.any():
        raise ValueError(
            f"model_fn: gradients of norm {norm[wrong][0].flatten().tolist()} at triple {part[wrong][0].tolist()} "
            "given, expected finite ones other than 0"
        )
    return (gradient / norm).prod(1).sum(-1)
