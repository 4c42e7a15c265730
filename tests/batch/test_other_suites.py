"""Batches on suites that were not trained here: odd files, published formats, checkpoints that are copies."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from probe.batch.plan import Run
from probe.batch.report import report_data
from probe.batch.results import results
from probe.batch.run import RunError, run
from probe.batch.source import BatchError
from probe.cli import app
from probe.report import render_report
from probe.suites import open_suite
from probe.tasks import ModularArithmetic
from tests.batch.batches import tiny_batch
from tests.reference_models import reference_path
from tests.suites.hub_format import save_neox, tokenizer
from tests.suites.layouts import early

TASK = {"p": 11, "train_fraction": 0.8}
PROBES = ["performance", "embedding_spectrum", "neuron_logit_spectrum", "key_frequencies", "fourier_progress"]


def there(path, probes=PROBES, **suite):
    return tiny_batch(suite={"source": "folder", "path": str(path), **suite}, probes=probes)


@pytest.fixture
def odd_files(finished, tmp_path):
    """Two checkpoints of the finished run as another program would have saved them, under no name of ours."""
    trained = open_suite(f"{finished}/suite")
    folder = tmp_path / "odd"
    folder.mkdir()
    for step in (50, 200):
        checkpoint = trained["d8-s0", step]
        torch.save({"model": early(checkpoint.model.architecture, checkpoint.weights())}, folder / f"epoch_{step}.pt")
    return folder


def test_odd_files_give_the_numbers_of_the_suite_that_they_are_of(finished, odd_files, tmp_path):
    task = {**TASK, "seed": 0}
    folder = run(there(odd_files, task=task), tmp_path / "run", workers=1, progress=False)
    found = results(folder)
    assert set(found["step"]) == {50, 200}
    assert found["seed"].isna().all()
    assert found["examples_seen"].isna().all()
    key = ["step", "probe", "metric", "site", "key"]
    ours = results(finished).query("model == 'd8-s0' and step in (50, 200)")
    both = found.merge(ours[ours["probe"].isin(PROBES)], on=key, suffixes=("", "_ours"), how="outer")
    assert not both[["model", "model_ours"]].isna().any().any()
    np.testing.assert_allclose(both["value"], both["value_ours"], rtol=1e-5, atol=1e-7)
    page = render_report(report_data(Run.open(folder)))
    assert "seed not known" in page
    for form in ("csv", "json"):
        said = CliRunner().invoke(app, ["results", folder, "--format", form])
        assert said.exit_code == 0, said.output
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(rows) == len(found)
    assert {(row["seed"], row["examples_seen"]) for row in rows} == {(None, None)}


def test_a_model_in_transformers_format_is_asked_a_task(tmp_path):
    for step in (0, 4):
        save_neox(tmp_path / "neox" / f"step{step}", seed=step, tokenizer=tokenizer())
    batch = there(tmp_path / "neox", ["performance", "weights"], task=TASK, steps=[0, 4])
    found = results(run(batch, tmp_path / "run", workers=1, progress=False))
    accuracy = found.query("metric == 'accuracy' and key == 'all'").set_index("step")["value"]
    suite = open_suite(str(tmp_path / "neox"))
    for step in (0, 4):
        model = suite["neox", step].load()
        tokens = torch.as_tensor(batch.suite.task.tokens)
        with torch.no_grad():
            answered = model(tokens)[:, 2, :11].argmax(-1)
        right = (answered == torch.as_tensor(batch.suite.task.answers)).double().mean().item()
        assert accuracy[step] == pytest.approx(right)
    assert pd.isna(found["seed"]).all()


def test_a_copy_is_named_before_it_is_measured_as_another_step(odd_files, tmp_path):
    (odd_files / "epoch_100.pt").write_bytes((odd_files / "epoch_50.pt").read_bytes())
    with pytest.warns(UserWarning, match="odd at step 100 has the weights of step 50, so one of them is not what"):
        run(there(odd_files, ["performance"], task=TASK), tmp_path / "run", workers=1, progress=False)


def test_a_step_whose_weights_do_not_fit_does_not_keep_the_others_from_being_measured(odd_files, tmp_path):
    weights = torch.load(odd_files / "epoch_50.pt", weights_only=True)["model"]
    del weights["unembed.W_U"]
    torch.save(weights, odd_files / "epoch_100.pt")
    with pytest.raises(RunError, match=r"(?s)step 100: .*epoch_100\.pt: not the weights .* missing: unembed\.W_U"):
        run(there(odd_files, ["performance"], task=TASK), tmp_path / "run", workers=1, progress=False)
    assert set(results(tmp_path / "run")["step"]) == {50, 200}


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ({}, "suite.task: nothing says what odd was trained on; expected a task to ask it"),
        ({"task": {"p": 13}}, "suite.task: got a task of 14 tokens; expected 12, as many as odd knows"),
        # all of its tokens are there, but "=" would be the number 7
        ({"task": {"p": 7}}, "suite.task: got a task of 8 tokens; expected 12, as many as odd knows"),
        ({"task": TASK, "steps": [60]}, "step: odd has no checkpoint at 60; the nearest is at 50"),
        ({"task": TASK, "mapping": "transformerlens"}, "transposed"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file_s_line(odd_files, suite, says):
    with pytest.raises(BatchError, match=rf"tiny.yaml:\d+: (.|\n)*{says}"):
        there(odd_files, ["performance"], **suite)


def test_a_published_model_is_asked_its_own_modulus_and_no_smaller_one():
    """Of 113 numbers and "=": with 59, token 59 would be asked as "=", and be the number 59."""
    path = reference_path("nanda-wd01/model_and_curve.pth")
    assert there(path, ["performance"], task={"p": 113}).tasks() == [ModularArithmetic(113)]
    with pytest.raises(
        BatchError, match=r"suite\.task: got a task of 60 tokens; expected 114, as many as model_and_curve"
    ):
        there(path, ["performance"], task={"p": 59})
