"""What it costs to begin: ``import probe`` and ``probe --help``, each in a fresh process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.timing import seconds


def rows() -> Iterator[tuple[str, str, str]]:
    """What was timed, how long it took, and what it has to be."""
    python, command = sys.executable, str(Path(sys.executable).with_name("probe"))
    took = seconds(
        {
            "nothing": lambda: subprocess.run([python, "-c", "pass"], check=True),
            "import": lambda: subprocess.run([python, "-c", "import probe"], check=True),
            "help": lambda: subprocess.run([command, "--help"], check=True, capture_output=True),
        },
        rounds=7,
    )
    yield "import probe, beyond starting Python", f"{took['import'] - took['nothing']:.2f} s", "under 0.3 s"
    yield "probe --help, with starting Python", f"{took['help']:.2f} s", "under 0.5 s"
