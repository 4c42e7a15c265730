"""Curves of memorization and T(N, tau) from a results table of learners whose T is known."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling.memorization import exposures_to_memorize_table, memorization_curves, memorization_law
from tests.synthetic_memory import PER_STEP, STEPS, learner, suite


def test_curves_are_m_beside_its_control_and_what_is_beyond_it():
    curves = memorization_curves(pd.concat([learner("d8-s1", 100, 30, seed=1), learner("d4-s0", 50, 30, unseen=1.0)]))
    assert curves["model"].unique().tolist() == ["d4-s0", "d8-s1"]  # smallest first
    mine = curves[curves["model"] == "d8-s1"]
    assert (mine["step"].to_numpy() == STEPS).all()
    np.testing.assert_allclose(mine["exposures"], STEPS * PER_STEP)
    np.testing.assert_allclose(mine["beyond_rule"], 1 - np.exp(-STEPS * PER_STEP / 30), atol=1e-12)
    assert (mine["unseen"] == 0.1).all()
    assert (mine["size"].iloc[0], mine["seed"].iloc[0], mine["n_params"].iloc[0]) == ("d8", 1, 100)
    assert curves.loc[curves["model"] == "d4-s0", "beyond_rule"].isna().all()


def test_without_a_control_there_is_nothing_beyond_it():
    results = learner("d8-s0", 100, 30)
    curves = memorization_curves(results[results["key"] != "test"])
    assert curves["memorized"].notna().all()
    assert curves["unseen"].isna().all()
    assert curves["beyond_rule"].isna().all()


@pytest.mark.parametrize("tau", [0.3, 0.9])
def test_t_is_the_first_evaluation_at_the_share(tau):
    table = exposures_to_memorize_table(memorization_curves(learner("d8-s0", 100, 30)), tau)
    exact = -30 * np.log((1 - tau) / 0.9)
    (row,) = table.to_dict("records")
    assert row["above"] < exact <= row["reached"]
    at = STEPS * PER_STEP
    assert (row["above"], row["reached"]) == (at[at < exact].max(), at[at >= exact].min())


def test_what_was_not_reached_is_censored_at_the_budget():
    law = memorization_law(memorization_curves(learner("d8-s0", 100, 1e4)))
    assert np.isinf(law.models["reached"]).all()
    assert law.models["budget"].tolist() == [1000.0]
    assert law.sizes["n_censored"].tolist() == [1]
    assert law.law is None
    assert "3 sizes" in law.reason


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_exponent_that_was_planted_is_recovered_with_models_that_never_got_there(exponent):
    laws = [memorization_law(memorization_curves(suite(exponent, draw))) for draw in range(5)]
    intervals = [law.law.exponent for law in laws]
    assert sum(found.low < exponent < found.high for found in intervals) >= 4  # 95 % intervals of 5 draws
    assert all(found.high - found.low < 0.2 for found in intervals)
    law = laws[0]
    assert (law.sizes["n"] == 3).all()
    assert law.sizes["n_params"].is_monotonic_increasing
    assert law.sizes["n_censored"].sum() == (3 if exponent == 1 else 0)


def test_an_empty_table_is_refused():
    results = learner("d8-s0", 100, 30)
    curves = memorization_curves(results[results["probe"] != "recall"])
    assert curves.empty
    with pytest.raises(ValueError, match="curves: none given"):
        memorization_law(curves)
