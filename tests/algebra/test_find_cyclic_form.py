"""A table of answers recognized as an addition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.algebra.cyclic import find_cyclic_form


def answers_by_form(form):
    """What the form says the answers are, by token."""
    i = np.arange(form.order)
    return {(int(form.a[x]), int(form.b[y])): int(form.c[(x + y) % form.order]) for x in i for y in i}


@settings(deadline=None)
@given(p=st.integers(2, 25), data=st.data())
def test_every_form_says_what_the_table_says(p, data):
    units = [u for u in range(1, p) if math.gcd(u, p) == 1]
    u, v = data.draw(st.sampled_from(units)), data.draw(st.sampled_from(units))
    w = data.draw(st.integers(0, p - 1))
    t = np.arange(p)
    table = (u * t[:, None] + v * t + w) % p
    form = find_cyclic_form(table)
    assert form.order == p
    found = answers_by_form(form)
    assert found == {(a, b): table[a, b] for a in range(p) for b in range(p)}


def test_addition_is_left_as_it_is():
    t = np.arange(6)
    form = find_cyclic_form((t[:, None] + t) % 6)
    for tokens in (form.a, form.b, form.c):
        assert tokens.tolist() == t.tolist()


@pytest.mark.parametrize("p", [3, 5, 13])
@pytest.mark.parametrize("sign", [1, -1])
def test_products_and_quotients_modulo_a_prime(p, sign):
    table = np.full((p, p), -1)  # what is said of zero is not looked at
    for a in range(1, p):
        for b in range(1, p):
            table[a, b] = a * pow(b, sign, p) % p
    form = find_cyclic_form(table)
    assert form.order == p - 1
    assert answers_by_form(form) == {(a, b): table[a, b] for a in range(1, p) for b in range(1, p)}


def test_what_is_no_addition_is_refused():
    t = np.arange(7)
    constant, square = np.zeros((7, 7), dtype=int), (t[:, None] ** 2 + t**2) % 7
    even = (2 * np.arange(6)[:, None] + np.arange(6)) % 6  # 2 is not invertible modulo 6
    even_second = even.T.copy()
    product = t[:6, None] * t[:6] % 6
    one_wrong = (t[:, None] + t) % 7
    one_wrong[6, 6] = 0
    for table in (constant, square, even, even_second, product, one_wrong):
        with pytest.raises(ValueError, match=r"answers: a . x . table given that is no addition"):
            find_cyclic_form(table)
    for shape in ((3, 4), (1, 1), (3,)):
        with pytest.raises(ValueError, match="answers: shape"):
            find_cyclic_form(np.zeros(shape, dtype=int))
