"""Who may import whom, read off the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "probe").rglob("*.py"))
CIRCUITS = sorted((ROOT / "circuits").rglob("*.py"))
OURS = ("probe", "circuits")


def imports(path):
    """Modules that a file imports anywhere in it, with those of ``if TYPE_CHECKING``, and the names taken from them."""
    found = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], node.module or ""]) if node.level else node.module
            )
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def of(*folders):
    return [path for path in FILES if path.relative_to(ROOT / "probe").parts[0] in folders]


def within(module, *packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def named(path):
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at():
    folders = {path.relative_to(ROOT / "probe").parts[0] for path in FILES}
    assert {"algebra", "measures", "tasks", "suites", "activations", "probes", "batch", "report", "scaling"} <= folders
    assert "transformer_lens" in imports(ROOT / "probe/suites/hooked.py")


@pytest.mark.parametrize("path", of("algebra"), ids=named)
def test_algebra_imports_nothing_of_ours(path):
    assert not [m for m in imports(path) if within(m, *OURS) and not within(m, "probe.algebra")]


@pytest.mark.parametrize("path", of("measures", "tasks"), ids=named)
def test_measures_and_tasks_import_algebra_and_themselves_only(path):
    own = f"probe.{path.relative_to(ROOT / 'probe').parts[0]}"
    allowed = ["probe.algebra", own]
    if named(path) == "probe/tasks/text.py":  # whose questions are those of a corpus
        allowed.append("probe.corpus")
    assert not [m for m in imports(path) if within(m, *OURS) and m != "probe" and not within(m, *allowed)]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_transformer_lens_is_imported_where_models_are(path):
    if path.relative_to(ROOT / "probe").parts[0] not in ("suites", "activations"):
        assert not [m for m in imports(path) if within(m, "transformer_lens")]
    else:  # its public surface
        public = {"HookedRootModule", "TransformerBridgeConfig", "hook_points", "hook_points.HookPoint"}
        public |= {"model_bridge", "model_bridge.TransformerBridge"}
        used = {m.removeprefix("transformer_lens").lstrip(".") for m in imports(path) if within(m, "transformer_lens")}
        assert used <= public | {""}


@pytest.mark.parametrize("path", of("report", "scaling"), ids=named)
def test_report_and_scaling_read_tables_and_arrays_never_models(path):
    forbidden = (
        "probe.suites",
        "probe.activations",
        "probe.training",
        "probe.probes",
        "probe.batch",
        "transformer_lens",
    )
    assert not [m for m in imports(path) if within(m, *forbidden)]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_probe_never_imports_circuits_nor_the_tests(path):
    assert not [m for m in imports(path) if within(m, "circuits", "tests")]


@pytest.mark.parametrize("path", CIRCUITS, ids=named)
def test_circuits_imports_probe_and_of_transformer_lens_its_public_surface(path):
    assert not [m for m in imports(path) if within(m, "tests")]
    public = {"", "HookedRootModule", "hook_points", "hook_points.HookPoint", "model_bridge"}
    public |= {"model_bridge.TransformerBridge", "TransformerBridgeConfig"}
    used = {m.removeprefix("transformer_lens").lstrip(".") for m in imports(path) if within(m, "transformer_lens")}
    assert used <= public


def test_circuits_is_looked_at():
    assert "probe.activations.forward" in imports(ROOT / "circuits/attribution.py")


@pytest.mark.parametrize("path", FILES + CIRCUITS, ids=named)
def test_nothing_is_loaded_by_unpickling(path):
    tree = ast.parse(path.read_text())
    assert not [m for m in imports(path) if within(m, "pickle", "cPickle", "dill", "cloudpickle", "joblib.load")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load", "numpy.load", "np.load"):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            safe = given.get("weights_only") == "True" or given.get("allow_pickle") == "False"
            assert safe, f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES + CIRCUITS, ids=named)
def test_no_file_is_longer_than_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= 350


def test_a_public_function_and_a_module_never_share_a_name():
    """``probe.run`` is a function, so there is no ``probe/run.py``."""
    import circuits
    import probe

    for package in (probe, circuits):
        modules = {path.stem for path in (ROOT / package.__name__).iterdir()} - {"__init__"}
        assert modules.isdisjoint(package.__all__)
