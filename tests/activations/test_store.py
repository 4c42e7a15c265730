"""Labelled arrays on disk: what is written is read, and what is not whole is absent."""

import multiprocessing
import uuid

import numpy as np
import pytest
import xarray as xr
import zarr

from probe import storage
from probe.activations.store import STORE, _digest, read_array, write_arrays


def circle(scale=1.0):
    return xr.DataArray(
        (scale * np.arange(24)).reshape(2, 4, 3).astype(np.float32),
        dims=("frequency", "token", "axis"),
        coords={"frequency": [5, 9], "token": np.array([0, 2, 1, 3])},
    )


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}/run"


def test_what_was_written_is_read_with_its_labels(folder):
    for step in (0, 100):
        write_arrays(folder, "d8-s0", step, {"circle": circle(step), "other": circle()[0].rename("x")})
    found = read_array(folder, "d8-s0", (0, 50, 100), "circle")
    assert found.dims == ("step", "frequency", "token", "axis")
    assert found["step"].values.tolist() == [0, 100]
    assert found.dtype == np.float32
    xr.testing.assert_identical(found.sel(step=100, drop=True).rename(None), circle(100))
    assert (found.sel(step=0) == 0).all()
    assert read_array(folder, "d8-s0", (0, 100), "other").shape == (2, 4, 3)


def test_arrays_may_mean_different_things_by_a_dimension_of_one_name(folder):
    """As circles of tokens of the vocabulary beside tokens of answers."""
    other = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("frequency", "token"), coords={"frequency": [1, 2]})
    write_arrays(folder, "m", 0, {"circle": circle(), "other": other})
    for name, written in (("circle", circle()), ("other", other)):
        xr.testing.assert_identical(read_array(folder, "m", (0,), name).isel(step=0, drop=True).rename(None), written)


def test_groups_in_which_arrays_shared_coordinates_are_read(tmp_path):
    write_arrays(str(tmp_path), "m", 0, {"circle": circle(), "other": circle()[:, :2].drop_vars("token")})
    place = tmp_path / STORE / "m" / "step_00000000"
    for dim in ("frequency", "token"):
        (place / f"circle.{dim}").rename(place / dim)
    (place / "other.frequency" / "zarr.json").unlink()
    group = zarr.open_group(place)
    files = sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file())
    files = [name for name in files if name != "zarr.json" and not name.startswith("other.frequency")]
    held = {name: (place / name).read_bytes() for name in files}
    group.attrs.update({"files": files, "sha256": _digest(held)})
    found = read_array(str(tmp_path), "m", (0,), "circle").isel(step=0, drop=True)
    xr.testing.assert_identical(found.rename(None), circle())
    other = read_array(str(tmp_path), "m", (0,), "other")
    assert other["frequency"].values.tolist() == [5, 9]
    assert "token" not in other.coords  # of which there are four, and here two


def test_what_is_not_there_is_none(folder):
    assert read_array(folder, "d8-s0", (0,), "circle") is None
    write_arrays(folder, "d8-s0", 0, {"circle": circle()})
    assert read_array(folder, "d8-s0", (0,), "square") is None
    assert read_array(folder, "d8-s1", (0,), "circle") is None
    assert read_array(folder, "d8-s0", (1,), "circle") is None
    assert read_array(folder, "d8-s0", (), "circle") is None


def test_writing_again_replaces_the_whole_group(folder):
    write_arrays(folder, "m", 0, {"circle": circle(), "old": circle()})
    write_arrays(folder, "m", 0, {"circle": circle(7)})
    xr.testing.assert_identical(read_array(folder, "m", (0,), "circle").isel(step=0, drop=True).rename(None), circle(7))
    assert read_array(folder, "m", (0,), "old") is None


def test_a_group_that_was_not_finished_is_absent(tmp_path, monkeypatch):
    write_arrays(str(tmp_path), "m", 0, {"circle": circle()})
    write = storage.write_atomically

    def killed_at_the_last(path, data):
        if path.endswith("step_00000010/zarr.json"):
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(storage, "write_atomically", killed_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        write_arrays(str(tmp_path), "m", 10, {"circle": circle(), "second": circle()})
    assert (tmp_path / STORE / "m" / "step_00000010" / "circle").exists()
    assert read_array(str(tmp_path), "m", (0, 10), "circle")["step"].values.tolist() == [0]
    monkeypatch.undo()
    write_arrays(str(tmp_path), "m", 10, {"circle": circle(), "second": circle()})
    assert read_array(str(tmp_path), "m", (0, 10), "circle")["step"].values.tolist() == [0, 10]


def test_a_group_is_a_zarr_group_to_others(tmp_path):
    write_arrays(str(tmp_path), "m", 0, {"circle": circle(3)})
    group = zarr.open_group(str(tmp_path / STORE), path="m/step_00000000", mode="r")
    assert (np.asarray(group["circle"][:]) == circle(3).values).all()
    assert group["circle"].metadata.dimension_names == ("frequency", "token", "axis")


def test_a_damaged_array_is_named_and_not_used(tmp_path):
    write_arrays(str(tmp_path), "m", 0, {"circle": circle(3)})
    (chunk,) = (tmp_path / STORE / "m" / "step_00000000" / "circle" / "c").glob("0/0/0")
    data = bytearray(chunk.read_bytes())
    data[3] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(ValueError, match=r"step_00000000 is damaged; .* measures it again"):
        read_array(str(tmp_path), "m", (0,), "circle")
    chunk.unlink()
    with pytest.raises(ValueError, match=r"step_00000000 is damaged; .* measures it again"):
        read_array(str(tmp_path), "m", (0,), "circle")


def test_arrays_that_disagree_about_their_labels_are_not_merged(tmp_path):
    write_arrays(str(tmp_path), "m", 0, {"circle": circle()})
    write_arrays(str(tmp_path), "m", 1, {"circle": circle().assign_coords(frequency=[5, 8])})
    with pytest.raises(ValueError, match="frequency"):
        read_array(str(tmp_path), "m", (0, 1), "circle")


def test_a_name_that_is_also_a_dimension_keeps_its_values(tmp_path):
    array = xr.DataArray(np.arange(3.0), dims="token", coords={"token": [4, 5, 6]})
    write_arrays(str(tmp_path), "m", 0, {"a": array, "b": array.assign_coords(token=[4, 5, 6]) * 2})
    assert read_array(str(tmp_path), "m", (0,), "b").values.tolist() == [[0, 2, 4]]
    assert read_array(str(tmp_path), "m", (0,), "b")["token"].values.tolist() == [4, 5, 6]


def _write(folder, step):
    write_arrays(folder, "m", step, {"circle": circle(step)})


def test_processes_that_write_different_steps_do_not_disturb_each_other(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path), step)) for step in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = read_array(str(tmp_path), "m", tuple(range(4)), "circle")
    assert [found.sel(step=step)[0, 0, 1].item() for step in range(4)] == [0, 1, 2, 3]
