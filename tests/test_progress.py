"""How far long work is, told as a person reads it in a log."""

import re
from types import SimpleNamespace

import pytest

from probe.progress import progress_shown, time_left


@pytest.mark.parametrize(
    ("elapsed", "done", "left", "says"),
    [
        (10, 1, 1, "about 10 s left"),
        (10, 0.25, 0.75, "about 30 s left"),
        (89, 5, 5, "about 89 s left"),
        (90, 5, 5, "about 2 min left"),
        (600, 1, 60, "about 600 min left"),
        (7, 3, 0, "about 0 s left"),
        (1234, 0, 5, "1,234 s so far"),
    ],
)
def test_the_time_left_is_that_of_what_was_done_so_far(elapsed, done, left, says):
    assert time_left(elapsed, done, left) == says


def test_what_was_done_before_counts_in_the_share_but_not_in_the_pace(capsys, monkeypatch):
    clock = iter([0.0, 20.0, 25.0, 40.0])
    monkeypatch.setattr("probe.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress_shown("counting", 50, 100, shown=True) as advance:
        for more in (10, 5, 5):
            advance(more, "so far")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["counting", " 60%  so far · about 80 s left", " 70%  so far · about 60 s left"]


def test_nothing_is_said_where_nothing_is_asked_for(capsys):
    with progress_shown("counting", 0, 0, shown=False) as advance:
        advance(1, "")
    assert not re.search(r"\S", capsys.readouterr().err)
