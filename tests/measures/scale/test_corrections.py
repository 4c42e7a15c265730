"""Errors fixed: the published counts, and the exact tests against scipy's and against enumeration."""

import itertools

import numpy as np
import pytest
from scipy import stats

from probe.measures.scale import corrections
from probe.measures.scale.corrections import changed_answers, errors_fixed


def test_the_published_counts():
    """6 of 20 semantic errors, 12 of 18 with a step missing, 4 of 7 others: at 5 % they may have one rate."""
    found = errors_fixed([6, 12, 4], [20, 18, 7])
    np.testing.assert_allclose(found.share, [0.3, 12 / 18, 4 / 7])
    assert found.overall == pytest.approx(22 / 45)
    np.testing.assert_allclose([found.low[0], found.high[0]], stats.binomtest(6, 20).proportion_ci(0.95))
    assert found.p == pytest.approx(0.0759, abs=1e-4)
    assert not found.drawn
    two = errors_fixed([6, 12], [20, 18])
    assert two.p == pytest.approx(stats.fisher_exact([[6, 14], [12, 6]])[1])
    assert two.p < 0.05


def test_the_exact_test_is_the_enumeration():
    fixed, total = np.array([3, 0, 2]), np.array([4, 3, 5])
    tables = [t for t in itertools.product(*(range(n + 1) for n in total)) if sum(t) == 5]
    likely = np.array([np.prod([stats.binom.pmf(k, n, 0.5) for k, n in zip(t, total, strict=True)]) for t in tables])
    likely /= likely.sum()
    here = likely[tables.index(tuple(fixed))]
    assert errors_fixed(fixed, total).p == pytest.approx(likely[likely <= here * (1 + 1e-9)].sum())


def test_too_many_tables_are_drawn(monkeypatch):
    exact = errors_fixed([6, 12, 4], [20, 18, 7]).p
    monkeypatch.setattr(corrections, "MOST_TABLES", 10)
    drawn = errors_fixed([6, 12, 4], [20, 18, 7])
    assert drawn.drawn
    assert drawn.p == pytest.approx(exact, abs=0.005)


def test_limits():
    assert errors_fixed([5, 5], [5, 5]).p == 1
    assert errors_fixed([3], [4]).p == 1


def test_answers_that_changed():
    before, after = [0] * 10 + [1] * 5, [1] * 8 + [0] * 2 + [1] * 4 + [0]
    assert changed_answers(before, after) == (8, 1, pytest.approx(stats.binomtest(8, 9, 0.5).pvalue))
    assert changed_answers([1, 0], [1, 0]) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: errors_fixed([3], [2]), r"fixed: \[3\] of \[2\] given"),
        (lambda: errors_fixed([0], [0]), "fixed:"),
        (lambda: errors_fixed([0.5], [2]), "fixed:"),
        (lambda: errors_fixed([1, 1], [2]), "fixed:"),
        (lambda: changed_answers([0, 1], [1]), "after: shape"),
        (lambda: changed_answers([0, 2], [1, 0]), "after: shape"),
    ],
)
def test_what_are_no_counts_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
