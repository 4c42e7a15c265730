"""Size against data from tables: laws and crossings that are known."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import beyond_loss_table, catch_up_table, equal_compute_table, loss_law_table
from probe.scaling.tidy import tidy_table

SIZES, TOKENS = np.geomspace(7e7, 1.6e10, 6), np.geomspace(1e9, 1e12, 7)


def law(n_params, tokens):
    return 1.69 + 406.4 / n_params**0.34 + 410.7 / tokens**0.28


@pytest.fixture(scope="module")
def losses():
    n_params, tokens = (grid.ravel() for grid in np.meshgrid(SIZES, TOKENS))
    columns = {"model": [f"m{size:.0e}" for size in n_params], "n_params": n_params, "tokens": tokens}
    columns |= {"step": np.round(tokens / 1e6), "task": "text", "metric": "loss", "value": law(n_params, tokens)}
    return tidy_table(pd.DataFrame(columns))


def test_the_law_of_a_table(losses):
    found = loss_law_table(losses)
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["task"], row["metric"], row["n"]) == ("text", "loss", 42)
    assert row["size_exponent"] == pytest.approx(0.34, abs=2e-3)
    assert row["data_exponent"] == pytest.approx(0.28, abs=2e-3)
    assert row["size_exponent_low"] <= row["size_exponent"] <= row["size_exponent_high"]
    with pytest.raises(ValueError, match=r"'task': 'text'.*loss: 3 runs given"):
        loss_law_table(losses[:3])
    with pytest.raises(ValueError, match="table: no row has n_params and tokens"):
        loss_law_table(losses.assign(tokens=np.nan))


def test_a_smaller_model_gets_there_on_more_data(losses):
    """Of a larger one that stopped early; and where it has not the loss at any data, it does not."""
    large = losses["n_params"] == SIZES[4]
    stopped = losses[~large | (losses["tokens"] <= 3.2e10)]
    found = catch_up_table(stopped, rising=False)
    pair = found[(found["n_params"] == SIZES[3]) & (found["target_n_params"] == SIZES[4])].iloc[0]
    target = law(SIZES[4], pair["target_tokens"])
    assert pair["target"] == pytest.approx(target)
    assert law(SIZES[3], pair["tokens"]) == pytest.approx(target, abs=6e-3)  # linear between evaluations
    assert pair["low"] <= pair["tokens"] <= pair["high"]
    assert pair["data_ratio"] > 1
    assert pair["flops_ratio"] == pytest.approx(pair["data_ratio"] * SIZES[3] / SIZES[4])
    smallest = found[(found["n_params"] == SIZES[0]) & (found["target_n_params"] == SIZES[5])].iloc[0]
    assert np.isnan(smallest["tokens"])
    assert smallest["reason"] == "not reached with 1e+12"
    assert len(found) == 15  # every pair of six


def test_the_best_size_for_equal_compute(losses):
    """Where the law has it: N = G (C / 6)^(beta / (alpha + beta))."""
    flops = 1e21
    found = equal_compute_table(losses, [flops, 1e10]).set_index("flops")
    factor = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62)
    expected = factor * (flops / 6) ** (0.28 / 0.62)
    assert found.loc[flops, "best_size"] == pytest.approx(expected, rel=0.3)
    assert found.loc[flops, "low"] <= found.loc[flops, "best_size"] <= found.loc[flops, "high"]
    none = found.loc[1e10]
    assert none["n"] == 0
    assert np.isnan(none["best_size"])


def test_a_task_that_follows_loss_leaves_nothing_to_size(losses):
    rng = np.random.default_rng(0)
    follows = losses.assign(task="follows", metric="score", value=5 - losses["value"] + 0.01 * rng.normal(size=42))
    adds = losses.assign(task="adds", metric="score", value=np.log10(losses["n_params"]) - losses["value"])
    table = pd.concat([losses, follows, adds], ignore_index=True)
    found = beyond_loss_table(table, ("text", "loss")).set_index("task")
    assert found.loc["follows", "low"] < 0 < found.loc["follows", "high"]
    assert found.loc["adds", "low"] > 0.3
    assert (found["n"] == 42).all()
    with pytest.raises(ValueError, match=r"loss: \('text', 'ppl'\) given, which no row has"):
        beyond_loss_table(table, ("text", "ppl"))
    with pytest.raises(ValueError, match="is there more than once for m"):
        beyond_loss_table(pd.concat([table, losses]), ("text", "loss"))
