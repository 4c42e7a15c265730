"""Models in transformers' format: they are what transformers makes of them, found in folders of several kinds."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from math import isnan

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig

from probe.suites import open_suite
from probe.suites.families import by_step, read_step, training_of
from probe.suites.format import DamagedCheckpointError
from probe.suites.hooked import HookedModel
from probe.suites.integrity import check
from probe.suites.pretrained import PretrainedModel
from probe.tasks import ModularArithmetic
from tests.suites import hub_format

SAVERS = {"neox": hub_format.save_neox, "gpt2": hub_format.save_gpt2, "llama": hub_format.save_llama}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three architectures with a tokenizer, at step 3."""
    root = tmp_path_factory.mktemp("pretrained")
    for name, save in SAVERS.items():
        save(root / name / "step3", seed=len(name), tokenizer=hub_format.tokenizer())
    return root


def copied(root, name, to):
    return shutil.copytree(root / name / "step3", to)


def padded(texts, side):
    """Token ids and mask, [text, position], with padding that is no token of any text."""
    longest = max(len(text) for text in texts)
    gaps = [[7] * (longest - len(text)) for text in texts]
    rows = [gap + text if side == "left" else text + gap for gap, text in zip(gaps, texts, strict=True)]
    masks = [
        [0] * len(gap) + [1] * len(text) if side == "left" else [1] * len(text) + [0] * len(gap)
        for gap, text in zip(gaps, texts, strict=True)
    ]
    return torch.tensor(rows), torch.tensor(masks)


@pytest.mark.parametrize("name", SAVERS)
def test_logits_are_those_of_transformers_whatever_the_padding(root, name):
    checkpoint = open_suite(root)[name, 3]
    model = checkpoint.load()
    assert isinstance(model, HookedModel)
    assert not model.training
    reference = AutoModelForCausalLM.from_pretrained(root / name / "step3", attn_implementation="eager").eval()
    words = [*hub_format.TEXTS, "The river is full."]
    texts = [checkpoint.model.tokenizer()(text)["input_ids"] for text in words[1:]]
    assert len({len(text) for text in texts}) == len(texts)
    alone = [reference(torch.tensor([text])).logits[0] for text in texts]
    assert max(logits.std() for logits in alone) > 0.1  # so that being close means something
    for text, expected in zip(texts, alone, strict=True):
        torch.testing.assert_close(model(torch.tensor([text]))[0], expected, atol=1e-5, rtol=0)
    for side in ("left", "right"):
        tokens, mask = padded(texts, side)
        logits = model(tokens, attention_mask=mask)
        for row, content, expected in zip(logits, mask.bool(), alone, strict=True):
            torch.testing.assert_close(row[content], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SAVERS)
def test_a_skeleton_has_the_hooks_and_shapes_of_the_model_and_no_values(root, name):
    checkpoint = open_suite(root)[name, 3]
    tokens, shapes = torch.tensor([[1, 2, 3, 4]]), {}
    for kind in ("loaded", "skeleton"):
        with FakeTensorMode(allow_non_fake_inputs=True) if kind == "skeleton" else torch.no_grad():
            model = checkpoint.load() if kind == "loaded" else checkpoint.model.skeleton()
            assert not model.training
            _, cache = model.run_with_cache(tokens)
            shapes[kind] = {hook: tuple(value.shape) for hook, value in cache.items() if hasattr(value, "shape")}
    assert shapes["loaded"] == shapes["skeleton"]
    assert shapes["loaded"]["blocks.1.attn.hook_pattern"][-2:] == (4, 4)


def test_parameters_of_published_models(tmp_path):
    """Biderman et al. 2023, table 1, for Pythia; of GPT-2's blocks the parameters are counted by hand."""
    pythia = GPTNeoXConfig(
        vocab_size=50304, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048
    )
    pythia.architectures = ["GPTNeoXForCausalLM"]
    for name, config, total, without, context, vocabulary in (
        ("pythia-70m", pythia, 70_426_624, 18_915_328, 2048, 50304),
        ("gpt2", GPT2Config(), 124_439_808, 12 * (12 * 768**2 + 13 * 768) + 2 * 768, 1024, 50257),
    ):
        config.save_pretrained(tmp_path / name)
        model = PretrainedModel(name=name, places={0: str(tmp_path / name)})
        assert (model.n_params, model.n_params_without_embeddings) == (total, without)
        assert (model.n_ctx, model.d_vocab) == (context, vocabulary)


def test_a_context_that_is_not_said_is_an_error(root, tmp_path):
    folder = copied(root, "gpt2", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "bloom", "architectures": ["BloomForCausalLM"], "hidden_size": 16}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in ("n_positions",)}))
    model = PretrainedModel(name="m", places={0: str(folder)})
    with pytest.raises(ValueError, match=r"n_ctx: the config\.json of m has none of max_position_embeddings"):
        _ = model.n_ctx


def test_what_a_checkpoint_knows(root):
    task = ModularArithmetic(7)
    suite = open_suite(str(root) + "/", task=task, tokens_per_step=50)
    assert suite.models == ("gpt2", "llama", "neox")
    checkpoint = suite["neox", 3]
    file = root / "neox" / "step3" / "model.safetensors"
    assert checkpoint.location == str(file.parent)
    assert checkpoint.size == file.stat().st_size
    assert checkpoint.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert checkpoint.tokens_seen == 150
    assert checkpoint.flops == 6 * checkpoint.n_params * 150
    assert isnan(checkpoint.examples_seen)
    assert checkpoint.model.task == task
    assert checkpoint.model.at_hand(3)
    assert isnan(open_suite(root)["neox", 3].tokens_seen)


LAYOUTS = {
    "models": (["a/step1", "a/step20", "b/step1"], {"a": (1, 20), "b": (1,)}),
    "one model": (["step0", "step00000512"], {"suite": (0, 512)}),
    "underscores": (["m/step_1000", "m/step_2000"], {"m": (1000, 2000)}),
    "trainer": (["m", "m/checkpoint-500", "m/checkpoint-1000"], {"m": (500, 1000)}),
    "one directory": (["."], {"suite": (0,)}),
    "several directories": (["m", "n"], {"m": (0,), "n": (0,)}),
    "OLMo": (["m/step10-tokens4B", "m/step20-tokens8B"], {"m": (10, 20)}),
    "stages": (["m/stage1-step10-tokens4B", "m/stage2-ingredient1-step5-tokens6B"], {"m": (10,)}),
    "others beside": (["m/step1", "m/runs", "m/step1-old"], {"m": (1,)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_models_and_steps_are_found(root, tmp_path, layout):
    folders, found = LAYOUTS[layout]
    for folder in folders:
        shutil.copytree(root / "gpt2" / "step3", tmp_path / "suite" / folder, dirs_exist_ok=True)
    (tmp_path / "suite" / "notes").mkdir()
    (tmp_path / "suite" / "config.yaml").write_text("")
    suite = open_suite(tmp_path / "suite")
    assert {model: suite.steps(model) for model in suite.models} == found


def test_a_step_folder_alone_is_named_after_its_model(root):
    suite = open_suite(root / "neox" / "step3")
    assert suite.models == ("neox",)
    assert suite.steps("neox") == (3,)


def test_a_step_without_all_its_weights_is_not_there(root, tmp_path):
    for step in (1, 2, 3):
        hub_format.save_neox(tmp_path / f"step{step}", seed=step, max_shard_size="30KB")
    sorted((tmp_path / "step2").glob("model-*.safetensors"))[-1].unlink()
    (tmp_path / "step3" / "config.json").unlink()
    (tmp_path / "step4").mkdir()
    suite = open_suite(tmp_path)
    assert suite.steps(tmp_path.name) == (1,)
    with pytest.raises(ValueError, match="has no checkpoint at 2; the nearest is at 1"):
        suite[tmp_path.name, 2]


def test_two_folders_at_one_step(root, tmp_path):
    for name in ("step5", "checkpoint-5"):
        copied(root, "gpt2", tmp_path / "m" / name)
    with pytest.raises(ValueError, match="step: checkpoint-5 and step5 are both at 5; expected one of a step"):
        open_suite(tmp_path)


@pytest.mark.parametrize(
    ("name", "step", "stage", "tokens"),
    [
        ("step0", 0, (), None),
        ("step143000", 143000, (), None),
        ("step_1000", 1000, (), None),
        ("step-1000", 1000, (), None),
        ("step00001000", 1000, (), None),
        ("global_step1000", 1000, (), None),
        ("checkpoint-1000", 1000, (), None),
        ("step1000-tokens4B", 1000, (), 4e9),
        ("stage1-step1000-tokens3B", 1000, (1,), 3e9),
        ("stage2-ingredient3-step1000-tokens3B", 1000, (2, 3), 3e9),
    ],
)
def test_names_of_steps(name, step, stage, tokens):
    said = read_step(name)
    assert (said.step, said.stage, said.tokens) == (step, stage, tokens)


@pytest.mark.parametrize(
    "name", ["main", "step", "step1000-old", "mystep10", "1000", "fp16-step10", "stepx", "Step 10"]
)
def test_names_of_no_step(name):
    assert read_step(name) is None


def test_of_stages_the_first_is_taken_in_order_of_steps():
    names = ["main", "stage10-step7", "stage2-step10", "stage2-step9", "stage2-ingredient1-step1"]
    assert list(by_step(names).items()) == [(9, "stage2-step9"), (10, "stage2-step10")]


def test_tokens_are_those_of_the_name_where_it_says_them(root, tmp_path):
    for name in ("step10-tokens4B", "step20-tokens8B"):
        copied(root, "gpt2", tmp_path / "m" / name)
    assert [checkpoint.tokens_seen for checkpoint in open_suite(tmp_path).checkpoints()] == [4e9, 8e9]


@pytest.mark.parametrize(
    ("repo", "tokens", "examples", "seed"),
    [
        ("EleutherAI/pythia-70m", 2_097_152, 1024, None),
        ("EleutherAI/pythia-1.4b-deduped", 2_097_152, 1024, None),
        ("EleutherAI/pythia-160m-seed7", 2_097_152, 1024, 7),
        ("EleutherAI/pythia-160m-weight-seed2", 2_097_152, 1024, 2),
        ("EleutherAI/pythia-160m-data-seed2", 2_097_152, 1024, None),
        ("stanford-crfm/alias-gpt2-small-x21", 524_288, 512, 21),
    ],
)
def test_how_known_families_were_trained(repo, tokens, examples, seed):
    known = training_of(repo)
    assert (known.tokens_per_step, known.examples_per_step, known.seed) == (tokens, examples, seed)


@pytest.mark.parametrize("repo", ["EleutherAI/pythia-70m-v0", "someone/pythia-70m", "allenai/OLMo-1B", "gpt2"])
def test_of_other_models_nothing_is_known(repo):
    known = training_of(repo)
    assert isnan(known.tokens_per_step)
    assert isnan(known.examples_per_step)
    assert known.seed is None


def as_bin(folder, weights):
    """A checkpoint's weights as torch saves them, instead of as safetensors."""
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def test_weights_are_the_same_from_every_kind_of_file(root, tmp_path):
    one = open_suite(root)["neox", 3]
    hub_format.save_neox(tmp_path / "sharded", seed=4, max_shard_size="30KB")
    as_bin(copied(root, "neox", tmp_path / "bin"), one.weights())
    folder = copied(root, "neox", tmp_path / "sharded-bin")
    (folder / "model.safetensors").unlink()
    expected = one.weights()
    names = list(expected)
    for part in (0, 1):
        torch.save(
            {name: expected[name] for name in names[part::2]}, folder / f"pytorch_model-0000{part + 1}-of-00002.bin"
        )
    suite, digests = open_suite(tmp_path), {one.digest}
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    for checkpoint in (one, *suite.checkpoints()):
        weights = checkpoint.weights()
        assert list(weights) == names
        assert all(torch.equal(weights[name], expected[name]) for name in names)
        loaded = checkpoint.load()(torch.tensor([[1, 2, 3]]))
        torch.testing.assert_close(loaded, one.load()(torch.tensor([[1, 2, 3]])), atol=0, rtol=0)
        digests.add(checkpoint.digest)
    assert len(digests) == 4


def test_the_digest_of_parts_is_that_of_their_names_and_bytes(tmp_path):
    hub_format.save_neox(tmp_path / "m", max_shard_size="30KB")
    parts = sorted((tmp_path / "m").glob("model-*.safetensors"))
    lines = "".join(f"{part.name} {hashlib.sha256(part.read_bytes()).hexdigest()}\n" for part in parts)
    assert open_suite(tmp_path)["m", 0].digest == hashlib.sha256(lines.encode()).hexdigest()
    data = bytearray(parts[1].read_bytes())
    data[-1] ^= 1
    parts[1].write_bytes(data)
    assert open_suite(tmp_path)["m", 0].digest != hashlib.sha256(lines.encode()).hexdigest()


def test_precision_is_as_stored_or_as_asked(root, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(root / "llama" / "step3").to(torch.bfloat16)
    model.save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    checkpoint = open_suite(tmp_path)["m", 0]
    assert {weight.dtype for weight in checkpoint.weights().values()} == {torch.bfloat16}
    for asked, got in ((None, torch.bfloat16), (torch.float32, torch.float32)):
        loaded = checkpoint.load(dtype=asked)
        assert loaded.cfg.dtype == got
        assert {weight.dtype for weight in loaded.parameters()} == {got}
        assert loaded(torch.tensor([[1, 2]])).dtype == got


class Touch:
    """What unpickles by running a program."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_code_is_refused_unread(root, tmp_path):
    folder = copied(root, "gpt2", tmp_path / "m")
    trace = tmp_path / "ran"
    as_bin(folder, {**open_suite(root)["gpt2", 3].weights(), "extra": Touch(trace)})
    checkpoint = open_suite(tmp_path)["m", 0]
    for read in (checkpoint.weights, checkpoint.load):
        with pytest.raises(ValueError, match=r"pytorch_model\.bin is refused: it asks for \w+\.system, .*run code"):
            read()
    assert not trace.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert trace.exists(), "the trap works"


def test_code_that_comes_with_a_model_is_not_run(root, tmp_path):
    folder = copied(root, "gpt2", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": auto}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ValueError, match=r"config\.json describes no model that transformers knows"):
        open_suite(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", None, r"there is no config\.json beside model\.safetensors"),
        ("config.json", "", r"its config\.json is not JSON \("),
        ("config.json", "[]", r"its config\.json says no model_type"),
        ("model.safetensors", None, r"beside its config\.json are no weights, or not all parts of them"),
    ],
)
def test_what_a_folder_lacks_is_said(root, tmp_path, name, content, says):
    folder = copied(root, "gpt2", tmp_path / "m")
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(ValueError, match=rf"m holds no suite: {says}.*; expected folders"):
        open_suite(folder)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hidden_size": "wide"}, "describes no model that transformers knows: .*hidden_size"),
        ({"num_attention_heads": 5}, "describes no model that transformers knows: .*attention heads"),
        ({"model_type": "vit", "hidden_size": 12}, "is that of a vit; expected a causal language model$"),
    ],
)
def test_a_config_that_makes_no_language_model_is_named(root, tmp_path, changed, says):
    folder = copied(root, "neox", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(ValueError, match=rf"(?s)m/config\.json {says}"):
        open_suite(tmp_path)


def test_a_tokenizer_that_cannot_be_read_is_named(root, tmp_path):
    folder = copied(root, "neox", tmp_path / "m")
    (folder / "tokenizer.json").write_text("{}")
    checkpoint = open_suite(tmp_path)["m", 0]
    for read in (checkpoint.model.tokenizer, checkpoint.load):
        with pytest.raises(ValueError, match=f"^{folder}: its tokenizer cannot be read: "):
            read()


def halved(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["safetensors", "bin", "other"])
def test_a_file_that_is_not_whole_is_named(root, tmp_path, kind):
    folder = copied(root, "gpt2", tmp_path / "m")
    if kind == "safetensors":
        halved(folder / "model.safetensors")
    else:
        as_bin(folder, open_suite(root)["gpt2", 3].weights() if kind == "bin" else [1, 2])
    if kind == "bin":
        halved(folder / "pytorch_model.bin")
    checkpoint = open_suite(tmp_path)["m", 0]
    says, error = "cannot be read .*delete it, and fetch or save it again", DamagedCheckpointError
    if kind == "other":
        says, error = r"pytorch_model\.bin holds list; expected a state dict", ValueError
    for read in (checkpoint.weights, checkpoint.load):
        with pytest.raises(error, match=f"(?s){folder}/.*{says}"):
            read()


def test_weights_that_are_not_those_of_the_model(root, tmp_path):
    weights = open_suite(root)["neox", 3].weights()
    name = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
    for case, changed in (
        ("lacking", {k: v for k, v in weights.items() if k != name}),
        ("misshapen", {**weights, name: weights[name][:-1]}),
    ):
        as_bin(copied(root, "neox", tmp_path / case), changed)
    suite = open_suite(tmp_path)
    for case, says in (("lacking", f"missing: {name}$"), ("misshapen", rf"{name} is \[63, 16\], expected \[64, 16\]$")):
        for read in (suite[case, 0].weights, suite[case, 0].load):
            with pytest.raises(
                DamagedCheckpointError, match=rf"{case}: not the weights of the model in config\.json:\n  {says}"
            ):
                read()
    assert (check(suite)["problems"] != "").all()


def test_weights_that_the_model_has_no_place_for_are_said(root, tmp_path, caplog, capfd):
    weights = open_suite(root)["neox", 3].weights()
    as_bin(copied(root, "neox", tmp_path / "m"), {**weights, "gpt_neox.layers.2.mlp.b": torch.ones(2)})
    checkpoint = open_suite(tmp_path)["m", 0]
    for read in (checkpoint.weights, checkpoint.load):
        with pytest.warns(
            UserWarning, match=r"m: not part of the model in config\.json and not used: \S+layers\.2\.mlp\.b$"
        ):
            read()
    assert "LOAD REPORT" not in caplog.text + capfd.readouterr().err


def test_a_model_without_tokenizer_has_none(root, tmp_path):
    """transformers makes up a GPT-NeoX tokenizer of two tokens there."""
    hub_format.save_neox(tmp_path / "m" / "step0")
    hub_format.save_neox(tmp_path / "n" / "step0")
    hub_format.save_neox(tmp_path / "n" / "step1", tokenizer=hub_format.tokenizer())
    suite = open_suite(tmp_path)
    assert suite.by_name["m"].tokenizer() is None
    loaded = suite["m", 0].load()
    assert loaded.tokenizer is None
    assert loaded.cfg.d_vocab == 256
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert suite.by_name["m"].skeleton()(torch.tensor([[1, 2]])).shape == (1, 2, 256)
    text = "The bell of the bridge"
    expected = hub_format.tokenizer()(text)["input_ids"]
    assert suite.by_name["n"].tokenizer()(text)["input_ids"] == expected
    assert suite["n", 0].load().tokenizer is not None


def test_loading_leaves_the_progress_bars_as_they_were(root, capfd):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    try:
        for switch, on in ((logging.enable_progress_bar, True), (logging.disable_progress_bar, False)):
            switch()
            open_suite(root)["gpt2", 3].load()
            assert logging.is_progress_bar_enabled() == on
    finally:
        logging.enable_progress_bar() if before else logging.disable_progress_bar()
    assert "Loading weights" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"deduped": True}, "deduped: got True, which means nothing for a folder"),
        ({"keep": 0}, "keep: got 0, which means nothing for a folder"),
        ({"mirror": "/x"}, "mirror: got '/x', which means nothing for a folder"),
        ({"steps": [3, 4]}, "step: gpt2 has no checkpoint at 4; the nearest is at 3"),
    ],
)
def test_arguments_that_cannot_be_met(root, given, says):
    with pytest.raises(ValueError, match=says):
        open_suite(root, **given)


def test_chosen_steps(root, tmp_path):
    for step in (1, 2, 3):
        copied(root, "gpt2", tmp_path / f"m/step{step}")
    assert open_suite(tmp_path, steps=[3, 1]).steps("m") == (1, 3)


@pytest.mark.parametrize(
    "address", ["./absent", "/absent/suite", "~/absent", "../a/b", "absent", "a/b/c", "a/{b,c}/d", "/a{b,c}"]
)
def test_a_path_that_is_not_there_is_not_taken_for_a_name_on_the_hub(address):
    with pytest.raises(ValueError, match=r"holds no suite; expected folders .*\(there is no such folder\)"):
        open_suite(address, keep=0)


def test_transformers_format_is_read_from_local_folders_only(root):
    import fsspec

    fsspec.filesystem("memory").put(str(root), "/pretrained", recursive=True)
    with pytest.raises(
        ValueError, match=r"memory://pretrained holds no suite; .*in a local folder models in transformers"
    ):
        open_suite("memory://pretrained")


def test_a_suite_of_ours_is_opened_without_transformers(tmp_path):
    from probe.suites import format as suite_format
    from probe.suites.architecture import Architecture, Shape
    from probe.tasks import task_to_dict

    task = ModularArithmetic(7)
    arch = Architecture.of(Shape(d_model=8, n_heads=2), task)
    config = {"architecture": arch.to_dict(), "task": task_to_dict(task), "seed": 0, "examples_per_step": 1}
    suite_format.write_json(suite_format.config_path(str(tmp_path), "m"), config)
    suite_format.write_tensors(suite_format.step_path(str(tmp_path), "m", 0), arch.initial_weights(0), {})
    code = (
        f"import sys, probe; suite = probe.open_suite({str(tmp_path)!r}); suite['m', 0].digest;"
        "print(*{'transformers', 'huggingface_hub', 'transformer_lens'} & set(sys.modules))"
    )
    for given in ({"tokens_per_step": 3}, {"task": task}):
        with pytest.raises(
            ValueError, match=f"{next(iter(given))}: got .*means nothing for models that were trained here"
        ):
            open_suite(tmp_path, **given)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
