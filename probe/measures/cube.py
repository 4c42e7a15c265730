"""The logit cube of a group's operation: what of the logits is a function of ``a b``, and what of ``a b c^-1``.

``L[a, b, c]``, shape [*batch, n, n, n], are the logits of a network that is asked for ``a b = table[a, b]``. An
algorithm that goes through a representation of the group uses functions on the group from some of its components
(frequencies of Z_n, irreducible representations): a component is given by orthonormal rows, functions on the
group. Two claims can then be tested:

* directions: as functions of the input, the logits lie in the span of f(a b), f in the component;
* the algorithm itself: they are a multiple of the class function u(a b c^-1) of each component.

Both need the cube only through two means, which are far smaller than it: over the n inputs with the same product
(`product_means`), and over the n^2 entries with the same quotient (`quotient_means`).

`probe.measures.fourier` and `probe.measures.groups` are this, for their components. Source: Nanda et al. 2023,
arXiv 2301.05217, sections 4.2 and 5.1; Chughtai et al. 2023, arXiv 2302.03025, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.arrays import at_first, number, valid
from probe.measures.performance import accuracy, cross_entropy
from probe.measures.surviving import surviving_share

Centring = Literal["none", "classes", "inputs", "double"]

_PART_BYTES = 2**22  # float64 logits that are worked on at once: what a cache holds


@dataclass(frozen=True)
class Components:
    """The parts of the functions on a group that an algorithm may use.

    Attributes:
        bases: for each component, orthonormal functions on the group.
        classes: for each, the class function whose multiples of ``a b c^-1`` it adds to the logits, unit norm.
    """

    bases: tuple[Float[Tensor, "rank n"], ...]
    classes: Float[Tensor, "component n"]

    def span(self, chosen: Sequence[int]) -> Float[Tensor, "rank n"]:
        """Orthonormal rows of several components together; none gives no rows."""
        return torch.cat([self.bases[0][:0], *(self.bases[i] for i in chosen)])


@dataclass(frozen=True)
class Progress:
    """How far a network is with the algorithm. Losses are means in nats; every number is per model.

    Attributes:
        keys: the key frequencies, or irreps, of all that follows.
        train_loss, test_loss, all_loss, train_accuracy, test_accuracy: of the logits as they are, over the elements of
            the group. So for a product or quotient modulo p, as in all that follows, inputs with a 0 are left out of
            the means, and the answer 0 of the softmax and the argmax.
        restricted_loss: on all inputs, with only the projections of the logits, as functions of the input, on those
            functions of the product that belong to the keys, and each answer's mean.
        algorithm_loss: on all inputs, with only the projections on the one direction per key that the algorithm
            predicts, cos w_k(a + b - c): the "trig loss". It gives the network no freedom but the keys' amplitudes.
        excluded_loss: on the **trained** inputs, without the projections that the restricted loss keeps, all taken out
            together.
        excluded_loss_each: the same with one key taken out at a time.
        surviving: of the **trained** inputs that are answered rightly, the share that still is without these
            projections (`surviving_share`); ``_low`` and ``_high``: its interval. nan where accuracy is that of chance.
        surviving_test: the same of the other inputs, the control.
        fve: share of the doubly centred logits' sum of squares in the directions of `algorithm_loss`.
        fve_directions: share, each answer's mean left out, in the functions that the restricted loss keeps.
        fve_any_key: share of the doubly centred logits that is any function of a b c^-1, whatever the keys.
    """

    keys: tuple[Any, ...]
    train_loss: Any
    test_loss: Any
    all_loss: Any
    train_accuracy: Any
    test_accuracy: Any
    restricted_loss: Any
    restricted_loss_train: Any
    restricted_loss_test: Any
    algorithm_loss: Any
    algorithm_loss_train: Any
    algorithm_loss_test: Any
    excluded_loss: Any
    excluded_loss_test: Any
    excluded_loss_all: Any
    excluded_loss_each: dict[Any, Any]
    surviving: Any
    surviving_low: Any
    surviving_high: Any
    surviving_test: Any
    surviving_test_low: Any
    surviving_test_high: Any
    fve: Any
    fve_directions: Any
    fve_any_key: Any


class LogitCube:
    """Logits of the operation ``table`` on a group of order n, with the few sums that every measure reads.

    Args:
        logits: [*batch, n, n, n], float64, finite.
        table: ``a b``, on the same device.
    """

    def __init__(self, logits: Float[Tensor, "*batch n n n"], table: Int[Tensor, "n n"]) -> None:
        self.logits, self.table = logits, table
        self.bias = logits.mean((-3, -2))
        self._unbiased = logits - self.bias[..., None, None, :]
        self._input_means = self._unbiased.mean(-1)

    @property
    def n(self) -> int:
        return len(self.table)

    def norm_squared(self, centring: Centring) -> Float[Tensor, "*batch"]:
        """Sum of squares of the cube less its mean over answers ("classes"), over inputs ("inputs"), both ("double").

        What is centred away is orthogonal to the rest, so it is added, never subtracted: nothing cancels.
        """
        if centring not in get_args(Centring):
            raise ValueError(f"centring: {centring!r} given, expected one of {', '.join(get_args(Centring))}")
        squares = self._double_squares
        if centring in ("none", "inputs"):
            squares = squares + self.n * self._input_means.square().sum((-2, -1))
        bias = self.bias - self.bias.mean(-1, keepdim=True)
        if centring in ("none", "classes"):
            squares = squares + self.n**2 * bias.square().sum(-1)
        if centring == "none":
            squares = squares + self.n**3 * self.bias.mean(-1).square()
        return squares

    def constant_within(self, rounding: float) -> Bool[Tensor, "*batch"]:
        """Whether what depends on both the input and the answer is within ``rounding`` of the largest logit."""
        largest = self.logits.flatten(-3).abs().amax(-1)
        return self.norm_squared("double") <= (2 * rounding * largest).square() * self.n**3

    @property
    def centred(self) -> Float[Tensor, "*batch n n n"]:
        """The logits less their mean over answers and over inputs."""
        return self._unbiased - self._input_means.unsqueeze(-1)

    @cached_property
    def _double_squares(self) -> Float[Tensor, "*batch"]:
        return self.centred.square().sum((-3, -2, -1))

    @cached_property
    def product_means(self) -> Float[Tensor, "*batch n n"]:
        """``out[s, c]``: mean over the n inputs with a b = s of the logits of c, less c's mean over all inputs."""
        t = torch.arange(self.n, device=self.table.device)
        second = torch.empty_like(self.table).scatter_(1, self.table, t.expand(self.n, self.n))  # a^-1 s
        return self._unbiased[..., t, second.T, :].mean(-2)

    @cached_property
    def quotient_means(self) -> Float[Tensor, "*batch n"]:
        """``out[r]``: mean of the n^2 doubly centred logits with a b c^-1 = r; that of the identity is the answer's.

        What is centred away has mean 0 over each of these sets, so it need not be taken away first.
        """
        c = torch.arange(self.n, device=self.table.device)
        return self.product_means[..., self.table, c].mean(-1)

    def class_products(self, components: Components) -> Float[Tensor, "*batch component"]:
        """Inner products with the cube's unit-norm directions u(a b c^-1)."""
        # a function on the group of unit norm has norm n as a function of a b c^-1
        return self.n * (self.quotient_means @ components.classes.T)

    def cosines(self, components: Components) -> Float[Tensor, "*batch component"]:
        """Cosines of the cube, centred over answers, with u(a b c^-1)."""
        return self.class_products(components) / self.norm_squared("classes").sqrt().unsqueeze(-1)

    def fve(self, components: Components, chosen: Sequence[int], centring: Centring) -> Float[Tensor, "*batch"]:
        """Share of the sum of squares in the directions u(a b c^-1) of the chosen components."""
        explained = self.class_products(components)[..., list(chosen)].square().sum(-1)
        return explained / self.norm_squared(centring)

    def fve_directions(
        self, components: Components, chosen: Sequence[int], centring: Centring
    ) -> Float[Tensor, "*batch"]:
        """Share of the sum of squares that is a function of the input in the span of f(a b), f in the components."""
        means = self.product_means
        if centring in ("classes", "double"):
            means = means - means.mean(-1, keepdim=True)
        explained = self.n * (components.span(chosen) @ means).square().sum((-2, -1))
        return explained / self.norm_squared(centring)

    def fve_quotient(self) -> Float[Tensor, "*batch"]:
        """Share of the doubly centred sum of squares that is any function of a b c^-1 at all."""
        return self.n**2 * self.quotient_means.square().sum(-1) / self.norm_squared("double")

    def progress(self, components: Components, chosen: Sequence[int], train: Bool[Tensor, "n n"]) -> dict[str, Tensor]:
        """The numbers of `Progress` by name; ``excluded_loss_each`` with a last dimension, key."""
        basis = components.span(chosen)
        kept = basis.T @ (basis @ self.product_means)
        classes = components.classes[list(chosen)]
        amplitudes = self.class_products(components)[..., list(chosen)] / self.n
        flat, answers = self.logits.flatten(-3, -2), self.table.flatten()
        loss = _by_subset(cross_entropy(flat, answers), train)
        right = accuracy(flat, answers)
        rightly = _by_subset(right, train)
        restricted = self._loss_by_product(kept + self.bias.unsqueeze(-2), train)
        algorithm = self._loss_by_product((amplitudes @ classes)[..., self._quotients], train)
        without = flat - kept[..., answers, :]
        excluded = _by_subset(cross_entropy(without, answers), train)
        return {
            "train_loss": loss[0],
            "test_loss": loss[1],
            "all_loss": loss[2],
            "train_accuracy": rightly[0],
            "test_accuracy": rightly[1],
            "restricted_loss": restricted[2],
            "restricted_loss_train": restricted[0],
            "restricted_loss_test": restricted[1],
            "algorithm_loss": algorithm[2],
            "algorithm_loss_train": algorithm[0],
            "algorithm_loss_test": algorithm[1],
            "excluded_loss": excluded[0],
            "excluded_loss_test": excluded[1],
            "excluded_loss_all": excluded[2],
            "excluded_loss_each": self._excluded_each(components, chosen, train),
            **_surviving(right, accuracy(without, answers), train),
            "fve": self.fve(components, chosen, "double"),
            "fve_directions": self.fve_directions(components, chosen, "inputs"),
            "fve_any_key": self.fve_quotient(),
        }

    def _excluded_each(
        self, components: Components, chosen: Sequence[int], train: Bool[Tensor, "n n"]
    ) -> Float[Tensor, "*batch chosen"]:
        """Loss on the trained inputs without one of the chosen components at a time."""
        products, kept = self.table[train], self.logits[..., train, :]
        losses = [
            cross_entropy(kept - (basis.T @ (basis @ self.product_means))[..., products, :], products).mean(-1)
            for basis in (components.bases[i] for i in chosen)
        ]
        return torch.stack(losses, dim=-1) if losses else self.bias[..., :0]

    def _loss_by_product(self, logits: Float[Tensor, "*batch n n"], train: Bool[Tensor, "n n"]) -> tuple[Tensor, ...]:
        """Loss of logits that are the same for all inputs with the same product."""
        by_product = cross_entropy(logits, torch.arange(self.n, device=logits.device))
        return _by_subset(by_product[..., self.table.flatten()], train)

    @cached_property
    def _quotients(self) -> Int[Tensor, "n n"]:
        """``a c^-1``: the r with r c = a."""
        r = torch.arange(self.n, device=self.table.device).unsqueeze(1)
        return torch.empty_like(self.table).scatter_(0, self.table, r.expand(self.n, self.n))


def checked_cubes(logits: Any, n: int | None = None) -> Float[Tensor, "*batch n n n"]:
    """Logits as a tensor. Raises ValueError, naming ``logits``, for another shape or numbers that are not finite."""
    cubes = valid(logits, "logits", "*batch n n n" if n is None else f"*batch {n} {n} {n}")
    if cubes.shape[-1] < 2:
        raise ValueError(f"logits: shape {tuple(cubes.shape)} given, expected [*batch, n, n, n] with n at least 2")
    return cubes


def of_cubes(
    logits: Float[Tensor, "*batch n n n"],
    table: Int[Tensor, "n n"],
    measure: Callable[[LogitCube], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """What ``measure`` says of checked cubes, of one or of each of a batch, in float64 but not all at once.

    Raises ValueError, naming ``logits`` and which, where they are the same for every answer, or for every input, but
    for the rounding of the type they are given in: then they say nothing of an algorithm.
    """
    n = len(table)
    table, batch = table.to(logits.device), logits.shape[:-3]
    rounding = torch.finfo(logits.dtype if logits.is_floating_point() else torch.float64).eps
    parts = logits.flatten(0, -4).split(max(1, _PART_BYTES // (8 * n**3))) if batch else (logits,)
    measured = []
    for part in parts:
        cube = LogitCube(part.to(torch.float64), table)
        measured.append({"constant": cube.constant_within(rounding), **measure(cube)})
    found = measured[0]
    if batch:
        found = {name: torch.cat([part[name] for part in measured]).unflatten(0, batch) for name in found}
    if (constant := found.pop("constant")).any():
        largest = logits.flatten(-3).abs().amax(-1)[constant][0]
        raise ValueError(
            f"logits: given the same for every input, or for every answer,{at_first(constant)} up to the rounding of "
            f"the largest, {largest:g}; expected some that depend on both"
        )
    return found


def progress_of(
    logits: Float[Tensor, "*batch n n n"],
    table: Int[Tensor, "n n"],
    components: Components,
    chosen: Sequence[int],
    keys: Sequence[Any],
    train: Bool[Tensor, "n n"],
) -> Progress:
    """`Progress` with the chosen components, which ``keys`` names. Losses on an empty set of inputs are nan."""
    found = of_cubes(logits, table, lambda cube: cube.progress(components, chosen, train.to(cube.table.device)))
    each = found.pop("excluded_loss_each")
    return Progress(
        keys=tuple(keys),
        excluded_loss_each={key: number(each[..., i]) for i, key in enumerate(keys)},
        **{name: number(values) for name, values in found.items()},
    )


def checked_mask(train_mask: Bool[Tensor | np.ndarray, "n n"], n: int, one: str = "input") -> Bool[Tensor, "n n"]:
    """A set of inputs that leaves some out. Raises ValueError for another shape, all inputs or none.

    ``one`` says in the message what the mask is over.
    """
    mask = valid(train_mask, "train_mask", f"{n} {n}")
    if mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise ValueError("train_mask: numbers other than 0 and 1 given, expected true where an input was trained on")
    mask = mask.bool()
    if mask.all() or not mask.any():
        which = f"every {one}" if mask.all() else f"no {one}"
        raise ValueError(f"train_mask: true for {which} given, expected some inputs to be trained on and some not")
    return mask


def _surviving(
    right: Float[Tensor, "*batch input"], still: Float[Tensor, "*batch input"], train: Bool[Tensor, "n n"]
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, mask in (("surviving", train.flatten()), ("surviving_test", ~train.flatten())):
        parts = surviving_share(right[..., mask], still[..., mask], 1 / len(train))
        found |= {f"{name}{end}": part for end, part in zip(("", "_low", "_high"), parts, strict=True)}
    return found


def _by_subset(values: Float[Tensor, "*batch input"], train: Bool[Tensor, "n n"]) -> tuple[Tensor, Tensor, Tensor]:
    """Means over the inputs that were trained on, over the others, and over all."""
    mask = train.flatten()
    return values[..., mask].mean(-1), values[..., ~mask].mean(-1), values.mean(-1)
