"""Captures on disk: resumed, refused, damaged, shared between processes, on a full disk; and elsewhere than on one."""

import errno
import gc
import json
import multiprocessing
import os
import shutil
import signal
import time
import uuid

import fsspec
import numpy as np
import pytest
import zarr

import probe
from probe import storage
from probe.activations import streaming
from probe.activations.capture_store import CaptureStore, GroupWriter
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import TrainingSettings
from tests.activations.small_suite import STEPS, TASK, expected, write_suite

SITE = "blocks.0.hook_resid_post"


def capture(suite, out, inputs=TASK, sites=(SITE,), **asked):
    return probe.capture(suite, inputs, sites, **{"progress": False, "out": out, **asked})


def assert_right(found, models=("small", "large"), steps=STEPS):
    for model in models:
        for step in steps:
            _, wanted = expected(model, step, TASK.tokens)
            wanted = np.asarray(wanted[SITE])
            kept = found[SITE].sel(model=model, step=step).values[..., : wanted.shape[-1]]
            np.testing.assert_allclose(kept, wanted, atol=2e-5)


@pytest.fixture
def loads(monkeypatch):
    """Weights that have been loaded since."""
    loaded = []
    with_weights = HookedTransformer.with_weights
    monkeypatch.setattr(HookedTransformer, "with_weights", lambda *a: loaded.append(a) or with_weights(*a))
    return loaded


def test_what_is_there_is_not_captured_again(suite, tmp_path, loads):
    out = tmp_path / "c.zarr"
    capture(suite, out, models=["small"], steps=[0, 10])
    assert len(loads) == 2
    found = capture(suite, out)
    assert len(loads) == 6
    assert_right(found)
    assert_right(capture(suite, out))
    assert len(loads) == 6
    assert_right(probe.open_capture(out, inputs=TASK))


@pytest.mark.parametrize("nth", [1, 4, 9, 16])
def test_killed_at_any_write_it_goes_on(suite, tmp_path, monkeypatch, nth):
    out = tmp_path / "c.zarr"
    write, calls = GroupWriter.write, []

    def killed(self, *args):
        calls.append(args)
        if len(calls) == nth:
            raise KeyboardInterrupt
        write(self, *args)

    monkeypatch.setattr(GroupWriter, "write", killed)
    monkeypatch.setattr("probe.activations.planning.CHUNK_BYTES", 20 * 3 * 8 * 4)
    with pytest.raises(KeyboardInterrupt):
        capture(suite, out, batch_size=10)
    monkeypatch.setattr(GroupWriter, "write", write)
    if (nth - 1) // 3 > 0:
        partly = probe.open_capture(out)
        assert_right(partly, ["small"], partly["step"].values)
    assert_right(capture(suite, out, batch_size=10))


def test_a_group_is_absent_until_it_is_finished(suite, tmp_path, monkeypatch):
    out = tmp_path / "c.zarr"
    monkeypatch.setattr(GroupWriter, "finish", lambda *a: None)
    capture(suite, out, models=["small"], steps=[0])
    monkeypatch.undo()
    assert list(probe.open_capture(out).data_vars) == []
    assert_right(capture(suite, out, models=["small"], steps=[0]), ["small"], [0])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"inputs": [[1, 2, 3]]}, "inputs was .*, now "),
        ({"sites": ["*"]}, r"sites was \['blocks.0.hook_resid_post'\], now \['\*'\]"),
        ({"positions": "answer"}, "positions was all, now answer"),
        ({"dtype": "float16"}, "dtype was None, now float16"),
        ({"reduce": "mean"}, "reduce was None, now mean"),
        ({"project": np.eye(8), "models": ["small"]}, "project was False, now True"),
        ({"gradient_of": "loss"}, "gradient_of was None, now loss"),
    ],
)
def test_another_capture_is_refused_and_the_first_left_as_it_was(suite, tmp_path, loads, asked, says):
    out = tmp_path / "c.zarr"
    capture(suite, out)
    loads.clear()
    with pytest.raises(ValueError, match=rf"out: .*c.zarr holds another capture \(.*{says}.*Choose another, or delete"):
        capture(suite, out, **asked)
    assert not loads
    assert_right(probe.open_capture(out))


def test_gradients_of_another_task_are_not_taken_for_these(suite, tmp_path):
    """The tokens are the same; the answers are not."""
    capture(suite, tmp_path / "c.zarr", gradient_of="loss")
    other = probe.ModularArithmetic(7, "a-b")
    with pytest.raises(ValueError, match=r"holds another capture \(answers was"):
        capture(suite, tmp_path / "c.zarr", other, gradient_of="loss")
    with pytest.raises(ValueError, match=r"inputs: .* is a capture of other inputs"):
        probe.open_capture(tmp_path / "c.zarr", inputs=other)
    capture(suite, tmp_path / "d.zarr")
    capture(suite, tmp_path / "d.zarr", other)  # without them, activations do not depend on answers


def test_functions_are_told_apart_by_what_they_do(suite, tmp_path):
    def project(first):
        return lambda model, site: np.eye(12 if model == "large" else 8)[:, first : first + 2]

    capture(suite, tmp_path / "c.zarr", project=project(0), models=["small"])
    capture(suite, tmp_path / "c.zarr", project=project(0))
    with pytest.raises(ValueError, match=r"out: .* holds small at step 0 projected otherwise"):
        capture(suite, tmp_path / "c.zarr", project=project(2))
    for k in (0, 1):
        capture(suite, tmp_path / f"{k}.zarr", gradient_of=lambda logits, batch, k=k: logits[:, 0, k])
    with pytest.raises(ValueError, match=r"holds another capture \(gradient_of was"):
        capture(suite, tmp_path / "0.zarr", gradient_of=lambda logits, batch: logits[:, 0, 1])


def test_only_what_was_asked_for_is_returned(suite, tmp_path):
    capture(suite, tmp_path / "c.zarr")
    found = capture(suite, tmp_path / "c.zarr", models=["large"], steps=[10])
    assert found.sizes["model"] == found.sizes["step"] == 1
    assert_right(found, ["large"], [10])


def test_models_that_differ_in_width_and_depth(tmp_path):
    """The deeper one narrower: a site that only it has is as wide as the others in the dataset."""
    shapes = {"deep": Shape(d_model=4, n_heads=2, n_layers=3), "wide": Shape(d_model=8, n_heads=2, n_layers=1)}
    for name, shape in shapes.items():
        train(Architecture.of(shape, TASK), [Member(name, TASK, 0)], TrainingSettings(steps=0), str(tmp_path / "s"))
    suite = probe.open_suite(str(tmp_path / "s"))
    found = capture(suite, tmp_path / "c.zarr", sites=["blocks.*.hook_resid_post"])
    assert found["blocks.2.hook_resid_post"].shape == (2, 1, 49, 3, 8)
    deep = probe.open_capture(tmp_path / "c.zarr", models="deep")
    assert deep["blocks.2.hook_resid_post"].shape == (1, 1, 49, 3, 4)
    of_both, alone = found["blocks.2.hook_resid_post"].sel(model="deep"), deep["blocks.2.hook_resid_post"]
    np.testing.assert_array_equal(of_both[..., :4], alone[0])


def test_a_model_may_be_called_anything(tmp_path):
    suite = write_suite(tmp_path / "suite")
    (tmp_path / "suite" / "small").rename(tmp_path / "suite" / "inputs")
    found = capture(probe.open_suite(suite.address), tmp_path / "c.zarr")
    assert set(found["model"].values) == {"inputs", "large"}


def test_stopped_before_it_had_begun(suite, tmp_path, monkeypatch):
    """Between the file that holds what is shown and the one that says what was asked for."""
    write = storage.write_atomically

    def killed(path, data):
        if path.endswith("capture.json"):
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(storage, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        capture(suite, tmp_path / "c.zarr")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "c.zarr").iterdir()] == ["inputs.npz"]
    assert_right(capture(suite, tmp_path / "c.zarr"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
@pytest.mark.parametrize("name", ["zarr.json", "small/zarr.json", "small/step_00000010/zarr.json"])
def test_damaged_descriptions_of_groups_are_made_again(suite, tmp_path, name, content):
    out = tmp_path / "c.zarr"
    capture(suite, out)
    (out / name).write_bytes(content)
    assert_right(capture(suite, out))
    (out / name).unlink()
    assert_right(capture(suite, out))
    assert_right(probe.open_capture(out))


def test_damage_to_what_the_capture_says_is_named(suite, tmp_path):
    out = tmp_path / "c.zarr"
    capture(suite, out)
    (out / "small" / "step_00000010" / SITE / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match=rf"{SITE} of small at step 10 is damaged"):
        _ = probe.open_capture(out)[SITE].values
    shown = bytearray((out / "inputs.npz").read_bytes())
    shown[-200] ^= 1
    (out / "inputs.npz").write_bytes(shown)
    with pytest.raises(ValueError, match=r"inputs.npz is damaged or gone; delete the folder, and capture again"):
        probe.open_capture(out)
    (out / "capture.json").write_text("{")
    with pytest.raises(ValueError, match=r"address: .*capture.json is damaged; delete the folder"):
        probe.open_capture(out)


@pytest.mark.parametrize(
    ("out", "says"), [("", "out: got ''; expected a folder or URL"), ("foo://x", "out: foo://x is no address")]
)
def test_an_address_that_is_none(suite, out, says):
    with pytest.raises(ValueError, match=says):
        capture(suite, out)


def test_a_file_url_is_a_folder(suite, tmp_path):
    capture(suite, f"file://{tmp_path}/c.zarr", models=["small"])
    assert_right(probe.open_capture(tmp_path / "c.zarr"), ["small"])


def test_memory_is_given_back_with_the_dataset(suite):
    found = capture(suite, None)
    fs = fsspec.filesystem("memory")
    before = len(fs.store)
    del found
    gc.collect()
    assert len(fs.store) < before


def test_reading_with_other_inputs_is_refused(suite, tmp_path):
    capture(suite, tmp_path / "c.zarr")
    with pytest.raises(ValueError, match=r"inputs: .* is a capture of other inputs than those given"):
        probe.open_capture(tmp_path / "c.zarr", inputs=TASK.tokens[:-1])


def test_a_checkpoint_that_was_trained_anew_is_noticed(tmp_path):
    suite, out = write_suite(tmp_path / "suite"), tmp_path / "c.zarr"
    capture(suite, out)
    (tmp_path / "suite" / "large" / "step_00000010.safetensors").write_bytes(
        (tmp_path / "suite" / "large" / "step_00000020.safetensors").read_bytes()
    )
    with pytest.raises(ValueError, match=r"out: .* holds large at step 10 with other weights than .*; choose another"):
        capture(suite, out)


def test_what_the_store_says_of_itself(suite, tmp_path):
    capture(suite, tmp_path / "c.zarr", sites=["blocks.*.hook_resid_post"], positions=-1)
    said = json.loads((tmp_path / "c.zarr" / "capture.json").read_text())["request"]
    assert said["sites"] == ["blocks.*.hook_resid_post"]
    assert said["positions"] == "-1"
    assert said["versions"].keys() == {"grokscope", "torch", "transformers", "transformer-lens", "zarr"}
    group = json.loads((tmp_path / "c.zarr" / "large" / "step_00000010" / "zarr.json").read_text())["attributes"]
    assert group["weights"] == suite["large", 10].digest
    assert group["location"] == suite["large", 10].location
    assert group["arrays"]["blocks.1.hook_resid_post"] == {
        "shape": [49, 12],
        "dims": ["example", "unit"],
        "dtype": "float32",
    }


def test_others_can_read_it(suite, tmp_path):
    capture(suite, tmp_path / "c.zarr")
    array = zarr.open_group(tmp_path / "c.zarr", mode="r")[f"large/step_00000010/{SITE}"]
    assert array.metadata.dimension_names == ("example", "position", "unit")
    np.testing.assert_allclose(array[:], expected("large", 10, TASK.tokens)[1][SITE], atol=2e-5)


@pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
def test_damage_is_named_and_only_where_it_is(suite, tmp_path, damage):
    out = tmp_path / "c.zarr"
    capture(suite, out)
    (chunk,) = (path for path in (out / "large" / "step_00000010" / SITE / "c").rglob("*") if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    if damage == "gone":
        chunk.unlink()
    else:
        chunk.write_bytes(data if damage == "altered" else data[:200])
    found = probe.open_capture(out)
    assert_right(found, ["small"])
    assert_right(found, ["large"], [0, 20])
    with pytest.raises(ValueError, match=rf"c.zarr: {SITE} of large at step 10 is damaged .*; delete its folder"):
        _ = found[SITE].sel(model="large", step=10).values
    shutil.rmtree(out / "large" / "step_00000010")
    assert_right(capture(suite, out))


def test_a_folder_of_something_else_is_not_written_to(suite, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out: .* holds something else than a capture"):
        capture(suite, tmp_path)
    zarr.create_group(tmp_path / "other.zarr", attributes={"a": 1}).create_array("x", data=np.zeros(3))
    with pytest.raises(ValueError, match=r"out: .*other.zarr holds something else than a capture"):
        capture(suite, tmp_path / "other.zarr")
    with pytest.raises(ValueError, match=r"address: .* holds no capture; `probe capture` makes one"):
        probe.open_capture(tmp_path / "absent")


def test_a_model_that_was_not_captured(suite, tmp_path):
    capture(suite, tmp_path / "c.zarr", models=["small"])
    with pytest.raises(ValueError, match=r"models: got 'large'; .*c.zarr has small"):
        probe.open_capture(tmp_path / "c.zarr", models=["large"])


def test_reading_is_lazy_and_of_any_part(suite, tmp_path, monkeypatch):
    out = tmp_path / "c.zarr"
    capture(suite, out, sites=["blocks.*.hook_resid_post", "blocks.0.attn.hook_z"])
    read, array = [], CaptureStore.array
    monkeypatch.setattr(CaptureStore, "array", lambda self, *which: read.append(which) or array(self, *which))
    found = probe.open_capture(out)
    chosen = found.sel(model="large", step=10)
    assert not read
    wanted = np.asarray(expected("large", 10, TASK.tokens)[1][SITE])
    np.testing.assert_allclose(chosen[SITE].values, wanted, atol=2e-5)
    assert read == [("large", 10, SITE)]
    rows = [40, 3, 3, 17]
    part = found[SITE].sel(model="large", step=10).isel(example=rows, position=-1, unit=slice(1, None, 3))
    np.testing.assert_allclose(part.values, wanted[rows, -1, 1::3], atol=2e-5)
    trajectory = found[SITE].isel(example=5, position=2, unit=4).sel(model="large").values
    each = [expected("large", step, TASK.tokens)[1][SITE][5, 2, 4] for step in STEPS]
    np.testing.assert_allclose(trajectory, each, atol=2e-5)

    mean = found[SITE].mean(("example", "position")).sel(model="large", step=10)
    np.testing.assert_allclose(mean, wanted.mean((0, 1)), atol=2e-5)


def test_a_capture_that_would_not_fit_is_refused_before_the_first_byte(suite, tmp_path, monkeypatch, loads):
    n_bytes = 3 * 49 * 3 * (8 + 12) * 4
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=n_bytes - 1))
    with pytest.raises(ValueError, match=r"out: the capture takes 35\.3 kB and 35\.3 kB are free .*keep fewer sites"):
        capture(suite, tmp_path / "c.zarr")
    assert not (tmp_path / "c.zarr").exists()
    assert not loads
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=n_bytes))
    capture(suite, tmp_path / "c.zarr")
    arrays = [path for path in (tmp_path / "c.zarr").rglob("c/**/*") if path.is_file() and SITE in str(path)]
    assert sum(path.stat().st_size - 4 for path in arrays) == n_bytes  # four bytes of checksum each


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("asked", [{}, {"reduce": "mean"}], ids=["examples", "reduced"])
def test_a_disk_that_is_full_after_all(suite, tmp_path, monkeypatch, code, asked):
    out = tmp_path / "c.zarr"
    name = "write_whole" if asked else "write"
    write, calls = getattr(GroupWriter, name), []

    def full(self, *args):
        calls.append(args)
        if len(calls) == (5 if asked else 3):
            write(self, *args)
            raise OSError(code, os.strerror(code))
        write(self, *args)

    monkeypatch.setattr(GroupWriter, name, full)
    with pytest.raises(OSError, match=r"no space left to write .*c.zarr: free some space and run the same command"):
        capture(suite, out, **asked)
    monkeypatch.undo()
    left = probe.open_capture(out)
    assert left["step"].values.tolist() == [0, 10]
    assert not list((out / "small" / "step_00000020").rglob("c"))  # what was half written has given its room back
    found = capture(suite, out, **asked)
    assert found["step"].values.tolist() == [0, 10, 20]
    if not asked:
        assert_right(found)


def _capture(folder, out, steps):
    capture(probe.open_suite(folder), out, steps=steps)


def test_processes_may_write_different_steps_of_one_store(suite, tmp_path):
    context = multiprocessing.get_context("spawn")
    out = str(tmp_path / "c.zarr")
    writers = [context.Process(target=_capture, args=(suite.address, out, steps)) for steps in ([0, 20], [10])]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert_right(probe.open_capture(out, inputs=TASK))


def test_of_two_that_write_the_same_group_the_one_that_began_last_finishes_it(suite, tmp_path):
    out = tmp_path / "c.zarr"
    capture(suite, out, models=["small"], steps=[0])
    store = CaptureStore.at(out)
    about = {"model": "small", "step": 10, "n_params": 1, "tokens_seen": None}
    writers = []
    for _ in range(2):
        writers.append(GroupWriter(store, "small", 10))
        writers[-1].create("x", (4,), "float32", ("row",), 2)
    first, second = writers
    first.write("x", 0, np.ones(2, np.float32))
    first.finish(about)
    assert ("small", 10) not in store.finished()
    for start in (0, 2):
        second.write("x", start, np.full(2, 2, np.float32))
    second.finish(about)
    assert ("small", 10) in store.finished()
    assert probe.open_capture(out)["x"].sel(step=10).values.tolist() == [[2, 2, 2, 2]]


def _killed_when_told(folder, out, flag):
    stream = streaming.stream_checkpoint

    def slow(checkpoint, *args):
        for i, piece in enumerate(stream(checkpoint, *args)):
            if checkpoint.step == 10 and i == 2:
                flag.set()
                time.sleep(60)
            yield piece

    from probe.activations import capturing

    capturing.stream_checkpoint = slow
    capture(probe.open_suite(folder), out, batch_size=5, models=["small"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_killed(suite, tmp_path, how):
    context = multiprocessing.get_context("spawn")
    out, flag = str(tmp_path / "c.zarr"), context.Event()
    writer = context.Process(target=_killed_when_told, args=(suite.address, out, flag))
    writer.start()
    assert flag.wait(120)
    os.kill(writer.pid, how)
    writer.join(60)
    assert writer.exitcode != 0
    left = probe.open_capture(out)
    assert left["step"].values.tolist() == [0]
    assert_right(left, ["small"], [0])
    assert_right(capture(suite, out, models=["small"]), ["small"])


def test_in_memory_and_at_an_fsspec_url(suite):
    assert_right(capture(suite, None))
    url = f"memory://{uuid.uuid4().hex}/c.zarr"
    capture(suite, url, models=["small"])
    assert_right(capture(suite, url))
    assert_right(probe.open_capture(url, inputs=TASK))
    with pytest.raises(ValueError, match="holds another capture"):
        capture(suite, url, positions="last")


@pytest.fixture(scope="module")
def s3():
    """The address of a real S3 server that holds everything in memory."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("captures")
        yield "s3://captures"
    server.stop()


def test_on_an_s3_server(suite, s3, monkeypatch, loads):
    out = f"{s3}/c.zarr"
    write = GroupWriter.write

    def killed(self, name, start, values):
        if self.path == "large/step_00000010":
            raise KeyboardInterrupt
        write(self, name, start, values)

    monkeypatch.setattr(GroupWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        capture(suite, out, batch_size=20)
    monkeypatch.setattr(GroupWriter, "write", write)
    assert_right(probe.open_capture(out), ["large"], [0])
    loads.clear()
    assert_right(capture(suite, out, batch_size=20))
    assert len(loads) == 2
    with pytest.raises(ValueError, match=r"out: s3://captures/c.zarr holds another capture"):
        capture(suite, out, positions="last")


def test_a_suite_on_an_s3_server(s3, loads):
    suite = write_suite(f"{s3}/suite")
    assert suite.models == ("small", "large")
    assert_right(capture(suite, f"{s3}/of_suite.zarr"))
