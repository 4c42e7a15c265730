"""Operands side by side: counted by hand, and as published for Pythia."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probe.scaling.operands import EVALUATION, neighbour_contrasts, operand_accuracies, operand_contrasts
from probe.scaling.published import read_operand_accuracies
from probe.tasks import Multiplication

PYTHIA = Path(__file__).resolve().parents[3] / "shared" / "data" / "pythia" / "pythia_arithmetic_by_operand.csv.gz"


def table(accuracy, operands=range(100), step=10, model="m", n_params=5, n_items=50):
    frame = pd.DataFrame({"operand": list(operands), "accuracy": [accuracy(n) for n in operands], "n_items": n_items})
    return frame.assign(model=model, n_params=n_params, step=step, n_shot=0, operation="multiplication")


@pytest.mark.parametrize("shown", [True, False])
def test_accuracies_by_operand_are_counted_fact_by_fact(shown):
    task = Multiplication("2-6", held_out=0.4)
    rng = np.random.default_rng(0)
    exact = xr.DataArray(rng.integers(2, size=(2, 25)), dims=("step", "example"), coords={"step": [0, 7]})
    found = operand_accuracies(task, exact, "m", 5, shown=shown)
    assert tuple(found.columns) == (*EVALUATION, "operand", "accuracy", "n_items")
    for row in found.to_dict("records"):
        facts = [
            i for i, (a, _) in enumerate(task.facts.tolist()) if a == row["operand"] and task.train_mask[i] == shown
        ]
        assert row["n_items"] == len(facts)
        assert row["accuracy"] == pytest.approx(exact.sel(step=row["step"]).values[facts].mean())
    assert set(found["step"]) == {0, 7}
    assert set(found["operation"]) == {"multiplication"}


def test_operands_that_are_compared_are_asked_with_the_same_others():
    task = Multiplication("2-9", held_out=0.3, split="ordered")
    right = np.random.default_rng(0).integers(2, size=(1, 64))
    exact = xr.DataArray(right, dims=("step", "example"), coords={"step": [0]})
    shown = {(a, b): i for i, (a, b) in enumerate(task.facts.tolist()) if task.train_mask[i]}
    common = [b for b in range(2, 10) if (4, b) in shown and (7, b) in shown]
    found = operand_accuracies(task, exact, "m", 5, operands=(4, 7))
    assert found["operand"].tolist() == [4, 7]
    assert found["n_items"].tolist() == [len(common)] * 2
    for row in found.to_dict("records"):
        facts = [shown[row["operand"], b] for b in common]
        assert row["accuracy"] == pytest.approx(exact.values[0, facts].mean())
    for operands in ((4, 77), (77,)):
        with pytest.raises(ValueError, match="expected some that have a second operand in common"):
            operand_accuracies(task, exact, "m", 5, operands=operands)


def test_two_operands_side_by_side():
    rows = pd.concat(
        [
            table(lambda n: 0.5 if n == 24 else 0.22, step=20),
            table(lambda n: 0.0, step=10),
            table(lambda n: n == 24, model="big", n_params=50, n_items=10),
        ]
    )
    found = operand_contrasts(rows, 24, 23)
    assert found["model"].tolist() == ["m", "m", "big"]
    assert found["step"].tolist() == [10, 20, 10]
    assert found["first"].tolist() == [0.0, 0.5, 1.0]
    assert found["second"].tolist() == [0.0, 0.22, 0.0]
    np.testing.assert_allclose(found["difference"], found["first"] - found["second"])
    assert (found["low"] < found["difference"]).sum() >= 2
    assert (found["high"] >= found["difference"]).all()
    assert found["n_items"].tolist() == [50, 50, 10]
    reverse = operand_contrasts(rows, 23, 24)
    np.testing.assert_allclose(reverse["low"], -found["high"])
    with pytest.raises(ValueError, match="no evaluation asked 24 and 200"):
        operand_contrasts(rows, 24, 200)


def test_multiples_are_compared_with_their_neighbours_and_a_trend_is_no_difference():
    trend = neighbour_contrasts(table(lambda n: (100 - n) / 100, n_items=100)).iloc[0]
    assert trend["difference"] == pytest.approx(0, abs=1e-12)
    assert trend["n_members"] == 8  # 12 to 96
    special = neighbour_contrasts(table(lambda n: (100 - n) / 200 + 0.3 * (n % 12 == 0), n_items=200)).iloc[0]
    assert special["difference"] == pytest.approx(0.3)
    assert special["members"] - special["neighbours"] == pytest.approx(0.3)
    assert special["p_value"] < 0.01
    fewer = neighbour_contrasts(table(lambda n: n % 10 == 0, range(9, 42)), 10).iloc[0]
    assert (fewer["n_members"], fewer["difference"]) == (4, 1.0)
    with pytest.raises(ValueError, match="1 multiples of 12 have their neighbours"):
        neighbour_contrasts(table(lambda n: 0.5, range(20)))
    uneven = table(lambda n: 0.5).assign(n_items=[*[50] * 99, 20])
    with pytest.raises(ValueError, match="n_items differs between the operands"):
        neighbour_contrasts(uneven)
    with pytest.raises(ValueError, match="multiples_of: got 2"):
        neighbour_contrasts(table(lambda n: 0.5), 2)


@pytest.mark.skipif(not PYTHIA.exists(), reason="published Pythia results are not beside the checkout")
def test_pythia_knows_24_times_as_published():
    """Mean accuracy over x2 = 1..50, 16 shots, last step; larger models favour multiples of 12."""
    rows = read_operand_accuracies(str(PYTHIA))
    asked = rows[(rows["n_shot"] == 16) & (rows["operation"] == "multiplication") & (rows["step"] == 143_000)]
    found = operand_contrasts(asked).set_index("model")
    published = {"160m": (0, 0), "410m": (0, 0), "2.8b": (0.16, 0.12), "6.9b": (0.5, 0.22), "12b": (0.54, 0.46)}
    for size, expected in published.items():
        assert found.loc[f"{size}-deduped(v0)", ["first", "second"]].tolist() == pytest.approx(expected)
    assert found.loc["6.9b-deduped(v0)", "low"] > 0
    multiples = neighbour_contrasts(asked).set_index("model")
    assert (multiples.loc[["2.8b-deduped(v0)", "6.9b-deduped(v0)", "12b-deduped(v0)"], "low"] > 0).all()
    assert multiples.loc["160m-deduped(v0)", "low"] < 0 < multiples.loc["160m-deduped(v0)", "high"]
