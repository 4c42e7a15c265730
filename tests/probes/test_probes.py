"""What each probe says of models made by hand."""

import math

import numpy as np
import pytest
import torch

from probe.activations.sites import LOGITS
from probe.probes import Array
from probe.probes.fourier import FourierProgress, KeyFrequencies
from probe.probes.performance import Performance
from probe.probes.registry import probe_class, registered
from probe.probes.spectra import EmbeddingCircle, EmbeddingSpectrum, NeuronLogitSpectrum
from probe.probes.weights import Weights
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Facts, InContextMapping, ModularArithmetic, Text
from tests.probes.stub import cosine_logits, discrete_log, keys, observation, values

CYCLIC = [("a+b", 13), ("a-b", 13), ("a*b", 13), ("a/b", 13), ("a+b", 12)]
POLYNOMIALS = ["a^2+b^2", "a^2+ab+b^2", "a^3+ab"]


def task_of(operation, p, **fields):
    return ModularArithmetic(p, operation, train_fraction=0.4, seed=1, **fields)


def entropy(logits, right):
    """Mean loss in nats, written out."""
    return (
        torch.stack([row.logsumexp(0) - row[answer] for row, answer in zip(logits, right, strict=True)]).mean().item()
    )


# --- performance ---


def test_performance_on_every_subset():
    task = task_of("a+b", 7, split="ordered")
    assert set(task.subsets) == {"train", "test", "test_nonmirror", "all"}
    logits = torch.zeros(49, 7, dtype=torch.float64)
    nonmirror = task.subsets["test_nonmirror"]
    for example, answer in enumerate(task.answers):
        # right on what was trained on, wrong on what was not, undecided where the mirror was not trained on either
        where = answer if task.train_mask[example] else (answer + 1) % 7
        logits[example, where] = 0.0 if nonmirror[example] else 3.0
    rows = list(Performance().measure(observation(task, logits)))
    assert {row.site for row in rows} == {LOGITS}
    right, wrong = math.log(1 + 6 * math.exp(-3)), math.log(math.exp(3) + 6)
    n_train, n_mirror, n_non = task.train_mask.sum(), (~task.train_mask & ~nonmirror).sum(), nonmirror.sum()
    loss = {
        "train": right,
        "test": (n_mirror * wrong + n_non * math.log(7)) / (n_mirror + n_non),
        "test_nonmirror": math.log(7),
        "all": (n_train * right + n_mirror * wrong + n_non * math.log(7)) / 49,
    }
    assert values(rows, "loss") == pytest.approx(loss, rel=1e-12)
    accuracy = values(rows, "accuracy")
    assert accuracy.keys() == loss.keys()
    assert accuracy["train"] == 1.0
    undecided = nonmirror & (task.answers == 0)
    assert accuracy["test"] <= undecided.sum() / (n_mirror + n_non) + 1e-12


def test_performance_without_a_test_set():
    task = ModularArithmetic(5, train_fraction=1.0)
    rows = list(Performance().measure(observation(task, cosine_logits(task, {1: 9.0}))))
    assert values(rows, "accuracy") == {"train": 1.0, "all": 1.0}


# --- weights ---


def test_weights_are_summed_by_part():
    task = task_of("a+b", 7)
    arch = Architecture.of(Shape(d_model=8, n_heads=2, n_layers=2, biases=True), task)
    weights = {name: torch.full(shape, 2.0) for name, shape in arch.shapes.items()}
    rows = list(Weights().measure(observation(task, weights=weights)))
    found = values(rows, "sum_of_squares")
    d = 8
    assert found == {
        "all": 4.0 * arch.n_params,
        "embedding": 4.0 * (8 * d + 3 * d),
        "attention": 4.0 * 2 * (4 * d * d + 4 * d),
        "mlp": 4.0 * 2 * (8 * d * d + 4 * d + d),
        "unembedding": 4.0 * (d * 8 + 8),
    }
    assert {row.site for row in rows} == {"weights"}


# --- spectra of the weights ---


def exponent(task):
    """Where each token of the first operand, and each answer, stands in the group."""
    return discrete_log(task.p) if task.operation in ("a*b", "a/b") else {t: t for t in range(task.p)}


def waves(task, amplitudes, d, n):
    """[token, d] with frequency k of a given size in columns of its own; tokens that are in no group are noise."""
    matrix = torch.full((task.d_vocab, d), 30.0)
    for token, x in exponent(task).items():
        matrix[token] = 0.0
        for column, (k, size) in enumerate(amplitudes.items()):
            matrix[token, 2 * column] = size * math.cos(2 * math.pi * k * x / n)
            matrix[token, 2 * column + 1] = size * math.sin(2 * math.pi * k * x / n)
    return matrix


@pytest.mark.parametrize(("operation", "p"), [*CYCLIC, ("a^2+b^2", 13), ("a*b", 9)])
def test_the_embeddings_spectrum(operation, p):
    task = task_of(operation, p)
    if task.cyclic_form is None:  # then tokens are taken in their own order
        exponents, n = {t: t for t in range(p)}, p
    else:
        exponents, n = exponent(task), task.cyclic_form.order
    matrix = torch.full((task.d_vocab, 6), 30.0)
    for token, x in exponents.items():
        angle = 2 * math.pi * x / n
        matrix[token] = torch.tensor(
            [2 * math.cos(2 * angle), 2 * math.sin(2 * angle), math.cos(4 * angle), math.sin(4 * angle), 0.0, 1.0]
        )
    rows = list(EmbeddingSpectrum().measure(observation(task, weights={"embed.W_E": matrix})))
    share = values(rows, "power_share")
    assert list(share) == [str(k) for k in range(n // 2 + 1)]
    assert {row.site for row in rows} == {"embed.W_E"}
    expected = dict.fromkeys(share, 0.0) | {"0": 1 / 6, "2": 4 / 6, "4": 1 / 6}
    assert share == pytest.approx(expected, abs=1e-6)
    norms = sorted([0.0] * (n - 5) + [n**0.5] + [(2 * n) ** 0.5] * 2 + [(n / 2) ** 0.5] * 2)
    gini = sum((2 * i - n - 1) * x for i, x in enumerate(norms, start=1)) / (n * sum(norms))
    assert values(rows, "gini") == pytest.approx({"": gini}, rel=1e-6)


@pytest.mark.parametrize(("operation", "p"), [*CYCLIC, ("a^3+ab", 13)])
def test_the_spectrum_of_the_last_neuron_logit_map(operation, p):
    task = task_of(operation, p)
    form = task.cyclic_form
    exponents, n = ({t: t for t in range(p)}, p) if form is None else (exponent(task), form.order)
    w_u = torch.full((8, p + 1), 7.0)
    for token, x in exponents.items():
        w_u[:, token] = 0.0
        w_u[0, token] = math.cos(2 * math.pi * 3 * x / n)
        w_u[1, token] = 2 * math.sin(2 * math.pi * 4 * x / n)
    w_out = torch.zeros(32, 8)
    w_out[:2, 0], w_out[2:3, 1] = 1.0, 1.0
    weights = {
        "unembed.W_U": w_u,
        "blocks.0.mlp.W_out": torch.randn(32, 8),
        "blocks.1.mlp.W_out": w_out,
    }
    shape = Shape(d_model=8, n_heads=2, n_layers=2)
    rows = list(NeuronLogitSpectrum().measure(observation(task, weights=weights, shape=shape)))
    assert {row.site for row in rows} == {"neuron_logit_map"}
    share = values(rows, "power_share")
    assert share == pytest.approx(dict.fromkeys(share, 0.0) | {"3": 2 / 6, "4": 4 / 6}, abs=1e-6)
    norms = sorted([0.0] * (n - 2) + [(2 * n / 2) ** 0.5, (4 * n / 2) ** 0.5])
    gini = sum((2 * i - n - 1) * x for i, x in enumerate(norms, start=1)) / (n * sum(norms))
    assert values(rows, "gini") == pytest.approx({"": gini}, rel=1e-6)


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_the_circle_of_each_key_frequency(operation, p):
    task = task_of(operation, p)
    n = task.cyclic_form.order
    weights = {"embed.W_E": waves(task, {2: 3.0, 5: 0.5}, 4, n)}
    *rows, found = EmbeddingCircle().measure(observation(task, weights=weights, of_model=keys(2, 5)))
    assert values(rows, "circularity") == pytest.approx({"2": 1.0, "5": 1.0})
    assert isinstance(found, Array)
    assert found.name == "embedding_circle"
    circles = found.array
    assert circles.dims == ("frequency", "token", "axis")
    assert circles["frequency"].values.tolist() == [2, 5]
    assert sorted(circles["token"].values.tolist()) == sorted(exponent(task))
    for k, radius in ((2, 3.0), (5, 0.5)):
        for token, x in exponent(task).items():
            angle = 2 * math.pi * k * x / n
            np.testing.assert_allclose(
                circles.sel(frequency=k, token=token), [radius * math.cos(angle), radius * math.sin(angle)], atol=1e-5
            )


def test_without_key_frequencies_there_is_no_circle():
    task = task_of("a+b", 7)
    weights = {"embed.W_E": torch.randn(8, 4)}
    assert list(EmbeddingCircle().measure(observation(task, weights=weights, of_model=keys()))) == []


# --- logits ---


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_the_key_frequencies_of_logits_that_are_cosines(operation, p):
    task = task_of(operation, p)
    found = observation(task, cosine_logits(task, {2: 3.0, 5: 4.0}) + 17.0)
    rows = list(KeyFrequencies().measure(found))
    n = task.cyclic_form.order
    cosines = values(rows, "logit_cosine")
    assert list(cosines) == [str(k) for k in range(1, n // 2 + 1)]
    assert cosines == pytest.approx(dict.fromkeys(cosines, 0.0) | {"2": 0.6, "5": 0.8}, abs=1e-9)
    assert values(rows, "is_key") == {"2": 1.0, "5": 1.0}
    (null,) = values(rows, "null_quantile").items()
    assert null[0] == ""
    assert 0 < null[1] < 0.2


def test_the_bar_for_key_frequencies_is_an_argument_and_noise_passes_none():
    task = task_of("a+b", 13)
    logits = cosine_logits(task, {2: 3.0, 5: 4.0})
    assert values(KeyFrequencies(threshold=0.7).measure(observation(task, logits)), "is_key") == {"5": 1.0}
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    assert values(KeyFrequencies().measure(observation(task, noise)), "is_key") == {}


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_progress_of_logits_that_are_cosines(operation, p):
    """All of them is in the key frequencies: restricted loss is the full loss, excluded loss that of a guess."""
    task = task_of(operation, p)
    logits = cosine_logits(task, {2: 3.0, 5: 4.0})
    found = observation(task, logits, of_model=keys(2, 5))
    rows = list(FourierProgress().measure(found))
    assert {row.site for row in rows} == {LOGITS}
    for metric in ("logit_fve", "logit_fve_directions", "sum_fve"):
        assert values(rows, metric) == pytest.approx({"": 1.0}), metric
    form = task.cyclic_form
    n, in_group = form.order, list(exponent(task))
    examples = torch.tensor([a in in_group and b in in_group for a, b in task.operands.tolist()])

    def full_loss(logits, mask):
        chosen = (examples & torch.as_tensor(mask)).nonzero().flatten()
        right = [in_group.index(task.answers[example]) for example in chosen.tolist()]
        return entropy(logits[chosen][:, in_group], right)

    restricted = values(rows, "restricted_loss")
    assert restricted == pytest.approx({s: full_loss(logits, task.subsets[s]) for s in ("train", "test", "all")})
    assert len(set(restricted.values())) == 1 or operation in ("a*b", "a/b", "a-b", "a+b")
    excluded = values(rows, "excluded_loss")
    assert excluded == pytest.approx(
        {
            "all keys": math.log(n),
            "k=2": full_loss(cosine_logits(task, {5: 4.0}), task.train_mask),
            "k=5": full_loss(cosine_logits(task, {2: 3.0}), task.train_mask),
        }
    )


def test_restricted_and_excluded_loss_are_taken_over_their_own_examples():
    """A model that memorized: right on the training examples whatever the frequencies, and on no other."""
    task = task_of("a-b", 13)
    logits = cosine_logits(task, {3: 0.5})
    for example in np.flatnonzero(task.train_mask):
        logits[example, task.answers[example]] += 20.0
    rows = list(FourierProgress().measure(observation(task, logits, of_model=keys(3))))
    assert values(rows, "excluded_loss")["all keys"] < 0.1
    restricted = values(rows, "restricted_loss")
    share = task.train_mask.mean()
    assert restricted["all"] == pytest.approx(share * restricted["train"] + (1 - share) * restricted["test"])
    assert values(rows, "logit_fve")[""] < 0.3


def test_what_survives_without_the_keys_is_what_was_memorized():
    """Frequencies answer everything; half of the training examples, and nothing else, are known by heart as well."""
    task = task_of("a+b", 13)
    logits = cosine_logits(task, {3: 5.0})
    trained = np.flatnonzero(task.train_mask)
    for example in trained[::2]:
        logits[example, task.answers[example]] += 20.0
    rows = list(FourierProgress().measure(observation(task, logits, of_model=keys(3))))
    survives, low, high = (values(rows, f"surviving{end}") for end in ("", "_low", "_high"))
    assert low["train"] < 0.5 <= survives["train"] < 0.6 < high["train"]  # of the others some by chance
    assert survives["test"] < 0.25
    assert high["test"] < low["train"]
    none = list(FourierProgress().measure(observation(task, -logits, of_model=keys(3))))
    assert values(none, "surviving") == {}


def test_without_key_frequencies_only_what_needs_none_is_said():
    task = task_of("a+b", 7)
    rows = list(FourierProgress().measure(observation(task, cosine_logits(task, {1: 1.0}), of_model=keys())))
    assert [row.metric for row in rows] == ["sum_fve"]


def test_progress_where_all_is_trained_on():
    task = ModularArithmetic(7, train_fraction=1.0)
    rows = list(FourierProgress().measure(observation(task, cosine_logits(task, {2: 3.0}), of_model=keys(2))))
    assert set(values(rows, "restricted_loss")) == {"train", "all"}


def test_progress_where_no_trained_example_is_in_the_group():
    """Products with zero are no part of the group of units; all that is trained on may be such."""
    tasks = (ModularArithmetic(7, "a*b", train_fraction=0.03, seed=seed) for seed in range(200))
    task = next(task for task in tasks if not task.operands[task.train_mask].all(axis=1).any())
    rows = list(FourierProgress().measure(observation(task, cosine_logits(task, {2: 3.0}), of_model=keys(2))))
    assert set(values(rows, "restricted_loss")) == {"test", "all"}
    assert values(rows, "excluded_loss") == {}


# --- all of them ---


@pytest.mark.parametrize("operation", [*POLYNOMIALS, "a*b"])
def test_probes_of_key_frequencies_refuse_what_is_no_addition(operation):
    task = ModularArithmetic(9, operation)
    assert task.cyclic_form is None
    for probe in (KeyFrequencies(), FourierProgress()):
        with pytest.raises(ValueError, match="not an addition in a cyclic group"):
            probe.check(task)
    for probe in (Performance(), Weights(), EmbeddingSpectrum(), NeuronLogitSpectrum()):
        probe.check(task)


@pytest.mark.parametrize("name", registered())
def test_a_probe_says_what_it_is(name, tmp_path):
    cls = probe_class(name)
    assert cls.name == name
    assert cls.version >= 1
    assert cls.per in ("checkpoint", "model")
    assert set(cls.needs) <= set(registered())
    assert all(probe_class(needed).per == "model" for needed in cls.needs)
    assert cls() == cls()
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"line {i} of a corpus\n" for i in range(100)))
    of_others = {
        "capacity": Facts(10),
        "extraction": Text(str(corpus), n_tokens=300),
        "in_context": InContextMapping(20, 3, 4, 4),
    }
    cls().check(of_others.get(name, ModularArithmetic(7)))


@pytest.mark.parametrize("operation", ["a*b", "a/b"])
def test_a_group_of_one_has_no_frequencies(operation):
    """The units of 2 are {1}: refused beforehand, not after training."""
    task = ModularArithmetic(2, operation, train_fraction=1.0)
    for probe in (KeyFrequencies(), FourierProgress()):
        with pytest.raises(ValueError, match="not an addition in a cyclic group"):
            probe.check(task)
    rows = EmbeddingSpectrum().measure(observation(task, weights={"embed.W_E": torch.randn(3, 8)}))
    assert list(values(rows, "power_share")) == ["0", "1"]
