"""Probes by name, and what is said of names that are none."""

import subprocess
import sys
import types
from importlib.metadata import EntryPoint, entry_points

import pytest

from probe.probes import registry
from probe.probes.performance import Performance
from probe.probes.registry import probe_class, registered

BUILT_IN = [
    *("embedding_circle", "embedding_spectrum", "fourier_progress", "key_frequencies"),
    *("neuron_logit_spectrum", "performance", "weights"),
]


def test_the_built_in_probes_are_registered_in_alphabetical_order():
    names = list(registered())
    assert names == sorted(names)
    assert set(BUILT_IN) <= set(names)
    assert probe_class("performance") is Performance
    assert probe_class("probe.probes.performance:Performance") is Performance
    assert {point.name for point in entry_points(group="grokscope.probes")} == set(names)


def test_another_distributions_probe_is_found(monkeypatch):
    point = EntryPoint("mine", "probe.probes.weights:Weights", "grokscope.probes")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "grokscope.probes" else [])
    monkeypatch.setattr(registry, "registered", registry.registered.__wrapped__)
    assert list(registry.registered()) == ["mine"]
    assert probe_class("mine").name == "weights"


def module_with(monkeypatch, **contents):
    module = types.ModuleType("someones_probes")
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, "someones_probes", module)


def test_an_unknown_name_is_said_with_the_nearest():
    with pytest.raises(ValueError, match="no probe is called 'performnce'; did you mean 'performance'") as error:
        probe_class("performnce")
    assert all(name in str(error.value) for name in BUILT_IN)
    with pytest.raises(ValueError, match="no probe is called 'zzz'") as error:
        probe_class("zzz")
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module_at_all:Probe", "'no_such_module_at_all:Probe' cannot be imported: .*No module named"),
        ("probe.probes.weights:Wieghts", "cannot be imported: .*has no attribute 'Wieghts'"),
        ("probe.probes.weights:", "cannot be imported"),
        (":Weights", "probe ':Weights'"),
        ("json:loads", "'json:loads' is not a probe: it lacks .*version"),
        ("someones_probes:Nothing", "is not a probe: it lacks version, sites, per, needs, check, needs_for, measure"),
        ("someones_probes:Plain", "'someones_probes:Plain' is not a probe: .*dataclass"),
    ],
)
def test_what_is_no_probe_is_said(monkeypatch, name, says):
    class Nothing:
        name = "nothing"

    class Plain:
        name, version, sites, per, needs = "plain", 1, (), "checkpoint", ()

        def check(self, task):
            pass

        def needs_for(self, task):
            return ()

        def measure(self, observation):
            yield

    module_with(monkeypatch, Nothing=Nothing, Plain=Plain)
    with pytest.raises(ValueError, match=says):
        probe_class(name)


@pytest.mark.parametrize("content", ["raise KeyError('x')", "def f(:", "raise RuntimeError('no GPU')"])
def test_a_module_that_fails_to_import_is_said(tmp_path, monkeypatch, content):
    (tmp_path / "broken_probes.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_probes", raising=False)
    with pytest.raises(ValueError, match="probe 'broken_probes:Mine' cannot be imported: "):
        probe_class("broken_probes:Mine")


def test_listing_names_imports_no_probe():
    code = (
        "import sys; from probe.probes.registry import registered; registered();"
        " sys.exit('probe.probes.spectra' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
