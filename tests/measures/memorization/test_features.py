import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.memorization import arithmetic_features

NUMBERS = st.one_of(st.integers(0, 120), st.integers(0, 10**9))


def of(a, b, operation):
    return {name: values[0] for name, values in arithmetic_features(np.array([[a, b]]), operation).items()}


@pytest.mark.parametrize(
    ("a", "operation", "b", "carries"),
    [
        (24, "multiplication", 18, 2),  # 4 x 8 = 32, 2 x 8 + 4 x 1 + 3 = 23, 2 x 1 + 2 = 4
        (23, "multiplication", 18, 2),  # 3 x 8 = 24, 2 x 8 + 3 + 2 = 21
        (24, "multiplication", 10, 0),
        (12, "multiplication", 12, 0),
        (9, "multiplication", 9, 1),
        (99, "multiplication", 99, 3),  # 81; 81 + 81 + 8 = 170; 81 + 17 = 98, whose 9 is written down
        (0, "multiplication", 99, 0),
        (99, "addition", 1, 2),
        (24, "addition", 18, 1),
        (23, "addition", 14, 0),
        (1000, "subtraction", 1, 3),
        (1, "subtraction", 1000, 3),
        (24, "subtraction", 18, 1),
        (28, "subtraction", 14, 0),
    ],
)
def test_carries_by_hand(a, operation, b, carries):
    assert of(a, b, operation)["carries"] == carries


def carries_by_school(a, b, operation):
    """Digit by digit, on strings."""
    if operation == "subtraction":
        a, b = max(a, b), min(a, b)
        count = borrow = 0
        for i in range(len(str(a))):
            x, y = (int(str(n)[::-1][i]) if i < len(str(n)) else 0 for n in (a, b))
            borrow = int(x - borrow < y)
            count += borrow
        return count
    p, q = str(a)[::-1], str(b)[::-1]
    count = carry = 0
    if operation == "addition":
        for i in range(max(len(p), len(q))):
            carry = (int(p[i]) if i < len(p) else 0) + (int(q[i]) if i < len(q) else 0) + carry
            carry //= 10
            count += carry > 0
        return count
    for place in range(len(p) + len(q) - 1):
        column = sum(int(p[i]) * int(q[place - i]) for i in range(len(p)) if 0 <= place - i < len(q))
        carry = (column + carry) // 10
        count += carry > 0
    return count


@given(NUMBERS, NUMBERS, st.sampled_from(["multiplication", "addition", "subtraction"]))
def test_features_digit_by_digit(a, b, operation):
    found = of(a, b, operation)
    answer = {"multiplication": a * b, "addition": a + b, "subtraction": abs(a - b)}[operation]
    assert found == {
        "log2_larger": np.log2(1 + max(a, b)),
        "log2_smaller": np.log2(1 + min(a, b)),
        "answer_digits": len(str(answer)),
        "carries": carries_by_school(a, b, operation),
        "multiples_of_10": (a % 10 == 0) + (b % 10 == 0),
        "multiples_of_5": (a % 10 == 5) + (b % 10 == 5),
        "repeated_digits": sum(len(str(n)) > 1 and len(set(str(n))) == 1 for n in (a, b)),
    }
    assert found == of(b, a, operation)


def test_one_row_for_each_fact():
    facts = torch.tensor([[24, 18], [55, 30], [7, 0]])
    found = arithmetic_features(facts, "multiplication")
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(found, (3,))
    assert found["answer_digits"].tolist() == [3, 4, 1]
    assert found["multiples_of_10"].tolist() == [0, 1, 1]
    assert found["multiples_of_5"].tolist() == [0, 1, 0]
    assert found["repeated_digits"].tolist() == [0, 1, 0]
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("operands", "operation", "field"),
    [
        ([[1, 2, 3]], "addition", "operands: shape"),
        ([[1, -2]], "addition", "operands: -2"),
        ([[1.0, 2.5]], "addition", "operands: 2.5"),
        ([[1.0, np.nan]], "addition", "operands: nan"),
        ([[1, 10**10]], "addition", "operands: 1e\\+10"),
        ([[1, 2]], "division", "operation: 'division'"),
    ],
)
def test_bad_input_is_named(operands, operation, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        arithmetic_features(operands, operation)
