from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.training.settings import Schedule


def test_log_spaced_early_and_evenly_spaced_later():
    assert Schedule(per_decade=3, log_until=100, every=100).up_to(350) == (
        0, 1, 2, 5, 10, 22, 46, 100, 200, 300, 350,
    )  # fmt: skip
    assert Schedule(log_until=0, every=None, steps=(7, 3)).up_to(5) == (0, 3, 5)


@given(
    per_decade=st.integers(1, 20),
    log_until=st.integers(0, 500),
    every=st.none() | st.integers(1, 300),
    steps=st.lists(st.integers(0, 900), max_size=4),
    last=st.integers(0, 700),
)
def test_a_schedule_ascends_from_the_first_step_to_the_last(per_decade, log_until, every, steps, last):
    found = Schedule(per_decade, log_until, every, tuple(steps)).up_to(last)
    assert found[0] == 0
    assert found[-1] == last
    assert all(a < b for a, b in pairwise(found))
    assert {step for step in steps if step <= last} <= set(found)
    if every:
        assert set(range(0, last, every)) <= set(found)


@pytest.mark.parametrize("fields", [{"per_decade": 0}, {"log_until": -1}, {"every": 0}, {"steps": (-3,)}])
def test_bad_fields_are_named(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}: got"):
        Schedule(**fields)
