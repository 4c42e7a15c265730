"""scripts/bootstrap.py, with the installers replaced by stand-ins: no test here installs anything."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "bootstrap.py"


@pytest.fixture
def boot() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\ntorchinfo==1.8.0\nuv==0.13.9\n")
    return tmp_path


def install(venv: Path, name: str, version: str) -> Path:
    """Write what an installer leaves behind for a distribution of one file; returns its dist-info folder."""
    site = venv / "lib" / "python3.11" / "site-packages"
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text("x = 1\n")
    (info / "RECORD").write_text(
        f"{name}.py,sha256=abc,6\n__pycache__/{name}.cpython-311.pyc,,\n{name}-{version}.dist-info/RECORD,,\n"
    )
    return info


class Installer:
    """Stands in for run_visibly: notes each command, and fails those that `fails` has an error for."""

    def __init__(self, venv: Path, fails: Callable[[str], Exception | None] = lambda command: None) -> None:
        self.venv = venv
        self.fails = fails
        self.commands: list[str] = []

    def __call__(self, command: list[str], what: str) -> None:
        text = " ".join(command)
        self.commands.append(text)
        error = self.fails(text)
        if error is not None:
            raise error
        if "-m venv" in text:
            python = self.venv / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text("#!/bin/sh\nexit 0\n")
            python.chmod(0o755)
        if what == "torch":
            install(self.venv, "torch", command[-1].partition("==")[2])

    def said(self, fragment: str) -> list[str]:
        return [command for command in self.commands if fragment in command]


def use(monkeypatch: pytest.MonkeyPatch, boot: ModuleType, installer: Installer) -> Installer:
    monkeypatch.setattr(boot, "run_visibly", installer)
    monkeypatch.setattr(boot.shutil, "disk_usage", lambda path: SimpleNamespace(free=100e9))
    return installer


def test_an_old_python_can_read_the_script_far_enough_to_say_that_it_is_too_old(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    monkeypatch.setattr(boot, "__file__", str(root / "scripts" / "bootstrap.py"))
    assert boot.main() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Python 3.10.4" in error
    assert "3.11 or newer" in error
    assert not (root / ".venv").exists()


def test_a_full_disk_is_found_before_anything_is_installed(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer = use(monkeypatch, boot, Installer(root / ".venv"))
    monkeypatch.setattr(boot.shutil, "disk_usage", lambda path: SimpleNamespace(free=1.5e9))
    with pytest.raises(boot.DiskFullError, match=r"1\.5 GB free .* needs 4 GB"):
        boot.bootstrap(root)
    assert installer.commands == []


def test_it_installs_once_and_again_only_when_a_requirement_changes(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = root / ".venv"
    installer = use(monkeypatch, boot, Installer(venv))
    boot.bootstrap(root)
    assert ["-m venv" in installer.commands[0], "torch==2.13.0+cpu" in installer.commands[1]] == [True, True]
    assert installer.commands[2].endswith(f"-c {venv / 'constraints.txt'} uv"), "uv is pinned too"
    assert "--compile-bytecode" in installer.commands[3]
    assert installer.commands[3].endswith(f"-c {venv / 'constraints.txt'} -e {root}[dev]")
    assert len(installer.commands) == 4

    boot.bootstrap(root)
    assert len(installer.commands) == 4

    for name in ("pyproject.toml", "constraints.txt"):
        installer.commands.clear()
        (root / name).write_text((root / name).read_text() + "# changed\n")
        boot.bootstrap(root)
        assert len(installer.commands) == 2, "the venv and torch are there already; uv and the rest are asked for again"


def test_an_interrupted_run_leaves_no_stamp_and_the_next_one_finishes(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = root / ".venv"

    def interrupt(command: str) -> Exception | None:
        if "-e " in command:
            raise KeyboardInterrupt
        return None

    use(monkeypatch, boot, Installer(venv, interrupt))
    with pytest.raises(KeyboardInterrupt):
        boot.bootstrap(root)
    half = install(venv, "half", "1.0")
    (half.parent / "half.py").unlink()

    second = use(monkeypatch, boot, Installer(venv))
    boot.bootstrap(root)
    assert not half.exists()
    assert not second.said("-m venv")
    assert not second.said("torch==")
    assert len(second.said("-e ")) == 1
    boot.bootstrap(root)
    assert len(second.said("-e ")) == 1


def test_a_changed_requirement_voids_the_stamp_before_the_installer_starts(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, boot, Installer(root / ".venv"))
    boot.bootstrap(root)
    before = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(before + "# changed\n")
    use(monkeypatch, boot, Installer(root / ".venv", lambda command: boot.SetupError("no")))
    with pytest.raises(boot.SetupError):
        boot.bootstrap(root)
    (root / "pyproject.toml").write_text(before)
    again = use(monkeypatch, boot, Installer(root / ".venv"))
    boot.bootstrap(root)
    assert again.commands, "an environment that is between two states must not pass for the old one"


def test_a_venv_whose_python_does_not_run_is_made_again(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(root / "no-such-interpreter")
    installer = use(monkeypatch, boot, Installer(root / ".venv", lambda command: boot.SetupError("stop here")))
    with pytest.raises(boot.SetupError, match="stop here"):
        boot.bootstrap(root)
    assert "-m venv --clear" in installer.commands[0]


@pytest.mark.parametrize("damage", ["missing file", "short file", "missing RECORD", "empty RECORD"])
def test_a_half_installed_distribution_is_forgotten(boot: ModuleType, tmp_path: Path, damage: str) -> None:
    whole = install(tmp_path, "whole", "2.0")
    half = install(tmp_path, "half", "1.0")
    module, record = half.parent / "half.py", half / "RECORD"
    if damage == "missing file":
        module.unlink()
    elif damage == "short file":
        module.write_text("x")
    elif damage == "missing RECORD":
        record.unlink()
    else:
        record.write_text("")
    assert boot.forget_unfinished(half.parent) == ["half-1.0.dist-info"]
    assert not half.exists()
    assert whole.exists()


def test_torch_falls_back_to_the_plain_build(boot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cpu_build(command: str) -> Exception | None:
        return boot.SetupError("No matching distribution") if "+cpu" in command else None

    monkeypatch.setattr(sys, "platform", "linux")
    installer = use(monkeypatch, boot, Installer(tmp_path, no_cpu_build))
    boot.install_torch(tmp_path, "2.13.0", "")
    assert [command.split()[-1] for command in installer.commands] == ["torch==2.13.0+cpu", "torch==2.13.0"]
    assert all("--no-deps" in command for command in installer.commands)


def test_torch_tries_no_second_build_without_a_network_or_room(
    boot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for reason in (boot.NetworkError("no network"), boot.DiskFullError("disk full")):
        installer = use(monkeypatch, boot, Installer(tmp_path, lambda command, reason=reason: reason))
        with pytest.raises(type(reason)):
            boot.install_torch(tmp_path, "2.13.0", "")
        assert len(installer.commands) == 1


def test_macos_has_one_torch_build(boot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    installer = use(monkeypatch, boot, Installer(tmp_path))
    boot.install_torch(tmp_path, "2.13.0", "")
    assert [command.split()[-1] for command in installer.commands] == ["torch==2.13.0"]


@pytest.mark.parametrize(("have", "kept"), [("2.13.0+cu130", True), ("2.13.0", True), ("2.12.0+cpu", False)])
def test_an_installed_torch_of_the_pinned_version_is_kept_whatever_its_build(
    boot: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, have: str, kept: bool
) -> None:
    install(tmp_path, "torchinfo", "2.13.0")  # another package whose name begins the same
    assert boot.installed_version(tmp_path, "torch") is None
    install(tmp_path, "torch", have)
    installer = use(monkeypatch, boot, Installer(tmp_path))
    boot.install_torch(tmp_path, "2.13.0", "")
    assert (installer.commands == []) is kept


def test_torch_spec_overrides_the_pin_and_its_result_is_what_the_rest_is_installed_around(
    boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = root / ".venv"
    installer = use(monkeypatch, boot, Installer(venv))
    boot.bootstrap(root, "--no-cache-dir torch==2.9.1+cu126")
    assert installer.said("--no-cache-dir torch==2.9.1+cu126")
    assert not installer.said("2.13.0")
    assert (venv / "constraints.txt").read_text() == "torch==2.9.1\ntorchinfo==1.8.0\nuv==0.13.9\n"

    installer.commands.clear()
    boot.bootstrap(root)
    assert installer.commands == [], "a later run without TORCH_SPEC leaves the chosen build alone"
    boot.bootstrap(root, "torch==2.13.0+cu130")
    assert installer.said("torch==2.13.0+cu130")


def test_pip_installs_the_rest_when_uv_cannot(boot: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_uv(command: str) -> Exception | None:
        return boot.NetworkError("no network") if "-m uv" in command else None

    installer = use(monkeypatch, boot, Installer(root / ".venv", no_uv))
    boot.bootstrap(root)
    assert "-m pip install" in installer.commands[-1]
    assert installer.commands[-1].endswith(f"-e {root}[dev]")

    def no_room(command: str) -> Exception | None:
        return boot.DiskFullError("disk full") if "-m uv" in command else None

    (root / ".venv" / ".stamp").unlink()
    installer = use(monkeypatch, boot, Installer(root / ".venv", no_room))
    with pytest.raises(boot.DiskFullError):
        boot.bootstrap(root)
    assert "-m uv" in installer.commands[-1], "pip would fill the same disk"


@pytest.mark.parametrize(
    ("output", "kind", "expected"),
    [
        (
            "ERROR: Could not install: [Errno 28] No space left on device\n",
            "DiskFullError",
            "disk full while",
        ),
        ("error: failed to copy file (os error 28)\n", "DiskFullError", "disk full while"),
        (
            "WARNING: Retrying after NewConnectionError: Temporary failure in name resolution\n"
            "ERROR: No matching distribution found for torch==2.13.0+cpu\n",
            "NetworkError",
            "no network",
        ),
        ("  x Failed to fetch\n  > client error (Connect)\n  > dns error\n", "NetworkError", "no network"),
        (
            "Looking\nERROR: No matching distribution found for torch==9\nnote: more\n",
            "SetupError",
            "for torch==9",
        ),
        (
            "WARNING: Retrying after NewConnectionError: Connection refused\n"
            "ERROR: Could not find a version (from versions: 2.6.0, 2.13.0)\n"
            "ERROR: No matching torch==2.13.0+cpu\n",
            "SetupError",
            "No matching torch",
        ),
        ("", "SetupError", "said nothing"),
    ],
)
def test_an_installers_output_comes_down_to_one_line(boot: ModuleType, output: str, kind: str, expected: str) -> None:
    error = boot.explain_failure(output, "torch")
    assert type(error).__name__ == kind
    assert expected in str(error)
    assert "torch" in str(error)
    assert "\n" not in str(error)


def test_run_visibly_shows_the_output_and_explains_a_failure(
    boot: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(boot, "SILENCE_S", 0.2)
    boot.run_visibly([sys.executable, "-c", "import time; print('half way', flush=True); time.sleep(1.5)"], "torch")
    shown = capfd.readouterr().out
    assert "half way" in shown
    assert "still installing torch" in shown
    with pytest.raises(boot.SetupError, match="cannot install torch: error: no such build"):
        boot.run_visibly([sys.executable, "-c", "import sys; sys.exit('error: no such build')"], "torch")
