"""What makes one arithmetic fact harder than another, whatever its frequency."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import checked

Operation = Literal["multiplication", "addition", "subtraction"]
_LARGEST = 10**9
_DIGITS = 10  # of the largest operand


def arithmetic_features(
    operands: Int[np.ndarray | Tensor, "fact 2"], operation: Operation
) -> dict[str, Float[np.ndarray, " fact"]]:
    """Difficulty of facts a x b, a + b or a - b in decimal digits, by name; none depends on the order of a and b.

    ``log2_larger``, ``log2_smaller``: log2(1 + operand), of the larger and the smaller one.
    ``answer_digits``: digits of the answer, without its sign.
    ``carries``: columns of the written calculation that pass something on to the next. In a column of a long
    multiplication are all products of a digit by a digit that belong there; a subtraction is of the smaller from the
    larger, and borrows. 24 x 18: 4 x 8 = 32 passes on 3, 2 x 8 + 4 x 1 + 3 = 23 passes on 2, so 2 carries.
    ``multiples_of_10``: how many of the two operands are, 0 included. ``multiples_of_5``: how many that are not of 10.
    ``repeated_digits``: how many of the two have two digits or more, all the same, as 22.

    Raises ValueError for operands that are not whole numbers from 0 to 10^9, or another operation.
    """
    pairs = checked_operands(operands)
    if operation not in ("multiplication", "addition", "subtraction"):
        raise ValueError(f"operation: {operation!r} given, expected 'multiplication', 'addition' or 'subtraction'")
    smaller, larger = pairs.min(1), pairs.max(1)
    if operation == "multiplication":
        answer, carries = smaller * larger, _carries_of_product(_digits(smaller), _digits(larger))
    elif operation == "addition":
        answer, carries = smaller + larger, _carries_of_sum(_digits(smaller), _digits(larger))
    else:  # as many borrows as the difference and the smaller one have carries when they are added up again
        answer = larger - smaller
        carries = _carries_of_sum(_digits(smaller), _digits(answer))
    features = {
        "log2_larger": np.log2(1 + larger),
        "log2_smaller": np.log2(1 + smaller),
        "answer_digits": _n_digits(answer),
        "carries": carries,
        "multiples_of_10": (pairs % 10 == 0).sum(1),
        "multiples_of_5": (pairs % 10 == 5).sum(1),
        "repeated_digits": _repeats(pairs).sum(1),
    }
    return {name: values.astype(np.float64) for name, values in features.items()}


def checked_operands(operands: Any) -> Int[np.ndarray, "fact 2"]:
    """``operands`` as int64; a ValueError if they are not whole numbers from 0 to 10^9."""
    pairs = checked(operands, "operands", "fact 2").cpu().numpy()
    wrong = (pairs < 0) | (pairs > _LARGEST) | (pairs != np.round(pairs))
    if wrong.any():
        raise ValueError(f"operands: {pairs[wrong][0]:g} given, expected whole numbers from 0 to {_LARGEST}")
    return pairs.astype(np.int64)


def _digits(numbers: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape digit"]:
    """Digits from the last to the first, then zeros."""
    return numbers[..., None] // 10 ** np.arange(_DIGITS) % 10


def _n_digits(numbers: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    return np.maximum((numbers[..., None] >= 10 ** np.arange(19)).sum(-1), 1)


def _repeats(numbers: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    ones = (10 ** _n_digits(numbers) - 1) // 9
    return ((numbers >= 10) & (numbers % ones == 0)).astype(np.int64)


def _carries_of_sum(a: Int[np.ndarray, "fact digit"], b: Int[np.ndarray, "fact digit"]) -> Int[np.ndarray, " fact"]:
    return _passed_on((a + b).T)


def _carries_of_product(a: Int[np.ndarray, "fact digit"], b: Int[np.ndarray, "fact digit"]) -> Int[np.ndarray, " fact"]:
    columns = np.zeros((2 * _DIGITS - 1, len(a)), dtype=np.int64)
    for place in range(_DIGITS):
        columns[place : place + _DIGITS] += (a * b[:, place, None]).T
    return _passed_on(columns)


def _passed_on(columns: Int[np.ndarray, "column fact"]) -> Int[np.ndarray, " fact"]:
    """How many columns pass something on, from the last to the first; what the first passes on is one digit."""
    carry, count = np.zeros(columns.shape[1], dtype=np.int64), np.zeros(columns.shape[1], dtype=np.int64)
    for column in columns:
        carry = (column + carry) // 10
        count += carry > 0
    return count
