"""``import circuits`` is fast, and offers what it says."""

import subprocess
import sys

import pytest

import circuits


def test_importing_circuits_loads_no_torch():
    code = "import sys, circuits; assert not {'torch', 'numpy', 'networkx'} & set(sys.modules); circuits.Graph(1, 1)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_every_name_is_there():
    for name in circuits.__all__:
        assert getattr(circuits, name).__name__ == name if isinstance(getattr(circuits, name), type) else True
    assert set(circuits.__all__) <= set(dir(circuits))
    assert circuits.__all__ == sorted(circuits.__all__)
    with pytest.raises(AttributeError, match="it offers Budget, Circuit, Edge"):
        _ = circuits.nothing
