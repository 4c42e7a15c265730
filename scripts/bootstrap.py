"""Make .venv with grokscope and everything it needs. Standard library only: nothing is there yet.

    python3 scripts/bootstrap.py

1. Make .venv, unless it is there. One that an interrupted run left half-made is finished, not thrown away.
2. Install torch alone, by pip: the CPU build where the package index has one, else the plain build. It comes
   first because a resolver that meets torch on Linux otherwise takes the CUDA build, several GB larger.
   TORCH_SPEC="torch==2.13.0+cu130" (or any other arguments for `pip install`) chooses another build.
3. Install everything else at the versions in constraints.txt: by uv if it can be had (faster), else by pip.
4. Write .venv/.stamp, a hash of pyproject.toml and constraints.txt. While it matches, later runs do nothing.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
NEEDED_GB = 4.0  # a full installation takes 2.4 GB, and the downloads pass through a cache
SILENCE_S = 15.0  # after this long without a word from the installer, say that it is still at work

NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|Temporary failure in name resolution|getaddrinfo failed|dns error"
    r"|Network is unreachable|Connection refused|ProxyError|Cannot connect to proxy|Could not connect"
    r"|error sending request|client error \(Connect\)|Read timed out",
    re.IGNORECASE,
)
DISK_FULL = re.compile(
    r"No space left on device|Errno 28|os error 28|Disk quota exceeded|not enough space", re.IGNORECASE
)


class SetupError(Exception):
    """Why the set-up cannot go on, and what to do about it, in one line."""


class NetworkError(SetupError):
    """The package index cannot be reached."""


class DiskFullError(SetupError):
    """There is no room, whichever installer or build is tried."""


def say(text: str) -> None:
    print(f"bootstrap: {text}", flush=True)


def check_machine(venv: Path) -> None:
    """Raise SetupError if this interpreter is too old or the disk too full to begin."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        have = ".".join(str(part) for part in sys.version_info[:3])
        raise SetupError(
            f"Python {have} at {sys.executable} is too old; expected "
            f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer. Name another one: make PYTHON=python3.12 test"
        )
    if not installed_version(venv, "torch"):  # the bulk of the installation is still to come
        free_gb = shutil.disk_usage(venv.parent).free / 1e9
        if free_gb < NEEDED_GB:
            raise DiskFullError(
                f"disk full: {free_gb:.1f} GB free at {venv.parent}, the set-up needs {NEEDED_GB:.0f} GB"
            )


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path | None:
    """The folder that packages are installed into, or None if there is none yet."""
    candidates = [venv / "Lib" / "site-packages", *sorted(venv.glob("lib/python3.*/site-packages"))]
    return next((folder for folder in candidates if folder.is_dir()), None)


def installed_version(venv: Path, name: str) -> str | None:
    """The version of an installed distribution, read from the name of its dist-info folder."""
    site = site_packages(venv)
    found = sorted(site.glob(f"{name}-*.dist-info")) if site else []
    return found[0].name[len(name) + 1 : -len(".dist-info")] if found else None


def fingerprint(root: Path) -> str:
    """A hash of the files that decide what the environment contains."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def is_finished(root: Path, venv: Path, torch_spec: str) -> bool:
    """Whether the stamp matches. One made with a TORCH_SPEC stays good while none is asked for."""
    try:
        stamped, _, stamped_spec = (venv / ".stamp").read_text().partition("\n")
    except OSError:
        return False
    return venv_python(venv).exists() and stamped == fingerprint(root) and torch_spec in ("", stamped_spec.strip())


def forget_unfinished(site: Path) -> list[str]:
    """Remove the dist-info folder of each distribution that lacks files, so that it is installed again.

    An installer that was killed can leave a package that says it is installed and is not whole. RECORD lists
    every file of a distribution with its size. Compiled .pyc files do not count: Python makes them again.

    Returns:
        The names of the removed folders.
    """
    removed = []
    for info in sorted(site.glob("*.dist-info")):
        try:
            with open(info / "RECORD", newline="", encoding="utf-8") as record:
                rows = [row for row in csv.reader(record) if row and not row[0].endswith(".pyc")]
            whole = bool(rows) and all(
                os.path.getsize(site / path) == int(size) if size else os.path.exists(site / path)
                for path, _, size in rows
            )
        except (OSError, ValueError):
            whole = False
        if not whole:
            shutil.rmtree(info)
            removed.append(info.name)
    return removed


def explain_failure(output: str, what: str) -> SetupError:
    """The error that an installer's output comes down to."""
    if DISK_FULL.search(output):
        return DiskFullError(
            f"disk full while installing {what}: free {NEEDED_GB:.0f} GB, then run the same command again"
        )
    # pip that lists other versions did reach an index, even if another of its indexes failed.
    if NO_NETWORK.search(output) and not re.search(r"from versions: \d", output):
        return NetworkError(
            f"no network: the package index cannot be reached to install {what}. Check the connection (or "
            "pip's proxy and index settings), then run the same command again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return SetupError(f"cannot install {what}: {(errors or lines or ['the installer said nothing'])[-1]}")


def run_visibly(command: list[str], what: str) -> None:
    """Run an installer, showing what it says and that it is alive; raise SetupError if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    heard: list[str] = []
    last_word = started

    def listen() -> None:
        nonlocal last_word
        assert process.stdout is not None
        for line in process.stdout:
            heard.append(line)
            last_word = time.monotonic()
            if not line.startswith(("Requirement already satisfied", "Looking in")):
                print(f"    {line.rstrip()}", flush=True)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        while process.poll() is None:
            listener.join(timeout=1.0)
            if listener.is_alive() and time.monotonic() - last_word > SILENCE_S:
                last_word = time.monotonic()
                print(f"    ... still installing {what} ({last_word - started:.0f} s)", flush=True)
    except KeyboardInterrupt:
        process.wait()  # it got the same Ctrl-C; let it clean up its own files
        raise
    listener.join()
    if process.returncode != 0:
        raise explain_failure("".join(heard), what)


def make_venv(venv: Path) -> None:
    """Make the environment, or make it again if the Python or pip in it does not run."""
    python = venv_python(venv)
    works = python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    if works:
        return
    say(f"making {venv}")
    try:
        run_visibly([sys.executable, "-m", "venv", "--clear", str(venv)], "the virtual environment")
    except SetupError as error:
        if "ensurepip" in str(error):
            raise SetupError(
                f"this Python has no venv module; on Debian: apt-get install python3-venv ({error})"
            ) from None
        raise


def pip_install(venv: Path, *arguments: str) -> list[str]:
    """The command that installs with the environment's own pip."""
    # pip retries five times by default, which without a network is a long wait for the same answer.
    options = ["--retries", "2", "--progress-bar", "off"]
    return [str(venv_python(venv)), "-m", "pip", "install", *options, *arguments]


def install_torch(venv: Path, pinned: str, torch_spec: str) -> None:
    """Install torch without its dependencies, trying each build in turn.

    Args:
        venv: The environment.
        pinned: The version in constraints.txt, such as "2.13.0".
        torch_spec: What the user asked for instead, or "". Without it an installed torch of the pinned
            version is kept, whatever its build.
    """
    have = installed_version(venv, "torch")
    if not torch_spec and have and have.split("+")[0] == pinned:
        return
    if torch_spec:
        attempts = [shlex.split(torch_spec)]
    elif sys.platform == "darwin":
        attempts = [[f"torch=={pinned}"]]  # macOS has one build only
    else:
        attempts = [[f"torch=={pinned}+cpu"], [f"torch=={pinned}"]]
    for index, attempt in enumerate(attempts):
        say(f"installing {' '.join(attempt)}")
        try:
            return run_visibly(pip_install(venv, "--no-deps", *attempt), "torch")
        except (NetworkError, DiskFullError):
            raise
        except SetupError as error:
            if index + 1 == len(attempts):
                raise
            say(f"not this build ({error})")


def install_rest(root: Path, venv: Path, constraints: Path) -> None:
    """Install grokscope and its dependencies, with uv if it can be had, else with pip."""
    python = str(venv_python(venv))
    wanted = ["-c", str(constraints), "-e", f"{root}[dev]"]
    try:
        run_visibly(pip_install(venv, "-c", str(constraints), "uv"), "uv")
        say("installing the dependencies with uv")
        return run_visibly(
            [python, "-m", "uv", "pip", "install", "--python", python, "--compile-bytecode", *wanted],
            "the dependencies",
        )
    except DiskFullError:
        raise
    except SetupError as error:
        # uv ignores pip's own settings (index, certificates), so pip may reach an index that uv does not.
        say(f"not with uv ({error}); installing the dependencies with pip")
    run_visibly(pip_install(venv, *wanted), "the dependencies")


def bootstrap(root: Path, torch_spec: str = "") -> None:
    """Make or finish root/.venv; see the top of this file.

    Raises:
        SetupError: with a one-line reason, if it cannot be finished. Another run goes on from there.
    """
    venv = root / ".venv"
    if is_finished(root, venv, torch_spec):
        return
    check_machine(venv)
    started = time.monotonic()
    say("setting up .venv; the first time this takes a few minutes and 2.4 GB")
    (venv / ".stamp").unlink(missing_ok=True)
    make_venv(venv)
    site = site_packages(venv)
    for name in forget_unfinished(site) if site else []:
        say(f"{name} was left half-installed; installing it again")

    pins = (root / "constraints.txt").read_text()
    pinned = re.search(r"^torch==([\w.]+)", pins, re.MULTILINE)
    if pinned is None:
        raise SetupError(f"{root / 'constraints.txt'}: expected a line torch==VERSION")
    install_torch(venv, pinned[1], torch_spec)
    # The torch that is there now is the one to keep, also where TORCH_SPEC asked for another version.
    chosen = (installed_version(venv, "torch") or pinned[1]).split("+")[0]
    constraints = venv / "constraints.txt"
    constraints.write_text(re.sub(r"^torch==.*", f"torch=={chosen}", pins, flags=re.MULTILINE))
    install_rest(root, venv, constraints)

    (venv / ".stamp").write_text(f"{fingerprint(root)}\n{torch_spec}\n")
    say(f"ready in {time.monotonic() - started:.0f} s")


def main() -> int:
    try:
        bootstrap(Path(__file__).resolve().parent.parent, os.environ.get("TORCH_SPEC", "").strip())
    except (SetupError, OSError) as error:
        print(f"bootstrap: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bootstrap: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
