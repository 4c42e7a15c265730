"""Importing the package, and asking the command for help, load nothing heavy."""

import subprocess
import sys

import pytest

import probe

HEAVY = {"torch", "pandas", "transformer_lens", "xarray", "zarr", "duckdb", "plotly", "scipy", "sympy"}
NOUNS = [
    *("Batch", "Checkpoint", "GroupComposition", "ModularArithmetic", "Suite", "arrays", "load_batch", "open_suite"),
    *("results", "run", "status", "capture", "few_shot", "open_capture", "stream"),
    *("Addition", "Biographies", "Facts", "Mixture", "Multiplication", "RepeatedTokens", "Subtraction", "Text"),
    *("InContextLinear", "InContextMapping"),
]


def loaded_by(code):
    """Which heavy packages are loaded after running some code in a fresh interpreter."""
    tell = f"import sys\n{code}\nprint(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    return found.stderr.split()


@pytest.mark.parametrize(
    "code",
    [
        "import probe; dir(probe)",
        "import probe.cli",
        "from probe.cli import app\ntry: app(['--help'])\nexcept SystemExit as e: assert e.code == 0",
        "from probe.cli import app\ntry: app(['run', '--help'])\nexcept SystemExit as e: assert e.code == 0",
        "import probe.measures, probe.algebra",
    ],
)
def test_nothing_heavy_is_loaded(code):
    assert loaded_by(code) == []


def test_a_task_needs_no_torch():
    code = "import probe; t = probe.ModularArithmetic(7); t.tokens, t.answers, t.train_mask, t.subsets, t.cyclic_form"
    assert "torch" not in loaded_by(code)
    assert "transformer_lens" not in loaded_by(code)


def test_a_task_reads_a_corpus_without_what_counts_it():
    tell = "import sys, probe.tasks; print(*(m for m in sys.modules if m.startswith(('ahocorasick', 'probe.corpus.'))))"
    loaded = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) == {"probe.corpus.readers", "probe.corpus.shards", "probe.corpus.streams"}
    import probe.corpus

    assert set(probe.corpus.__all__) <= set(dir(probe.corpus))
    for name in probe.corpus.__all__:
        assert getattr(probe.corpus, name).__name__ == name
    with pytest.raises(AttributeError, match=r"'probe\.corpus' has no attribute 'count_words'; it offers TermCounts"):
        _ = probe.corpus.count_words


def test_every_noun_is_there_and_listed():
    assert sorted(probe.__all__) == sorted(NOUNS)
    assert set(NOUNS) <= set(dir(probe))
    for name in NOUNS:
        assert getattr(probe, name).__name__ == name
    assert probe.open_suite is probe.suites.open_suite
    assert probe.ModularArithmetic(5).p == 5


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'probe' has no attribute 'rnu'; it offers .*open_suite.*run"):
        _ = probe.rnu
    assert not hasattr(probe, "torch")
