"""Dates of transitions read off a results table, and their summary over seeds."""

import math

import numpy as np
import pandas as pd
import pytest

from probe.report.verdict import keys_head, keys_text
from probe.scaling import by_size, transitions
from probe.scaling.transitions import size_label

STEPS = [0, 10, 20, 30, 40, 50]


def table(
    model: str,
    train: list[float],
    test: list[float] | None,
    n_params: int = 100,
    seed: int = 0,
    keys: tuple[int, ...] = (),
) -> pd.DataFrame:
    curves = {"train": train} | ({"test": test} if test is not None else {})
    rows = [
        (step, "performance", "accuracy", subset, value)
        for subset, values in curves.items()
        for step, value in zip(STEPS, values, strict=True)
    ]
    rows += [(50, "key_frequencies", "is_key", str(k), 1.0) for k in keys]
    rows += [(50, "key_frequencies", "is_key", "9", 0.0)]
    rows += [(50, "key_frequencies", "logit_cosine", str(k), 0.2) for k in range(1, 57)]
    frame = pd.DataFrame(rows, columns=["step", "probe", "metric", "key", "value"])
    return frame.assign(model=model, n_params=n_params, seed=seed, site="logits")


MEMORY = [0.1, 0.989, 0.99, 1.0, 1.0, 1.0]


def test_dates_are_steps_of_evaluations_at_the_thresholds():
    row = transitions(table("d8-s0", MEMORY, [0.1, 0.995, 0.2, 0.99, 1.0, 1.0], keys=(52, 6))).iloc[0]
    assert (row["memorized_step"], row["generalized_step"], row["plateau"]) == (20, 30, 10)
    assert (row["final_step"], row["final_train_accuracy"], row["final_test_accuracy"]) == (50, 1.0, 1.0)
    assert row["key_frequencies"] == (6, 52)
    assert (row["size"], row["seed"], row["n_params"]) == ("d8", 0, 100)
    assert math.isnan(row["final_test_nonmirror_accuracy"])


def test_key_irreps_are_those_that_the_probe_called_key():
    found = [("standard", 1.0), ("trivial", 0.0), ("sign", 1.0)]
    rows = pd.DataFrame([(50, "key_irreps", "is_key", key, value) for key, value in found])
    rows.columns = ["step", "probe", "metric", "key", "value"]
    results = pd.concat([table("d8-s0", MEMORY, MEMORY), rows.assign(model="d8-s0", n_params=100, seed=0)])
    row = transitions(results).iloc[0]
    assert (row["key_irreps"], row["key_frequencies"]) == (("standard", "sign"), ())
    assert (keys_text(row), keys_head(transitions(results))) == ("standard, sign", "key irreps")
    without = transitions(table("d8-s0", MEMORY, MEMORY, keys=(3, 1)))
    assert (keys_text(without.iloc[0]), keys_head(without)) == ("1, 3", "key frequencies")


def test_rows_out_of_order_give_the_same_dates():
    results = table("d8-s0", MEMORY, [0.1, 0.1, 0.2, 0.99, 1.0, 1.0])
    shuffled = results.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(transitions(results), transitions(shuffled))


@pytest.mark.parametrize(
    ("train", "test", "memorized", "generalized"),
    [
        (MEMORY, [0.1, 0.1, 0.1, 0.1, 1.0, 1.0], 20, math.nan),  # only two in a row before the budget ends
        ([0.5] * 6, [0.1] * 6, math.nan, math.nan),
        ([0.1, 1.0, math.nan, math.nan, math.nan, math.nan], [math.nan] * 6, 10, math.nan),
        (MEMORY, None, 20, math.nan),
    ],
)
def test_what_did_not_happen_within_the_budget_is_nan(train, test, memorized, generalized):
    row = transitions(table("d8-s0", train, test)).iloc[0]
    np.testing.assert_equal(row["memorized_step"], memorized)
    np.testing.assert_equal(row["generalized_step"], generalized)
    assert math.isnan(row["plateau"])


def test_diverged_step_is_the_first_loss_that_is_not_finite():
    results = table("d8-s0", MEMORY, None)
    losses = results[results["metric"] == "accuracy"].assign(
        metric="loss", value=[1.0, 0.5, math.inf, 0.4, math.nan, 1.0]
    )
    assert transitions(pd.concat([results, losses])).iloc[0]["diverged_step"] == 20
    assert math.isnan(transitions(results).iloc[0]["diverged_step"])


def test_a_model_that_diverged_was_measured_and_one_without_test_pairs_was_not():
    diverged = table("d8-s0", MEMORY, [math.nan] * 6, 100, 0)
    untested = table("d8-s1", MEMORY, None, 100, 1)
    both = transitions(pd.concat([diverged, untested]))
    assert list(both["test_measured"]) == [True, False]
    assert all(both["train_measured"])
    assert by_size(both)["generalized_step_median"].item() == math.inf  # only the first counts, as censored
    twice = untested[untested["step"] < 20].assign(key="test")
    assert not transitions(twice)["test_measured"].item()  # three in a row were not possible


def test_models_are_sorted_by_parameters_then_seed():
    grok = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    results = pd.concat(
        [
            table("d16-s1", MEMORY, grok, 300, 1),
            table("d8-s0", MEMORY, grok, 100, 0),
            table("d16-s0", MEMORY, grok, 300, 0),
        ]
    )
    assert list(transitions(results)["model"]) == ["d8-s0", "d16-s0", "d16-s1"]


def test_by_size_counts_censored_seeds_as_later_than_all_others():
    early, late, never = [0, 0, 0, 1.0, 1, 1], [0, 0, 0, 0.98, 1, 1], [0.0] * 6
    results = pd.concat(
        [
            *(table(f"d8-s{i}", MEMORY, test, 100, i) for i, test in enumerate([early, never, late])),
            *(table(f"d16-s{i}", MEMORY, early, 300, i) for i in range(3)),
        ]
    )
    small, large = by_size(transitions(results)).to_dict("records")
    assert (small["size"], small["n_params"], small["n"]) == ("d8", 100, 3)
    assert (small["n_memorized"], small["n_generalized"]) == (3, 1)
    assert small["generalized_step_median"] == math.inf
    assert (small["generalized_step_low"], small["generalized_step_high"]) == (30, math.inf)
    assert small["memorized_step_median"] == 20
    assert (large["generalized_step_median"], large["plateau_median"], large["plateau_low"]) == (30, 10, 10)


def test_what_was_not_measured_is_no_evidence_against_generalization():
    (row,) = by_size(transitions(table("d8-s0", MEMORY, None))).to_dict("records")
    assert math.isnan(row["generalized_step_median"])
    assert math.isnan(row["plateau_median"])
    assert row["memorized_step_median"] == 20
    assert math.isnan(row["memorized_step_low"])  # one seed has no spread


def test_plateau_of_a_model_that_did_not_memorize_is_left_out():
    grok, never = [0, 0, 0, 1.0, 1, 1], [0.0] * 6
    results = pd.concat([table("d8-s0", MEMORY, grok, 100, 0), table("d8-s1", never, never, 100, 1)])
    (row,) = by_size(transitions(results)).to_dict("records")
    assert row["plateau_median"] == 10
    assert row["memorized_step_median"] == math.inf


def test_no_models_give_empty_tables():
    empty = transitions(table("d8-s0", MEMORY, None).iloc[:0])
    assert empty.empty
    assert "generalized_step" in empty
    assert by_size(empty).empty


def test_missing_column_is_named():
    with pytest.raises(ValueError, match="n_params"):
        transitions(table("d8-s0", MEMORY, None).drop(columns="n_params"))


@pytest.mark.parametrize(
    ("model", "size"), [("d128-s0", "d128"), ("d128-f0.2-s12", "d128-f0.2"), ("wide", "wide"), ("a-small", "a-small")]
)
def test_size_label_is_the_name_without_its_seed(model, size):
    assert size_label(model) == size
