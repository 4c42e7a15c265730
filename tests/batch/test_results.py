"""What a run folder holds: the table, the arrays, and how far it is."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from probe.batch.plan import Run
from probe.batch.results import arrays, results, status

COLUMNS = {
    **{"suite": "str", "model": "str", "seed": "Int64", "n_params": "int64", "step": "int64"},
    **{"examples_seen": "float64", "flops": "float64"},
    **dict.fromkeys(["probe", "metric", "site", "key"], "str"),
    "value": "float64",
}


@pytest.fixture
def copy(tmp_path, finished):
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_columns_and_their_types(finished):
    table = results(finished)
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert list(table.columns) == list(COLUMNS)
    assert table.index.equals(pd.RangeIndex(len(table)))
    assert not table.isna().any().any()


def test_a_row_per_number(finished):
    table = results(finished)
    assert not table.duplicated(["model", "step", "probe", "metric", "site", "key"]).any()


def test_rows_are_in_order_of_size_seed_model_step_and_probe(finished):
    table = results(finished)
    by = ["n_params", "seed", "model", "step", "probe"]
    pd.testing.assert_frame_equal(table[by], table[by].sort_values(by, kind="stable"))
    of_one = table.query("model == 'd8-s0' and step == 0 and metric == 'power_share' and site == 'embed.W_E'")
    assert of_one["key"].tolist() == [str(k) for k in range(6)], "a probe's rows stay in the order it yields them"


def test_a_run_that_has_not_come_to_its_end(copy):
    whole = results(copy)
    unit = Run.open(str(copy)).units("d8-s0")[1][1]
    Path(Run.open(str(copy)).results_path(unit.fingerprint)).unlink()
    Path(f"{copy}/suite/d8-s1/step_00000100.safetensors").unlink()
    table = results(copy)
    expected = whole.query("model == 'd8-s0' and step != 50").reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_results_of_other_fingerprints_do_not_count(copy, finished):
    """A file of an earlier version of a probe, say."""
    files = sorted((copy / "results").iterdir())
    shutil.copy(files[0], copy / "results" / f"{'0' * 64}.parquet")
    pd.testing.assert_frame_equal(results(copy), results(finished), check_exact=True)
    assert not results(copy).duplicated(["model", "step", "probe", "metric", "site", "key"]).any()


def test_before_anything_is_done(copy):
    shutil.rmtree(copy / "results")
    shutil.rmtree(copy / "suite")
    table = results(copy)
    assert len(table) == 0
    assert dict(table.dtypes.astype(str)) == COLUMNS
    found = status(str(copy))
    assert found["model"].tolist() == ["d8-s0", "d8-s1"]
    assert found["checkpoints"].tolist() == [0, 0]
    assert found["checkpoints_expected"].tolist() == [5, 5]
    assert found["measured"].tolist() == [0, 0]
    assert found["to_measure"].isna().all()


def test_status_on_the_way(copy):
    this = Run.open(str(copy))
    for unit in this.units("d8-s0")[1][:2]:
        Path(this.results_path(unit.fingerprint)).unlink()
    Path(f"{copy}/suite/d8-s1/step_00000100.safetensors").unlink()
    found = status(copy).set_index("model")
    assert found.loc["d8-s0"].to_dict() == {
        **{"checkpoints": 5, "checkpoints_expected": 5, "measured": 4, "to_measure": 6, "stopped": ""}
    }
    assert found.loc["d8-s1", ["checkpoints", "measured"]].tolist() == [4, 0]


def test_arrays(copy):
    circles = arrays(copy, "d8-s1", "embedding_circle")
    assert circles.sizes["step"] == 5
    assert circles.sizes["token"] == 11
    assert circles.sizes["axis"] == 2
    assert arrays(copy, "d8-s1", "no_such_array") is None
    with pytest.raises(ValueError, match="model: got 'd8-s7'; expected one of d8-s0, d8-s1"):
        arrays(copy, "d8-s7", "embedding_circle")
    shutil.rmtree(copy / "activations.zarr" / "d8-s1" / "step_00000050")
    assert arrays(copy, "d8-s1", "embedding_circle")["step"].values.tolist() == [0, 100, 150, 200]


@pytest.mark.parametrize("ask", [results, status, lambda folder: arrays(folder, "d8-s0", "x")])
def test_a_folder_that_holds_no_run(tmp_path, ask):
    with pytest.raises(ValueError, match="holds no run"):
        ask(tmp_path / "nowhere")
