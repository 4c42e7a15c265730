"""Verdicts curve by curve: the same as of each alone, and what is known of each."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from probe import scaling
from probe.scaling import shape, shape_table, threshold
from probe.scaling.tidy import tidy_table
from probe.scaling.verdicts import standard_errors

SIZES = np.geomspace(1e7, 1e12, 8)
JUMP = np.array([0, 0, 0, 0, 0.3, 0.32, 0.31, 0.33])


def rows(task="sums", value=JUMP, step=10, **columns):
    names = [f"m{i}" for i in range(len(value))]
    frame = pd.DataFrame({"model": names, "n_params": SIZES[: len(value)], "step": step, "task": task, "value": value})
    return frame.assign(**({"metric": "accuracy", "n_items": 200, "chance": 0.0} | columns))


def test_a_row_per_curve_as_of_each_alone():
    line = np.linspace(2.9, 2.1, 8)
    table = tidy_table(pd.concat([rows(), rows("loss", line, metric="loss", stderr=0.01, chance=np.nan)]))
    found = shape_table(table, progress=False).set_index("task")
    error = np.sqrt(JUMP * (1 - JUMP) / 200)
    alone, left = shape(SIZES, JUMP, error, 0.0), threshold(SIZES, JUMP, error, 0.0)
    sums = found.loc["sums"]
    assert (sums["kind"], sums["n"]) == (alone.kind, 8)
    assert sums["kind"] == "jump"
    assert sums["probability"] == alone.probabilities["jump"]
    assert sums[["place", "place_low", "place_high"]].tolist() == [SIZES[4], SIZES[3], SIZES[4]]
    assert sums[["threshold", "threshold_low", "threshold_high"]].tolist() == [left.scale, left.low, left.high]
    assert left.scale == SIZES[4]
    assert np.isnan([sums["change_low"], sums["change_high"]]).all()
    loss = found.loc["loss"]
    assert loss["kind"] == "power_law"
    assert np.isnan([loss["threshold"], loss["place"]]).all()
    assert loss["threshold_reason"] == "the chance level is unknown"


def test_models_count_at_their_last_step_and_steps_are_a_curve_of_each_model():
    table = tidy_table(pd.concat([rows(value=JUMP * step / 40, step=step) for step in (10, 20, 30, 35, 40)]))
    found = shape_table(table, progress=False)
    assert len(found) == 1
    assert found["place"][0] == SIZES[4]
    over_steps = shape_table(table, along="step", progress=False).set_index("model")
    assert over_steps.index.tolist() == [f"m{i}" for i in range(8)]
    assert (over_steps["n"] == 5).all()
    assert over_steps.loc["m7", "kind"] != "flat"
    assert over_steps.loc["m0", "kind"] == "flat"


def test_errors_are_binomial_where_only_the_items_are_known():
    curve = tidy_table(rows(stderr=[np.nan] * 7 + [0.5]))
    found = standard_errors(curve)
    np.testing.assert_allclose(found, [*np.sqrt(JUMP[:7] * (1 - JUMP[:7]) / 200), 0.5])
    unknown = tidy_table(rows(n_items=np.nan))
    assert standard_errors(unknown) is None
    assert shape_table(unknown, progress=False)["threshold_reason"][0] == "the sampling error is unknown"


def test_of_a_flat_curve_it_says_what_may_have_been_missed():
    flat = tidy_table(rows(value=np.array([0.3, 0.28, 0.31, 0.29, 0.3, 0.32, 0.29, 0.3]), chance=0.25))
    found = shape_table(flat, progress=False).iloc[0]
    assert found["kind"] == "flat"
    assert -0.12 < found["change_low"] < 0 < found["change_high"] < 0.12


def test_a_curve_below_chance_does_not_stop_the_others():
    below = rows("inverse", np.r_[np.full(4, 0.4), np.full(4, 0.1)]).assign(chance=0.5)
    table = pd.concat([tidy_table(rows()), tidy_table(below.assign(chance=0.0)).assign(chance=0.5)])
    found = shape_table(table, progress=False).set_index("task")
    assert found.loc["sums", "threshold"] == SIZES[4]
    assert found.loc["inverse", "kind"] == "jump"
    assert np.isnan(found.loc["inverse", "threshold"])
    assert "standard errors below it" in found.loc["inverse", "threshold_reason"]


def test_other_columns_tell_curves_apart_and_one_size_twice_is_named():
    both = pd.concat([rows(seed=0), rows(seed=1, value=JUMP[::-1])])
    found = shape_table(tidy_table(both), progress=False)
    assert found["seed"].tolist() == [0, 1]
    again = pd.concat([rows(), rows().assign(model="other")[:1]])
    with pytest.raises(ValueError, match=r"'task': 'sums'.*scale: 1e\+07 given 2 times"):
        shape_table(tidy_table(again), progress=False)
    with pytest.raises(ValueError, match="one size given"):
        shape_table(tidy_table(rows()[:1]), progress=False)
    with pytest.raises(ValueError, match="along: no row of the table has flops"):
        shape_table(tidy_table(rows()), along="flops")
    with pytest.raises(ValueError, match="along: 'size' given, expected n_params"):
        shape_table(tidy_table(rows()), along="size")


def test_progress_is_shown_on_the_error_stream(capsys):
    shape_table(tidy_table(rows()))
    assert "1 curves" in capsys.readouterr().err


def test_the_fixed_names_are_there_and_loading_them_is_left_to_their_use():
    tell = "import sys, probe.scaling; print('torch' in sys.modules, 'scipy' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["False", "False"]
    for name in scaling.__all__:
        assert name in dir(scaling)
        assert getattr(scaling, name).__name__ == name
    with pytest.raises(AttributeError, match=r"'probe\.scaling' has no attribute 'shapes'; it offers"):
        _ = scaling.shapes
    # a module of that name would take the place of the function once it is imported
    from pathlib import Path

    modules = {path.stem for path in Path(scaling.__file__).parent.iterdir()} - {"transitions"}
    assert modules.isdisjoint(scaling.__all__)
