"""Tables of where abilities emerge: the published ones, and the same form from a suite."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import emergence_table, published_emergence, published_mmlu, shape_table
from probe.scaling.tidy import COLUMNS, tidy_table

SIZES = np.array([1e8, 1e9, 1e10, 7e10, 5.4e11])


def suite(**change):
    values = {"sums": [0.0, 0.0, 0.04, 0.4, 0.8], "reading": [0.25, 0.26, 0.45, 0.6, 0.8], "riddles": [0.0] * 5}
    parts = []
    for task, value in values.items():
        part = {"model": [f"m{i}" for i in range(5)], "n_params": SIZES, "tokens": 20 * SIZES}
        part |= {"flops": 120 * SIZES**2, "task": task, "metric": "accuracy", "n_shot": 5, "value": value}
        parts.append(pd.DataFrame(part).assign(n_items=500, chance=0.25 if task == "reading" else 0.0))
    return tidy_table(pd.concat(parts).assign(**change))


def test_the_published_table():
    table = published_emergence()
    assert len(table) == 22
    assert table["prompting"].value_counts().to_dict() == {"augmented": 13, "few-shot": 9}
    addition = table.set_index("task").loc["3-digit addition"]
    assert (addition["flops"], addition["n_params"], addition["model"]) == (2.3e22, 13e9, "GPT-3")
    scratchpad = table.set_index("task").loc["scratchpad 8-digit addition"]
    assert (scratchpad["flops"], scratchpad["n_params"]) == (8.9e19, 40e6)
    assert table["flops"].is_monotonic_increasing is False
    assert table["flops"].between(8.9e19, 2.5e24).all()
    assert table["source"].str.contains("2206.07682").all()


def test_published_mmlu_is_tidy_and_size_does_not_order_it():
    table = published_mmlu()
    assert tuple(table.columns) == (*COLUMNS, "family", "source")
    assert len(table) == 11
    value = table.set_index("model")["value"]
    assert value["Chinchilla 70B"] == 0.675
    assert value["LLaMA 13B"] > value["GPT-3 175B"]  # smaller, on more data
    for _, family in table.groupby("family"):
        assert family["value"].is_monotonic_increasing
    palm = shape_table(table[table["family"] == "PaLM"], progress=False)
    assert palm["kind"].tolist() == ["undecided"]  # three sizes
    assert np.isnan(palm["probability"][0])


def test_a_suite_in_the_form_of_the_published_table():
    found = emergence_table(suite()).set_index("task")
    assert {"flops", "n_params", "model", "low", "high", "kind", "reason"} <= set(found.columns)
    sums = found.loc["sums"]
    assert (sums["model"], sums["n_params"], sums["flops"]) == ("m2", 1e10, 120 * 1e20)
    assert sums["low"] >= 1e9
    assert sums["high"] <= 7e10
    assert found.loc["reading", "model"] == "m2"
    riddles = found.loc["riddles"]
    assert pd.isna(riddles["model"])
    assert (riddles["low"], riddles["high"]) == (5.4e11, np.inf)
    assert riddles["kind"] == "flat"
    assert "not above chance" in riddles["reason"]
    by_flops = emergence_table(suite(), along="flops").set_index("task")
    assert by_flops.loc["sums", "low"] == pytest.approx(120 * sums["low"] ** 2)


def test_what_is_unknown_is_said():
    assert (emergence_table(suite(chance=np.nan))["reason"] == "the chance level is unknown").all()
    found = emergence_table(suite(n_items=np.nan)).set_index("task")
    assert found.loc["sums", "reason"] == "the sampling error is unknown"
    one = emergence_table(suite()[lambda table: table["model"] == "m4"]).set_index("task")
    assert one.loc["sums", "reason"] == "one size, and it is above chance"
    with pytest.raises(ValueError, match="along: 'step' given, expected n_params"):
        emergence_table(suite(), along="step")
    twice = suite().assign(model=lambda table: table["model"] + table["task"])
    twice.loc[twice["n_params"] == 1e9, "n_params"] = 1e8
    with pytest.raises(ValueError, match=r"'task': 'reading'.*scale: 1e\+08 given 2 times"):
        emergence_table(twice)
