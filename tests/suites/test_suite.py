"""What a suite folder offers without loading it, and what is said of folders that are none."""

import json
import uuid

import fsspec
import pytest
import torch

from probe.suites import format as suite_format
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import Facts, ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

TASK = ModularArithmetic(7, train_fraction=0.5, seed=3)
SETTINGS = TrainingSettings(steps=4, batch_size=5, checkpoints=Schedule(log_until=0, every=2))
SHAPES = {"abig": Shape(d_model=16, n_heads=2), "b-small": Shape(d_model=8, n_heads=2), "a-small": Shape(8, n_heads=2)}


def write_suite(folder):
    for name, shape in SHAPES.items():
        member = Member(name, TASK, seed=len(name))
        train(Architecture.of(shape, TASK), [member], SETTINGS, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    write_suite(str(folder))
    return folder


def test_models_are_in_order_of_size_then_name_and_steps_ascend(folder):
    suite = open_suite(str(folder) + "/")
    assert suite.models == ("a-small", "b-small", "abig")
    assert suite.steps("abig") == (0, 2, 4)
    (folder / "abig" / "notes.safetensors").write_bytes(b"")
    (folder / "abig" / ".step_00000009.safetensors.0123456789abcdef.tmp").write_bytes(b"")
    assert suite.steps("abig") == (0, 2, 4)


def test_what_a_checkpoint_knows_before_it_is_loaded(folder, monkeypatch):
    monkeypatch.setattr(suite_format, "read_tensors", lambda path: pytest.fail("weights were read"))
    checkpoint = open_suite(str(folder))["abig", 4]
    d, vocab = 16, 8
    blocks = 4 * d * d + 2 * d * 4 * d
    assert checkpoint.n_params == vocab * d + 3 * d + blocks + d * vocab
    assert checkpoint.n_params_without_embeddings == blocks
    assert checkpoint.examples_seen == 4 * 5
    assert checkpoint.flops == 6 * checkpoint.n_params * 20 * 3
    assert checkpoint.model.task == TASK
    assert checkpoint.model.architecture == Architecture.of(SHAPES["abig"], TASK)
    assert checkpoint.model.seed == 4
    assert checkpoint.location == f"{folder}/abig/step_00000004.safetensors"
    assert len(checkpoint.digest) == 64


@pytest.mark.parametrize("batch_size", [None, 3])
def test_examples_of_a_special_batch_are_seen_while_it_is_shown(tmp_path, batch_size):
    task = Facts(8, relations=1, values=3, held_out=0.25, special=0.5, special_passes=2)
    settings = TrainingSettings(steps=5, batch_size=batch_size, checkpoints=Schedule(log_until=0, every=1))
    train(Architecture.of(Shape(d_model=8, n_heads=2), task), [Member("m", task, seed=0)], settings, str(tmp_path))
    suite = open_suite(str(tmp_path))
    for step in suite.steps("m"):
        checkpoint = suite["m", step]
        assert checkpoint.examples_seen == checkpoint.exposures.sum()
        assert checkpoint.tokens_seen == checkpoint.examples_seen * task.n_ctx


def test_weights_and_the_loaded_model(folder):
    checkpoint = open_suite(str(folder))["b-small", 0]
    weights = checkpoint.weights()
    initial = Architecture.of(SHAPES["b-small"], TASK).initial_weights(7)
    assert weights.keys() == initial.keys()
    assert all(torch.equal(weights[name], initial[name]) for name in initial)
    model = checkpoint.load()
    assert isinstance(model, HookedTransformer)
    assert not model.training
    tokens = torch.as_tensor(TASK.tokens)
    expected = HookedTransformer.with_weights(checkpoint.model.architecture, weights)(tokens)
    assert torch.equal(model(tokens), expected)


def test_the_digest_is_that_of_names_types_shapes_and_every_bit():
    weights = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2)}
    found = suite_format.digest(weights)
    assert found == suite_format.digest(dict(reversed(weights.items())))
    strided = weights["b"].T.contiguous().T
    assert found == suite_format.digest({**weights, "b": strided})
    flipped = weights["b"].clone()
    flipped.view(torch.int32)[1, 1] ^= 1
    others = [
        {**weights, "b": flipped},
        {**weights, "b": weights["b"].reshape(3, 2)},
        {**weights, "b": weights["b"].view(torch.int32)},
        {"c": weights["b"], "a": weights["a"]},
        {"b": weights["b"]},
        {**weights, "a": -torch.zeros(2)},
        {**weights, "a": torch.zeros(2)},
    ]
    digests = [suite_format.digest(other) for other in others]
    assert len({found, *digests}) == len(others) + 1


def test_a_checkpoint_has_the_digest_of_its_weights_and_every_checkpoint_another(folder):
    suite = open_suite(str(folder))
    digests = {}
    for model in suite.models:
        for step in suite.steps(model):
            checkpoint = suite[model, step]
            assert checkpoint.digest == suite_format.digest(checkpoint.weights())
            digests[model, step] = checkpoint.digest
    # the two small ones have seeds of their own length: 7 letters both, so they are the same model
    assert len(set(digests.values())) == 6


@pytest.mark.parametrize("at", [-1, -100, -1500])
def test_one_altered_bit_is_noticed(tmp_path, folder, at):
    (tmp_path / "abig").mkdir()
    for name in ("config.json", "step_00000002.safetensors"):
        (tmp_path / "abig" / name).write_bytes((folder / "abig" / name).read_bytes())
    path = tmp_path / "abig" / "step_00000002.safetensors"
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    for read in ("weights", "load"):
        with pytest.raises(suite_format.DamagedCheckpointError, match=r"step_00000002.*hash to .*Delete the file"):
            getattr(open_suite(str(tmp_path))["abig", 2], read)()


def test_many_tensors_have_a_header_too(tmp_path):
    """The header of a deep model, and of an optimizer state, is longer than one would read at first."""
    arch = Architecture(d_vocab=3, n_ctx=2, d_model=2, n_heads=1, n_layers=80, normalization="LN", biases=True)
    weights, path = arch.initial_weights(0), str(tmp_path / "step_00000001.safetensors")
    suite_format.write_tensors(path, weights, {"step": 1})
    assert suite_format.read_header(path) == ({"step": 1}, suite_format.digest(weights))
    assert all(torch.equal(w, weights[name]) for name, w in suite_format.read_tensors(path).items())


LENGTH_TWO = b"\x02" + b"\0" * 7


@pytest.mark.parametrize("damage", [b"", b"\x00" * 4, b"\xff" * 100, LENGTH_TWO + b"[]", LENGTH_TWO + b"{}"])
def test_a_header_that_is_none_is_named(tmp_path, damage):
    path = tmp_path / "step_00000001.safetensors"
    path.write_bytes(damage)
    for read in (suite_format.read_header, suite_format.read_tensors):
        with pytest.raises(suite_format.DamagedCheckpointError, match=r"step_00000001.*Delete the file"):
            read(str(path))


def test_unknown_models_and_steps_are_named_with_the_nearest(folder):
    suite = open_suite(str(folder))
    with pytest.raises(ValueError, match=r"model: got 'a-smal'; expected one of a-small, b-small, abig"):
        suite.steps("a-smal")
    with pytest.raises(ValueError, match="did you mean 'a-small'"):
        suite["a-smal", 0]
    with pytest.raises(ValueError, match="step: abig has no checkpoint at 90; the nearest is at 4"):
        suite["abig", 90]


def test_a_model_without_weights_has_no_steps(tmp_path, folder):
    (tmp_path / "abig").mkdir()
    (tmp_path / "abig" / "config.json").write_bytes((folder / "abig" / "config.json").read_bytes())
    suite = open_suite(str(tmp_path))
    assert suite.steps("abig") == ()
    with pytest.raises(ValueError, match="step: abig has no checkpoint at 0; it has none at all"):
        suite["abig", 0]


def test_a_suite_in_memory(folder):
    url = f"memory://{uuid.uuid4().hex}/suite"
    write_suite(url)
    suite, local = open_suite(url), open_suite(str(folder))
    assert suite.models == local.models
    for model in suite.models:
        assert suite.steps(model) == local.steps(model)
        for step in suite.steps(model):
            assert suite[model, step].digest == local[model, step].digest
    tokens = torch.as_tensor(TASK.tokens)
    assert torch.equal(suite["abig", 4].load()(tokens), local["abig", 4].load()(tokens))
    damaged = suite["abig", 2]
    fsspec.filesystem("memory").pipe_file(damaged.location, b"short")
    with pytest.raises(suite_format.DamagedCheckpointError, match=r"abig/step_00000002"):
        damaged.load()
    with pytest.raises(suite_format.DamagedCheckpointError, match=r"abig/step_00000002"):
        _ = damaged.digest


def test_a_folder_that_is_no_suite(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "file.txt"):
        with pytest.raises(ValueError, match=r"holds no suite; expected folders that each hold a config\.json"):
            open_suite(str(path))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: "", "is not JSON"),
        (lambda text: text[:40], "is not JSON"),
        (lambda text: b"\xff\xfe\x00", "is not JSON"),
        (lambda text: "[]", "does not describe a model of ours"),
        (lambda text: "{}", "does not describe a model of ours: 'architecture'"),
        (lambda text: text.replace('"d_model"', '"width"'), "does not describe a model of ours.*width"),
        (lambda text: text.replace('"relu"', '"tanh"'), "does not describe a model of ours: activation"),
        (lambda text: text.replace('"modular"', '"groups"'), "does not describe a model of ours: family"),
        (lambda text: text.replace('"examples_per_step"', '"per_step"'), "does not describe.*examples_per_step"),
    ],
)
def test_a_damaged_config_is_named(tmp_path, folder, damage, says):
    (tmp_path / "abig").mkdir()
    good = (folder / "abig" / "config.json").read_text()
    assert json.loads(good)["seed"] == 4
    bad = damage(good)
    assert bad != good
    (tmp_path / "abig" / "config.json").write_bytes(bad if isinstance(bad, bytes) else bad.encode())
    with pytest.raises(ValueError, match=f"abig/config.json.*{says}"):
        _ = open_suite(str(tmp_path))["abig", 0].examples_seen


def test_the_folder_of_a_run_says_where_its_suite_is(tmp_path):
    (tmp_path / "batch.yaml").write_text("name: tiny")
    with pytest.raises(
        ValueError, match=rf"this is the folder of a run; the suite that it trained is {tmp_path}/suite"
    ):
        open_suite(str(tmp_path))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"task": 5}, "task: got 5; expected a task"),
        ({"tokens_per_step": -5}, "tokens_per_step: got -5; expected a number above 0"),
        ({"tokens_per_step": "many"}, "tokens_per_step: got 'many'"),
    ],
)
def test_what_makes_no_sense_is_refused(folder, asked, says):
    with pytest.raises(ValueError, match=says):
        open_suite(str(folder), **asked)


def test_an_index_that_is_none(folder):
    suite = open_suite(str(folder))
    with pytest.raises(ValueError, match=r"suite: got 'abig' as index; expected a model and a step"):
        suite["abig"]
    with pytest.raises(ValueError, match="step: got '4'; expected a whole number"):
        suite["abig", "4"]
