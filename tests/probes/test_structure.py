"""Probes of structure: frequencies of neurons, heads and logits, and irreps, on models made by hand."""

import math

import numpy as np
import pytest
import torch

from probe.activations.sites import LOGITS
from probe.algebra import group
from probe.measures import groups
from probe.probes import Array, Row
from probe.probes.fourier import (
    AttentionFrequencies,
    FourierProgress,
    KeyFrequencies,
    LogitSpectrum,
    NeuronFrequencies,
)
from probe.probes.groups import IrrepPower, IrrepProgress, KeyIrreps
from probe.probes.spectra import EmbeddingCircle, EmbeddingSpectrum
from probe.tasks import GroupComposition, ModularArithmetic
from tests.probes.stub import cosine_logits, discrete_log, keys, observation, values

POST = "blocks.0.mlp.hook_post"


def arrays_of(found):
    return {item.name: item.array for item in found if isinstance(item, Array)}


def positions(task):
    """Where each operand stands in the group, and the group's order; products with zero stand nowhere."""
    if task.operation in ("a*b", "a/b"):
        return discrete_log(task.p), task.p - 1
    return {t: t for t in range(task.p)}, task.p


def over_examples(task, function):
    """A function of the operands' places in the group, by example; noise where there is no place."""
    log, _ = positions(task)
    return torch.tensor([function(log[a], log[b]) if a in log and b in log else 9.0 for a, b in task.operands.tolist()])


@pytest.mark.parametrize(("operation", "p"), [("a+b", 13), ("a-b", 13), ("a*b", 13), ("a/b", 13), ("a+b", 12)])
def test_neurons_and_heads_by_frequency(operation, p):
    task = ModularArithmetic(p, operation)
    n = positions(task)[1]
    wave = lambda k, x: math.cos(2 * math.pi * k * x / n)  # noqa: E731
    neurons = torch.stack(
        [
            over_examples(task, lambda i, j: 2 + wave(3, i) * wave(3, j)),
            over_examples(task, lambda i, j: wave(3, i)),
            over_examples(task, lambda i, j: wave(2, i) + wave(4, j)),
            over_examples(task, lambda i, j: 0.0),
        ],
        dim=1,
    )
    pattern = torch.zeros(len(neurons), 2, 3)  # [example, head, key]
    pattern[:, 0, 0] = over_examples(task, lambda i, j: 0.5 + 0.5 * wave(2, i))
    pattern[:, 1, 1] = over_examples(task, lambda i, j: wave(5, j))  # of the second operand: not looked at
    found = observation(task, activations={POST: neurons, "blocks.0.attn.hook_pattern": pattern})
    measured = list(NeuronFrequencies().measure(found))
    assert values(measured, "single_frequency_share") == {"": 0.5}
    assert values(measured, "neurons") == {"3": 2}
    assert values(measured, "mean_share") == {"": pytest.approx(2.5 / 3)}
    stored = arrays_of(measured)
    assert stored["neuron_frequency"].values[[0, 1, 3]].tolist() == [3, 3, 0]
    assert stored["neuron_frequency"].values[2] in (2, 4)
    np.testing.assert_allclose(stored["neuron_share"], [1, 1, 0.5, 0], atol=1e-6)
    heads = list(AttentionFrequencies().measure(found))
    assert values(heads, "frequency") == {"head 0": 2, "head 1": 0}
    assert values(heads, "share") == pytest.approx({"head 0": 1.0, "head 1": 0.0})
    assert {row.site for row in heads} == {"blocks.0.attn.hook_pattern"}


def test_the_spectrum_of_logits_that_add_lies_on_the_diagonal():
    task = ModularArithmetic(13, "a-b")
    measured = list(LogitSpectrum().measure(observation(task, cosine_logits(task, {2: 3.0, 5: 4.0}) + 7)))
    assert values(measured, "diagonal_share") == {"group": pytest.approx(1.0)}
    power = arrays_of(measured)["logit_spectrum_group"]
    assert power.dims == ("frequency_a", "frequency_b")
    assert power.values[2, 2] == pytest.approx(9 / 25)
    assert power.values[5, 5] == pytest.approx(16 / 25)


def test_a_polynomial_is_looked_at_in_both_orders():
    p = 7
    task = ModularArithmetic(p, "a^2+b^2")
    t, log = torch.arange(p), discrete_log(p)
    additive = torch.cos(2 * math.pi * 2 * (t[:, None] + t).double() / p)  # of frequency 2 in a and b, for answer 1
    logits = torch.zeros(p * p, p, dtype=torch.float64)
    logits[:, 1] = additive.flatten()
    found = values(LogitSpectrum().measure(observation(task, logits)), "diagonal_share")
    assert found.keys() == {"additive", "multiplicative"}
    assert found["additive"] == pytest.approx(1.0)
    for a, b in task.operands.tolist():
        product = log[a] + log[b] if a and b else 0
        logits[a * p + b, 1] = math.cos(2 * math.pi * product / 6)
    found = values(LogitSpectrum().measure(observation(task, logits)), "diagonal_share")
    assert found["multiplicative"] == pytest.approx(1.0)
    assert found["additive"] < 0.9
    composite = ModularArithmetic(6, "a^2+b^2")
    found = LogitSpectrum().measure(observation(composite, torch.randn(36, 6, generator=torch.Generator())))
    assert values(found, "diagonal_share").keys() == {"additive"}
    with pytest.raises(ValueError, match="not an addition"):
        LogitSpectrum().check(GroupComposition("S3"))


def group_logits(task, name, scale=8.0):
    """Logits that are the character of an irrep at a b c^-1."""
    g = group(task.group)
    by_answer = [g.table[g.table[a, b], g.inverse] for a, b in task.operands]
    return torch.tensor(scale * g.irreps[name].character[np.array(by_answer)])


def test_irreps_of_a_group():
    task = GroupComposition("S4", train_fraction=0.5)
    g = group("S4")
    logits = group_logits(task, "standard")
    found = observation(task, logits)
    rows = list(KeyIrreps().measure(found))
    assert values(rows, "is_key") == {"standard": 1.0}
    found = observation(task, logits, of_model={"key_irreps": rows})
    progress = list(IrrepProgress().measure(found))
    assert values(progress, "logit_cosine") == pytest.approx({name: float(name == "standard") for name in g.irreps})
    for metric in ("class_fve", "logit_fve", "logit_fve_directions"):
        assert values(progress, metric) == {"": pytest.approx(1.0)}
    full = groups.progress(g, logits.reshape(24, 24, 24), task.train_mask.reshape(24, 24), ["standard"])
    assert values(progress, "restricted_loss") == pytest.approx(dict.fromkeys(("all", "train", "test"), full.all_loss))
    assert values(progress, "character_loss") == pytest.approx({"all": full.all_loss})
    assert values(progress, "excluded_loss") == pytest.approx({"all keys": math.log(24), "standard": math.log(24)})
    assert values(progress, "surviving") == {"train": full.surviving, "test": full.surviving_test}


def test_power_of_an_embedding_and_neurons_by_irrep():
    task = GroupComposition("S3")
    g = group("S3")
    embedding = torch.randn(7, 4)
    embedding[:6] = torch.tensor(g.irreps["standard"].matrices.reshape(6, 4))
    element = torch.tensor(g.irreps["standard"].matrices[:, 0, 1])
    product = element[torch.tensor(g.table.flatten())]
    neurons = torch.stack([product, 2 * element[torch.tensor(task.operands[:, 0])], torch.ones(36)], dim=1)
    found = observation(task, weights={"embed.W_E": embedding}, activations={POST: neurons})
    rows = list(IrrepPower().measure(found))
    assert values(rows, "power_share") == pytest.approx({"trivial": 0.0, "sign": 0.0, "standard": 1.0}, abs=1e-6)
    assert values(rows, "neuron_product") == pytest.approx({"sign": 0.0, "standard": 0.2}, abs=1e-6)
    assert values(rows, "neuron_first") == pytest.approx({"sign": 0.0, "standard": 0.8}, abs=1e-6)
    assert values(rows, "neurons") == {"standard": 2}
    assert values(rows, "single_irrep_share") == {"": pytest.approx(2 / 3)}


def test_irreps_of_a_cyclic_task_are_its_frequencies():
    task = ModularArithmetic(11, "a*b")
    logits = cosine_logits(task, {2: 3.0, 4: 4.0})
    assert values(KeyIrreps().measure(observation(task, logits)), "is_key") == {"k=2": 1.0, "k=4": 1.0}


def test_irreps_without_a_test_set_or_without_keys():
    task = GroupComposition("S3", train_fraction=1.0)
    logits = group_logits(task, "standard")
    of_model = {"key_irreps": [Row("is_key", 1.0, LOGITS, "standard")]}
    rows = list(IrrepProgress().measure(observation(task, logits, of_model=of_model)))
    assert {row.metric for row in rows} == {"logit_cosine", "logit_fve"}
    some = GroupComposition("S3", train_fraction=0.5)
    rows = list(IrrepProgress().measure(observation(some, logits, of_model={})))
    assert {row.metric for row in rows} == {"logit_cosine", "class_fve"}


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_a_model_that_diverged_or_says_nothing_yields_nothing(value):
    task = ModularArithmetic(7)
    logits = torch.full((49, 7), value)
    activations = {POST: torch.full((49, 3), value), "blocks.0.attn.hook_pattern": torch.full((49, 2, 3), value)}
    weights = {"embed.W_E": torch.full((8, 4), value)}
    found = observation(task, logits, weights=weights, activations=activations, of_model=keys(1))
    for probe in (KeyFrequencies(), FourierProgress(), LogitSpectrum(), KeyIrreps(), IrrepProgress(), IrrepPower()):
        assert list(probe.measure(found)) == [], probe
    assert list(EmbeddingSpectrum().measure(found)) == []
    if math.isnan(value):
        for probe in (NeuronFrequencies(), AttentionFrequencies(), EmbeddingCircle()):
            assert list(probe.measure(found)) == [], probe


@pytest.mark.parametrize("probe", [KeyIrreps(), IrrepProgress(), IrrepPower()])
def test_what_is_no_group_has_no_irreps(probe):
    with pytest.raises(ValueError, match="not the product of a group"):
        probe.check(ModularArithmetic(7, "a^2+b^2"))
    probe.check(GroupComposition("A4"))
