"""Activation patching against one patch at a time, explicit edge masks, identities, and intervals by hand."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import optimize, stats

from circuits import Metric, Pairs, answer_loss, kl_from_clean, logit_difference
from circuits.patched import Patched
from circuits.patching import KINDS, patch_activations
from tests.circuits.masked import masked_forward
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs

LENGTHS = (5, 3, 5, 2)


def with_ln():
    return ours(normalization="LN", biases=True)[0]


def unequal_pairs():
    """The second token differs, so what is at position 0 does not."""
    drawn = np.random.default_rng(3)
    clean = [drawn.integers(11, size=length) for length in LENGTHS]
    corrupted = [np.where(np.arange(len(c)) == 1, (c + 1 + drawn.integers(9)) % 11, c) for c in clean]
    answers = drawn.integers(11, size=len(LENGTHS))
    return Pairs.of(clean, corrupted, answers, 11, (answers + 3) % 11)


@pytest.fixture(scope="module")
def models():
    relu = ours(activation="relu", biases=True, d_mlp=8)[
        0
    ]  # of which neurons are silent in one layer and not in the other
    return {
        "ours": with_ln(),
        "both ways": ours(causal=False)[0],
        "relu": relu,
        "neox": neox(),
        "gpt2": gpt2(),
        "llama": llama(),
    }


def one_by_one(model, pairs, kind, apart, way, layers=(0, 1)):
    """Every patch by itself on every pair by itself, without padding: TransformerLens' own way."""
    hook, unit = KINDS[kind]
    known = ("layer", *([unit] if unit else []), "position")
    found = {}
    for pair, length in enumerate(pairs.lengths):
        run, put = (torch.tensor(tokens[pair : pair + 1, :length]) for tokens in (pairs.corrupted, pairs.clean))
        if way == "noise":
            run, put = put, run
        _, cache = model.run_with_cache(put)
        first = cache[f"blocks.0.{hook}"]
        n_units = 0 if unit is None else first.shape[1 if kind == "pattern" else 2]
        sizes = {"layer": layers, "position": range(length), unit: range(n_units)}
        for place in product(*(sizes[axis] for axis in known if axis in apart)):
            at = dict(zip([axis for axis in known if axis in apart], place, strict=True))

            def edit(activation, hook, at=at, cache=cache):
                changed = activation.clone()
                p, u = (slice(None) if axis not in at else at[axis] for axis in ("position", unit))
                index = (0, u, p) if kind == "pattern" else (0, p, u) if unit else (0, p)
                changed[index] = cache[hook.name][index]
                return changed

            hooks = [(f"blocks.{layer}.{hook}", edit) for layer in layers if at.get("layer", layer) == layer]
            with torch.no_grad():
                logits = model.run_with_hooks(run, fwd_hooks=hooks)[0, -1]
            found[(*place, pair)] = float(logits[pairs.answers[pair]] - logits[pairs.wrong_answers[pair]])
    return found


@pytest.mark.parametrize(
    ("name", "kind", "apart", "way"),
    [
        ("ours", "z", ("layer", "head", "position"), "denoise"),
        ("ours", "resid_mid", ("layer", "position"), "noise"),
        ("relu", "mlp_post", ("neuron",), "denoise"),
        ("ours", "pattern", ("head", "position"), "denoise"),
        ("ours", "attn_out", (), "noise"),
        ("both ways", "v", ("layer", "position"), "noise"),
        ("neox", "z", ("layer", "head"), "noise"),
        ("neox", "resid_pre", ("layer", "position"), "denoise"),
        ("neox", "k", ("layer", "head"), "denoise"),
        ("gpt2", "q", ("head",), "noise"),
        ("gpt2", "pattern", ("head",), "noise"),
        ("llama", "v", ("layer", "head"), "denoise"),
        ("llama", "z", ("head",), "denoise"),
        ("llama", "mlp_out", ("position",), "noise"),
    ],
)
def test_batches_of_patches_are_what_single_patches_are(models, name, kind, apart, way):
    model, pairs = models[name], unequal_pairs()
    expected = one_by_one(model, pairs, kind, apart, way)
    for rows in (None, 3):
        found = patch_activations(model, pairs, logit_difference, kind, apart=apart, way=way, rows=rows)
        values = found.values.to_numpy()
        for place, value in expected.items():
            assert values[place] == pytest.approx(value, rel=2e-6, abs=2e-6), place
        assert np.isfinite(values).sum() == len(expected)  # all others are padded positions
        assert (np.abs(values - found.baseline)[np.isfinite(values)] > 1e-4).any()


@pytest.mark.parametrize("name", ["ours", "neox", "llama"])
def test_everything_recovers_all_and_nothing_nothing(models, name):
    model, pairs = models[name], unequal_pairs()
    for way in ("denoise", "noise"):
        whole = patch_activations(model, pairs, logit_difference, "resid_pre", apart=(), layers=[0], way=way)
        other = whole.clean if way == "denoise" else whole.corrupted
        np.testing.assert_allclose(whole.values, other, atol=1e-6)
        assert float(whole.recovered().estimate) == pytest.approx(1, abs=1e-5)
    last = patch_activations(model, pairs, kl_from_clean, "resid_post", apart=("layer",), layers=[1])
    np.testing.assert_allclose(last.values.sel(layer=1), 0, atol=1e-6)
    assert (last.corrupted > 1e-4).all()
    # position 0 reads the same token on both questions, and nothing after it
    first = patch_activations(model, pairs, logit_difference, "z", apart=("layer", "head", "position"))
    assert (first.values.sel(position=0) == first.corrupted).all()
    assert (first.effects().estimate.sel(position=0) == 0).all()
    same = Pairs(pairs.clean, pairs.clean, pairs.answers, 11, pairs.wrong_answers, pairs.lengths)
    for kind in KINDS:
        if name == "neox" and kind == "resid_mid":
            continue
        equal = patch_activations(model, same, logit_difference, kind, apart=("layer", "position"))
        assert (equal.values.where(equal.values.notnull(), 0) == equal.clean * equal.values.notnull()).all()
    with pytest.raises(ValueError, match="logit_difference is equal on the clean and the corrupted question"):
        equal.recovered()


def test_to_denoise_is_to_noise_the_swapped_pairs(models):
    pairs = random_pairs(n=6, n_changed=3)
    there = patch_activations(models["ours"], pairs, logit_difference, "z", apart=("layer", "head"))
    back = patch_activations(
        models["ours"], pairs.swapped(), logit_difference, "z", apart=("layer", "head"), way="noise"
    )
    np.testing.assert_allclose(there.values, -back.values, atol=1e-12)
    np.testing.assert_allclose(there.recovered().estimate, back.recovered().estimate, atol=1e-9)


@pytest.mark.parametrize("kind", ["q", "k", "v"])
def test_inputs_of_heads_are_all_their_edges(kind):
    """Exchanging every edge into an input of a head is exchanging that query, key or value."""
    model, arch, w = ours(normalization="LN", biases=True)
    pairs = random_pairs(n=4, n_changed=2)
    found = patch_activations(model, pairs, logit_difference, kind, apart=("layer", "head"), way="noise")
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    _, written = masked_forward(arch, w, corrupted)
    rows = torch.arange(len(pairs))
    for layer, head in product(range(2), range(2)):
        masks = {(source, f"L{layer}.H{head}.{kind}"): torch.ones(()) for source in written}
        logits = masked_forward(arch, w, clean, written, masks)[0][:, -1].double()
        expected = logits[rows, pairs.answers] - logits[rows, pairs.wrong_answers]
        np.testing.assert_allclose(found.values.sel(layer=layer, head=head), expected, atol=2e-6)


def test_passes_hold_as_many_rows_as_are_allowed_and_leave_the_model_alone(monkeypatch):
    model, pairs = with_ln(), random_pairs(n=5)
    rows, run = [], model.run_with_hooks
    monkeypatch.setattr(model, "run_with_hooks", lambda tokens, **k: rows.append(len(tokens)) or run(tokens, **k))
    patch_activations(model, pairs, logit_difference, "z", apart=("layer", "head", "position"), rows=40)
    assert rows == [5, 5, 40, 40, 20]  # both questions; 20 patches of 5 pairs
    rows.clear()
    patch_activations(model, pairs, logit_difference, "z", apart=("layer", "head"), rows=4)
    assert rows == [4, 4, 4, 4, 4, 4, 1, 1, 4]
    rows.clear()
    patch_activations(model, pairs, logit_difference, "z", apart=("layer", "head", "position"))
    assert rows == [5, 5, 100]
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_metrics_are_asked_about_the_pairs_they_are_of(models):
    pairs = random_pairs(n=5)
    table = torch.tensor([3.0, -1.0, 4.0, 1.0, 5.0])
    own = Metric("own", 1, lambda logits, asked: table[list(asked.pairs)] + 0 * logits[:, 0])
    found = patch_activations(models["ours"], pairs, own, "z", apart=("layer",), rows=8)
    assert (found.values == table.numpy()).all()
    loss = patch_activations(models["ours"], pairs, answer_loss, "z", apart=("layer", "head"), layers=[1])
    assert (loss.metric, loss.direction, loss.kind, loss.way) == ("answer_loss", -1, "z", "denoise")
    assert loss.values.dims == ("layer", "head", "pair")
    assert loss.values["layer"].to_numpy().tolist() == [1]


def test_what_is_wrong_is_named(models):
    model, pairs = models["ours"], random_pairs()

    def patch(kind="z", apart=("layer",), pairs=pairs, model=model, metric=logit_difference, **options):
        return patch_activations(model, pairs, metric, kind, apart=apart, **options)

    for kind, options, message in (
        ("resid", {}, r"kind: got 'resid'; expected one of resid_pre, resid_mid, .*pattern"),
        (
            "z",
            {"apart": ("neuron",)},
            r"apart: got \('neuron',\) of z; expected some of \('layer', 'head', 'position'\)",
        ),
        ("mlp_out", {"apart": ("head",)}, r"expected some of \('layer', 'position'\)"),
        ("z", {"apart": "layer"}, "apart: got 'layer' of z"),
        ("z", {"apart": ("head", "head")}, "each once"),
        ("z", {"layers": [0, 2]}, r"layers: got \[0, 2\]; expected some of 0 to 1"),
        ("z", {"layers": []}, r"layers: got \[\]"),
        ("z", {"layers": [1, 1]}, "each once"),
        ("z", {"way": "both"}, "way: got 'both'; expected 'denoise' or 'noise'"),
        ("z", {"rows": 0}, "rows: got 0; expected at least 1"),
        ("z", {"pairs": random_pairs(length=7)}, "pair 0 has 7 tokens"),
        ("z", {"metric": Metric("bad", 1, lambda x, _: x[:, 0] * torch.nan)}, "metric: bad of pair 0 is not finite"),
        ("resid_mid", {"model": models["neox"]}, r"no such hook point.*nothing between"),
    ):
        with pytest.raises(ValueError, match=message):
            patch(kind, **options)
    training = with_ln()
    training.blocks[1].mlp.train()
    with pytest.raises(ValueError, match=r"blocks\.1\.mlp is in training mode.*model\.eval\(\)"):
        patch(model=training)
    inner = neox()
    inner.original_model.train()
    with pytest.raises(ValueError, match="in training mode"):
        patch(model=inner)
    broken = ours()[0]
    with torch.no_grad():
        broken.embed.W_E[10] = torch.inf
    questions = np.where(pairs.clean == 10, 0, pairs.clean)
    questions[4, 1] = 10
    pair = Pairs(np.where(pairs.clean == 10, 0, pairs.clean), questions, pairs.answers, 11, pairs.wrong_answers)
    with pytest.raises(
        ValueError, match=r"blocks\.0\.attn\.hook_z: .* on the corrupted question of pair 4 is not finite"
    ):
        patch(model=broken, pairs=pair, rows=3)
    uneven = ours()[0]
    uneven.blocks[1] = ours(n_heads=4)[0].blocks[1]
    uneven.setup()
    with pytest.raises(ValueError, match=r"its layers have shapes \[\(2, 4\), \(4, 2\)\]; expected equal ones"):
        patch(model=uneven)
    with pytest.raises(ValueError, match="way: got 'other'"):
        Patched(xr.DataArray([1.0], dims="pair"), np.ones(1), np.ones(1), "m", 1, "z", "other")


def patched_values(values, clean, corrupted, way="denoise"):
    values = xr.DataArray(values, dims=("layer", "pair"))
    values = values.assign_coords(layer=np.arange(values.shape[0]), pair=np.arange(values.shape[1]))
    return Patched(values, np.asarray(clean), np.asarray(corrupted), "logit_difference", 1, "resid_pre", way)


def test_means_and_intervals_by_hand():
    """Changes of the second layer are 1, 2, 3 with means of the whole way 4: a mean 2 with s = 1, t(2) = 4.30265."""
    clean, corrupted = np.array([3.0, 4.0, 8.0]), np.array([0.0, 0.0, 3.0])
    found = patched_values([corrupted, [1, 2, 6], [1, 1, np.nan], clean], clean, corrupted)
    effects, share = found.effects(), found.recovered()
    np.testing.assert_allclose(effects.estimate, [0, 2, 1, 4])
    np.testing.assert_array_equal(effects.n, [3, 3, 2, 3])
    half = 4.302652729911275 / 3**0.5
    np.testing.assert_allclose([effects.low[1], effects.high[1]], [2 - half, 2 + half])
    np.testing.assert_allclose([effects.low[2], effects.high[2]], [1, 1])
    np.testing.assert_allclose(share.estimate, [0, 0.5, 1 / 3.5, 1])  # of the third layer, whole ways of 3 and 4
    np.testing.assert_allclose([share.low[[0, 3]], share.high[[0, 3]]], [[0, 1], [0, 1]], atol=1e-9)
    noise = patched_values([clean - [1, 2, 3]], clean, corrupted, "noise")
    np.testing.assert_allclose(noise.effects().estimate, [-2])
    np.testing.assert_allclose(noise.recovered().estimate, [0.5])
    single = patched_values([[1.0]], [2.0], [0.0])
    assert float(single.recovered().estimate[0]) == 0.5
    assert np.isnan([single.recovered().low[0], single.recovered().high[0], single.effects().low[0]]).all()
    with pytest.raises(ValueError, match=r"confidence: 1\.5 given"):
        found.recovered(1.5)
    unknown = patched_values([[1.0, -1.0, 2.0]], [1, -1, 1], [0, 0, 0]).recovered()
    assert [float(unknown.low[0]), float(unknown.high[0])] == [-np.inf, np.inf]
    cancelled = patched_values([[1.0, 0.5]], [1, -1], [0, 0]).recovered()
    assert np.isnan(cancelled.estimate[0])


def test_ends_of_the_share_are_where_a_t_test_turns():
    drawn = np.random.default_rng(0)
    whole = drawn.normal(2, 1, 12)
    change = 0.4 * whole + drawn.normal(0, 0.5, 12)
    share = patched_values([change], whole, np.zeros(12)).recovered(0.9)

    def excess(ratio):
        return stats.ttest_1samp(change - ratio * whole, 0).pvalue - 0.1

    estimate = float(share.estimate[0])
    assert estimate == pytest.approx(change.mean() / whole.mean())
    assert float(share.low[0]) == pytest.approx(optimize.brentq(excess, estimate - 3, estimate), abs=1e-9)
    assert float(share.high[0]) == pytest.approx(optimize.brentq(excess, estimate, estimate + 3), abs=1e-9)


def test_the_share_is_covered_as_often_as_is_said():
    """2,000 sets of 8 pairs, true share 0.7: 95 % intervals miss 100 times on average, with a deviation of 10."""
    drawn = np.random.default_rng(1)
    missed = 0
    for _ in range(20):
        whole = drawn.normal(1.5, 1, 8)
        change = 0.7 * whole + drawn.normal(0, 0.8, (100, 8))
        share = patched_values(change, whole, np.zeros(8)).recovered()
        missed += int(((share.low > 0.7) | (share.high < 0.7)).sum())
    assert 60 <= missed <= 140


def test_a_table_has_a_row_for_each_patch_on_each_pair(models):
    pairs = unequal_pairs()
    found = patch_activations(models["ours"], pairs, logit_difference, "z", apart=("layer", "head", "position"))
    table = found.to_frame()
    assert len(table) == 2 * 2 * sum(LENGTHS)
    assert list(table)[:7] == ["kind", "way", "metric", "layer", "head", "position", "pair"]
    row = table[(table.layer == 1) & (table["head"] == 0) & (table.position == 2) & (table.pair == 1)].iloc[0]
    assert row.value == found.values.sel(layer=1, head=0, position=2, pair=1)
    assert (row.clean, row.corrupted) == (found.clean[1], found.corrupted[1])
    assert (row.kind, row.way, row.metric) == ("z", "denoise", "logit_difference")


def test_figures_show_the_means_and_say_of_what(models):
    pairs = unequal_pairs()

    def drawn(apart, what="recovered", way="denoise"):
        found = patch_activations(models["ours"], pairs, logit_difference, "z", apart=apart, way=way)
        plot = found.figure(what)
        return SimpleNamespace(means=getattr(found, what)(), plot=plot, trace=plot.data[0])

    three = drawn(("layer", "head", "position"))
    assert list(three.trace.y) == ["L0.H0", "L0.H1", "L1.H0", "L1.H1"]
    assert list(three.trace.x) == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(three.trace.z, three.means.estimate.to_numpy().reshape(4, 5))
    np.testing.assert_array_equal(three.trace.customdata[2][4], [three.means.low[1, 0, 4], three.means.high[1, 0, 4]])
    assert three.plot.layout.xaxis.title.text == "position"
    assert three.plot.layout.yaxis.title.text == "layer and head"
    assert three.trace.colorbar.title.text == "share of logit_difference restored"
    assert "z of the clean question put into the corrupted one, mean of 4 pairs" in three.plot.layout.title.text
    two = drawn(("layer", "head"), "effects", "noise")
    np.testing.assert_array_equal(two.trace.z, two.means.estimate)
    assert list(two.trace.y) == ["0", "1"]
    assert two.trace.colorbar.title.text == "change of logit_difference"
    assert "z of the corrupted question put into the clean one" in two.plot.layout.title.text
    one = drawn(("head",), "recovered", "noise")
    np.testing.assert_array_equal(one.trace.y, one.means.estimate)
    assert one.plot.layout.xaxis.title.text == "head"
    assert one.plot.layout.yaxis.title.text == "share of logit_difference lost"
    none = drawn((), "effects")
    np.testing.assert_allclose(none.trace.error_y.array, [none.means.high - none.means.estimate])
    np.testing.assert_allclose(none.trace.error_y.arrayminus, [none.means.estimate - none.means.low])
    with pytest.raises(ValueError, match="what: got 'share'"):
        drawn(("head",)) and patch_activations(models["ours"], pairs, answer_loss, "z", apart=()).figure("share")
    unbounded = patched_values([[1.0, -1.0, 2.0]], [1, -1, 1], [0, 0, 0]).figure().data[0]
    assert np.isnan(unbounded.error_y.array[0])
