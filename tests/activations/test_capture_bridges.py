"""Captures of models in transformers' format, against what transformers itself gives for each text alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import probe
from probe.activations.forward import Batch, reading
from probe.activations.inputs import Inputs
from tests.suites.hub_format import TEXTS, save_gpt2, save_llama, save_neox, tokenizer

SAVE = {"neox": save_neox, "gpt2": save_gpt2, "llama": save_llama}
SHOWN = [TEXTS[0], "The", TEXTS[1][:30], "At noon"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three architectures, each at two steps."""
    root = tmp_path_factory.mktemp("published")
    for name, save in SAVE.items():
        for step in (0, 8):
            save(root / name / f"step{step}", seed=step, tokenizer=tokenizer())
    return root


@pytest.fixture(scope="module")
def suite(root):
    return probe.open_suite(str(root))


def theirs(root, name, step):
    """What transformers gives for each text by itself: tokens, logits, hidden states and attention patterns."""
    model = AutoModelForCausalLM.from_pretrained(root / name / f"step{step}", attn_implementation="eager").eval()
    for text in SHOWN:
        ids = torch.tensor([tokenizer()(text)["input_ids"]])
        with torch.no_grad():
            yield ids[0], model(ids, output_hidden_states=True, output_attentions=True)


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("name", SAVE)
def test_texts_of_unequal_length_as_transformers_reads_each(suite, root, name, batch_size):
    sites = ["blocks.*.hook_resid_pre", "blocks.*.attn.hook_pattern", "unembed.hook_out"]
    found = probe.capture(suite, SHOWN, sites, models=[name], batch_size=batch_size, progress=False)
    for step in (0, 8):
        at = found.sel(model=name, step=step)
        for example, (ids, wanted) in enumerate(theirs(root, name, step)):
            n = len(ids)
            kept = at.isel(example=example)
            close(kept["unembed.hook_out"][:n], wanted.logits[0])
            for layer in range(2):
                close(kept[f"blocks.{layer}.hook_resid_pre"][:n], wanted.hidden_states[layer][0])
                pattern = kept[f"blocks.{layer}.attn.hook_pattern"]
                close(pattern[:n, :, :n], wanted.attentions[layer][0].transpose(0, 1))
                assert np.isnan(pattern[n:]).all()
                assert np.isnan(pattern[..., n:]).all()
            assert np.isnan(kept["unembed.hook_out"][n:]).all()
            assert kept["token_id"][:n].values.tolist() == ids.tolist()
            assert "".join(kept["token"].values) == SHOWN[example]


@pytest.mark.parametrize("name", SAVE)
def test_every_site_at_once_and_what_waits_for_a_setting(suite, name):
    found = probe.capture(suite, SHOWN, ["*"], models=[name], steps=[8], progress=False).isel(model=0, step=0)
    by_head = found["blocks.0.attn.hook_result"].sum("head", skipna=False)
    mask = ~np.isnan(by_head[..., 0])
    bias = suite[name, 8].load().state_dict().get("blocks.0.attn.o.bias", torch.zeros(16))
    out = found["blocks.0.hook_attn_out"].values[mask.values]
    close(by_head.values[mask.values] + bias.numpy(), out)
    assert found["blocks.0.hook_q_input"].dims == ("example", "position", "head", "unit")
    pre = found["blocks.0.hook_resid_pre"].values
    close(found["blocks.0.hook_q_input"][:, :, 0], pre)
    if name != "neox":  # there attention and MLP both read what enters the block
        close(found["blocks.0.hook_mlp_in"], found["blocks.0.hook_resid_mid"])
    close(found["blocks.0.hook_resid_post"], found["blocks.1.hook_resid_pre"])


def test_heads_of_keys_and_values_that_several_queries_share(suite):
    found = probe.capture(suite, SHOWN, ["blocks.0.attn.hook_[qkvz]"], models=["llama"], heads=[3, 1], progress=False)
    assert {site[-1]: found[site].dims[4] for site in found} == {
        "q": "head",
        "k": "kv_head",
        "v": "kv_head",
        "z": "head",
    }
    assert found.sizes["kv_head"] == 2
    assert found["head"].values.tolist() == [3, 1]


@pytest.mark.parametrize("name", SAVE)
def test_gradients_as_autograd_through_transformers_gives_them(suite, root, name):
    sites = ["blocks.1.hook_resid_pre", "blocks.0.attn.hook_pattern"]
    shown = [SHOWN[0], *SHOWN[2:]]  # the other one has a single token, so there is nothing to predict
    found = probe.capture(suite, shown, sites, models=[name], steps=[8], gradient_of="loss", progress=False)
    model = AutoModelForCausalLM.from_pretrained(root / name / "step8", attn_implementation="eager").eval()
    for example, text in enumerate(shown):
        ids = torch.tensor([tokenizer()(text)["input_ids"]])
        n = ids.shape[1]
        out = model(ids, labels=ids, output_hidden_states=True, output_attentions=True)
        gradients = torch.autograd.grad(out.loss, [out.hidden_states[1], out.attentions[0]])
        close(found["blocks.1.hook_resid_pre.grad"][0, 0, example, :n], gradients[0][0])
        pattern = found["blocks.0.attn.hook_pattern.grad"][0, 0, example, :n, :, :n].values
        seen = np.tril(np.ones((n, n), bool))[:, None, :]  # what a key that is not seen would do, nobody asks
        close(np.where(seen, pattern, 0), np.where(seen, gradients[1][0].transpose(0, 1), 0))


class Failed(Exception):
    pass


@pytest.mark.parametrize("failing", [None, Failed, KeyboardInterrupt])
@pytest.mark.parametrize("name", SAVE)
def test_the_model_is_as_it_was(suite, name, failing):
    model = suite[name, 8].load()
    inputs = Inputs.of(SHOWN, suite.by_name[name])
    batch = Batch(inputs, slice(None), "cpu")
    with torch.no_grad():
        before = model(batch.tokens, attention_mask=batch.mask)
    sites = ["blocks.1.attn.hook_result", "blocks.0.hook_q_input", "blocks.0.hook_mlp_in", "blocks.0.attn.hook_pattern"]

    def metric(logits, batch):
        if failing:
            raise failing
        return logits[:, 0, 0]

    read_twice = []
    try:
        with reading(model, sites, metric) as read:
            read_twice = [read(batch), read(batch)]
    except (Failed, KeyboardInterrupt):
        assert failing
    else:
        assert set(read_twice[0]) == {*sites, *(f"{site}.grad" for site in sites)}
    with reading(model, sites[1:2]) as read:
        read(batch)  # ends early
    assert not any(point.has_hooks() for point in model.hook_dict.values())
    with torch.no_grad():
        assert torch.equal(model(batch.tokens, attention_mask=batch.mask), before)


def test_no_more_is_run_than_is_needed(suite):
    """Not the logits, which with a large vocabulary are what takes the time."""
    ran, blocks = [], ["blocks.0.hook_out", "blocks.1.hook_out"]
    model = suite["neox", 8].load()
    for point in (*blocks, "ln_final.hook_out", "unembed.hook_out"):
        model.add_perma_hook(point, lambda value, hook: ran.append(hook.name))
    batch = Batch(Inputs.of(SHOWN, suite.by_name["neox"]), slice(None), "cpu")
    for sites, last in [
        (["hook_embed"], []),
        (["blocks.0.hook_resid_post"], blocks[:1]),
        (["blocks.1.hook_resid_post"], blocks),
        (
            ["ln_final.hook_normalized"],
            ["blocks.0.hook_out", "blocks.1.hook_out", "ln_final.hook_out", "unembed.hook_out"],
        ),
    ]:
        ran.clear()
        with reading(model, sites) as read:
            assert set(read(batch)) == set(sites)
        assert ran == last


def test_bfloat16_is_stored_as_float32(tmp_path):
    folder = save_neox(tmp_path / "m" / "step1", tokenizer=tokenizer())
    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    suite = probe.open_suite(str(tmp_path / "m"))
    found = probe.capture(suite, SHOWN, ["blocks.*.hook_resid_post"], progress=False)
    assert suite["m", 1].load().cfg.dtype == torch.bfloat16
    kept = found["blocks.0.hook_resid_post"]
    assert kept.dtype == np.float32
    as_they_were = torch.as_tensor(kept.values).bfloat16().float().numpy()
    np.testing.assert_array_equal(as_they_were, kept.values)


def test_texts_that_two_models_read_as_different_tokens(tmp_path):
    save_neox(tmp_path / "a" / "step1", tokenizer=tokenizer())
    save_neox(tmp_path / "b" / "step1", tokenizer=tokenizer(["other words"], vocab_size=60), d_model=32)
    suite = probe.open_suite(str(tmp_path))
    with pytest.raises(ValueError, match="inputs: b reads these texts as other tokens than a; capture them apart"):
        probe.capture(suite, SHOWN, ["hook_embed"], progress=False)
    assert probe.capture(suite, SHOWN, ["hook_embed"], models=["b"], progress=False).sizes["example"] == 4


def test_a_site_that_this_architecture_never_reaches(suite):
    with pytest.raises(ValueError, match=r"sites: 'blocks.0.hook_resid_mid' matches no hook point; the closest are"):
        probe.capture(suite, SHOWN, ["blocks.0.hook_resid_mid"], models=["neox"], progress=False)
    with pytest.raises(ValueError, match=r"sites: 'embed.hook_in' names a hook point of neox at which there is never"):
        probe.capture(suite, SHOWN, ["embed.hook_in"], models=["neox"], progress=False)


PEAK = """
import json, resource, sys
import torch
torch.set_num_threads(1)
import probe
folder, out, shown = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
suite = probe.open_suite(folder)
peaks = []
for n_steps, n_examples in shown:
    steps = suite.steps(suite.models[0])[:n_steps]
    probe.capture(suite, [[1] * 16] * n_examples, ["blocks.*.hook_resid_*"], steps=steps, progress=False,
                  out=f"{out}/{n_steps}-{n_examples}.zarr")
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(json.dumps(peaks))
"""


def peaks(folder, out, *shown):
    """Peak memory in bytes of a process after each of some captures: of so many steps, so many examples."""
    command = [sys.executable, "-c", PEAK, str(folder), str(out), json.dumps(shown)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_checkpoints(tmp_path):
    """Peak over 20 checkpoints within a tenth of that over 2, with models that are large beside the rest."""
    first = save_neox(tmp_path / "m" / "step0", d_model=672, n_layers=4)
    for step in range(1, 20):
        (tmp_path / "m" / f"step{step}").symlink_to(first)
    over_two, over_twenty = peaks(tmp_path / "m", tmp_path, (2, 16), (20, 16))
    assert (first / "model.safetensors").stat().st_size > 80e6  # so that even a few models that stay would be seen
    assert over_twenty < 1.1 * over_two


@pytest.mark.slow
def test_memory_does_not_grow_with_the_examples(tmp_path):
    save_neox(tmp_path / "m" / "step0", d_model=128, n_layers=6)
    few, many = peaks(
        tmp_path / "m", tmp_path, (1, 1000), (1, 4000)
    )  # both more than what is held before it is written
    stored = sum(path.stat().st_size for path in (tmp_path / "1-4000.zarr").rglob("*") if path.is_file())
    assert stored > 350e6
    assert many - few < 0.15 * stored
