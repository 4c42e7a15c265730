"""Where jobs run: serially in this process, or in processes that end when they should."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

import pandas as pd
import pytest
import torch

from probe.batch.results import results
from probe.batch.run import run
from probe.batch.workers import SerialExecutor, default_workers, local_executor
from tests.batch.batches import tiny_batch


def test_a_serial_executor_runs_a_job_where_and_when_it_is_submitted():
    done = []
    executor = SerialExecutor()
    assert isinstance(executor, Executor)
    future = executor.submit(lambda x, y: done.append(x) or x + y, 1, y=2)
    assert done == [1]
    assert future.done()
    assert future.result() == 3


def test_a_job_that_fails_fails_when_its_result_is_asked_for():
    future = SerialExecutor().submit(int, "x")
    assert isinstance(future.exception(), ValueError)


def test_an_interruption_is_not_taken_for_a_failing_job():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialExecutor().submit(interrupted)


@pytest.mark.parametrize("fails", [False, True])
def test_one_worker_is_this_process_with_one_thread(fails):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with local_executor(1) as executor:
            assert executor.submit(os.getpid).result() == os.getpid()
            assert executor.submit(torch.get_num_threads).result() == 1
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    finally:
        after = torch.get_num_threads()
        torch.set_num_threads(before)
    assert after == 2


def test_as_many_workers_as_cores_that_may_be_used():
    assert 1 <= default_workers() <= os.cpu_count()


def descendants(pid):
    """Processes below one, from /proc: [(pid, command line)]."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed from /proc")
def test_workers_end_with_the_run_and_do_the_same_work(tmp_path, finished):
    """Two of them: killed outright, their parent cannot tell them to end; told to stop, it kills them."""
    file, folder = tmp_path / "batch.yaml", tmp_path / "run"
    shapes = {"suite__shapes": [{"d_model": 8, "n_heads": 2}, {"d_model": 16, "n_heads": 2}]}
    training = {"suite__training": {"steps": 100_000, "checkpoints": {"log_until": 0, "every": 100}}}
    file.write_text(tiny_batch(**shapes, **training).to_yaml())
    for sent in (signal.SIGKILL, signal.SIGINT):
        before = len(list(folder.glob("suite/*/step_*")))
        process = subprocess.Popen(
            [Path(sys.executable).with_name("probe"), "run", file, "--out", folder, "--workers", "2"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        while len(list(folder.glob("suite/*/step_*"))) < before + 8 or not all(
            list(folder.glob(f"suite/d{size}-s0/step_*")) for size in (8, 16)
        ):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        workers = descendants(process.pid)
        assert len(workers) >= 2
        if sent == signal.SIGKILL:
            os.kill(process.pid, sent)
        else:
            os.killpg(process.pid, sent)  # as a terminal does on Ctrl-C
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        until = time.monotonic() + 10
        while any(map(is_running, workers)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not any(map(is_running, workers)), f"workers outlive {sent.name}"
        if sent == signal.SIGINT:
            assert process.returncode == 130
            assert said.splitlines()[-1] == "interrupted; the same command goes on from here"
            assert "Traceback" not in said

    run(tiny_batch(), tmp_path / "small", workers=2, progress=False)
    pd.testing.assert_frame_equal(results(tmp_path / "small"), results(finished), check_exact=True)
