"""What explains a jump, on items that are made so that it is known."""

import numpy as np
import pandas as pd
import pytest

from probe.scaling import errors_fixed_table, metric_table, product_law_table, resolution_table

SIZES = np.geomspace(1e7, 1e11, 9)
TOKEN_ACCURACY = np.linspace(0.3, 0.93, 9)
"""Right tokens rise evenly with the log of the size; answers of eight tokens are right if all are."""
N_TOKENS, N_ITEMS = 8, 300


def answers(n_items=N_ITEMS, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for i, (size, accuracy) in enumerate(zip(SIZES, TOKEN_ACCURACY, strict=True)):
        right = rng.random((n_items, N_TOKENS)) < accuracy
        common = pd.DataFrame({"model": f"m{i}", "n_params": size, "task": "sums", "item": np.arange(n_items)})
        rows.append(common.assign(metric="exact_match", score=right.all(1).astype(float)))
        rows.append(common.assign(metric="edit_similarity", score=right.mean(1)))
    return pd.concat(rows, ignore_index=True)


def test_a_jump_by_exact_match_is_a_line_by_tokens():
    found = metric_table(answers()).set_index("metric")
    assert found.loc["edit_similarity", "kind"] == "power_law"
    assert found.loc["exact_match", "kind"] in ("logistic", "broken", "jump", "undecided")
    assert found.loc["exact_match", "probability"] > 0
    assert found.loc["edit_similarity", "linearity"] > 1.5 * found.loc["exact_match", "linearity"]
    assert (found["n"] == 9).all()


def test_metrics_of_other_items_are_refused():
    items = answers(20)
    with pytest.raises(ValueError, match="metrics of sums were measured on different items for m0"):
        metric_table(items[1:])
    with pytest.raises(ValueError, match="column 'score' is missing"):
        metric_table(items.drop(columns="score"))


def test_how_many_items_would_have_shown_it():
    """Of the smallest, .3^8 = 7e-5 of the answers are right: it takes 46,000 items to see one."""
    rng = np.random.default_rng(1)
    rows = []
    for i, (size, accuracy) in enumerate(zip(SIZES, TOKEN_ACCURACY, strict=True)):
        right = (rng.random((N_ITEMS, N_TOKENS)) < accuracy).all(1)
        part = pd.DataFrame({"model": f"m{i}", "n_params": size, "task": "sums", "item": np.arange(N_ITEMS)})
        rows.append(part.assign(correct=right.astype(int), log_likelihood=np.log(accuracy), n_tokens=N_TOKENS))
    found = resolution_table(pd.concat(rows))
    assert found["n_params"].is_monotonic_increasing
    np.testing.assert_allclose(found["expected"], TOKEN_ACCURACY**8)
    first, last = found.iloc[0], found.iloc[-1]
    assert first["n_right"] == 0
    assert not first["enough"]
    assert first["needed"] == np.ceil(np.log(0.05) / np.log(1 - 0.3**8))
    assert last["enough"]
    assert found["compatible"].sum() >= 8


def steps_of(shared):
    """Two models, three steps; ``shared`` difficulty makes steps right together."""
    rng = np.random.default_rng(2)
    rows = []
    for model, size, accuracy in (("small", 1e8, 0.4), ("large", 1e10, 0.8)):
        difficulty = rng.random((400, 1)) if shared else rng.random((400, 3))
        right = np.broadcast_to(difficulty < accuracy, (400, 3))
        for name, column in zip(("read", "add", "write", "answer"), [*right.T, right.all(1)], strict=True):
            part = {"model": model, "n_params": size, "task": "sums", "item": np.arange(400), "step": name}
            rows.append(pd.DataFrame(part).assign(correct=column.astype(int)))
    return pd.concat(rows, ignore_index=True)


def test_steps_that_are_independent_and_steps_that_are_one():
    apart = product_law_table(steps_of(shared=False), "answer").set_index("model")
    assert apart.index.tolist() == ["small", "large"]
    assert apart.loc["small", "predicted"] == pytest.approx(0.4**3, abs=0.02)
    assert (apart["low"] <= apart["difference"]).all()
    assert apart["effective_steps"].between(2.6, 3.4).all()
    assert ((apart["dependence_low"] < 1) & (apart["dependence_high"] > 1)).all()
    together = product_law_table(steps_of(shared=True), "answer").set_index("model")
    assert together["effective_steps"].between(0.99, 1.01).all()
    assert together.loc["small", "dependence_low"] > 3
    assert together.loc["large", "step:add"] == pytest.approx(0.8, abs=0.06)


def test_steps_that_are_missing_are_refused():
    items = steps_of(shared=False)
    with pytest.raises(ValueError, match="whole: 'total' given, which no row has"):
        product_law_table(items, "total")
    with pytest.raises(ValueError, match="small in sums lacks a step of an item"):
        product_law_table(items[1:], "answer")


def test_errors_fixed_from_one_size_to_another():
    """The published counts, and two answers that only the smaller model has right."""
    kinds = np.repeat(["semantic", "one step missing", "other", "none"], [20, 18, 7, 5])
    after = np.concatenate([np.arange(n) < k for k, n in ((6, 20), (12, 18), (4, 7), (3, 5))]).astype(int)
    common = pd.DataFrame({"item": np.arange(50), "kind": kinds})
    small, large = common.assign(model="62B", correct=(kinds == "none") * 1), common.assign(model="540B", correct=after)
    table = errors_fixed_table(pd.concat([small, large]), "62B", "540B").set_index("kind")
    assert table.loc["semantic", ["fixed", "total"]].tolist() == [6, 20]
    assert table.loc["one step missing", "share"] == pytest.approx(12 / 18)
    assert table.loc["other", ["fixed", "total"]].tolist() == [4, 7]
    assert table.loc["all", ["fixed", "total", "broken"]].tolist() == [22, 45, 2]
    assert table.loc["all", "p"] == pytest.approx(0.0759, abs=1e-4)
    assert table.loc["all", "p_change"] < 1e-4
    assert table.loc["all", "low"] < 22 / 45 < table.loc["all", "high"]
    with pytest.raises(ValueError, match="after: '8B' given; there are 540B, 62B"):
        errors_fixed_table(pd.concat([small, large]), "62B", "8B")
    with pytest.raises(ValueError, match="62B and 540B were asked different items"):
        errors_fixed_table(pd.concat([small, large[1:]]), "62B", "540B")
