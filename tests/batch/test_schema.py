"""What a batch file may say, what is said of mistakes in it, and that what is written out reads back the same."""

import re
import textwrap

import pytest
import yaml

from probe.batch.schema import Batch, TrainedSuite, bundled_batches, load_batch, parse_batch
from probe.batch.source import BatchError
from probe.suites.architecture import Architecture, Shape
from probe.tasks import GroupComposition, ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

GOOD = """\
name: tiny
suite:
  task:
    p: 7
    operation: a+b
    train_fraction: 0.5
  shapes:
    - {d_model: 8, n_heads: 2}
  vary:
    seed: [0, 1]
    learning_rate: [1.0e-3]
  training:
    steps: 10
    batch_size: 5
probes:
  - performance
  - key_frequencies
"""


def edited(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def said_of(text):
    with pytest.raises(BatchError) as error:
        parse_batch(text, "batch.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    p: 7", "    p: 1", "4: suite.task.p: got 1; expected a modulus of at least 2"),
        ("    p: 7", "    p: -3", "4: suite.task.p: got -3; expected a modulus of at least 2"),
        ("    p: 7", "    p: seven", "4: suite.task.p: got 'seven'; expected a whole number"),
        ("    p: 7", "    p: 7.5", "4: suite.task.p: got 7.5; expected a whole number"),
        ("    p: 7", "    q: 7", r"[34]: suite.task.(q|p): got .*(unknown field|nothing)"),
        (
            "    p: 7\n",
            "    p: 7\n    family: modlar\n",
            r"\d: suite.task.family: got 'modlar'; expected .*'group'.*\(did you mean 'modular'\?\)",
        ),
        ("operation: a+b", "operation: a+c", r"5: suite.task.operation: got 'a\+c'; expected 'a\+b', .*'a\^3\+ab'"),
        ("train_fraction: 0.5", "train_fraction: 0", "6: suite.task.train_fraction: got 0.*above 0 and at most 1"),
        ("train_fraction: 0.5", "train_fraction: 1.5", "6: suite.task.train_fraction: got 1.5; expected .*at most 1"),
        ("train_fraction: 0.5", "train_fraction: .nan", "6: suite.task.train_fraction: got nan"),
        (
            "train_fraction: 0.5",
            "train_fracton: 0.5",
            "6: suite.task.train_fracton: got an unknown field; expected one of .*did you mean 'train_fraction'",
        ),
        ("train_fraction: 0.5", "seed: -1", "6: suite.task.seed: got -1; expected"),
        ("{d_model: 8, n_heads: 2}", "{d_model: -8}", r"8: suite.shapes\[0\].d_model: got -8; expected at least 1"),
        (
            "{d_model: 8, n_heads: 2}",
            "{d_model: 8, n_heads: 3}",
            r"8: suite.shapes\[0\].d_model: got 8, which is not divisible by n_heads = 3; the nearest that is is 9",
        ),
        (
            "{d_model: 8, n_heads: 2}",
            "{d_model: 8, n_layers: 0}",
            r"8: suite.shapes\[0\].n_layers: got 0; expected at least 1",
        ),
        (
            "{d_model: 8, n_heads: 2}",
            "{d_model: 8, d_mlp: -1}",
            r"8: suite.shapes\[0\].d_mlp: got -1; expected at least 1",
        ),
        (
            "{d_model: 8, n_heads: 2}",
            "{d_model: 8, heads: 2}",
            r"8: suite.shapes\[0\].heads: got an unknown field.*did you mean 'n_heads'",
        ),
        (
            "{d_model: 8, n_heads: 2}",
            "{d_model: 8, activation: rleu}",
            r"8: suite.shapes\[0\].activation: got 'rleu'; expected 'relu' or 'gelu' \(did you mean 'relu'\?\)",
        ),
        (
            "    - {d_model: 8, n_heads: 2}",
            "    []",
            r"\d: suite.shapes: got an empty list; expected a list of at least 1",
        ),
        ("seed: [0, 1]", "seed: [0, 0]", r"10: suite.vary.seed: got \[0, 0\]; expected each value once"),
        ("seed: [0, 1]", "seed: []", "10: suite.vary.seed: got an empty list; expected a list of at least 1"),
        ("seed: [0, 1]", "seed: 3", "10: suite.vary.seed: got 3; expected a list"),
        ("seed: [0, 1]", "seed: [0, -1]", r"10: suite.vary.seed(\[1\])?: got -1; expected"),
        (
            "seed: [0, 1]",
            "train_fraction: [0.5, 1.5]",
            r"10: suite.vary.train_fraction(\[1\])?: got 1.5; expected .*at most 1",
        ),
        (
            "seed: [0, 1]",
            "train_fraction: [0.5, 0]",
            r"10: suite.vary.train_fraction(\[1\])?: got 0.*; expected .*above 0",
        ),
        (
            "learning_rate: [1.0e-3]",
            "learning_rate: [0]",
            r"11: suite.vary.learning_rate\[0\]: got 0; expected a number above 0",
        ),
        ("learning_rate: [1.0e-3]", "learning_rate: [.inf]", r"11: suite.vary.learning_rate\[0\]: got inf"),
        (
            "learning_rate: [1.0e-3]",
            "weight_decay: [-1]",
            r"11: suite.vary.weight_decay\[0\]: got -1; expected a number at least 0",
        ),
        (
            "learning_rate: [1.0e-3]",
            "learnin_rate: [1]",
            "11: suite.vary.learnin_rate: got an unknown field.*did you mean 'learning_rate'",
        ),
        ("    steps: 10", "    steps: -10", "13: suite.training.steps: got -10; expected 0 or more"),
        ("batch_size: 5", "batch_size: 0", "14: suite.training.batch_size: got 0; expected at least 1, or null"),
        (
            "batch_size: 5",
            "batch_size: 40",
            r"14: suite.training.batch_size: got 40; expected at most 2\d, the training examples of d8-s\d",
        ),
        (
            "batch_size: 5",
            "betas: [0.9, 1.0]",
            r"14: suite.training.betas: got \(0.9, 1.0\); expected two numbers in \[0, 1\)",
        ),
        (
            "batch_size: 5",
            "checkpoints: {every: 0}",
            "14: suite.training.checkpoints.every: got 0; expected at least 1",
        ),
        ("  - performance", "  - performnce", r"16: probes\[0\].*'performnce'.*did you mean 'performance'"),
        ("  - performance", "  - nowhere:Probe", r"16: probes\[0\].*'nowhere:Probe' cannot be imported"),
        (
            "  - performance",
            "  - {name: performance, args: {x: 1}}",
            r"16: probes\[0\].*performance has no argument 'x'; it takes no arguments",
        ),
        (
            "  - key_frequencies",
            "  - {name: key_frequencies, args: {treshold: 1}}",
            r"17: probes\[1\].*key_frequencies has no argument 'treshold'; it takes threshold",
        ),
        (
            "  - key_frequencies",
            "  - {name: key_frequencies, args: {threshold: high}}",
            r"17: probes\[1\].args.threshold: got 'high'; expected a number$",
        ),
        (
            "  - key_frequencies",
            "  - name: key_frequencies\n    args:\n      threshold: .nan",
            r"19: probes\[1\].args.threshold: got nan; expected a cosine: at least 0 and below 1$",
        ),
        (
            "  - key_frequencies",
            "  - key_frequencies\n  - {name: representation, args: {neighbours: 7}}",
            "15: probes: representation: neighbours: got 7 of 7 tokens; expected 6 or fewer$",
        ),
        ("  - key_frequencies", "  - performance", "15: probes: performance is listed twice; expected each probe once"),
        (
            "  - key_frequencies",
            "  - fourier_progress",
            "15: probes: fourier_progress needs key_frequencies, which is not listed; add it",
        ),
        (
            "seed: [0, 1]",
            "task:\n      - {p: 5}\n      - {operaton: a-b}",
            r"12: suite.vary.task\[1\].operaton: got an unknown field; expected one of p, operation, .*"
            r"\(did you mean 'operation'\?\)$",
        ),
        (
            "seed: [0, 1]",
            "task:\n      - {p: 5}\n      - operation: a/b\n        p: 8",
            r"12: suite.vary.task\[1\].operation: got 'a/b'; a/b is not defined modulo p = 8, .*; the nearest .* is 7$",
        ),
        (
            "seed: [0, 1]",
            "task: [{operation: a+c}]",
            r"10: suite.vary.task\[0\].operation: got 'a\+c'; expected 'a\+b', .*\(did you mean 'a\+b'\?\)$",
        ),
        (
            "seed: [0, 1]",
            "train_fraction: [0.3, 0.4]\n    task: [{p: 5}, {train_fraction: 0.5}]",
            r"10: suite.vary.train_fraction: got \[0.3, 0.4\], and another in vary.task\[1\]; expected one of the two$",
        ),
        (
            "operation: a+b",
            "operation: a^2+b^2",
            "15: probes: key_frequencies: the task's operation is not an addition",
        ),
        ("probes:\n  - performance\n  - key_frequencies", "probes: []", "15: probes: got an empty list"),
        ("name: tiny", "name: ti/ny", "1: name: got 'ti/ny'"),
        (
            "name: tiny",
            "name: tiny\nworkers: 2",
            "2: workers: got an unknown field; expected one of name, description, suite, probes",
        ),
        ("    steps: 10\n", "", r"1[23]: suite.training.steps: got nothing"),
        ("suite:\n", "suite:\n  source: hub\n", "3: suite.source: got 'hub'; expected 'folder' or 'train'"),
    ],
)
def test_a_mistake_is_named_with_file_line_field_value_and_what_is_allowed(old, new, says):
    said = said_of(edited(old, new))
    assert any(re.match(f"batch.yaml:(?:{says})", line) for line in said.splitlines()), said


def test_all_mistakes_are_said_at_once():
    text = edited("train_fraction: 0.5", "train_fraction: 2").replace("- performance", "- perf").replace("10\n", "-1\n")
    lines = said_of(text).splitlines()
    assert [line.split(":")[1] for line in lines] == ["6", "13", "16"]


def test_defaults_are_written_out_and_read_back_equal():
    batch = parse_batch(GOOD, "batch.yaml")
    written = batch.to_yaml()
    assert parse_batch(written, "again") == batch
    assert parse_batch(written, "again").to_yaml() == written
    data = yaml.safe_load(written)
    assert data["suite"]["task"] == {
        **{"p": 7, "operation": "a+b", "train_fraction": 0.5, "split": "unordered", "seed": 0, "family": "modular"}
    }
    assert data["suite"]["shapes"] == [
        {
            **{"d_model": 8, "n_layers": 1, "n_heads": 2, "d_head": 4, "d_mlp": 32, "activation": "relu"},
            **{"normalization": None, "biases": False, "attn_only": False},
        }
    ]
    assert data["suite"]["source"] == "train"
    assert data["suite"]["vary"]["weight_decay"] == [1.0]
    assert data["suite"]["training"]["checkpoints"] == {"per_decade": 10, "log_until": 100, "every": 100, "steps": []}
    assert data["suite"]["training"]["betas"] == [0.9, 0.98]
    assert data["probes"] == [
        {"name": "performance", "args": {}},
        {"name": "key_frequencies", "args": {"threshold": 0.005}},
    ]


@pytest.mark.parametrize("name", bundled_batches())
def test_bundled_batches_are_right_and_read_back_equal(name):
    batch = load_batch(name)
    assert batch.name == name
    assert batch.description
    assert parse_batch(batch.to_yaml(), "again") == batch


def test_what_is_given_as_a_default_or_left_to_it_is_the_same_batch():
    spelled = edited("  - key_frequencies", "  - {name: key_frequencies, args: {threshold: 0.005}}")
    assert parse_batch(spelled, "x") == parse_batch(GOOD, "x")
    other = edited("  - key_frequencies", "  - {name: key_frequencies, args: {threshold: 0.006}}")
    assert parse_batch(other, "x") != parse_batch(GOOD, "x")
    assert parse_batch(other, "x").probes[1].build().threshold == 0.006


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(
        BatchError, match=r"nowhere.yaml: no such file, and no bundled batch of this name; there are .*demo"
    ):
        load_batch(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(BatchError, match=r"latin.yaml:1: not UTF-8"):
        load_batch(tmp_path / "latin.yaml")
    (tmp_path / "grokking-demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_batch("grokking-demo").name == "grokking-demo"


@pytest.mark.parametrize("text", ["", "[]", "3", "name: x", "suite: 3", "suite: {task: 3}", "suite: []\nprobes: {}"])
def test_what_is_no_batch_at_all(text):
    assert all(re.match(r"batch.yaml:\d+: ", line) for line in said_of(text).splitlines())


# --- the models of a batch ---


def names(vary="", shapes="[{d_model: 8}]", more=""):
    text = f"""\
        task: {{p: 7, train_fraction: 0.5}}
        shapes: {shapes}
        vary: {{{vary}}}
        training: {{steps: 1}}
        {more}
        """
    suite = TrainedSuite.model_validate(yaml.safe_load(textwrap.dedent(text)))
    return [[member.name for member in members] for _, members in suite.ensembles()]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ("[{d_model: 8}, {d_model: 16}]", ["d8-s0", "d16-s0"]),
        ("[{d_model: 8, n_layers: 1}, {d_model: 8, n_layers: 2}]", ["d8-l1-s0", "d8-l2-s0"]),
        ("[{d_model: 8, n_heads: 2, d_head: 4}, {d_model: 8, n_heads: 4, d_head: 4}]", ["d8-h2-s0", "d8-h4-s0"]),
        ("[{d_model: 8, d_mlp: 5}, {d_model: 8}]", ["d8-m5-s0", "d8-m32-s0"]),
        ("[{d_model: 8, d_head: 2}, {d_model: 8, d_head: 3}]", ["d8-dh2-s0", "d8-dh3-s0"]),
        ("[{d_model: 8, activation: relu}, {d_model: 8, activation: gelu}]", ["d8-relu-s0", "d8-gelu-s0"]),
        ("[{d_model: 8, normalization: LN}, {d_model: 8}, {d_model: 16}]", ["d8-LN-s0", "d8-plain-s0", "d16-s0"]),
        ("[{d_model: 8, biases: true}, {d_model: 8}]", ["d8-b1-s0", "d8-b0-s0"]),
        ("[{d_model: 8, n_layers: 2, biases: true}, {d_model: 8}]", ["d8-l2-b1-s0", "d8-l1-b0-s0"]),
    ],
)
def test_names_tell_shapes_apart_by_what_they_differ_in(shapes, expected):
    assert [name for ensemble in names(shapes=shapes) for name in ensemble] == expected


def test_names_tell_members_apart_by_what_they_differ_in():
    assert names("seed: [0, 7]") == [["d8-s0", "d8-s7"]]
    assert names("learning_rate: [1.0e-3, 3.0e-3]") == [["d8-lr0.001-s0", "d8-lr0.003-s0"]]
    assert names("train_fraction: [0.3, 0.5], weight_decay: [0, 1], seed: [2]") == [
        ["d8-f0.3-wd0-s2", "d8-f0.3-wd1-s2", "d8-f0.5-wd0-s2", "d8-f0.5-wd1-s2"]
    ]


def test_models_that_would_have_the_same_name_are_refused():
    with pytest.raises(ValueError, match="two models would be called d8-s0"):
        names(shapes="[{d_model: 8}, {d_model: 8, d_mlp: 32}]")
    with pytest.raises(ValueError, match=r"two models would be called d8-lr0\.001-s0"):
        names("learning_rate: [1.0e-3, 1.0000001e-3]")


def test_ensembles_have_at_most_the_size_asked_for():
    assert names("seed: [0, 1, 2]", more="ensemble_size: 2") == [["d8-s0", "d8-s1"], ["d8-s2"]]
    assert names("seed: [0, 1, 2]", more="ensemble_size: 1") == [["d8-s0"], ["d8-s1"], ["d8-s2"]]
    assert names("seed: [0, 1]", "[{d_model: 8}, {d_model: 4}]", "ensemble_size: 9") == [
        ["d8-s0", "d8-s1"],
        ["d4-s0", "d4-s1"],
    ]
    with pytest.raises(ValueError, match="ensemble_size"):
        names(more="ensemble_size: 0")


def members(more):
    text = f"{{task: {{p: 7, train_fraction: 0.5, seed: 5}}, shapes: [{{d_model: 8}}], training: {{steps: 1}}, {more}}}"
    suite = TrainedSuite.model_validate(yaml.safe_load(text))
    return [member for _, members in suite.ensembles() for member in members]


def test_a_models_seed_draws_its_split_unless_it_should_not():
    assert [(m.seed, m.task.seed) for m in members("vary: {seed: [0, 2]}")] == [(0, 5), (2, 7)]
    assert [(m.seed, m.task.seed) for m in members("vary: {seed: [0, 2]}, draw_split: false")] == [(0, 5), (2, 5)]
    varied = members("vary: {train_fraction: [0.2, 0.4], learning_rate: [0.1], weight_decay: [0.2]}")
    assert [(m.task.train_fraction, m.learning_rate, m.weight_decay) for m in varied] == [
        (0.2, 0.1, 0.2),
        (0.4, 0.1, 0.2),
    ]


def test_a_task_can_be_varied():
    text = """{task: {p: 7, train_fraction: 0.5, split: ordered}, shapes: [{d_model: 8}], training: {steps: 1}, vary:
        {seed: [0, 1], task: [{operation: a+b, split: unordered}, {operation: a-b}, {operation: a^2+b^2}, {p: 5}]}}"""
    suite = TrainedSuite.model_validate(yaml.safe_load(text))
    ensembles = [[member.name for member in members] for _, members in suite.ensembles()]
    # operations of one modulus are trained together; another modulus has another number of tokens
    of_7 = [f"d8-7-{operation}-s{seed}" for operation in ("a+b", "aminusb", "a2+b2") for seed in (0, 1)]
    assert ensembles == [of_7, ["d8-5-a+b-s0", "d8-5-a+b-s1"]]
    members = [member for _, members in suite.ensembles() for member in members]
    assert [member.task.split for member in members[::2]] == ["unordered", "ordered", "ordered", "ordered"]
    assert [member.task.seed for member in members[:2]] == [0, 1]


def test_a_group_can_be_asked_and_varied_and_tells_itself():
    text = """{task: {group: S3, train_fraction: 0.5}, shapes: [{d_model: 8}], training: {steps: 1},
        vary: {task: [{}, {group: C6}, {group: C4}], train_fraction: [0.4, 0.6]}}"""
    suite = TrainedSuite.model_validate(yaml.safe_load(text))
    assert suite.task == GroupComposition("S3", train_fraction=0.5)
    ensembles = [[member.name for member in members] for _, members in suite.ensembles()]
    assert ensembles == [
        ["d8-S3-f0.4-s0", "d8-S3-f0.6-s0", "d8-C6-f0.4-s0", "d8-C6-f0.6-s0"],
        ["d8-C4-f0.4-s0", "d8-C4-f0.6-s0"],
    ]
    again = TrainedSuite.model_validate(suite.model_dump(mode="json"))
    assert again == suite


def test_tasks_that_differ_in_their_split_only_are_told_apart_by_it():
    text = """{task: {p: 7}, shapes: [{d_model: 8}], training: {steps: 1},
        vary: {task: [{split: ordered}, {split: unordered}]}}"""
    suite = TrainedSuite.model_validate(yaml.safe_load(text))
    assert [member.name for _, members in suite.ensembles() for member in members] == [
        "d8-ordered-s0",
        "d8-unordered-s0",
    ]


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("[{operation: a+c}]", r"vary.task\[0\].operation: got 'a\+c'"),
        ("[{}, {modulus: 7}]", r"vary.task\[1\].modulus: got an unknown field; expected one of p, operation, "),
        ("[{p: 1}]", r"vary.task\[0\].p: got 1; expected a modulus of at least 2 "),
        ("[{p: 5}, {p: 5}]", "expected each value once"),
        ("[]", "at least 1"),
    ],
)
def test_a_wrong_variation_of_the_task_is_named(task, says):
    text = f"{{task: {{p: 7}}, shapes: [{{d_model: 8}}], training: {{steps: 1}}, vary: {{task: {task}}}}}"
    with pytest.raises(ValueError, match=says):
        TrainedSuite.model_validate(yaml.safe_load(text))


def test_a_probe_is_measured_on_the_models_that_it_fits():
    text = """{name: mixed, suite: {task: {p: 7}, shapes: [{d_model: 8}], training: {steps: 1}, vary:
        {task: [{operation: a+b}, {operation: a^2+b^2}]}},
        probes: [performance, key_frequencies, embedding_circle, embedding_spectrum]}"""
    batch = parse_batch(text, "batch.yaml")
    names = [[spec.name for spec in batch.probes_for(task)] for task in batch.tasks()]
    # the circle reads the key frequencies, which a polynomial has none of
    assert names == [
        ["performance", "key_frequencies", "embedding_circle", "embedding_spectrum"],
        ["performance", "embedding_spectrum"],
    ]
    polynomials = text.replace("a+b", "a^3+ab").replace("key_frequencies, embedding_circle", "key_irreps")
    with pytest.raises(BatchError, match="key_irreps: the task's operation is not the product of a group"):
        parse_batch(polynomials, "batch.yaml")


@pytest.mark.parametrize("task", ["{group: S3}", "{p: 7, operation: a^3+ab}"])
def test_a_probe_may_need_another_for_some_tasks_only(task):
    """The embedding has a geometry whatever the answers are; its circles are those of frequencies."""
    text = f"""{{name: x, suite: {{task: {task}, shapes: [{{d_model: 8}}], training: {{steps: 1}}}}, probes: PROBES}}"""
    batch = parse_batch(text.replace("PROBES", "[representation]"), "batch.yaml")
    assert [spec.name for spec in batch.probes_for(batch.tasks()[0])] == ["representation"]
    for probes in ("[embedding_circle]", "[embedding_circle, key_frequencies]"):
        with pytest.raises(BatchError, match="probes: embedding_circle: the task's operation is not an addition"):
            parse_batch(text.replace("PROBES", probes), "batch.yaml")
    with pytest.raises(BatchError, match="representation needs key_frequencies, which is not listed; add it"):
        parse_batch(text.replace(task, "{p: 7}").replace("PROBES", "[representation]"), "batch.yaml")


# --- a suite that is there ---


@pytest.fixture
def suite_folder(tmp_path):
    for operation in ("a+b", "a^2+b^2"):
        task = ModularArithmetic(5, operation, train_fraction=0.6)
        arch = Architecture.of(Shape(d_model=4, n_heads=2), task)
        settings = TrainingSettings(steps=1, checkpoints=Schedule(log_until=0))
        train(arch, [Member("m", task, 0)], settings, str(tmp_path / operation))
    return tmp_path


def of_folder(path, probes="[performance]"):
    return f"name: there\nsuite:\n  source: folder\n  path: {path}\nprobes: {probes}\n"


def test_a_suite_that_is_there(suite_folder):
    batch = parse_batch(of_folder(suite_folder / "a+b"), "batch.yaml")
    assert batch.tasks() == [ModularArithmetic(5, train_fraction=0.6)]
    assert parse_batch(batch.to_yaml(), "again") == batch


def test_a_suite_that_is_not_there_or_that_a_probe_cannot_measure(suite_folder):
    said = said_of(of_folder(suite_folder / "absent"))
    assert re.match(r"batch.yaml:4: suite.path: got '.*absent'; .*holds no suite; expected folders", said), said
    said = said_of(of_folder(suite_folder / "a^2+b^2", "[key_frequencies]"))
    assert re.match(r"batch.yaml:5: probes: key_frequencies: the task's operation is not an addition", said), said
    said = said_of(of_folder(suite_folder / "a+b").replace("path:", "folder:"))
    assert "suite.folder: got an unknown field" in said


def test_a_batch_made_in_python_is_the_batch_of_its_file():
    made = Batch(
        name="tiny",
        suite=TrainedSuite(
            task=ModularArithmetic(7, train_fraction=0.5),
            shapes=[Shape(d_model=8, n_heads=2)],
            vary={"seed": [0, 1]},
            training=TrainingSettings(steps=10, batch_size=5),
        ),
        probes=["performance", {"name": "key_frequencies"}],
    )
    assert made == parse_batch(GOOD, "batch.yaml")
