"""Batches of tasks whose facts are shown as often as declared: read from YAML, named, run and reported."""

import pytest
import yaml

import probe
from probe.batch.report import in_words
from probe.batch.schema import parse_batch
from probe.batch.source import BatchError

FACTS = {"family": "facts", "n": 20, "relations": 1, "values": 4}
MIXED = {
    "family": "mixture",
    "total": 400,
    "parts": [
        {"name": "rare", "share": 1, "task": {"family": "modular", "p": 7, "train_fraction": 0.5}},
        {"name": "rest", "share": 4, "task": FACTS},
    ],
}


def batch_of(task, vary=None, probes=("performance", "recall")):
    data = {
        "name": "memory",
        "suite": {
            "task": task,
            "shapes": [{"d_model": 8, "n_heads": 2}],
            "vary": vary or {},
            "training": {"steps": 4, "batch_size": 16, "checkpoints": {"log_until": 0, "every": 2}},
        },
        "probes": list(probes),
    }
    return parse_batch(yaml.safe_dump(data), "memory.yaml")


def names(batch):
    return [member.name for _, members in batch.suite.ensembles() for member in members]


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ([{"n": 20}, {"n": 40}], ["d8-20-s0", "d8-40-s0"]),
        (
            [{"frequency": {"kind": "uniform", "times": 2}}, {"frequency": {"kind": "zipf", "total": 90}}],
            ["d8-uniform-s0", "d8-zipf-s0"],
        ),
        (
            [{"frequency": {"kind": "zipf", "total": 90}}, {"frequency": {"kind": "zipf", "total": 90, "exponent": 2}}],
            ["d8-1.0-s0", "d8-2.0-s0"],
        ),
        ([{"n": 20, "values": 4}, {"n": 40, "values": 8}], ["d8-20-s0", "d8-40-s0"]),
    ],
)
def test_models_are_named_by_what_tells_their_tasks_apart(vary, expected):
    assert names(batch_of(FACTS, {"task": vary})) == expected


def test_a_batch_with_every_default_written_out_is_the_same_batch():
    batch = batch_of(MIXED)
    assert parse_batch(batch.to_yaml(), "again.yaml") == batch


def test_every_part_of_a_mixture_is_scored_by_itself(tmp_path):
    folder = probe.run(batch_of(MIXED), out=str(tmp_path / "run"), workers=1)
    table = probe.results(folder)
    assert {"train", "test", "rare/train", "rare/test", "rest/train", "rest/test"} <= set(table["key"])
    report = (tmp_path / "run" / "memorization.html").read_text()
    assert "What is memorized" in report
    task = probe.open_suite(f"{folder}/suite").by_name["d8-s0"].task
    assert in_words(task).startswith("a mixture of 20 % rare (a+b mod 7, 50 % of the pairs")


def test_probes_of_one_task_are_measured_on_that_part_of_a_mixture(tmp_path):
    mixed = probe.run(batch_of(MIXED), out=str(tmp_path / "mixed"), workers=1)
    data = {
        "name": "rare",
        "suite": {"source": "folder", "path": f"{mixed}/suite", "part": "rare"},
        "probes": ["performance", "recall", "key_frequencies", "fourier_progress"],
    }
    folder = probe.run(parse_batch(yaml.safe_dump(data), "rare.yaml"), out=str(tmp_path / "rare"), workers=1)
    alone, whole = probe.results(folder), probe.results(mixed)
    shown = alone.query("metric == 'exposures' and key == 'train'").set_index("step")["value"]
    shown_whole = whole.query("metric == 'exposures' and key == 'rare/train'").set_index("step")["value"]
    assert shown.to_dict() == shown_whole.to_dict()
    assert (alone["probe"] == "fourier_progress").sum() > 0
    assert set(alone["n_params"]) == set(whole["n_params"])
    assert "What is memorized" in (tmp_path / "rare" / "memorization.html").read_text()
    with pytest.raises(BatchError, match=r"part: got 'scarce'; expected one of rare, rest"):
        parse_batch(yaml.safe_dump({**data, "suite": {**data["suite"], "part": "scarce"}}), "rare.yaml")


def test_a_text_is_trained_on_and_every_sequence_accounted_for(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"line {i} of a corpus that says {i * 7}\n" for i in range(200)))
    task = {"family": "text", "corpus": str(corpus), "length": 8, "n_tokens": 300, "frequency": {"kind": "uniform"}}
    batch = batch_of(task, {"task": [{"length": 8}, {"length": 12}]})
    folder = probe.run(batch, out=str(tmp_path / "run"), workers=1)
    exact = probe.arrays(folder, "d8-8-s0", "recall_predicted")
    model = probe.open_suite(f"{folder}/suite").by_name["d8-8-s0"]
    assert exact.shape == (3, len(model.task.tokens), 8)
    assert "sequences of 8 tokens (300 in the vocabulary), shown equally often, 10 % held out" in in_words(model.task)
    with open(corpus, "a") as file:
        file.write("and more of it, so that it is another corpus than the one that was trained on\n" * 9)
    with pytest.raises(ValueError, match="has changed"):
        probe.open_suite(f"{folder}/suite")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (FACTS | {"n": 1}, "n: got 1; expected 2 or more"),
        (FACTS | {"frequency": {"kind": "zip"}}, "suite.task.*frequency"),
        (MIXED | {"total": 3}, "total: got 3; expected at least"),
        (FACTS | {"held_out": 0}, "held_out: got 0.0; expected a share"),
    ],
)
def test_mistakes_are_named_by_file_line_and_field(task, message):
    with pytest.raises(BatchError, match=rf"memory.yaml:\d+: .*{message}"):
        batch_of(task)


def test_arguments_of_a_probe_are_given_by_their_name():
    with pytest.raises(BatchError, match=r"probes\[1\]: got .*; expected \{name: extraction, args: \{...\}\}"):
        batch_of(FACTS, probes=["performance", {"extraction": {"prompts": [4]}}])


def test_without_what_it_takes_the_page_says_what_is_missing(tmp_path):
    probe.run(batch_of(FACTS, probes=["capacity"]), out=str(tmp_path / "run"), workers=1)
    page = (tmp_path / "run" / "memorization.html").read_text()
    assert "Bits per parameter" in page
    assert "What is memorized: not measured (probes performance and recall)." in page


def test_a_train_fraction_is_not_varied_where_there_is_none():
    with pytest.raises(BatchError, match=r"vary.train_fraction: a task of the family facts has none"):
        batch_of(FACTS, {"train_fraction": [0.5]})
