"""Folders and files of state dicts as models at steps."""

import hashlib
import json
import math
import re
import uuid
import warnings

import fsspec
import pytest
import safetensors.torch
import torch
from torch._subclasses import FakeTensorMode

from probe.suites import open_suite
from probe.suites.architecture import Architecture
from probe.suites.format import DamagedCheckpointError
from probe.suites.hooked import HookedTransformer
from probe.suites.statedicts import read_state_dicts, step_in
from probe.suites.suite import Suite
from probe.suites.trained import TrainedModel
from probe.tasks import ModularArithmetic, task_to_dict
from tests.suites.layouts import early, transformerlens
from tests.suites.plain import noisy_weights

TASK = ModularArithmetic(7)
ARCH = Architecture(d_vocab=8, n_ctx=3, d_model=8, n_heads=2, activation="gelu", normalization="LN", biases=True)
TOKENS = torch.as_tensor(TASK.tokens)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)


def stored(seed, layout=transformerlens):
    return layout(ARCH, noisy_weights(ARCH, seed))


def logits(seed):
    return HookedTransformer.with_weights(ARCH, noisy_weights(ARCH, seed))(TOKENS)


@pytest.fixture
def folder(tmp_path):
    """A model called ``run`` with three ways to write a file, and what it computes at each step."""
    folder = tmp_path / "run"
    write(folder / "step_0.pt", stored(0))
    write(folder / "checkpoint-100.safetensors", stored(1))
    write(folder / "000020.pth", {"model_state_dict": stored(2), "epoch": 20})
    (folder / "config.json").write_text(json.dumps({"act_fn": "gelu", "n_ctx": 3}))
    (folder / "notes.txt").write_text("")
    return folder


SEED_OF = {0: 0, 20: 2, 100: 1}


def test_a_folder_with_a_file_a_step_is_a_model(folder):
    [model] = read_state_dicts(str(folder), task=TASK, tokens_per_step=30)
    assert model.name == "run"
    assert model.form.arch == ARCH
    assert model.steps() == (0, 20, 100)
    assert (model.task, model.seed, model.tokens_seen(20)) == (TASK, None, 600)
    assert math.isnan(model.examples_per_step)
    assert (model.n_params, model.n_ctx, model.d_vocab) == (ARCH.n_params, 3, 8)
    assert model.n_params_without_embeddings == ARCH.n_params_without_embeddings
    suite = Suite.of(str(folder), [model])
    for step, seed in SEED_OF.items():
        checkpoint = suite["run", step]
        assert torch.equal(checkpoint.load()(TOKENS), logits(seed))
        assert list(checkpoint.weights()) == list(ARCH.shapes)
        path = folder / {0: "step_0.pt", 20: "000020.pth", 100: "checkpoint-100.safetensors"}[step]
        assert checkpoint.location == str(path)
        assert checkpoint.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert checkpoint.size == path.stat().st_size
    assert next(suite["run", 0].load(dtype=torch.float64).parameters()).dtype == torch.float64
    assert math.isnan(read_state_dicts(str(folder))[0].tokens_seen(20))


def test_hooks_are_known_without_values(folder):
    [model] = read_state_dicts(str(folder))
    with FakeTensorMode():
        _, cache = model.skeleton().run_with_cache(torch.zeros(2, 3, dtype=torch.long))
    assert cache["blocks.0.mlp.hook_post"].shape == (2, 3, 32)


def test_a_folder_of_folders_is_several_models(tmp_path, folder):
    write(tmp_path / "small" / "step_5.pt", early(ARCH, noisy_weights(ARCH, 4)))
    (tmp_path / "empty").mkdir()
    models = read_state_dicts(str(tmp_path))
    assert [model.name for model in models] == ["run", "small"]
    assert [model.steps() for model in models] == [(0, 20, 100), (5,)]
    assert [model.form.arch.activation for model in models] == ["gelu", "relu"], "a config is that of its folder"
    assert [model.form.layout for model in models] == ["transformerlens", "early"]
    assert {model.form.arch.activation for model in read_state_dicts(str(tmp_path), config={"act_fn": "relu"})} == {
        "relu"
    }


@pytest.mark.parametrize("layout", ["early", "transformerlens"])
def test_a_file_is_a_model_at_one_step(tmp_path, folder, layout):
    path = folder / "final.pt"
    write(path, stored(3, {"early": early, "transformerlens": transformerlens}[layout]))
    for step, mapping in ((None, None), (7, layout)):
        [model] = read_state_dicts(str(path), config={"activation": "gelu"}, step=step, mapping=mapping)
        assert (model.name, model.steps()) == ("final", (step or 0,))
        assert torch.equal(model.load(step or 0)(TOKENS), logits(3))
    assert read_state_dicts(str(path))[0].form.arch.activation == "relu", "nothing says that config.json is its"
    config = read_state_dicts(str(path), config=str(folder / "config.json"))[0].form.arch
    assert config == ARCH


@pytest.mark.parametrize(
    ("name", "in_folder", "alone"),
    [
        ("step_100.pt", 100, 100),
        ("step100.safetensors", 100, 100),
        ("checkpoint-100.pt", 100, 100),
        ("ckpt 100.pt", 100, 100),
        ("100.pth", 100, 100),
        ("00100.pth", 100, 100),
        ("epoch_100.pt", 100, 100),
        ("Iteration100.pt", 100, 100),
        ("model-59-step_100.pt", 100, 100),
        ("global_step100_of_2000.pt", 100, 100),
        ("mod113.pt", 113, None),
        ("a100-b2.pt", ValueError, None),
        ("epoch=2-step=100.pt", 100, 100),
        ("run3-epoch2.pt", 2, 2),
        ("step1_step2.pt", ValueError, None),
        ("final.pt", None, None),
    ],
)
def test_the_number_in_a_name_is_the_step(name, in_folder, alone):
    if in_folder is ValueError:
        with pytest.raises(ValueError, match=f"step: cannot be told from {name}; expected one number"):
            step_in(name)
    else:
        assert step_in(name) == in_folder
    assert step_in(name, alone=True) == alone


def test_two_files_at_a_step(folder):
    write(folder / "step_0100.pt", stored(1))
    with pytest.raises(ValueError, match=r"step: (\S+100\S+) and (\S+100\S+) in .*run are both at 100; expected one"):
        read_state_dicts(str(folder))


def test_files_that_say_no_step(tmp_path):
    write(tmp_path / "run" / "model.pt", stored(0))
    with pytest.raises(
        ValueError, match=r"step: the names of files in .*run do not say theirs \(model\.pt\); open one by itself"
    ):
        read_state_dicts(str(tmp_path / "run"))
    write(tmp_path / "run" / "step_1.pt", stored(0))
    assert read_state_dicts(str(tmp_path / "run"))[0].steps() == (1,), "beside files that do they are something else"
    with pytest.raises(ValueError, match="step: got 3, which is for a file that is opened by itself"):
        read_state_dicts(str(tmp_path / "run"), step=3)


def test_what_is_no_state_dict(tmp_path):
    """Among them a model in transformers' format, in several parts."""
    write(tmp_path / "model-00001-of-00002.safetensors", stored(0))
    write(tmp_path / "model.safetensors", stored(0))
    (tmp_path / "config.json").write_text("{}")
    for address in (tmp_path, tmp_path / "absent", tmp_path / "absent.pt"):
        assert read_state_dicts(str(address)) == []
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert open_suite(tmp_path).models == (tmp_path.name,)
    with pytest.raises(ValueError, match="holds no suite"):
        open_suite(tmp_path, mapping="gpt2")


def test_what_was_found_is_said(tmp_path):
    bare = {name: w for name, w in stored(0, early).items() if not re.search("b_[QKVOU]$", name)}
    write(tmp_path / "run.pt", {"model": {**bare, "x_embed": torch.ones(2)}, "epoch": 3})
    with pytest.warns(UserWarning, match=r"run\.pt: not part of the model and not used: x_embed$"):
        [model] = read_state_dicts(str(tmp_path / "run.pt"))
    assert model.notes == (
        "mapping 'early'",
        "not in the file, and therefore b_K = 0, b_O = 0, b_Q = 0, b_U = 0, b_V = 0",
        "its state dict is the entry 'model'",
        "not used: x_embed",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load(0)


def test_tensors_that_are_new_at_a_later_step_are_said_when_they_are_met(folder):
    [model] = read_state_dicts(str(folder))
    write(folder / "step_0.pt", {**stored(0), "y_embed": torch.ones(2)})
    with pytest.warns(UserWarning, match=r"step_0\.pt: not part of the model and not used: y_embed"):
        model.weights(0)


def test_a_damaged_file_leaves_the_others(folder):
    for name in ("step_0.pt", "000020.pth"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-200])
    [model] = read_state_dicts(str(folder))
    assert torch.equal(model.load(100)(TOKENS), logits(1))
    with pytest.raises(DamagedCheckpointError, match=r"000020\.pth cannot be read"):
        model.load(20)
    (folder / "checkpoint-100.safetensors").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"step_0\.pt cannot be read"):
        read_state_dicts(str(folder))


def test_a_step_that_does_not_fit_the_others_is_named(folder):
    [model] = read_state_dicts(str(folder))
    write(folder / "step_0.pt", {name: w for name, w in stored(0).items() if name != "unembed.W_U"})
    with pytest.raises(ValueError, match=r"step_0\.pt: not the weights of the model .*\n  missing: unembed\.W_U"):
        model.load(0)
    for mapping, says in ((None, "mapping: cannot be told"), ({"a": "b"}, "mapping: there is no a; there are x")):
        write(folder / "step_1.pt", {"x": torch.zeros(2)})
        with pytest.raises(ValueError, match=rf"step_1\.pt: {says}"):
            read_state_dicts(str(folder / "step_1.pt"), mapping=mapping)


def test_in_memory():
    url = f"memory://{uuid.uuid4().hex}/run"
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"{url}/step_3.safetensors", safetensors.torch.save(stored(0)))
    fs.pipe_file(f"{url}/config.json", b'{"act_fn": "gelu"}')
    for address in (url, f"{url}/step_3.safetensors"):
        [model] = read_state_dicts(address, config=f"{url}/config.json")
        assert model.name == ("run" if address == url else "step_3")
        assert torch.equal(model.load(3)(TOKENS), logits(0))
        assert model.location(3) == f"{url}/step_3.safetensors"
        assert len(model.digest(3)) == 64
        assert model.size(3) > 1000


def test_they_are_opened_like_any_other_suite(tmp_path, folder):
    suite = open_suite(folder, task=TASK, tokens_per_step=30, steps=[0, 100])
    assert (suite.models, suite.steps("run")) == (("run",), (0, 100))
    assert torch.equal(suite["run", 100].load()(TOKENS), logits(1))
    assert suite["run", 100].tokens_seen == 3000
    assert open_suite(tmp_path).models == ("run",)
    assert open_suite(tmp_path, config={"n_heads": 2}).by_name["run"].form.arch.activation == "relu"
    file = open_suite(folder / "step_0.pt", mapping="transformerlens", config={"activation": "gelu"}, step=9, task=TASK)
    assert torch.equal(file["step_0", 9].load()(TOKENS), logits(0))
    with pytest.raises(ValueError, match=r"absent\.pt holds no suite; .*\(there is no such file\)"):
        open_suite("a/absent.pt")
    with pytest.raises(ValueError, match="step: got 3, which means nothing for a name on the hub"):
        open_suite("EleutherAI/pythia-14m", step=3)
    with pytest.raises(ValueError, match="keep: got 0, which means nothing for a folder"):
        open_suite(folder, keep=0)


def test_ours_are_state_dicts_if_it_is_said_how_to_take_them(tmp_path):
    write(tmp_path / "run" / "step_00000003.safetensors", noisy_weights(ARCH))
    config = {"architecture": ARCH.to_dict(), "task": task_to_dict(TASK), "seed": 0, "examples_per_step": 1}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert isinstance(open_suite(tmp_path).by_name["run"], TrainedModel)
    (tmp_path / "run" / "config.json").write_text(json.dumps(config)[:-9])
    with pytest.raises(ValueError, match=r"is not JSON .*; delete it, and the same command writes it again"):
        open_suite(tmp_path)
    suite = open_suite(tmp_path, config={"causal": False})
    assert suite.by_name["run"].form.arch == Architecture(**{**ARCH.to_dict(), "activation": "relu", "causal": False})


@pytest.mark.parametrize("config", [{"act_fn": "gelu"}, {"architecture": "x", "act_fn": "gelu"}, None])
def test_files_that_are_named_as_ours_are_not_ours_for_that(tmp_path, config):
    write(tmp_path / "run" / "step_00000003.safetensors", stored(0))
    if config is not None:
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    for address in (tmp_path, tmp_path / "run"):
        suite = open_suite(address)
        assert suite["run", 3].model.form.arch.activation == ("relu" if config is None else "gelu")
