"""Files are absent or whole, whatever stops the writer."""

import errno
import os
import resource
import subprocess
import sys
import textwrap
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from probe import storage


@pytest.fixture(params=["local", "file URL", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that does not exist yet, of each kind."""
    return {
        "local": f"{tmp_path}/new/folder",
        "file URL": f"file://{tmp_path}/new/folder",
        "memory": f"memory://{uuid.uuid4().hex}/folder",
    }[request.param]


def test_what_is_written_is_read_back(folder: str) -> None:
    path = f"{folder}/a.bin"
    assert not storage.exists(path)
    storage.write_atomically(path, b"first, and longer")
    storage.write_atomically(path, b"second")
    assert storage.exists(path)
    assert storage.read_bytes(path) == b"second"
    assert storage.read_bytes(path, end=3) == b"sec"
    assert storage.list_files(folder, "") == ["a.bin"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{folder}/b.bin")


def test_a_relative_path_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_atomically("a.txt", b"here")
    storage.append_line("log.jsonl", "{}")
    assert (tmp_path / "a.txt").read_bytes() == b"here"
    assert storage.list_files(".", ".jsonl") == ["log.jsonl"]


def test_files_are_listed_by_suffix_in_order_and_without_folders_or_temporary_files(folder: str) -> None:
    assert storage.list_files(folder, ".parquet") == []
    for name in ("b.parquet", "a.parquet", "c.json", "below.parquet/d.parquet", ".e.parquet.0123.tmp"):
        storage.write_atomically(f"{folder}/{name}", b"x")
    assert storage.list_files(folder, ".parquet") == ["a.parquet", "b.parquet"]
    assert storage.list_files(folder, "") == ["a.parquet", "b.parquet", "c.json"]
    assert storage.list_files(folder, ".tmp") == []


def test_a_listing_sees_what_another_process_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some filesystems answer from a cached listing unless it is dropped first."""
    fs = fsspec.filesystem("memory")
    dropped: list[str] = []
    monkeypatch.setattr(fs, "invalidate_cache", dropped.append)
    storage.list_files("memory://run/results", "")
    storage.exists("memory://run/results/a")
    assert dropped == ["/run/results", "/run/results"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    storage.write_atomically(str(path), b"old")

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        storage.write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_write_that_is_cut_short_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    """The kernel itself refuses the bytes beyond a limit, after taking those before it."""
    path = tmp_path / "a.txt"
    storage.write_atomically(str(path), b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            storage.write_atomically(str(path), b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_with_the_path_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, "no room")

    monkeypatch.setattr(os, "fsync", full)
    path = f"{tmp_path}/a.txt"
    with pytest.raises(OSError, match=r"no space left to write .*/a\.txt \(3 bytes\): free some space") as caught:
        storage.write_atomically(path, b"new")
    assert caught.value.errno == code
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_killed_while_writing_leaves_the_old_content(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a.txt"
    storage.write_atomically(str(path), b"old")
    script = f"""
        import os, signal
        from probe import storage
        os.{moment} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        storage.write_atomically({str(path)!r}, b"new")
    """
    root = Path(__file__).parent.parent
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, timeout=60)
    assert killed.returncode == -9
    assert path.read_bytes() == b"old"
    assert len(os.listdir(tmp_path)) == 2, "the temporary file of the killed process is still there"
    assert storage.list_files(str(tmp_path), "") == ["a.txt"]


def test_the_content_is_on_the_disk_before_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    seen: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        seen.append(f"flush, file has its name: {path.exists()}" + (", whole" if size == 3 else ""))
        real_fsync(descriptor)

    def replace(source: str, target: str) -> None:
        seen.append("rename")
        assert os.path.dirname(source) == os.path.dirname(target), "a rename across disks is not atomic"
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    storage.write_atomically(str(path), b"new")
    assert seen == ["flush, file has its name: False, whole", "rename", "flush, file has its name: True"]


def test_files_have_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        storage.write_atomically(f"{tmp_path}/a.txt", b"")
        storage.append_line(f"{tmp_path}/b.txt", "")
    finally:
        os.umask(before)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("a.txt", "b.txt")] == [
        "0o640",
        "0o640",
    ]


def test_lines_are_appended(folder: str) -> None:
    path = f"{folder}/events.jsonl"
    storage.append_line(path, '{"step": 1}')
    storage.append_line(path, '{"step": "λ"}')
    assert storage.read_bytes(path).decode() == '{"step": 1}\n{"step": "λ"}\n'
    with pytest.raises(ValueError, match=r"text: got 'a\\nb'; expected one line"):
        storage.append_line(path, "a\nb")


def test_lines_of_several_writers_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/events.jsonl"
    lines = [str(writer) * 200 for writer in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: [storage.append_line(path, line) for _ in range(50)], lines))
    assert sorted(storage.read_bytes(path).decode().split()) == sorted(lines * 50)

    writes: list[bytes] = []
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (writes.append(data), real_write(fd, data))[1])
    storage.append_line(path, "whole")
    assert writes == [b"whole\n"]


def test_a_line_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match=r"no space left to add a line to .*events\.jsonl"):
        storage.append_line(f"{tmp_path}/events.jsonl", "whole")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (166_029_852, "166.0 MB"),
        (23.8e9, "23.8 GB"),
        (5e12, "5000.0 GB"),
    ],
)
def test_sizes_as_they_are_said(size, text):
    assert storage.readable_size(size) == text
