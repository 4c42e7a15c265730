"""Probes that need a model: gradients, the loss at other weights, and weights of other checkpoints."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from probe.activations.forward import activations_at
from probe.measures import algorithm, representation
from probe.measures.complexity import hessian_top_eigenvalues, linear_connectivity, linear_mapping_number
from probe.probes import Observation
from probe.probes.algorithm import Algorithm, from_embeddings
from probe.probes.complexity import Complexity
from probe.probes.representation import Representation
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import weights_by_name
from probe.tasks import GroupComposition, ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings
from tests.probes.stub import keys, observation, values

PRODUCT = ModularArithmetic(11, "a*b", train_fraction=0.6)
PRE = "blocks.0.mlp.hook_pre"


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """The first and the last checkpoint of a small model of products modulo 11."""
    folder = str(tmp_path_factory.mktemp("suite"))
    settings = TrainingSettings(steps=60, checkpoints=Schedule(every=60))
    train(Architecture.of(Shape(d_model=12, n_heads=2), PRODUCT), [Member("m", PRODUCT, 0, 1e-2)], settings, folder)
    suite = open_suite(folder)

    def observe(step):
        checkpoint = suite["m", step]
        model = checkpoint.load()
        tokens = torch.as_tensor(PRODUCT.tokens)
        found = activations_at(model, tokens, ["unembed.hook_out", PRE], torch.full((len(tokens),), 2))
        return Observation(checkpoint, weights_by_name(model), found, keys(1, 3), model)

    return observe(0), observe(60)


def test_the_network_as_a_function_of_its_operands(observed):
    """Fed the embeddings of all pairs of tokens it gives the logits that the tokens give."""
    last = observed[1]
    function, form = from_embeddings(last), PRODUCT.cyclic_form
    embedding = last.weights["embed.W_E"][torch.as_tensor(form.a)]
    i, j = torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij")
    logits = function(embedding[torch.stack([i.flatten(), j.flatten()], dim=1)])
    torch.testing.assert_close(logits[:, form.c].double(), last.cube.reshape(100, 10), atol=1e-4, rtol=1e-4)
    assert all(parameter.grad is None for parameter in last.model.parameters())


def test_algorithm_is_that_of_the_measures(observed):
    last = observed[1]
    rows = list(Algorithm(n_triples=30).measure(last))
    embedding = last.weights["embed.W_E"][torch.as_tensor(PRODUCT.cyclic_form.a)]
    network, answers = from_embeddings(last), PRODUCT.cyclic_form.c
    triples = algorithm.symmetricity_triples(10, 30)
    each = algorithm.gradient_symmetricity_each(lambda x: network(x)[:, answers], embedding, triples)
    expected = {
        "circularity": algorithm.circularity(embedding),
        "distance_irrelevance": algorithm.distance_irrelevance(last.cube),
        "gradient_symmetricity": each.mean().item(),
        "clock_fve": algorithm.clock_fve(last.cube, [1, 3]),
        "pizza_fve": algorithm.pizza_fve(last.cube, [1, 3]),
    }
    found = {row.metric: row.value for row in rows}
    assert {metric: found[metric] for metric in expected} == pytest.approx(expected)
    assert found["gradient_symmetricity_low"] < found["gradient_symmetricity"] < found["gradient_symmetricity_high"]


def test_numbers_that_do_not_exist_are_left_out(observed):
    """An ideal clock: the right logit is the same everywhere, so that irrelevance is 0 / 0."""
    t = torch.arange(11)
    cube = torch.cos(2 * math.pi * 2 * (t[:, None, None] + t[:, None] - t).double() / 11)
    last = observed[1]
    task = ModularArithmetic(11)
    flat = SimpleNamespace(run_with_hooks=lambda tokens, fwd_hooks: 0 * fwd_hooks[0][1](torch.zeros(5, 3, 12), None))
    found = observation(task, cube.reshape(121, 11), weights=last.weights, of_model=keys(2), model=flat)
    assert [row.metric for row in Algorithm(n_triples=5).measure(found)] == ["circularity", "clock_fve", "pizza_fve"]


@pytest.mark.parametrize("task", [ModularArithmetic(7, "a-b"), ModularArithmetic(7, "a^2+b^2"), GroupComposition("S3")])
def test_algorithm_is_asked_of_operations_that_commute(task):
    with pytest.raises(ValueError, match="the task's oper"):
        Algorithm().check(task)


def test_representation_beside_its_nulls_and_the_last_checkpoint(observed):
    first, last = observed
    tokens = torch.as_tensor(PRODUCT.cyclic_form.a)
    before, after = (o.weights["embed.W_E"].double()[tokens] for o in (first, last))
    rows = list(Representation(n_shuffles=40).measure(first))
    found = {(row.metric, row.key): row.value for row in rows}
    expected = {
        ("effective_rank", ""): representation.effective_rank(before),
        ("participation_ratio", ""): representation.participation_ratio(before),
        ("intrinsic_dimension", ""): representation.two_nn(before).value,
        ("cka_with_last", ""): representation.debiased_cka(before, after),
        ("procrustes_from_last", ""): representation.procrustes_distance(before, after),
        ("neighbour_agreement", "3"): representation.neighbour_agreement(
            before, representation.cyclic_distances(10, 3), 2
        ),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    sums = torch.as_tensor(PRODUCT.answers).reshape(11, 11)[tokens[:, None], tokens]
    assert found["parallelogram_quality", ""] == representation.parallelogram_quality(before, sums)
    assert found["neighbour_agreement_null", "3"] < found["neighbour_agreement_null_high", "3"]
    of_last = {row.metric: row.value for row in Representation(n_shuffles=40).measure(last)}
    assert of_last["cka_with_last"] == pytest.approx(1.0)
    assert of_last["procrustes_from_last"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "task", [ModularArithmetic(2), ModularArithmetic(3), GroupComposition("S3"), GroupComposition("C2xC2")]
)
def test_representation_of_few_tokens_or_without_frequencies(task):
    """What does not exist is left out: CKA takes 4 tokens, parallelograms an operation that commutes."""
    n = task.n_answers
    embedding = torch.randn(n + 1, 6, generator=torch.Generator().manual_seed(0))
    last = SimpleNamespace(steps=lambda: (0,), weights=lambda step: {"embed.W_E": embedding})
    checkpoint = SimpleNamespace(task=task, model=last)
    weights = {"embed.W_E": embedding}
    of_model = {} if task.cyclic_form is None else keys(1)
    found = Representation(neighbours=1).measure(
        observation(task, weights=weights, of_model=of_model, checkpoint=checkpoint)
    )
    rows = {row.metric: row.value for row in found}
    assert rows["effective_rank"] == representation.effective_rank(embedding[:n])
    assert rows["participation_ratio"] == representation.participation_ratio(embedding[:n])
    assert rows["procrustes_from_last"] == pytest.approx(0.0, abs=1e-6)
    assert ("cka_with_last" in rows) == (n >= 4)
    assert ("parallelogram_quality" in rows) == (task != GroupComposition("S3"))
    assert ("neighbour_agreement" in rows) == (task.cyclic_form is not None)


def test_complexity(observed):
    last = observed[1]
    rows = list(Complexity(n_chains=2, burn_in=100, n_draws=20).measure(last))
    active = last.activations[PRE] > 0
    assert values(rows, "regions") == {"": len(active.unique(dim=0))}
    trained = torch.as_tensor(PRODUCT.train_mask)
    tokens, answers = torch.as_tensor(PRODUCT.tokens)[trained], torch.as_tensor(PRODUCT.answers)[trained]

    def loss(weights):
        logits = torch.func.functional_call(last.model, weights, (tokens,))
        return F.cross_entropy(logits[:, 2].double(), answers)

    weights = {name: weight.detach() for name, weight in last.model.named_parameters()}
    top = values(rows, "hessian_top")[""]
    assert top == pytest.approx(hessian_top_eigenvalues(loss, weights)[0].item(), rel=1e-3)
    network = from_embeddings(last)
    embedded = last.weights["embed.W_E"][torch.as_tensor(PRODUCT.tokens[::5][:24, :2])]
    number = linear_mapping_number(linear_connectivity(network, embedded))
    assert values(rows, "linear_mapping_number") == {"": pytest.approx(number)}
    assert 1 < number < 24
    metrics = {row.metric for row in rows}
    assert {"llc", "llc_low", "llc_high", "llc_r_hat", "effective_regions"} <= metrics


def test_models_that_diverged_have_neither(observed):
    first = observed[0]
    weights = {name: torch.full_like(weight, math.nan) for name, weight in first.weights.items()}
    activations = {name: torch.full_like(a, math.nan) for name, a in first.activations.items()}
    found = Observation(first.checkpoint, weights, activations, keys(1), first.model)
    for probe in (Algorithm(), Representation(), Complexity()):
        assert list(probe.measure(found)) == []
