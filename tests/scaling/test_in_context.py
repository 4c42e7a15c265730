"""Who learns in context, and when: on results whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import in_context_table
from tests.report.synthetic_transition import COLUMNS, STEPS, step_up

LOSS = np.log(8)
NOISE = 0.003
"""Deviations, in shares of what a curve covers."""


def run(model, learned, matched, n_params=1000, grid=STEPS, heads=("L0.H0", "L1.H0", "L1.H1"), gained=0.0):
    """The ICL score covers half of its way at ``learned``, the prefix matching of the last head at ``matched``."""
    rng = np.random.default_rng(len(model) + n_params)
    at = np.asarray(grid)
    curves = {}

    def add(probe, metric, key, values, half=None):
        curves[probe, metric, key] = values
        if half is not None:
            curves[probe, f"{metric}_low", key], curves[probe, f"{metric}_high", key] = values - half, values + half

    score = -0.9 * LOSS * (step_up(at, learned) + NOISE * rng.normal(size=len(at)))
    accuracy = 0.125 + 0.7 * step_up(at, learned)
    add("in_context", "icl_score", "test", score, 0.05)
    add("in_context", "icl_score", "train", -0.95 * LOSS * step_up(at, 250), 0.05)
    add("in_context", "icl_score", "uninformed", np.full(len(at), 0.01), 0.05)
    add("in_context", "icl_score", "shuffled", np.full(len(at), -0.4), 0.05)
    add("in_context", "icl_gain", "test", score + gained, 0.05)
    add("in_context", "accuracy", "test/0", np.full(len(at), 0.125), 0.02)
    for shown in (1, 2):
        add("in_context", "accuracy", f"test/{shown}", accuracy + 0.05 * (shown - 1), 0.02)
        add("in_context", "accuracy", f"uninformed/{shown}", np.full(len(at), 0.12 + 0.01 * shown), 0.02)
        add("in_context", "accuracy", f"shuffled/{shown}", np.full(len(at), 0.3 + 0.01 * shown), 0.02)
        add("in_context", "ceiling", str(shown), np.full(len(at), 1.0))
    for head in heads:
        gain = 0.8 * step_up(at, matched) if head == heads[-1] else np.full(len(at), 0.001)
        gain = gain + NOISE * rng.normal(size=len(at))
        # the first looks by position alone where copies are, and where others have theirs
        elsewhere = 0.1 + 0.9 * step_up(at, 30) * (head == "L0.H0")
        add("head_roles", "induction", head, elsewhere + gain, 0.02)
        add("head_roles", "induction_elsewhere", head, elsewhere, 0.02)
        add("head_roles", "induction_gain", head, gain, 0.02)
    if heads:
        add("head_roles", "induction", "uniform", np.full(len(at), 0.1))
    rows = [
        (int(step), probe, metric, key, "", float(value))
        for (probe, metric, key), values in curves.items()
        for step, value in zip(at, values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["step", "probe", "metric", "key", "site", "value"])
    return table.assign(suite="made", model=model, seed=int(model[-1]), n_params=n_params)[COLUMNS]


def test_dates_are_those_that_were_put_in():
    results = pd.concat([run("d16-s1", 600, 400, n_params=2000), run("d8-s0", 500, 520), run("d8-s1", 400, 700)])
    table = in_context_table(results.sample(frac=1, random_state=0))
    assert table["model"].tolist() == ["d8-s0", "d8-s1", "d16-s1"]
    assert table["learns"].all()
    assert table["first"].tolist() == ["", "score", "heads"]
    for what, truth in (("learned", np.array([500, 400, 600])), ("matching", np.array([520, 700, 400]))):
        assert table[f"{what}_step"].tolist() == pytest.approx(truth, abs=10)
        assert (table[f"{what}_low"] <= truth).all()
        assert (table[f"{what}_high"] >= truth).all()
        assert (table[f"{what}_high"] - table[f"{what}_low"]).max() < 100


def test_what_is_reached_is_that_of_the_last_step_beside_its_control():
    results = run("d8-s0", 500, 520)
    (row,) = in_context_table(results).to_dict("records")
    assert row["step"] == 2000
    assert row["icl_score"] == pytest.approx(-0.9 * LOSS, abs=0.03)
    assert (row["icl_low"], row["icl_high"]) == pytest.approx((row["icl_score"] - 0.05, row["icl_score"] + 0.05))
    assert (row["uninformed_score"], row["shuffled_score"]) == (0.01, -0.4)
    assert (row["icl_gain_low"], row["icl_gain_high"]) == pytest.approx(
        (row["icl_gain"] - 0.05, row["icl_gain"] + 0.05)
    )
    assert row["icl_gain"] == row["icl_score"]
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.825, 0.805, 0.845))
    assert (row["uninformed"], row["shuffled"], row["ceiling"]) == (0.13, 0.31, 1.0)
    # a head that goes by position alone has the largest score, and is none
    assert row["head"] == "L1.H1"
    assert row["gain"] == pytest.approx(0.8, abs=0.02)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((row["gain"] - 0.02, row["gain"] + 0.02))
    assert row["matching_elsewhere"] == pytest.approx(0.1)
    assert row["matching"] == pytest.approx(row["gain"] + 0.1)
    (two,) = in_context_table(results, shown=2).to_dict("records")
    assert (two["accuracy"], two["uninformed"]) == pytest.approx((0.875, 0.14))


def test_who_learns_nothing_is_censored():
    (row,) = in_context_table(run("d8-s0", np.inf, np.inf)).to_dict("records")
    assert not row["learns"]
    assert (row["learned_step"], row["matching_step"]) == (np.inf, np.inf)
    assert row["first"] == ""
    # a score far below 0 that shuffled sequences have as well
    (row,) = in_context_table(run("d8-s0", 500, 520, gained=0.88 * LOSS)).to_dict("records")
    assert row["icl_gain"] < 0 < row["icl_gain_high"]
    assert row["icl_high"] < 0
    assert not row["learns"]
    assert row["learned_step"] == np.inf
    assert row["matching_step"] == pytest.approx(520, abs=10)
    assert row["first"] == ""  # of two, of which one has no date


def test_few_evaluations_have_no_date():
    (row,) = in_context_table(run("d8-s0", 500, 520, grid=np.arange(0, 2001, 250))).to_dict("records")
    assert row["learns"]
    assert np.isnan([row["learned_step"], row["learned_high"], row["matching_step"]]).all()
    (row,) = in_context_table(run("d8-s0", 500, 520, grid=np.arange(0, 1101, 100))).to_dict("records")
    assert row["learned_low"] <= 500 <= row["learned_high"]
    broken = run("d8-s0", 500, 520)
    broken.loc[(broken["step"] == 25) & broken["metric"].isin(["icl_score", "induction_gain"]), "value"] = np.nan
    (row,) = in_context_table(broken).to_dict("records")
    assert row["learned_step"] == pytest.approx(500, abs=10)


def test_runs_without_head_roles_have_no_heads():
    table = in_context_table(run("d8-s0", 500, 520, heads=()))
    assert "head" not in table
    assert "first" not in table
    assert table["learned_step"].item() == pytest.approx(500, abs=10)


def test_what_was_not_measured_is_said():
    results = run("d8-s0", 500, 520)
    with pytest.raises(ValueError, match="shown: got 3; the test sequences have 0, 1, 2"):
        in_context_table(results, shown=3)
    with pytest.raises(ValueError, match="no row is of the probe in_context"):
        in_context_table(results[results["probe"] == "head_roles"])
