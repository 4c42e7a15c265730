"""Neurons and heads by frequency, and the answer without those of one: a clock written by hand, slow arithmetic."""

import numpy as np
import pytest
import torch

from circuits.frequency import ablate_frequencies, frequency_clusters, frequency_path
from circuits.frequency.asking import Questions, Replaced, answered
from circuits.frequency.clusters import variance_shares
from probe.measures.fourier import degree2_fit, frequency_power
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import GroupComposition, ModularArithmetic
from tests.circuits.programs.clock import CLOCK, FREQUENCIES, GAIN, P

TASK = ModularArithmetic(P, train_fraction=0.5)


@pytest.fixture(scope="module")
def clock():
    return CLOCK.model()


def untrained(task, **shape):
    arch = Architecture.of(Shape(d_model=16, n_heads=2, **shape), task)
    return HookedTransformer.with_weights(arch, arch.initial_weights(0))


def closed_form_loss(frequencies):
    """Of logits GAIN times the sum of cos w_k(a + b - c), which are the same for all questions but for their order."""
    d = torch.arange(P, dtype=torch.float64)
    logits = GAIN * sum((torch.cos(2 * torch.pi * k * d / P) for k in frequencies), torch.zeros(P).double())
    return (logits.logsumexp(0) - logits[0]).item()


def losses(ablation, of="cluster"):
    return ablation.to_frame().set_index(["of", "ablated", "subset"]).sort_index().loc[of, "loss"]


def test_every_neuron_of_the_clock_is_in_the_cluster_of_the_frequency_it_was_written_for(clock):
    found = frequency_clusters(clock, TASK)
    assert found.sizes == {2: P**2, 3: P**2}
    assert found.cluster.tolist() == [[2] * P**2 + [3] * P**2]
    assert (found.to_frame()["share"] > 0.96).all()
    heads = found.heads_to_frame().set_index("head")
    # where they look is the same on all questions; what they copy has both frequencies alike
    assert (heads.loc[[0, 2], ["attention_frequency", "attention_share"]] == 0).all(axis=None)
    assert heads.loc[[0, 2], "output_share"].to_numpy() == pytest.approx(0.5, abs=1e-6)


def test_the_path_of_the_clock_is_what_was_written(clock):
    path = frequency_path(clock, TASK)
    assert path.keys == FREQUENCIES
    found = path.to_frame().set_index(["stage", "site", "frequency"])["value"].unstack()
    for stage, site in (("embedding", "embed"), ("head output", "L0.H0"), ("head output", "L0.H2"), ("logits",) * 2):
        assert found.loc[(stage, site)].to_numpy() == pytest.approx([0, 0.5, 0.5, 0, 0], abs=1e-6)
    assert found.loc[("attention", "L0.H0")].eq(0).all()
    assert found.loc[("cluster neurons", "L0.MLP")].tolist() == [0, P**2, P**2, 0, 0]
    assert found.loc[("neuron-logit map", "L0.MLP"), [2, 3]].to_numpy() == pytest.approx(1, abs=1e-6)
    assert found.loc[("neuron-logit map", "L0.MLP"), [1, 4, 5]].isna().all()
    # relu(cos w a' + cos w b') is the same function of each neuron, moved
    share = degree2_fit(wave_of_a_neuron(2))[1].item()
    assert found.loc[("cluster variance", "L0.MLP"), [2, 3]].to_numpy() == pytest.approx(share, abs=1e-6)
    assert set(path.table.loc[path.table["key"], "frequency"]) == set(FREQUENCIES)


def wave_of_a_neuron(k):
    wave = torch.cos(2 * torch.pi * k * torch.arange(P, dtype=torch.float64) / P)
    return (wave[:, None] + wave).relu()[..., None]


@pytest.mark.parametrize("replacement", ["mean", "zero"])
def test_ablating_a_frequency_of_the_clock_takes_exactly_its_part_of_the_logits(clock, replacement):
    """The cluster of k writes GAIN cos w_k(a + b - c) and nothing else; its mean over questions writes nothing."""
    found = ablate_frequencies(clock, TASK, replacement=replacement, draws=2)
    expected = {"none": FREQUENCIES, "k=2": [3], "k=3": [2], "all keys": [], "all but keys": FREQUENCIES}
    for of in ("cluster", "prediction"):
        for (ablated, subset), loss in losses(found, of).items():
            assert loss == pytest.approx(closed_form_loss(expected[ablated]), rel=1e-4), (of, ablated, subset)
    assert set(losses(found).index.get_level_values("subset")) == {"train", "test"}
    assert found.rises("test")["ratio"].to_numpy() == pytest.approx(1, rel=1e-4)
    assert set(found.table["replacement"]) == {replacement} == {found.replacement}
    # of 121 other neurons there is one set of 121; of all 242 there is none of 242 but all
    assert "other clusters" not in set(found.table["of"])
    assert set(found.table.loc[found.table["of"] == "any neurons", "ablated"]) == {"k=2", "k=3"}


def test_a_mean_is_of_each_neuron_over_all_questions_at_the_answer_position_alone():
    """Two layers: replaced neurons of the first change the second; at other positions nothing is replaced."""
    model = untrained(TASK, n_layers=2, d_mlp=6)
    questions = Questions.of(model, TASK)
    tokens = torch.as_tensor(TASK.tokens)
    sites = [f"blocks.{layer}.mlp.hook_post" for layer in range(2)]
    _, cache = model.run_with_cache(tokens)
    means = torch.stack([cache[site][:, -1].mean(0) for site in sites])
    chosen = torch.tensor([[True, False] * 3, [False, True] * 3])

    def edit(activation, hook):
        layer = hook.layer()
        activation = activation.clone()
        for neuron in chosen[layer].nonzero()[:, 0].tolist():
            activation[:, 2, neuron] = means[layer, neuron]
        return activation

    expected = model.run_with_hooks(tokens, fwd_hooks=[(site, edit) for site in sites])[:, -1, :P]
    found = answered(model, questions, replaced=Replaced(chosen, means))
    assert torch.allclose(found.cube.reshape(-1, P), expected, atol=1e-6)
    whole = ablate_frequencies(model, TASK, frequencies=[1], threshold=0.999, draws=2)
    everything = answered(model, questions, replaced=Replaced(torch.ones_like(chosen), means)).cube.double()
    each = -everything.flatten(0, 1).log_softmax(1)[torch.arange(P * P), torch.as_tensor(TASK.answers)]
    for subset, mask in (("train", TASK.train_mask), ("test", ~TASK.train_mask)):
        assert losses(whole)["all but keys", subset] == pytest.approx(each[mask].mean().item(), rel=1e-5)


def test_controls_are_means_of_drawn_sets_with_student_s_interval(clock):
    found = ablate_frequencies(clock, TASK, draws=4, threshold=0.5, seed=3)
    table = found.to_frame().set_index(["ablated", "of", "subset"]).loc[("k=2", "any neurons", "test")]
    questions, generator = Questions.of(clock, TASK), np.random.default_rng(3)
    drawn = []
    for _ in range(4):
        neurons = torch.zeros(1, 2 * P**2, dtype=torch.bool)
        neurons[0, torch.as_tensor(generator.choice(2 * P**2, P**2, replace=False))] = True
        site = "blocks.0.mlp.hook_post"
        mean = answered(clock, questions, [site]).kept[site].mean((0, 1))[None]
        cube = answered(clock, questions, replaced=Replaced(neurons, mean)).cube.flatten(0, 1).double()
        each = torch.nn.functional.cross_entropy(cube, questions.answers, reduction="none")
        drawn.append(each[questions.subsets["test"]].mean().item())
    drawn = np.array(drawn)
    half = 3.182446305 * drawn.std(ddof=1) / 2  # Student's t with 3 degrees of freedom, at .975
    assert table[["loss", "loss_low", "loss_high"]].tolist() == pytest.approx(
        [drawn.mean(), drawn.mean() - half, drawn.mean() + half], rel=1e-4
    )
    assert table["neurons"] == P**2


def slow_share(values, k):
    """Least squares on the products of {1, cos, sin} of i and of j, less the constant; all of d numbers together."""
    n = len(values)
    angle = 2 * np.pi * k * np.arange(n) / n
    waves = [np.ones(n), np.cos(angle), np.sin(angle)]
    design = np.stack([np.outer(x, y).ravel() for x in waves for y in waves][1:], 1)
    y = np.asarray(values, dtype=float).reshape(n * n, -1)
    y = y - y.mean(0)
    return ((design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum() / (y**2).sum()


def test_a_quotient_is_looked_at_in_the_order_of_its_logarithms_like_a_slow_implementation():
    """a / b mod 7 with 3 as the root: question (i, j) is 3^i / 3^-j, its answer 3^(i + j); k = 3 has no sine."""
    task = ModularArithmetic(7, "a/b", train_fraction=0.5)
    model = untrained(task, n_layers=2, d_mlp=12, biases=True, activation="gelu").double()
    n, root = 6, np.array([1, 3, 2, 6, 4, 5])
    i, j = np.indices((n, n))
    tokens = torch.as_tensor(np.stack([root[i], root[-j % n], np.full((n, n), 7)], -1).reshape(-1, 3))
    logits, cache = model.run_with_cache(tokens)
    weights = dict(model.named_parameters())
    path = frequency_path(model, task, frequencies=[2], threshold=0.6)
    found = path.to_frame().set_index(["stage", "site", "frequency"])["value"]
    cube = logits[:, -1, root].detach().double().numpy().reshape(n, n, n)
    cube = cube - cube.mean(-1, keepdims=True)
    spectrum = np.abs(np.fft.fft(weights["embed.W_E"].detach().numpy()[root], axis=0)) ** 2
    folded = spectrum.sum(1) + spectrum[-np.arange(n) % n].sum(1) * (np.arange(n) % 3 != 0)
    members = path.clusters.members([1, 2, 3])
    assert members.any(1).all()
    assert path.keys == (2,)
    for k in (1, 2, 3):
        u = np.cos(2 * np.pi * k * (i[..., None] + j[..., None] - np.arange(n)) / n)
        expected = (cube * u).sum() ** 2 / (cube**2).sum() / (u**2).sum()
        assert found["logits", "logits", k] == pytest.approx(expected, rel=1e-5)
        assert found["embedding", "embed", k] == pytest.approx(folded[k] / spectrum.sum(), rel=1e-5)
        for layer in range(2):
            at = f"blocks.{layer}"
            W_O, neurons = weights[f"{at}.attn.W_O"], cache[f"{at}.mlp.hook_post"][:, 2].reshape(n, n, -1)
            for head in range(2):
                z = cache[f"{at}.attn.hook_z"][:, 2, head]
                for stage, values in (
                    ("attention", cache[f"{at}.attn.hook_pattern"][:, head, 2, 0]),
                    ("head output", z @ W_O[head]),
                ):
                    expected = slow_share(values.detach().reshape(n, n, -1), k)
                    assert found[stage, f"L{layer}.H{head}", k] == pytest.approx(expected, rel=1e-4)
            assert found["neurons", f"L{layer}.MLP", k] == pytest.approx(slow_share(neurons.detach(), k), rel=1e-4)
            of_k = path.clusters.cluster[layer] == k
            assert found["cluster neurons", f"L{layer}.MLP", k] == of_k.sum()
            if of_k.any():
                expected = slow_share(neurons.detach()[..., of_k], k)
                assert found["cluster variance", f"L{layer}.MLP", k] == pytest.approx(expected, rel=1e-4)
                to_logits = (weights[f"{at}.mlp.W_out"] @ weights["unembed.W_U"])[of_k][:, root].detach()
                expected = frequency_power(to_logits.T)[k].item()
                assert found["neuron-logit map", f"L{layer}.MLP", k] == pytest.approx(expected, rel=1e-5)
    for layer in range(2):  # which frequency is best, and its share
        neurons = cache[f"blocks.{layer}.mlp.hook_post"][:, 2].detach().reshape(n, n, -1)
        shares = np.array([[slow_share(neurons[..., [m]], k) for k in (1, 2, 3)] for m in range(12)])
        assert path.clusters.frequency[layer].tolist() == (shares.argmax(1) + 1).tolist()
        assert path.clusters.share[layer] == pytest.approx(shares.max(1), rel=1e-4)
        z, W_O = cache[f"blocks.{layer}.attn.hook_z"][:, 2], weights[f"blocks.{layer}.attn.W_O"]
        of_heads = np.array(
            [[slow_share((z[:, h] @ W_O[h]).detach().reshape(n, n, -1), k) for k in (1, 2, 3)] for h in range(2)]
        )
        assert path.clusters.output_frequency[layer].tolist() == (of_heads.argmax(1) + 1).tolist()
        assert path.clusters.output_share[layer] == pytest.approx(of_heads.max(1), rel=1e-4)


def test_what_does_not_vary_has_no_frequency_and_what_a_share_is_does_not_change_with_scale():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 7, 7, 4, generator=generator)
    maps[1] = maps[1, :1, :1]
    shares = variance_shares(maps)
    assert shares[1].eq(0).all()
    assert torch.allclose(variance_shares(1e3 * maps - 5), shares, atol=1e-5)
    assert shares[:, 0].eq(0).all()
    # of one number, the largest is what the measure of probe says
    best, share = degree2_fit(maps[0, ..., :1])
    largest = variance_shares(maps[0, ..., :1]).max(-1)
    assert (largest.indices, largest.values) == (best[0], pytest.approx(share[0].item()))


def test_nothing_stands_out_in_an_untrained_model():
    task = ModularArithmetic(31, train_fraction=0.8)
    model = untrained(task)
    path = frequency_path(model, task)
    assert path.keys == ()
    assert path.clusters.sizes == {}
    table = path.to_frame()
    assert table.loc[table["stage"] == "logits", "value"].max() < 0.01
    assert table.loc[table["stage"] == "embedding", "value"].max() < 0.15
    ablation = ablate_frequencies(model, task)
    assert ablation.to_frame()["ablated"].unique().tolist() == ["none"]
    assert ablation.rises().empty
    assert losses(ablation)["none", "test"] == pytest.approx(np.log(31), abs=1)


def test_a_key_without_neurons_loses_nothing_and_has_no_controls(clock):
    found = ablate_frequencies(clock, TASK, frequencies=[1], draws=2)
    rises = found.rises("train").iloc[0]
    assert (rises["neurons"], rises["cluster"]) == (0, 0)
    assert rises["prediction"] == pytest.approx(0, abs=1e-5)
    assert np.isnan(rises["any neurons"])
    assert losses(found)["all but keys", "train"] == pytest.approx(np.log(P), rel=1e-4)


@pytest.mark.parametrize(
    ("task", "shape", "given", "says"),
    [
        (ModularArithmetic(P, "a^2+b^2"), {}, {}, "not an addition in a cyclic group"),
        (GroupComposition("S3"), {}, {}, "not an addition in a cyclic group"),
        (TASK, {"attn_only": True}, {}, "model: it has no MLP, so it has no neurons"),
        (TASK, {}, {"frequencies": [6]}, "frequencies: frequency 6 given, expected 1 to 5"),
        (TASK, {}, {"threshold": 1.0}, "threshold: got 1.0; expected a share"),
        (TASK, {}, {"replacement": "corrupted"}, "replacement: got 'corrupted'; expected one of mean, zero"),
        (TASK, {}, {"draws": 1}, "draws: got 1; expected at least 2"),
        (TASK, {}, {"confidence": 1.0}, "confidence: 1.0 given"),
    ],
)
def test_what_cannot_be_done_is_said(task, shape, given, says):
    model = untrained(task, **shape)
    with pytest.raises(ValueError, match=says):
        ablate_frequencies(model, task, **given)


def test_a_model_that_is_not_ready_or_not_of_the_task_is_refused(clock):
    model = CLOCK.model()
    model.blocks[0].mlp.train()
    with pytest.raises(ValueError, match=r"model: blocks\.0\.mlp is in training mode"):
        frequency_clusters(model, TASK)
    with pytest.raises(ValueError, match="model: got d_vocab 12; the task needs at least 14"):
        frequency_path(clock, ModularArithmetic(13))
    weights = {name: weight.detach().clone() for name, weight in CLOCK.model().named_parameters()}
    weights["blocks.0.attn.W_V"][0, 3] = torch.nan
    broken = HookedTransformer.with_weights(clock.arch, weights)
    with pytest.raises(ValueError, match=r"hook_(z|post): the activation on the question \[0, 0, 11\] is not finite"):
        frequency_clusters(broken, TASK)
    with pytest.raises(ValueError, match="subset: got 'all'; expected one of train, test"):
        ablate_frequencies(clock, TASK, draws=2).rises("all")


def test_figures_have_their_axes_and_differ_without_colour(clock):
    path = frequency_path(clock, TASK)
    ablation = ablate_frequencies(clock, TASK, draws=2)
    figures = [path.clusters.figure(), path.figure(), ablation.figure("train")]
    assert all(figure.layout[axis].title.text for figure in figures for axis in ("xaxis", "yaxis"))
    assert [len(dots.x) for dots in figures[0].data] == [2 * P**2, 0]
    assert list(figures[1].data[0].x) == ["k=2", "k=3", "mean of others"]
    rows = list(figures[1].data[0].y)
    assert "cluster neurons · L0.MLP" not in rows
    assert figures[1].data[0].z[rows.index("embedding · embed")] == pytest.approx([0.5, 0.5, 0], abs=1e-6)
    assert len({trace.marker.symbol for trace in figures[2].data}) == 4
    loss = dict(zip(figures[2].data[0].x, figures[2].data[0].y, strict=True))
    assert loss["k=2"] == pytest.approx(closed_form_loss([3]), rel=1e-4)
    with pytest.raises(ValueError, match="subset: got 'all'; expected one of train, test"):
        ablation.figure("all")
