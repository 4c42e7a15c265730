"""The pages that a run writes hold what its probes measured."""

from pathlib import Path

import numpy as np
import pytest

from probe import storage
from probe.batch import report as batch_report
from probe.batch.plan import Run
from probe.batch.results import arrays, results
from probe.batch.run import run
from probe.report.frames import SLIDER_STEPS, slider_steps
from tests.batch.batches import short_batch
from tests.report.test_html import Page, figures

PROBES = [
    "performance",
    "embedding_spectrum",
    "neuron_logit_spectrum",
    "key_frequencies",
    "fourier_progress",
    "embedding_circle",
    "neuron_frequencies",
    "attention_frequencies",
    "logit_spectrum",
    "key_irreps",
    "irrep_progress",
    "irrep_power",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    training = {"steps": 26, "checkpoints": {"log_until": 0, "every": 1}}
    batch = short_batch(probes=PROBES, suite__training=training, suite__vary={"learning_rate": [1.0e-2]})
    return Path(run(batch, tmp_path_factory.mktemp("run") / "run", workers=1, progress=False))


def test_a_run_has_a_page_for_its_model(folder):
    assert {path.name for path in folder.glob("*.html")} == {"report.html", "structure-d8-s0.html", "transition.html"}
    text = (folder / "structure-d8-s0.html").read_text("utf-8")
    assert "a+b mod 7, 60 % of the pairs trained on (unordered split)" in Page(text).text
    drawn = figures(text)
    for panel in ("embedding-spectrum", "neuron-logit-spectrum", "neuron-clusters", "neuron-fits", "heads-frequency"):
        assert panel in drawn
    for panel in ("logit-spectrum", "diagonal", "logit-cosines", "irrep-logits", "irrep-shares", "progress"):
        assert panel in drawn


def test_the_figures_show_what_the_probes_measured(folder):
    table = results(folder)
    (spec,) = figures((folder / "structure-d8-s0.html").read_text("utf-8"))["neuron-fits"].values()
    frames = [int(frame["name"]) for frame in spec["frames"]]
    assert frames == slider_steps(range(27))
    assert len(frames) == SLIDER_STEPS < table["step"].nunique()
    found = batch_report.report_data(Run.open(str(folder)))
    for name in ("neuron_frequency", "neuron_share", "logit_spectrum_group"):
        kept, whole = found.arrays("d8-s0", name), arrays(folder, "d8-s0", name)
        assert kept["step"].values.tolist() == frames
        np.testing.assert_array_equal(kept, whole.sel(step=frames))
    assert found.arrays("d8-s0", "nothing") is None


def test_pages_are_written_whole_and_the_overview_last(folder, monkeypatch):
    written = []
    monkeypatch.setattr(storage, "write_atomically", lambda path, data: written.append((Path(path).name, len(data))))
    assert batch_report.write_report_of(Run.open(str(folder))) == f"{folder}/report.html"
    assert [name for name, _ in written] == ["structure-d8-s0.html", "transition.html", "report.html"]
    assert all(size > 1_000_000 for _, size in written)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            {"p": 5, "operation": "a^2+b^2", "train_fraction": 0.5, "split": "ordered"},
            "a^2+b^2 mod 5, 50 % of the pairs",
        ),
        ({"group": "S3", "train_fraction": 0.625}, "a b in the group S3, 62.5 % of the pairs trained on (unordered"),
    ],
)
def test_tasks_are_said_in_words(task, words):
    assert batch_report.in_words(short_batch(suite__task=task, probes=["performance"]).tasks()[0]).startswith(words)
