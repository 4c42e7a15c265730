"""Who learns in context, and when: on results that were written by hand."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import in_context_table

STEPS = (0, 10, 20, 30)


def of_model(model, n_params, scores, heads, half=0.1):
    """Rows of a model whose ICL score is one of ``scores`` at each step, and the scores of two heads."""
    rows = []

    def add(probe, step, metric, key, value, low=None, high=None):
        ends = {"": value} | ({} if low is None else {"_low": low, "_high": high})
        for end, number in ends.items():
            rows.append((model, n_params, 0, step, probe, f"{metric}{end}", key, number))

    for at, step in enumerate(STEPS):
        add("in_context", step, "icl_score", "test", scores[at], scores[at] - half, scores[at] + half)
        add("in_context", step, "icl_score", "uninformed", 0.0, -0.1, 0.1)
        add("in_context", step, "accuracy", "test/1", 0.2 * at, 0.2 * at - 0.05, 0.2 * at + 0.05)
        add("in_context", step, "accuracy", "uninformed/1", 0.125, 0.1, 0.15)
        add("in_context", step, "ceiling", "1", 1.0)
        add("head_roles", step, "induction", "uniform", 0.2)
        for head, score in heads.items():
            add("head_roles", step, "induction", head, score[at], score[at] - 0.05, score[at] + 0.05)
    return rows


@pytest.fixture
def results():
    columns = ["model", "n_params", "seed", "step", "probe", "metric", "key", "value"]
    large = of_model(
        "large", 900, [0.0, -0.9, -1.2, -2.0], {"L1.H0": [0.2, 0.1, 0.1, 0.1], "L1.H1": [0.2, 0.3, 0.7, 0.8]}
    )
    small = of_model("small", 100, [0.0, -0.1, -0.05, -0.15], {"L1.H0": [0.2, 0.2, 0.2, 0.24]})
    return pd.DataFrame(large + small, columns=columns)


def test_dates_are_of_half_the_way_and_censored_where_nothing_is_learned(results):
    table = in_context_table(results)
    assert table["model"].tolist() == ["small", "large"]
    small, large = table.iloc[0], table.iloc[1]
    assert large["learns"]
    assert (large["learned_step"], large["matching_step"], large["head"]) == (20, 20, "L1.H1")
    assert (large["icl_score"], large["icl_low"], large["uninformed_score"]) == (-2.0, -2.1, 0.0)
    assert large["accuracy"] == pytest.approx(0.6)
    assert (large["uninformed"], large["ceiling"], large["step"]) == (0.125, 1.0, 30)
    # below 0, and not below what sequences that tell nothing give; the head is within sampling error of the control
    assert not small["learns"]
    assert (small["learned_step"], small["matching_step"]) == (np.inf, np.inf)


def test_runs_without_head_roles_have_no_heads(results):
    table = in_context_table(results[results["probe"] == "in_context"])
    assert "head" not in table
    assert table["learns"].tolist() == [False, True]


def test_what_was_not_measured_is_said(results):
    with pytest.raises(ValueError, match="shown: got 3; the test sequences have 1"):
        in_context_table(results, shown=3)
    with pytest.raises(ValueError, match="no row is of the probe in_context"):
        in_context_table(results[results["probe"] == "head_roles"])
