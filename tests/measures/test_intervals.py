import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.intervals import Interval, bootstrap_interval, check_confidence

INF = float("inf")


@pytest.mark.parametrize("statistic", ["median", "mean"])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_few_values_use_every_resample(statistic, confidence):
    values = [3.0, 1.0, 10.0, 4.0]
    reduce = getattr(statistics, statistic)
    resampled = sorted(reduce(resample) for resample in itertools.product(values, repeat=4))
    tail = (1 - confidence) / 2
    interval = bootstrap_interval(values, statistic, confidence)
    assert interval.estimate == reduce(values)
    assert interval.low == pytest.approx(resampled[math.ceil(tail * 256 - 1e-9) - 1])
    assert interval.high == pytest.approx(resampled[math.ceil((1 - tail) * 256 - 1e-9) - 1])
    assert interval.n == 4


def test_few_values_leave_nothing_to_chance():
    # the means of the four resamples are 0, 1/2, 1/2, 1, so that the quartiles lie on steps of the distribution
    for seed in range(20):
        interval = bootstrap_interval([0.0, 1.0], "mean", confidence=0.5, seed=seed)
        assert (interval.low, interval.high) == (0.0, 0.5)


def test_many_values_are_resampled_reproducibly():
    values = np.random.default_rng(0).normal(5, 2, size=100)
    interval = bootstrap_interval(torch.from_numpy(values), "mean")
    assert interval == bootstrap_interval(values, "mean")
    assert interval != bootstrap_interval(values, "mean", seed=1)
    half_width = 1.96 * values.std() / 10
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.05)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.05)


def test_coverage_of_the_mean_is_near_nominal():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.normal(size=20), "mean", 0.9) for _ in range(200)]
    covered = np.mean([x.low <= 0 <= x.high for x in intervals])
    assert 0.8 <= covered <= 0.96


def test_censored_values():
    assert bootstrap_interval([1.0, 2.0, INF]) == Interval(2.0, 1.0, INF, 3)
    assert bootstrap_interval([1.0, INF, INF]) == Interval(INF, 1.0, INF, 3)
    assert bootstrap_interval([INF] * 7) == Interval(INF, INF, INF, 7)
    assert bootstrap_interval([1.0, 2.0, INF, INF]).estimate == INF
    mostly_seen = bootstrap_interval([*range(20), INF])
    assert mostly_seen.high < 20
    assert bootstrap_interval([1.0, INF], "mean").estimate == INF


def test_one_value_has_no_interval():
    interval = bootstrap_interval([4.0])
    assert (interval.estimate, interval.n) == (4.0, 1)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-1000, 1000).map(float) | st.just(INF), min_size=2, max_size=7),
    statistic=st.sampled_from(["median", "mean"]),
)
def test_ends_are_ordered_within_the_range_and_equivariant(values, statistic):
    interval = bootstrap_interval(values, statistic)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    doubled = bootstrap_interval([2 * v for v in values], statistic)
    assert (doubled.low, doubled.high) == (2 * interval.low, 2 * interval.high)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "values: shape"),
        ({"values": [[1.0]]}, "values: shape"),
        ({"values": [1.0, float("nan")]}, "values: .*nan"),
        ({"values": [1.0, -INF]}, "values: .*inf"),
        ({"values": [1.0, 2.0], "confidence": 95}, "confidence: 95 given"),
        ({"values": [1.0, 2.0], "statistic": "mode"}, "statistic: 'mode' given"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**arguments)


@pytest.mark.parametrize("confidence", [0, 1, 1.5, -0.1, np.nan])
def test_confidence(confidence):
    with pytest.raises(ValueError, match="confidence: "):
        check_confidence(confidence)
    check_confidence(0.5)
