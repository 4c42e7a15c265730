"""How often facts are shown: what is declared, as whole exposures per pass, and which facts are held out of it.

A fact is one or more things together, such as the two operands of a product; the frequency may be that of the facts or
follow from that of the things. Facts that answer each other, such as (24, 18) and (18, 24), are one *orbit*: they are
ranked, grouped and held out together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

_STRICT = {"extra": "forbid"}


@dataclass(frozen=True)
class Uniform:
    """Every fact ``times`` times per pass."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    times: int = 1
    kind: Literal["uniform"] = "uniform"

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times: got {self.times}; expected 1 or more")


@dataclass(frozen=True)
class Zipf:
    """The item of rank r has weight r^-exponent; a pass has ``total`` exposures.

    Args:
        exponent: 0 for equal weights.
        total: exposures per pass, held-out facts counted as if they were shown.
        over: what is ranked: ``"facts"``, or ``"operands"`` of which a fact's weight is the product.
        order: ``"shuffled"`` (default): ranks are drawn, so that how often an operand is seen says nothing of its size.
            ``"ascending"``: the smallest operand (the first fact) is the most frequent, as in texts.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    total: int
    exponent: float = 1.0
    over: Literal["facts", "operands"] = "facts"
    order: Literal["shuffled", "ascending"] = "shuffled"
    kind: Literal["zipf"] = "zipf"

    def __post_init__(self) -> None:
        _check_total(self.total)
        if not (np.isfinite(self.exponent) and self.exponent >= 0):
            raise ValueError(f"exponent: got {self.exponent}; expected a finite number, 0 or more")
        if self.over not in ("facts", "operands"):
            raise ValueError(f"over: got {self.over!r}; expected 'facts' or 'operands'")
        if self.order not in ("shuffled", "ascending"):
            raise ValueError(f"order: got {self.order!r}; expected 'shuffled' or 'ascending'")


@dataclass(frozen=True)
class Duplicated:
    """The facts are divided by lot into equal groups; those of group i are shown ``times[i]`` times per pass."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    times: tuple[int, ...]
    kind: Literal["duplicated"] = "duplicated"

    def __post_init__(self) -> None:
        if not self.times or min(self.times) < 0 or max(self.times) == 0:
            raise ValueError(f"times: got {self.times}; expected counts of 0 or more, one of them above 0")


@dataclass(frozen=True)
class OperandWeights:
    """A fact's weight is the product of its operands' own, 1 where none is given; a pass has ``total`` exposures."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    total: int
    weights: Mapping[int, float]
    kind: Literal["operand_weights"] = "operand_weights"

    def __post_init__(self) -> None:
        _check_total(self.total)
        # JSON has no numbers for keys
        object.__setattr__(self, "weights", {int(operand): float(w) for operand, w in self.weights.items()})
        for operand, weight in self.weights.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"weights: got {weight} for {operand}; expected a finite number, 0 or more")

    def __hash__(self) -> int:
        return hash((self.total, tuple(sorted(self.weights.items()))))


@dataclass(frozen=True)
class Table:
    """Exposures per pass fact by fact, as ``(*operands, times)``; facts that are not listed are never shown."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    rows: tuple[tuple[int, ...], ...]
    kind: Literal["table"] = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        odd = next((n for row in self.rows for n in row if not isinstance(n, int | np.integer)), None)
        if odd is not None or not all(self.rows):
            raise ValueError(f"rows: got {odd!r}; expected whole numbers, (*operands, times)")
        negative = [row for row in self.rows if row[-1] < 0]
        if negative:
            raise ValueError(f"rows: got {negative[0][-1]} exposures of {negative[0][:-1]}; expected 0 or more")
        if not any(row[-1] for row in self.rows):
            raise ValueError("rows: their exposures sum to nothing; expected some above 0")
        facts = [row[:-1] for row in self.rows]
        if len(set(facts)) < len(facts):
            twice = next(fact for fact in facts if facts.count(fact) > 1)
            raise ValueError(f"rows: {twice} is listed twice; expected each fact once")


Frequency = Annotated[Uniform | Zipf | Duplicated | OperandWeights | Table, Field(discriminator="kind")]


def declared_exposures(
    frequency: Frequency, operands: Int[np.ndarray, "fact operand"], orbit: Int[np.ndarray, " fact"], seed: int
) -> Int[np.ndarray, " fact"]:
    """Exposures per pass of each fact, as if none were held out.

    Args:
        frequency: what was declared.
        operands: of which each fact is made; of a fact that is one thing, its number.
        orbit: 0, 1, ...; the same for facts that answer each other.
        seed: of ranks and groups that are drawn.

    Raises:
        ValueError: no fact would be shown, or what is declared names operands or facts that there are not.
    """
    rng = np.random.default_rng((seed, 1))
    if isinstance(frequency, Uniform):
        return np.full(len(operands), frequency.times)
    if isinstance(frequency, Duplicated):
        n_orbits = int(orbit.max()) + 1
        group = rng.permutation(n_orbits) % len(frequency.times)
        return np.asarray(frequency.times)[group][orbit]
    if isinstance(frequency, Table):
        return _looked_up(frequency, operands)
    if isinstance(frequency, OperandWeights):
        unknown = sorted(set(frequency.weights) - set(np.unique(operands).tolist()))
        if unknown:
            raise ValueError(f"frequency.weights: {unknown[0]} is no operand; expected some of {_range(operands)}")
        weight_of = np.vectorize(lambda operand: frequency.weights.get(int(operand), 1.0), otypes=[float])
        weights = weight_of(operands).prod(1)
    elif frequency.over == "operands":
        values, place = np.unique(operands, return_inverse=True)
        rank = _ranks(len(values), frequency.order, rng)
        weights = (rank[place.reshape(operands.shape)] ** -float(frequency.exponent)).prod(1)
    else:
        weights = (_ranks(int(orbit.max()) + 1, frequency.order, rng) ** -float(frequency.exponent))[orbit]
    if not weights.sum() > 0:
        raise ValueError("frequency.weights: they sum to nothing; expected some above 0")
    return allotted(weights, orbit, frequency.total)


def allotted(
    weights: Float[np.ndarray, " fact"], orbit: Int[np.ndarray, " fact"], total: int
) -> Int[np.ndarray, " fact"]:
    """``total`` divided in proportion to the weights into whole numbers, equal within an orbit, by largest remainders.

    So none is shown whose mirror is not. Of equal remainders the first are rounded up; an orbit for which too little is
    left is passed over for the next that fits, and what fits none is not shown: less than the largest orbit.

    Args:
        weights: the same within an orbit.
        orbit: 0, 1, ...; the same for facts that answer each other.
        total: to divide.
    """
    size = np.bincount(orbit)
    exact = np.bincount(orbit, weights) / size / weights.sum() * total
    whole = np.floor(exact + 1e-9).astype(np.int64)
    left = total - int((whole * size).sum())
    for i in np.argsort(whole - exact, kind="stable"):
        if left == 0:
            break
        if size[i] <= left:
            whole[i] += 1
            left -= int(size[i])
    return whole[orbit]


def held_out_mask(
    exposures: Int[np.ndarray, " fact"], orbit: Int[np.ndarray, " fact"], share: float, seed: int
) -> Bool[np.ndarray, " fact"]:
    """A share of the facts at every frequency: in order of it, with ties drawn, every 1/share-th from a drawn start.

    Raises:
        ValueError: none would be held out, or none shown.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"held_out: got {share}; expected a share above 0 and below 1: facts that are never shown are the control"
        )
    rng = np.random.default_rng((seed, 2))
    n_orbits = int(orbit.max()) + 1
    frequency = np.bincount(orbit, exposures, n_orbits) / np.bincount(orbit, minlength=n_orbits)
    order = np.lexsort((rng.permutation(n_orbits), frequency))
    n_out = round(share * n_orbits)
    if not n_out:
        raise ValueError(f"held_out: {share} of {n_orbits} facts is none; expected at least {1 / n_orbits:.2g}")
    mask = np.isin(orbit, order[((np.arange(n_out) + rng.random()) * n_orbits / n_out).astype(int)])
    if not exposures[~mask].any():
        raise ValueError(f"held_out: {share} leaves no fact that is shown; expected less")
    return mask


def _check_total(total: int) -> None:
    if total < 1:
        raise ValueError(f"total: got {total}; expected 1 or more exposures per pass")


def _ranks(n: int, order: str, rng: np.random.Generator) -> Float[np.ndarray, " item"]:
    """1 for the most frequent."""
    ranks = np.arange(1, n + 1, dtype=float)
    return ranks if order == "ascending" else rng.permutation(ranks)


def _looked_up(table: Table, operands: Int[np.ndarray, "fact operand"]) -> Int[np.ndarray, " fact"]:
    place = {tuple(fact): i for i, fact in enumerate(operands.tolist())}
    exposures = np.zeros(len(operands), dtype=np.int64)
    for row in table.rows:
        if row[:-1] not in place:
            raise ValueError(f"frequency.rows: {row[:-1]} is no fact of the task; expected operands {_range(operands)}")
        exposures[place[row[:-1]]] = row[-1]
    return exposures


def _range(operands: Int[np.ndarray, "fact operand"]) -> str:
    return f"{operands.min()} to {operands.max()}"
