"""The product law against numbers by hand, and its intervals against simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.scale import product_law


def test_five_steps_of_the_question():
    found = product_law([[0.4] * 5, [0.6] * 5], [0.0102, 0.0778])
    np.testing.assert_allclose(found.predicted, [0.01024, 0.07776])
    np.testing.assert_allclose(found.effective_steps, 5, atol=0.01)
    assert np.isnan(found.low).all()
    assert np.isnan(found.dependence).all()
    one = product_law([0.5, 0.8], 0.4)
    assert (one.predicted, one.difference) == pytest.approx((0.4, 0))
    assert one.effective_steps == pytest.approx(2)
    assert isinstance(one.predicted, float)


@given(st.integers(1, 6), st.floats(0.1, 0.95))
def test_independent_steps_are_as_many_as_there_are(n, accuracy):
    assert product_law([accuracy] * n, accuracy**n).effective_steps == pytest.approx(n)


def test_limits():
    assert product_law([0.5, 0.5], 0.0).effective_steps == np.inf
    assert np.isnan(product_law([1.0, 1.0], 1.0).effective_steps)
    assert np.isnan(product_law([0.0, 0.5], 0.1).effective_steps)
    assert product_law([0.5], 1.0).effective_steps == 0


def test_steps_that_are_right_together_are_dependent():
    right = np.repeat([[1, 1, 1], [0, 0, 0]], 50, axis=0)
    found = product_law([0.5] * 3, 0.5, items=right)
    assert (found.joint, found.dependence) == pytest.approx((0.5, 4))
    assert found.dependence_low > 2
    apart = np.repeat([[1, 0], [0, 1]], 50, axis=0)
    assert product_law([0.5, 0.5], 0.0, items=apart).dependence == 0


def test_the_interval_of_dependence_holds_it():
    """95 % intervals of 100 simulations; 200 items whose difficulty is shared."""
    rng = np.random.default_rng(0)
    levels = np.array([0.3, 0.9])
    truth = (levels**3).mean() / levels.mean() ** 3
    held = 0
    for _ in range(100):
        easy = rng.choice(levels, size=200)
        right = rng.random((200, 3)) < easy[:, None]
        found = product_law(right.mean(0), right.all(1).mean(), items=right)
        held += found.dependence_low <= truth <= found.dependence_high
    assert held >= 88


@pytest.mark.parametrize("n", [50, 500])
def test_the_interval_of_the_difference_holds_it(n):
    """95 % intervals of 400 simulations of steps and a whole that are measured on different items."""
    rng = np.random.default_rng(1)
    steps = np.array([0.6, 0.7, 0.8])
    whole = 0.25
    seen = rng.binomial(n, steps, size=(400, 3)) / n
    measured = rng.binomial(n, whole, size=400) / n
    found = product_law(seen, measured, n_items=n)
    truth = whole - steps.prod()
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.93
    assert (found.low <= found.difference).all()
    assert (found.difference <= found.high).all()
    narrow = product_law(seen, measured, n_items=n, confidence=0.5)
    assert (narrow.low > found.low).all()


def test_sizes_are_a_batch():
    rng = np.random.default_rng(2)
    right = rng.random((2, 30, 4)) < 0.7
    found = product_law(right.mean(1), right.all(2).mean(1), n_items=[30, 30], items=right)
    for i in range(2):
        one = product_law(right[i].mean(0), right[i].all(1).mean(), n_items=30, items=right[i])
        for name in ("predicted", "low", "high", "joint", "dependence", "effective_steps"):
            assert getattr(found, name)[i] == pytest.approx(getattr(one, name))
    assert found.dependence_low.shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5, 1.2]], [0.1]), "step_accuracies: 1.2 given, expected shares, 0 to 1"),
        (([[0.5, 0.5]], [40]), "composite: 40 given, expected shares"),
        (([[0.5, np.nan]], [0.1]), "step_accuracies: nan given"),
        (([[0.5, 0.5]], [0.1, 0.2]), r"composite: shape \(2,\) given, expected \(1,\)"),
        (([], 0.1), r"composite: shape \(\) given"),
        (([0.5, 0.5], 0.2, 0), "n_items: 0 given, expected numbers of items"),
        (([0.5, 0.5], 0.2, None, np.ones((4, 3))), r"items: shape \(4, 3\) given, expected"),
        (([0.5, 0.5], 0.2, None, np.ones((4, 2))), "step_accuracies: 0.5 off the means of items"),
        (([0.5, 0.5], 0.2, None, np.full((4, 2), 0.5)), "items: values other than 0 and 1 given"),
    ],
)
def test_what_is_no_composition_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        product_law(*arguments)
