"""A capture against the plain forward pass: values, labels, what is kept, gradients, and the model afterwards."""

import time

import numpy as np
import pytest
import torch
import xarray as xr

import probe
from probe.activations import planning
from probe.activations.capture_store import GroupWriter
from probe.activations.inputs import Inputs
from probe.activations.layout import layouts
from probe.suites.hooked import HookedTransformer
from tests.activations.small_suite import STEPS, TASK, architecture, expected, weights, write_suite
from tests.suites.plain import plain_forward

RESID = "blocks.*.hook_resid_post"
RAGGED = [[1, 2, 3], [4], [5, 6], [7, 0, 1], [2, 2]]


def capture(suite, inputs=TASK, sites=(RESID,), **asked):
    return probe.capture(suite, inputs, sites, **{"progress": False, **asked})


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 1, 10, 49])
@pytest.mark.parametrize("model", ["small", "large"])
def test_every_site_at_every_position(suite, model, batch_size):
    found = capture(suite, sites=["*"], models=[model], steps=[10], batch_size=batch_size)
    _, wanted = expected(model, 10, TASK.tokens)
    assert set(found) == set(wanted)
    for site, values in wanted.items():
        close(found[site][0, 0], values)
        assert found[site].dims[:4] == ("model", "step", "example", "position")
        assert found[site].dtype == np.float32


def test_labels(suite):
    sites = ["blocks.0.attn.*", RESID, "blocks.0.mlp.hook_post", "unembed.hook_out", "*hook_scale"]
    found = capture(suite, sites=sites)
    assert found["model"].values.tolist() == ["small", "large"]
    assert found["step"].values.tolist() == list(STEPS)
    assert found["n_params"].values.tolist() == [architecture(m).n_params for m in ("small", "large")]
    assert found["tokens_seen"].sel(model="small").values.tolist() == [0, 10 * 5 * 3, 20 * 5 * 3]
    assert (found["token_id"].values == TASK.tokens).all()
    assert (found["token_position"].values == [0, 1, 2]).all()
    assert found["blocks.0.hook_resid_post"].dims[4:] == ("unit",)
    assert found["blocks.0.attn.hook_q"].dims[4:] == ("head", "head_unit")
    assert found["blocks.0.attn.hook_pattern"].dims[4:] == ("head", "key")
    assert found["blocks.0.attn.hook_result"].dims[4:] == ("head", "unit")
    assert found["blocks.0.mlp.hook_post"].dims[4:] == ("neuron",)
    assert found["unembed.hook_out"].dims[4:] == ("vocab",)
    assert found["blocks.0.ln1.hook_scale"].dims[4:] == ("scale_unit",)
    assert "token" not in found.coords  # nothing here tells the tokens' text


def test_sizes_that_differ_are_padded_and_one_model_is_not(suite):
    found = capture(suite, sites=[RESID, "blocks.*.attn.hook_z"])
    _, small = expected("small", 20, TASK.tokens)
    _, large = expected("large", 20, TASK.tokens)
    both = found["blocks.0.hook_resid_post"].sel(step=20)
    close(both.sel(model="large"), large["blocks.0.hook_resid_post"])
    close(both.sel(model="small")[..., :8], small["blocks.0.hook_resid_post"])
    assert np.isnan(both.sel(model="small")[..., 8:]).all()
    assert np.isnan(found["blocks.1.hook_resid_post"].sel(model="small")).all()  # it has no second block
    z = found["blocks.0.attn.hook_z"].sel(model="small", step=20)
    close(z[:, :, :2], small["blocks.0.attn.hook_z"])
    assert np.isnan(z[:, :, 2]).all()
    assert capture(suite, models=["small"])["blocks.0.hook_resid_post"].shape == (1, 3, 49, 3, 8)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 5])
def test_padding_is_masked_and_never_captured(suite, batch_size):
    sites = ["blocks.*.hook_resid_post", "blocks.1.attn.hook_pattern", "blocks.0.attn.hook_attn_scores", "unembed.*"]
    found = capture(suite, RAGGED, sites, models=["large"], steps=[10], batch_size=batch_size)
    for example, row in enumerate(RAGGED):
        n = len(row)
        _, alone = expected("large", 10, [row])
        for site in found:
            kept = found[site][0, 0, example]
            if "key" in found[site].dims:
                close(kept[:n, :, :n], alone[site][0])
                assert np.isnan(kept[:, :, n:]).all()
            else:
                close(kept[:n], alone[site][0])
            assert np.isnan(kept[n:]).all()
    assert found["token_id"][2].values.tolist() == [5, 6, -1]
    assert found["token_position"][1].values.tolist() == [0, -1, -1]


def test_positions_heads_and_projection(suite):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(12, 2)).astype(np.float32)
    sites = ["blocks.0.hook_resid_post", "blocks.1.attn.hook_result", "blocks.1.attn.hook_pattern"]
    found = capture(
        suite,
        RAGGED,
        sites,
        models=["large"],
        steps=[0, 20],
        positions="last",
        heads=[2, 0],
        project={"blocks.*.hook_re*": matrix},
    )
    assert found["head"].values.tolist() == [2, 0]
    assert found["token_id"].values.tolist() == [row[-1] for row in RAGGED]
    for step in (0, 20):
        for example, row in enumerate(RAGGED):
            _, alone = expected("large", step, [row])
            at = found.sel(step=step).isel(model=0, example=example)
            close(at["blocks.0.hook_resid_post"], np.asarray(alone["blocks.0.hook_resid_post"][0, -1]) @ matrix)
            close(
                at["blocks.1.attn.hook_result"], np.asarray(alone["blocks.1.attn.hook_result"][0, -1, [2, 0]]) @ matrix
            )
            pattern = alone["blocks.1.attn.hook_pattern"][0, -1, [2, 0]]
            close(at["blocks.1.attn.hook_pattern"][:, : len(row)], pattern)
            assert at["blocks.1.attn.hook_pattern"].dims == ("head", "key")
    assert found["blocks.0.hook_resid_post"].dims == ("model", "step", "example", "component")


def test_a_mask_keeps_other_positions_of_each_example(suite):
    mask = np.random.default_rng(0).random((49, 3)) < 0.5
    mask[0] = True  # so that as many are kept as there are
    found = capture(suite, models=["small"], steps=[10], positions=mask)["blocks.0.hook_resid_post"][0, 0]
    _, wanted = expected("small", 10, TASK.tokens)
    for example in range(49):
        n = mask[example].sum()
        close(found[example, :n], wanted["blocks.0.hook_resid_post"][example, mask[example]])
        assert np.isnan(found[example, n:]).all()


def test_a_projection_may_depend_on_model_and_site(suite):
    asked = []

    def project(model, site):
        asked.append((model, site))
        return np.eye(architecture(model).d_model)[:, :3] if site.endswith("post") else None

    found = capture(suite, sites=["blocks.0.hook_resid_p*"], steps=[0], project=project, positions="answer")
    assert set(asked) == {(m, f"blocks.0.hook_resid_p{x}") for m in ("small", "large") for x in ("re", "ost")}
    for model in ("small", "large"):
        _, wanted = expected(model, 0, TASK.tokens)
        one = found.sel(model=model, step=0)
        close(one["blocks.0.hook_resid_post"], wanted["blocks.0.hook_resid_post"][:, 2, :3])
        width = architecture(model).d_model
        close(one["blocks.0.hook_resid_pre"][:, :width], wanted["blocks.0.hook_resid_pre"][:, 2])


SITES_OF_GRADIENTS = [
    "hook_embed",
    "blocks.0.hook_resid_post",
    "blocks.0.attn.hook_pattern",
    "blocks.0.attn.hook_z",
    "blocks.1.mlp.hook_post",
]


@pytest.mark.parametrize("name", SITES_OF_GRADIENTS)
def test_gradients_of_the_loss_are_those_of_finite_differences(suite, name):
    """The plain forward pass with one number of one activation moved, in float64."""
    found = capture(suite, sites=SITES_OF_GRADIENTS, models=["large"], steps=[10], gradient_of="loss", batch_size=20)
    _, clean = expected("large", 10, TASK.tokens)
    close(found[name][0, 0], clean[name])
    w = {parameter: weight.double() for parameter, weight in weights("large", 10).items()}
    gradient = found[f"{name}.grad"][0, 0].values

    def loss(place, delta):
        def edit(x):
            axes = x.transpose(1, 2) if name.endswith("pattern") else x
            axes[place] += delta
            return x

        logits, _ = plain_forward(architecture("large"), w, torch.as_tensor(TASK.tokens), {name: edit})
        return -logits[:, 2].log_softmax(-1)[torch.arange(49), torch.as_tensor(TASK.answers)].sum().item()

    torch.set_default_dtype(torch.float64)
    try:
        for seed in range(4):
            place = tuple(np.random.default_rng(seed).integers(0, gradient.shape))
            slope = (loss(place, 1e-5) - loss(place, -1e-5)) / 2e-5
            assert gradient[place] == pytest.approx(slope, rel=2e-3, abs=2e-5)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_loss_of_inputs_without_an_answer_is_that_of_the_next_tokens(suite):
    found = capture(suite, [[1, 2, 3], [4, 5]], ["unembed.hook_out"], models=["small"], steps=[0], gradient_of="loss")
    for example, row in enumerate([[1, 2, 3], [4, 5]]):
        logits, _ = expected("small", 0, [row])
        n = len(row)
        wanted = logits[0].softmax(-1)
        wanted[torch.arange(n - 1), row[1:]] -= 1
        wanted[-1] = 0
        close(found["unembed.hook_out.grad"][0, 0, example, :n], wanted / (n - 1))
    with pytest.raises(ValueError, match="gradient_of: an example of one token has no next token"):
        capture(suite, RAGGED, models=["small"], gradient_of="loss")


def test_a_metric_of_ones_own(suite):
    def correct_logit(logits, batch):
        return logits[torch.arange(len(batch)), batch.answer_positions, batch.answers]

    found = capture(suite, sites=["unembed.hook_out"], steps=[0], models=["small"], gradient_of=correct_logit)
    wanted = np.zeros((49, 3, 8))
    wanted[np.arange(49), 2, TASK.answers] = 1
    close(found["unembed.hook_out.grad"][0, 0], wanted)
    assert "correct_logit" in found.attrs["gradient_of"]


def test_half_precision(suite):
    found = capture(suite, dtype="float16", models=["small"], steps=[0])["blocks.0.hook_resid_post"]
    assert found.dtype == np.float16
    whole = capture(suite, models=["small"], steps=[0])["blocks.0.hook_resid_post"]
    assert (found.values == whole.values.astype(np.float16)).all()
    with pytest.raises(ValueError, match=r"dtype: blocks.0.hook_resid_post reaches .*e\+06, which float16 cannot hold"):
        capture(suite, dtype="float16", models=["small"], project=1e6 * np.eye(8))


def test_chunks_are_whole_batches_and_about_as_large(suite, monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "CHUNK_BYTES", 20 * 8 * 4)  # 20 examples of 8 units
    found = capture(suite, models=["small"], batch_size=4, positions="answer", out=tmp_path / "c.zar")
    import zarr

    array = zarr.open_group(tmp_path / "c.zar", mode="r")["small/step_00000010/blocks.0.hook_resid_post"]
    assert array.chunks == (20, 8)  # 49 examples in three chunks of five batches
    _, wanted = expected("small", 10, TASK.tokens)
    close(found["blocks.0.hook_resid_post"].sel(step=10)[0], wanted["blocks.0.hook_resid_post"][:, 2])


def test_a_disk_that_is_slower_than_the_model(suite, monkeypatch):
    """A buffer is not filled again before it has been written."""
    write = GroupWriter.write

    def slow(self, name, start, values):
        time.sleep(0.02)
        write(self, name, start, values)

    monkeypatch.setattr(GroupWriter, "write", slow)
    monkeypatch.setattr(planning, "CHUNK_BYTES", 1)
    found = capture(suite, models=["large"], steps=[10], batch_size=5)
    _, wanted = expected("large", 10, TASK.tokens)
    close(found["blocks.1.hook_resid_post"][0, 0], wanted["blocks.1.hook_resid_post"])


def test_the_stream_gives_the_same_batch_by_batch(suite):
    found = capture(suite, RAGGED, ["blocks.0.hook_resid_post"], batch_size=2)
    pieces = list(probe.stream(suite, RAGGED, ["blocks.0.hook_resid_post"], batch_size=2))
    assert [piece.examples for piece in pieces[:3]] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [(p.checkpoint.model.name, p.checkpoint.step) for p in pieces[::3]] == [
        (model, step) for model in ("small", "large") for step in STEPS
    ]
    for piece in pieces:
        stored = found["blocks.0.hook_resid_post"].sel(model=piece.checkpoint.model.name, step=piece.checkpoint.step)
        width = piece.checkpoint.model.architecture.d_model
        np.testing.assert_array_equal(
            stored[piece.examples, :, :width], piece.activations["blocks.0.hook_resid_post"].numpy()
        )


def test_a_checkpoint_is_given_back_when_it_has_been_used(suite, monkeypatch):
    """So that of models that are fetched, no more than asked for stay on the disk."""
    happened = []
    model = type(suite.by_name["small"])
    load = model.load
    monkeypatch.setattr(model, "load", lambda self, step, *a: happened.append(("load", step)) or load(self, step, *a))
    monkeypatch.setattr(model, "release", lambda self, step: happened.append(("release", step)))
    capture(suite, models=["small"])
    assert happened == [(what, step) for step in STEPS for what in ("load", "release")]
    happened.clear()
    pieces = probe.stream(suite, TASK, [RESID], models=["small"], batch_size=5)
    next(pieces)
    pieces.close()
    assert happened == [("load", 0), ("release", 0)]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt])
def test_the_model_is_as_it_was_after_an_exception(suite, monkeypatch, error):
    """A metric that fails: in the middle of a pass with hooks on."""
    loaded = []
    with_weights = HookedTransformer.with_weights
    monkeypatch.setattr(HookedTransformer, "with_weights", lambda *a: loaded.append(with_weights(*a)) or loaded[-1])

    def failing(logits, batch):
        raise error

    with pytest.raises(error):
        capture(suite, models=["large"], steps=[10], sites=["*"], gradient_of=failing)
    (model,) = loaded
    assert not any(point.has_hooks() for point in model.hook_dict.values())
    fresh = with_weights(architecture("large"), weights("large", 10))
    tokens = torch.as_tensor(TASK.tokens)
    assert torch.equal(model(tokens), fresh(tokens))


def test_the_model_is_as_it_was_after_a_capture(suite, monkeypatch):
    loaded = []
    with_weights = HookedTransformer.with_weights
    monkeypatch.setattr(HookedTransformer, "with_weights", lambda *a: loaded.append(with_weights(*a)) or loaded[-1])
    capture(suite, models=["large"], steps=[10], sites=["*"], gradient_of="loss")
    assert not any(point.has_hooks() for point in loaded[0].hook_dict.values())
    tokens = torch.as_tensor(TASK.tokens)
    assert torch.equal(loaded[0](tokens), with_weights(architecture("large"), weights("large", 10))(tokens))


def test_only_what_is_needed_is_run(suite, monkeypatch):
    ran = []
    forward = HookedTransformer.forward
    monkeypatch.setattr(HookedTransformer, "forward", lambda self, *a, **k: ran.append(k) or forward(self, *a, **k))
    capture(suite, models=["large"], steps=[10], sites=["blocks.0.*resid_post"])
    assert ran
    assert all(asked == {"stop_at_layer": 1} for asked in ran)


def test_layouts_read_no_weights(suite, monkeypatch):
    model = suite.by_name["large"]
    monkeypatch.setattr(type(model), "weights", lambda *a: pytest.fail("weights were read"))
    found = layouts(model, ["blocks.1.attn.hook_pattern", "blocks.1.mlp.hook_pre"], Inputs.of(TASK))
    assert {site: (layout.dims, layout.shape) for site, layout in found.items()} == {
        "blocks.1.attn.hook_pattern": (("head", "key"), (3, 3)),
        "blocks.1.mlp.hook_pre": (("neuron",), (48,)),
    }


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"models": ["smal"]}, r"model: got 'smal'; expected one of small, large \(did you mean 'small'\?\)"),
        ({"steps": [11]}, "step: small has no checkpoint at 11; the nearest is at 10"),
        (
            {"sites": ["blocks.0.hook_resid_pst"]},
            "sites: 'blocks.0.hook_resid_pst' matches no .* closest are blocks.0",
        ),
        (
            {"sites": ["blocks.1.hook_resid_post"]},
            "sites: 'blocks.1.hook_resid_post' matches no hook point",
        ),  # of small
        ({"sites": []}, "sites: got none"),
        ({"heads": [0]}, r"heads: got \[0\]; none of the sites of small has heads"),
        ({"sites": ["*hook_z"], "heads": [2]}, r"heads: got \[2\]; blocks.0.attn.hook_z of small has heads 0 to 1"),
        ({"sites": ["*hook_z"], "heads": [1, 1]}, "heads: .*each once"),
        ({"project": np.eye(8)[0]}, r"project: got an array of shape \(8,\) for '\*'; expected \[unit, k\]"),
        (
            {"project": np.eye(9)},
            r"project: got a matrix of shape \(9, 9\) for blocks.0.hook_resid_post of small",
        ),
        ({"project": {"*mlp*": np.eye(8)}}, r"project: '\*mlp\*' is none of the sites captured of small"),
        ({"positions": "end"}, "positions: got 'end'"),
        ({"dtype": "bfloat16"}, "dtype: got 'bfloat16'; expected 'float16', 'float32'"),
        ({"reduce": "median"}, "reduce: got 'median'; expected one of mean, covariance, gram, top-K"),
        ({"over": "step"}, "over: got 'step'; expected 'example' or 'position'"),
        ({"gradient_of": "accuracy"}, "gradient_of: got 'accuracy'; expected 'loss', or a function"),
        ({"batch_size": 0}, "batch_size: got 0; expected a whole number, at least 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_named_before_anything_is_read(suite, monkeypatch, tmp_path, asked, says):
    monkeypatch.setattr(HookedTransformer, "with_weights", lambda *a: pytest.fail("a model was loaded"))
    with pytest.raises(ValueError, match=says):
        capture(suite, out=tmp_path / "c.zar", **asked)
    assert not (tmp_path / "c.zar").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"over": "position"}, "over: got 'position', which means nothing without reduce"),
        ({"models": []}, "models: got none; expected one or more of small, large"),
        ({"steps": 10}, r"steps: got 10; expected whole numbers, such as \[0, 1000\]"),
        ({"steps": ["0"]}, "step: got '0'; expected a whole number"),
        ({"sites": [0]}, r"sites: got \[0\]; expected hook names or patterns"),
        ({"positions": [0, 1]}, r"positions: got \[0, 1\]; to keep several positions, give a slice or a mask"),
        (
            {"positions": slice(None, None, -1)},
            r"positions: got .* expected a slice of whole numbers",
        ),
        ({"positions": slice(0, 1.5)}, r"positions: got .* expected a slice of whole numbers"),
        ({"sites": ["*hook_z"], "heads": [0.5]}, r"heads: got \[0.5\]; expected whole numbers"),
        ({"sites": ["*hook_z"], "heads": "all"}, "heads: got 'all'; expected whole numbers"),
        ({"project": "x"}, "project: got 'x' for '.*'; expected a matrix"),
        ({"project": np.ones((8, 0))}, r"project: got an array of shape \(8, 0\)"),
        ({"reduce": 5}, "reduce: got 5; expected one of mean"),
        ({"gradient_of": 5}, "gradient_of: got 5; expected 'loss', or a function"),
        ({"batch_size": 1.5}, "batch_size: got 1.5; expected a whole number"),
        ({"device": "gpu"}, "device: got 'gpu'; expected one that is here, such as"),
        ({"inputs": 5}, "inputs: got 5; expected a Task, texts, or token ids"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_said_in_words(suite, asked, says):
    with pytest.raises(ValueError, match=says):
        capture(suite, **asked)


def test_a_suite_is_what_open_suite_returns(suite):
    for wrong in (suite.address, None):
        with pytest.raises(ValueError, match=r"suite: got .*; expected what probe.open_suite returns"):
            capture(wrong)


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (
            lambda logits, batch: logits.mean(),
            r"the metric gave shape \(\); expected \[49\], a number for each",
        ),
        (lambda logits, batch: logits[:, 0], r"the metric gave shape \(49, 8\)"),
        (lambda logits, batch: 1.0, "the metric gave 1.0"),
        (lambda logits, batch: logits[:, 0, 0].detach(), "the metric's values have no gradient"),
    ],
)
def test_a_metric_gives_a_number_for_each_example(suite, metric, says):
    """A mean would make gradients depend on the size of batches."""
    with pytest.raises(ValueError, match=f"gradient_of: {says}"):
        capture(suite, models=["small"], gradient_of=metric)


def test_steps_and_inputs_of_other_kinds(suite):
    found = capture(suite, iter([[1, 2], [3, 4]]), steps=np.array([0, 10]))
    assert found.sizes["model"] == 2
    assert found["token_id"].values.tolist() == [[1, 2], [3, 4]]
    assert capture(suite, models="small", device=torch.device("cpu"))["model"].values.tolist() == ["small"]


def test_a_number_that_is_rounded_up_to_the_largest_is_refused_too(suite):
    """The largest number that float16 has stands for a chunk that was lost."""
    values = capture(suite, models=["small"], steps=[0], positions="answer")["blocks.0.hook_resid_post"].values[0, 0]
    scale = 65490 / np.abs(values[:, 0]).max()
    one_unit = np.eye(8)[:, :1] * scale
    with pytest.raises(ValueError, match=r"reaches 6\.55e\+04, which float16 cannot hold"):
        capture(suite, models=["small"], steps=[0], positions="answer", project=one_unit, dtype="float16")


def test_a_site_for_all_sizes_is_one_that_each_has(suite):
    assert "blocks.1.hook_resid_post" in capture(suite, steps=[0])
    assert isinstance(capture(suite, steps=[0]), xr.Dataset)


def test_a_suite_without_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="steps: the suite has no checkpoint to capture"):
        capture(write_suite(tmp_path, steps=()))
