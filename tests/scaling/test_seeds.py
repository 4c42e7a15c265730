"""Several seeds of a size as one row: means and errors by hand, and verdicts that follow."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import pooled_over_seeds, shape_table
from probe.scaling.tidy import tidy_table

SIZES = np.geomspace(1e5, 1e8, 6)


def seeds(spread, n_items=400, n_seeds=3):
    rng = np.random.default_rng(0)
    rows = []
    for i, size in enumerate(SIZES):
        for seed in range(n_seeds):
            value = 0.1 + 0.12 * i + spread * rng.normal()
            rows.append([f"d{2**i}-s{seed}", size, "sums", "accuracy", value, n_items, 0.0, seed])
    columns = ["model", "n_params", "task", "metric", "value", "n_items", "chance", "seed"]
    return tidy_table(pd.DataFrame(rows, columns=columns))


def test_the_mean_with_the_larger_of_both_errors():
    table = seeds(0.1)
    found = pooled_over_seeds(table)
    assert found["model"].tolist() == [f"d{2**i}" for i in range(6)]
    assert len(found) == 6
    first = table[table["n_params"] == SIZES[0]]["value"]
    assert found["value"][0] == pytest.approx(first.mean())
    by_items = np.sqrt((first * (1 - first) / 400).mean())
    assert found["stderr"][0] == pytest.approx(max(first.std(ddof=1) / np.sqrt(3), by_items))
    alike = pooled_over_seeds(seeds(0.0))
    np.testing.assert_allclose(alike["stderr"], np.sqrt(alike["value"] * (1 - alike["value"]) / 400))
    one = pooled_over_seeds(seeds(0.0, n_seeds=1))
    np.testing.assert_allclose(one["stderr"], np.sqrt(one["value"] * (1 - one["value"]) / 400))
    unknown = pooled_over_seeds(seeds(0.1, n_items=np.nan))
    assert unknown["stderr"][0] == pytest.approx(first.std(ddof=1) / np.sqrt(3))


def test_seeds_that_are_pooled_have_one_verdict():
    assert shape_table(pooled_over_seeds(seeds(0.01)), progress=False)["kind"].tolist() == ["power_law"]
    fewer = pooled_over_seeds(seeds(0.01)[1:])  # one size has two
    assert shape_table(fewer, progress=False)["n"].tolist() == [6]


def test_what_are_no_seeds_is_refused():
    with pytest.raises(ValueError, match="seed: 'seeds' given, expected a column; the table has model"):
        pooled_over_seeds(seeds(0.1), "seeds")
    with pytest.raises(ValueError, match="seed: 0 is there twice for d1 in sums"):
        pooled_over_seeds(pd.concat([seeds(0.1), seeds(0.1)]))
    with pytest.raises(ValueError, match="chance: seeds of d1 in sums have several"):
        pooled_over_seeds(seeds(0.1).assign(chance=lambda table: 0.01 * table["seed"]))
