"""Path patching against arithmetic on paper, explicit edge masks, hooks written by hand, and TransformerLens."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from transformer_lens.patching import get_act_patch_direct_path

from circuits import Pairs, logit_difference
from circuits.graph import Node
from circuits.path_patching import patch_paths
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.circuits.masked import masked_forward
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs
from tests.circuits.test_attribution import micro_model
from tests.suites.plain import noisy_weights

PATHS = [
    ["embed", "logits"],
    ["L0.H1", "L1.H0.k"],
    ["embed", "L0.H0.v", "L1.H1.q", "logits"],
    ["embed", "L0.H0.v", "L1.H1.q", "L1.MLP", "logits"],
    ["embed", "L0.H0.v", "L1.H1.k", "L1.MLP", "logits"],
    ["embed", "L0.H0.v", "L1.H1.k"],
    ["L0.H1", "L0.MLP", "L1.MLP", "logits"],
    ["L1.MLP", "logits"],
    ["L0.MLP", "L1.H0.v", "L1.MLP"],
]


def difference(logits, pairs):
    rows, logits = torch.arange(len(pairs)), logits.double()
    return logits[rows, pairs.answers] - logits[rows, pairs.wrong_answers]


def with_masks(arch, w, pairs, path, way):
    """The metric after a path, a textbook forward pass with an explicit mask for each of its edges."""
    base, other = (torch.tensor(tokens) for tokens in (pairs.clean, pairs.corrupted))
    base, other = (base, other) if way == "noise" else (other, base)
    _, there = masked_forward(arch, w, base)
    _, put = masked_forward(arch, w, other)
    carried = put[path[0]]
    for source, destination in pairwise(path):
        name = source.removesuffix(".q").removesuffix(".k").removesuffix(".v")
        logits, now = masked_forward(arch, w, base, {**there, name: carried}, {(name, destination): torch.ones(())})
        carried = now.get(destination.rpartition(".")[0] if destination[-2:] in (".q", ".k", ".v") else destination)
    return difference(logits[:, -1], pairs)


@pytest.mark.parametrize("way", ["noise", "denoise"])
def test_paths_are_what_explicit_masks_say(way):
    model, arch, w = ours(normalization="LN", biases=True)
    pairs = random_pairs(n_changed=5)  # the last token as well, which alone goes from embed to the logits
    found = patch_paths(model, pairs, logit_difference, PATHS, way=way)
    assert found.values.dims == ("path", "pair")
    assert (found.kind, found.way, found.metric) == ("path", way, "logit_difference")
    for path in PATHS:
        values = found.values.sel(path=" -> ".join(path)).to_numpy()
        np.testing.assert_allclose(values, with_masks(arch, w, pairs, path, way), atol=2e-6)
        assert np.abs(values - found.baseline).max() > 1e-5, path
    for rows in (3, 12):
        divided = patch_paths(model, pairs, logit_difference, PATHS, way=way, rows=rows)
        np.testing.assert_allclose(divided.values, found.values, atol=1e-6)


def test_paths_of_the_model_worked_out_on_paper():
    """``micro_model``, as in test_attribution: clean stream into layer 1 r = (2, 1), L1.H0 attends 3/4 to the first.

    embed -> L0.H0.v -> L1.H0.k: L0.H0 writes (1, 1/2) more, so keys are (3, 3/2) and scores at the query 1 differ by
    ln3 3/2: it attends p = 3 sqrt(3) / (1 + 3 sqrt(3)), and gives 2 p + (1 - p) = 1 + p where it gave 7/4. The metric
    is twice the stream's end. To the logits alone it changes by 2 (p - 3/4). By MLP 1, which reads -1/4 and writes
    1/2: it now reads p - 1, writes 2 (1 - p), and the metric changes by 2 (2 (1 - p) - 1/2). By both, where the path
    ends at the key, by the sum. The direct path from embed adds (1/2, 0), of which the last position reads nothing.
    """
    pairs = Pairs([[0, 1]], [[2, 1]], [0], 3, [1])
    p = 27**0.5 / (1 + 27**0.5)
    to_key = ["embed", "L0.H0.v", "L1.H0.k"]
    found = patch_paths(
        micro_model(),
        pairs,
        logit_difference,
        [to_key, [*to_key, "logits"], [*to_key, "L1.MLP", "logits"], ["embed", "logits"], ["L0.H0", "L1.H0.k"]],
    )
    direct, by_mlp = 2 * (p - 3 / 4), 2 * (2 * (1 - p) - 1 / 2)
    expected = [direct + by_mlp, direct, by_mlp, 0, direct + by_mlp]
    np.testing.assert_allclose(found.effects().estimate, expected, atol=1e-6)
    assert float(found.clean[0]) == pytest.approx(1 / 2)


def test_paths_of_a_linear_model_sum_to_the_whole():
    """Constant attention, no norms, MLPs that write nothing: what reaches the logits is a sum over all paths."""
    arch = Architecture(d_vocab=11, n_ctx=6, d_model=8, n_heads=2, n_layers=3, attention_coefficient=0.0)
    w = {name: weight.double() for name, weight in noisy_weights(arch).items()}
    w |= {name: torch.zeros_like(weight) for name, weight in w.items() if name.endswith("mlp.W_out")}
    pairs = random_pairs(n_changed=5)
    paths = []
    for heads in product((None, 0, 1), repeat=3):
        through = [f"L{layer}.H{head}.v" for layer, head in enumerate(heads) if head is not None]
        paths.append(["embed", *through, "logits"])
    found = patch_paths(HookedTransformer.with_weights(arch, w), pairs, logit_difference, paths)
    changes = (found.values - found.clean).to_numpy()
    assert (np.abs(changes) > 1e-6).any(1).all()
    np.testing.assert_allclose(changes.sum(0), found.corrupted - found.clean, atol=1e-10)
    assert float(found.recovered().estimate.sum()) == pytest.approx(1)
    queries = [["embed", "L0.H0.q", "logits"], ["embed", "L0.H0.v", "L2.H1.k", "logits"]]
    constant = patch_paths(HookedTransformer.with_weights(arch, w), pairs, logit_difference, queries)
    np.testing.assert_allclose(constant.values, [constant.clean] * 2, atol=1e-12)


@pytest.mark.parametrize("component", ["q", "k", "v"])
def test_direct_paths_between_heads_are_those_of_transformerlens(component):
    model, pairs = gpt2(), random_pairs(n_changed=3)
    caches = [model.run_with_cache(torch.tensor(tokens))[1] for tokens in (pairs.clean, pairs.corrupted)]
    paths = [[f"L0.H{source}", f"L1.H{head}.{component}"] for source in range(2) for head in range(2)]
    found = patch_paths(model, pairs, logit_difference, paths, way="denoise").values.mean("pair").to_numpy()
    for source in range(2):
        theirs = get_act_patch_direct_path(
            model,
            torch.tensor(pairs.corrupted),
            *caches,
            lambda logits: difference(logits[:, -1], pairs).mean(),
            src_layer=0,
            src_head=source,
            component=component,
            verbose=False,
        )
        np.testing.assert_allclose(found[2 * source : 2 * source + 2], theirs[1], atol=2e-6)


def by_hand(model, pairs, source, head, kv, into, way="noise"):
    """The metric after L0.H(source) -> L1.H(head).(into) -> logits, with hooks that add to what is read."""
    base, other = (torch.tensor(tokens) for tokens in (pairs.clean, pairs.corrupted))
    (_, there), (_, put) = (model.run_with_cache(tokens) for tokens in (base, other))
    z, W_O = "blocks.{}.attn.hook_z", [model.blocks[layer].attn.W_O for layer in range(2)]
    first = (put[z.format(0)] - there[z.format(0)])[:, :, source] @ W_O[0][source]
    seen = {}

    def fork(activation, hook):
        return activation + first[:, :, None] * (torch.arange(activation.shape[2]) == kv)[:, None]

    model.set_use_split_qkv_input(True)
    keep = (z.format(1), lambda x, hook: seen.update(z=x))
    model.run_with_hooks(base, fwd_hooks=[(f"blocks.1.hook_{into}_input", fork), keep])
    model.set_use_split_qkv_input(False)
    second = (seen["z"] - there[z.format(1)])[:, :, head] @ W_O[1][head]
    logits = model.run_with_hooks(base, fwd_hooks=[("blocks.1.hook_resid_post", lambda x, hook: x + second)])
    return difference(logits[:, -1], pairs).detach()


def test_paths_through_bridges_parallel_and_with_shared_keys():
    for model, heads in ((neox(), ((0, 0), (1, 1))), (llama(), ((0, 0), (1, 0), (3, 1)))):
        pairs = random_pairs(n_changed=3)
        for into, (head, kv) in product("kv", heads):
            path = ["L0.H1", f"L1.H{head}.{into}", "logits"]
            found = patch_paths(model, pairs, logit_difference, [path]).values.to_numpy()[0]
            np.testing.assert_allclose(found, by_hand(model, pairs, 1, head, kv, into), atol=2e-6)
    shared = [["embed", f"L0.H{head}.k", "L1.MLP", "logits"] for head in range(4)]
    values = patch_paths(model, pairs, logit_difference, shared).values.to_numpy()
    assert all(np.abs(values[0] - values[other]).max() > 1e-5 for other in (1, 2, 3))


def test_beginnings_that_paths_share_are_run_once(monkeypatch):
    model, pairs = ours(normalization="LN")[0], random_pairs(n=4)
    rows, run = [], model.run_with_hooks
    monkeypatch.setattr(model, "run_with_hooks", lambda tokens, **k: rows.append(len(tokens)) or run(tokens, **k))
    paths = [["embed", "L0.H0.v", f"L1.H{head}.{into}", "logits"] for head in range(2) for into in "qkv"]
    patch_paths(model, pairs, logit_difference, [*paths, ["embed", "L0.H0.v"]], rows=16)
    assert rows == [4, 4, 4, 16, 8, 16, 8]


def test_equal_questions_change_nothing_and_padding_is_not_read():
    model = ours(normalization="LN", biases=True)[0]
    drawn = np.random.default_rng(3)
    clean = [drawn.integers(11, size=length) for length in (5, 2, 4)]
    corrupted = [(tokens + 1 + np.arange(len(tokens))) % 11 for tokens in clean]
    pairs = Pairs.of(clean, corrupted, [0, 1, 2], 11, [3, 4, 5])
    found = patch_paths(model, pairs, logit_difference, PATHS)
    for number in range(3):
        single = Pairs.of(clean[number : number + 1], corrupted[number : number + 1], [number], 11, [number + 3])
        alone = patch_paths(model, single, logit_difference, PATHS)
        np.testing.assert_allclose(found.values[:, number], alone.values[:, 0], atol=1e-6)
    same = patch_paths(model, Pairs.of(clean, clean, [0, 1, 2], 11, [3, 4, 5]), logit_difference, PATHS)
    assert (same.values == same.clean).all()


def test_what_is_wrong_with_a_path_is_named():
    model, pairs = ours()[0], random_pairs()

    def patch(*paths, **options):
        return patch_paths(model, pairs, logit_difference, paths, **options)

    for paths, message in (
        ([], "paths: got 0, of which 0 differ"),
        ([["embed"]], r"paths: got \['embed'\]; expected two nodes or more"),
        (["embed"], "paths: got 'embed'; expected two nodes or more"),
        ([["L0.H0", "L1.H0", "logits"]], r"paths: got L1\.H0; expected the input by which it reads, such as L1\.H0\.k"),
        ([["L0.H0.q", "logits"]], r"paths: L0\.H0\.q is first"),
        ([["L1.H0", "L0.MLP", "logits"]], r"edge: got L1\.H0 -> L0\.MLP; the graph has no such edge"),
        ([["embed", "L0.H7.v", "logits"]], r"L0\.H7\.v; the graph has no such edge"),
        ([["embed", "logits", "L1.MLP"]], "source: got logits"),
        ([["embed", "L0.MLP.q", "logits"]], r"input: got 'q' of L0\.MLP"),
        ([["embed", "head", "logits"]], "name: got 'head'"),
        ([["embed", "logits"], [Node("embed"), Node("logits")]], "paths: got 2, of which 1 differ"),
    ):
        with pytest.raises(ValueError, match=message):
            patch(*paths)
    with pytest.raises(ValueError, match="way: got 'back'"):
        patch(["embed", "logits"], way="back")
    with pytest.raises(ValueError, match="rows: got 0"):
        patch(["embed", "logits"], rows=0)
    assert patch([Node("head", 0, 1), Node("mlp", 1), "logits"]).values.path == ["L0.H1 -> L1.MLP -> logits"]
    model.train()
    with pytest.raises(ValueError, match="in training mode"):
        patch(["embed", "logits"])
    grouped = llama()
    with pytest.raises(ValueError, match=r"paths: got L1\.KV0; expected the input"):
        patch_paths(grouped, pairs, logit_difference, [["L0.H0", Node("kv_head", 1, 0)]])
    with pytest.raises(ValueError, match=r"source: got L1\.KV0"):
        patch_paths(grouped, pairs, logit_difference, [["L0.H0", "L1.KV0.k", "logits"]])
    wrong_order = neox()
    wrong_order.cfg.parallel_attn_mlp = False
    with pytest.raises(ValueError, match=r"blocks\.0\.hook_mlp_in is not the sum"):
        patch_paths(wrong_order, pairs, logit_difference, [["embed", "logits"]])
    broken = ours()[0]
    with torch.no_grad():
        broken.embed.W_E[10] = torch.nan
    questions = np.where(pairs.clean == 10, 0, pairs.clean)
    pairs = Pairs(questions, np.where(np.arange(5) == 1, 10, questions), pairs.answers, 11, pairs.wrong_answers)
    with pytest.raises(ValueError, match=r"blocks\.0\.hook_resid_pre: .* on the corrupted question of pair 0 is nan"):
        patch_paths(broken, pairs, logit_difference, [["L0.MLP", "logits"]])
