"""Clock and pizza: closed forms of ideal networks, slow versions of the published definitions, and what is refused."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.algorithm import (
    accompanying_fve,
    circularity,
    clock_fve,
    distance_irrelevance,
    gradient_symmetricity,
    gradient_symmetricity_each,
    isolated_components,
    pizza_fve,
    symmetricity_triples,
    which_algorithm,
)
from probe.measures.fourier import logit_fve
from probe.measures.representation import compared_with_null

P = 11


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(p):
    t = torch.arange(p, dtype=torch.float64)
    return t[:, None, None], t[:, None], t


def clock_cube(p, k):
    a, b, c = grid(p)
    return torch.cos(2 * math.pi * k * (a + b - c) / p)


def pizza_cube(p, k):
    a, b, _ = grid(p)
    return torch.cos(math.pi * k * (a - b) / p).abs() * clock_cube(p, k)


def accompanying_cube(p, k):
    a, b, _ = grid(p)
    return -torch.cos(2 * math.pi * k * (a - b) / p) * clock_cube(p, k)


def circle_of(p, k, radius=1.0):
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def answers(p, k):
    """[2, p]: the direction of each answer on circle k."""
    return circle_of(p, k).T


def clock_network(operands, k=3, p=P):
    """Complex product of the two operands of a circle, read along each answer."""
    (x, y), (u, v) = operands[:, 0].T, operands[:, 1].T
    return torch.stack([x * u - y * v, x * v + y * u], dim=1) @ answers(p, k)


def pizza_network(operands, k=3, p=P):
    """The midpoint, its angle doubled and its length kept."""
    x, y = operands.mean(1).T
    return torch.stack([x * x - y * y, 2 * x * y], dim=1) / torch.hypot(x, y)[:, None] @ answers(p, k)


def cube_of(network, embedding):
    p = len(embedding)
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    return network(embedding[pairs]).reshape(p, p, -1)


# --- distance irrelevance ---


def slow_irrelevance(logits):
    """The published one: M[(a + b) % p, (a - b) % p], column by column. For odd p."""
    p = len(logits)
    M = np.zeros((p, p))
    for a, b in itertools.product(range(p), repeat=2):
        M[(a + b) % p, (a - b) % p] = logits[a, b, (a + b) % p]
    return np.mean([np.std(M[:, d]) for d in range(p)]) / np.std(M)


@pytest.mark.parametrize("p", [3, 5, 9, 11])
def test_irrelevance_is_the_published_one(p):
    cube = normal(p, p, p, seed=p)
    assert distance_irrelevance(cube) == pytest.approx(slow_irrelevance(cube.numpy()), rel=1e-12)
    assert distance_irrelevance(cube.float().numpy()) == pytest.approx(slow_irrelevance(cube.numpy()), rel=1e-5)


@pytest.mark.parametrize("p", [2, 4, 6, 10])
def test_for_even_p_each_distance_has_all_its_inputs(p):
    cube = normal(p, p, p, seed=p).numpy()
    right = {(a, b): cube[a, b, (a + b) % p] for a, b in itertools.product(range(p), repeat=2)}
    by_distance = [np.std([x for (a, b), x in right.items() if (a - b) % p == d]) for d in range(p)]
    expected = np.mean(by_distance) / np.std(list(right.values()))
    assert distance_irrelevance(cube) == pytest.approx(expected, rel=1e-12)


@given(seed=st.integers(0, 10**6), p=st.sampled_from([3, 5, 7, 9]), weight=st.floats(0.0, 3.0))
def test_irrelevance_of_a_sum_of_functions_of_sum_and_distance(seed, p, weight):
    rng = np.random.default_rng(seed)
    of_sum, of_distance = rng.normal(size=p), weight * rng.normal(size=p)
    a, b = np.indices((p, p))
    cube = rng.normal(size=(p, p, p))  # the wrong answers do not matter
    cube[a, b, (a + b) % p] = of_sum[(a + b) % p] + of_distance[(a - b) % p]
    expected = of_sum.std() / np.hypot(of_sum.std(), of_distance.std())
    assert distance_irrelevance(cube) == pytest.approx(expected, rel=1e-9)
    assert distance_irrelevance(5 - 3 * cube) == pytest.approx(expected, rel=1e-9)


def test_irrelevance_of_ideal_networks():
    assert distance_irrelevance(pizza_cube(P, 3) + pizza_cube(P, 2)) == pytest.approx(0, abs=1e-12)
    noisy = clock_cube(P, 3) + 0.01 * normal(P, P, P)
    assert distance_irrelevance(noisy) == pytest.approx(1, abs=0.1)
    rounded = 30 * cube_of(lambda x: clock_network(x.double()), circle_of(P, 3).float()).float()
    t = torch.arange(P)
    assert rounded[t[:, None], t, (t[:, None] + t) % P].std() > 1e-7
    for exact in (clock_cube(P, 3), rounded, torch.ones(4, 4, 4)):
        with pytest.raises(ValueError, match="logits: the same for the right answer of every input given"):
            distance_irrelevance(exact)


def test_irrelevance_of_a_batch_is_that_of_each():
    cubes = normal(2, 3, 5, 5, 5)
    expected = [distance_irrelevance(cube) for cube in cubes.flatten(0, 1)]
    assert distance_irrelevance(cubes).flatten().tolist() == pytest.approx(expected)
    assert isinstance(expected[0], float)
    cubes[1, 1] = 0
    with pytest.raises(ValueError, match=r"logits: the same for the right answer of every input at \[1, 1\] given"):
        distance_irrelevance(cubes)


def test_irrelevance_beside_a_huge_logit_is_refused_for_what_is_true():
    with pytest.raises(ValueError, match=r"within 1e-6 of the largest logit, 1e\+09; expected them to differ by more"):
        distance_irrelevance(pizza_cube(P, 3) + 1e9)


@pytest.mark.parametrize(
    "cube", [torch.ones(3, 3), torch.ones(3, 3, 4), torch.full((3, 3, 3), torch.nan), torch.ones(1, 1, 1)]
)
def test_wrong_logits_are_refused(cube):
    for measure in (distance_irrelevance, lambda x: clock_fve(x, [1])):
        with pytest.raises(ValueError, match="logits: "):
            measure(cube)


# --- gradient symmetricity ---


@pytest.mark.parametrize(("p", "n", "seed"), [(5, 100, 42), (7, 100, 42), (4, 7, 3), (2, 100, 42)])
def test_triples_are_the_first_of_all_shuffled(p, n, seed):
    every = list(itertools.product(range(p), repeat=3))
    random.Random(seed).shuffle(every)
    assert symmetricity_triples(p, n, seed).tolist() == [list(t) for t in every[:n]]
    assert torch.equal(symmetricity_triples(p), symmetricity_triples(p, 100, 42))


def test_symmetricity_of_a_clock_is_the_cosine_of_the_angle_between_its_operands():
    triples = symmetricity_triples(P)
    cosines = gradient_symmetricity_each(clock_network, circle_of(P, 3), triples)
    expected = torch.cos(2 * math.pi * 3 * (triples[:, 0] - triples[:, 1]) / P).double()
    torch.testing.assert_close(cosines, expected, rtol=0, atol=1e-6)
    assert gradient_symmetricity(clock_network, circle_of(P, 3)) == pytest.approx(expected.mean().item(), abs=1e-6)


def test_symmetricity_of_a_pizza_is_1_and_of_a_difference_minus_1():
    E = circle_of(P, 3)
    assert gradient_symmetricity(pizza_network, E) == pytest.approx(1, abs=1e-12)
    assert gradient_symmetricity(lambda a, b: (a - b) @ answers(P, 3), E) == pytest.approx(-1, abs=1e-12)


@pytest.fixture(scope="module")
def bilinear():
    """Logits a W_c b with a closed form of both gradients, and other numbers of answers and tokens."""
    E, W = normal(6, 4, seed=1), normal(9, 4, 4, seed=2)
    triples = torch.tensor(list(itertools.product(range(6), range(6), range(9))))
    a, b, c = triples.T
    first, second = torch.einsum("nij,nj->ni", W[c], E[b]), torch.einsum("nij,ni->nj", W[c], E[a])
    return E, W, triples, torch.cosine_similarity(first, second, dim=1)


def test_symmetricity_of_a_bilinear_form(bilinear):
    E, W, triples, expected = bilinear

    def of_one(x):
        return torch.einsum("ni,cij,nj->nc", x[:, 0], W, x[:, 1])

    def of_two(a, b, scale=2.0, *, other=None):
        return scale * torch.einsum("ni,cij,nj->nc", a, W, b)

    others = (lambda x, unused=None: of_one(x), lambda *x: of_one(*x), lambda x, *unused: of_one(x))
    for network in (of_one, of_two, *others):
        torch.testing.assert_close(gradient_symmetricity_each(network, E, triples), expected)
        torch.testing.assert_close(gradient_symmetricity_each(network, E, triples[:50].tolist()), expected[:50])
    assert gradient_symmetricity(of_one, E.numpy(), triples.numpy()) == pytest.approx(expected.mean().item())


def test_many_triples_are_split(bilinear):
    E, W, triples, expected = bilinear
    many = triples.repeat(8, 1)
    assert len(many) > 2 * 1024
    sizes = []

    def network(x):
        sizes.append(len(x))
        return torch.einsum("ni,cij,nj->nc", x[:, 0], W, x[:, 1])

    torch.testing.assert_close(gradient_symmetricity_each(network, E, many), expected.repeat(8))
    assert max(sizes) <= 1024


class Network(torch.nn.Module):
    def __init__(self, two_operands):
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(5, 4)
        self.layer = torch.nn.Linear(8, 5)
        self.read = torch.nn.Linear(5, 5)
        if two_operands:
            self.forward = lambda first, second: self.logits(torch.stack([first, second], 1))
        else:
            self.forward = lambda operands: self.logits(operands)

    def logits(self, operands):
        return self.read(torch.tanh(self.layer(operands.flatten(1))))


@pytest.mark.parametrize("two_operands", [True, False])
def test_a_float32_module_in_any_state(two_operands):
    model = Network(two_operands)
    expected = gradient_symmetricity(model, model.embed.weight)
    assert -1 < expected < 0.9
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        assert gradient_symmetricity(model, model.embed.weight) == expected
    with torch.inference_mode():
        assert gradient_symmetricity(model, model.embed.weight) == expected
        assert gradient_symmetricity(model, model.embed.weight * 1) == expected
    model.requires_grad_(False)
    assert gradient_symmetricity(model, model.embed.weight) == expected
    assert gradient_symmetricity(model.double(), model.embed.weight) == pytest.approx(expected, abs=1e-6)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_operands_that_are_the_same_token_are_two_variables():
    E = normal(3, 4)
    shift = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)

    def network(a, b):
        return ((a * shift + b) ** 2).sum(1, keepdim=True)

    one = gradient_symmetricity(network, E, [[1, 1, 0]])
    added = E[1] * shift + E[1]
    assert one == pytest.approx(torch.cosine_similarity(added * shift, added, dim=0).item())
    assert one < 0.99


@pytest.mark.parametrize(
    ("network", "triples", "message"),
    [
        (lambda x: x.sum((1, 2)), None, r"model_fn: \(100,\) returned, expected logits of shape \[100, n_answers\]"),
        (lambda x: x, None, r"model_fn: \(100, 2, 4\) returned"),
        (lambda x: x[:5, 0], None, r"model_fn: \(5, 4\) returned"),
        (lambda x: [x], None, "model_fn: list returned"),
        (lambda x: x[:, 0].detach(), [[0, 1, 2]], "model_fn: logits without a gradient"),
        (lambda x: torch.ones(len(x), 5, requires_grad=True), None, "model_fn: logits that do not depend"),
        (lambda x: x[:, 0], [[0, 1, 2]], r"model_fn: gradients of norm \[1.0, 0.0\] at triple \[0, 1, 2\] given"),
        (lambda x: (x[:, 0] - x[:, 1]).abs().sqrt(), [[0, 1, 2], [1, 1, 2]], r"at triple \[1, 1, 2\]"),
        (lambda x: (x - x.detach()).sum((1, 2)).sqrt()[:, None], [[0, 1, 0]], r"gradients of norm \[inf, inf\] at"),
        (lambda x: x.sum(1), [[0, 1, 4]], "triples: c of 4 given, expected 0 to 3"),
        (lambda x: x.sum(1), [[0, 6, 0]], "triples: 0 to 6 given, expected a and b from 0 to 4"),
        (lambda x: x.sum(1), [[0, -1, 0]], "triples: -1 to 0 given"),
        (lambda x: x.sum(1), [[0, 1]], r"triples: torch.int64 of shape \(1, 2\) given"),
        (lambda x: x.sum(1), [], "triples: "),
        (lambda x: x.sum(1), [[0.5, 1.0, 2.0]], "triples: torch.float32"),
    ],
)
def test_wrong_networks_and_triples_are_refused(network, triples, message):
    with pytest.raises(ValueError, match=message):
        gradient_symmetricity(network, normal(5, 4), triples)


@pytest.mark.parametrize("embedding", [torch.ones(3), torch.ones(3, 2).long(), torch.full((3, 2), torch.inf)])
def test_wrong_embeddings_are_refused(embedding):
    with pytest.raises(ValueError, match="embedding: "):
        gradient_symmetricity(lambda x: x.sum(1), embedding)


# --- circularity and circles ---


def slow_circularity(E):
    """The published one, component by component and frequency by frequency."""
    p = len(E)
    vectors = np.linalg.svd(E - E.mean(0), full_matrices=False)[0].T[:4]
    shares = []
    for v in vectors:
        waves = [abs(sum(v[t] * np.exp(2j * np.pi * k * t / p) for t in range(p))) ** 2 for k in range(1, p)]
        shares.append(min(1.0, 2 * max(waves) / p))
    return np.mean(shares)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), p=st.sampled_from([5, 7, 11]), noise=st.floats(0, 2))
def test_circularity_is_the_published_one(seed, p, noise):
    E = torch.cat([circle_of(p, 1, 3.0), circle_of(p, 2, 2.0)], dim=1) + noise * normal(p, 4, seed=seed) + 7
    assert circularity(E) == pytest.approx(slow_circularity(E.numpy()), abs=1e-9)


@pytest.mark.parametrize("p", [3, 4, 8, 11, 59])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frequencies", [[1], [1, 3]])
def test_circularity_of_circles_is_1(p, dtype, frequencies):
    """Components that are not there, but for rounding, do not count."""
    circles = [circle_of(p, k, 1 / k) for k in frequencies if k < p / 2]
    E = torch.cat(circles, dim=1)
    plane = torch.linalg.qr(normal(128, E.shape[1])).Q
    # in bfloat16 the circles themselves are rounded
    expected = pytest.approx(1, abs=1e-3 if dtype == torch.bfloat16 else 1e-9)
    assert circularity((E @ plane.T + 0.1).to(dtype)) == expected
    assert circularity((E @ plane.T).to(dtype)) == expected


def test_circularity_of_the_highest_even_frequency_and_of_noise():
    assert circularity(torch.tensor([[1.0], [-1.0]] * 4)) == pytest.approx(1)  # not 2: it has no sine
    E = normal(59, 30)
    compared = compared_with_null(circularity, E, n_shuffles=40)
    assert compared.null_low < compared.value < compared.null_high < 0.25
    assert compared_with_null(circularity, circle_of(59, 7), n_shuffles=40).null_high < 0.35


def test_circularity_of_a_batch_is_that_of_each():
    E = normal(2, 3, 7, 5)
    E[0, 1] = 0
    E[0, 1, :, :2] = circle_of(7, 2)  # two components only
    expected = [circularity(one) for one in E.flatten(0, 1)]
    assert expected[1] == pytest.approx(1)
    assert circularity(E).flatten().tolist() == pytest.approx(expected)


def test_one_circle_is_isolated():
    parts = [circle_of(P, 1, 3.0), circle_of(P, 2, 2.0), circle_of(P, 4, 1.0)]
    basis = torch.linalg.qr(normal(8, 6)).Q.T
    E = torch.cat(parts, dim=1) @ basis + normal(8, seed=3)
    alone = isolated_components(E, [2, 3])
    torch.testing.assert_close(alone, parts[1] @ basis[2:4] + E.mean(0))
    torch.testing.assert_close(isolated_components(E, [5, 0, 4, 1]) - alone, E.mean(0) + E - 2 * alone)
    torch.testing.assert_close(isolated_components(E.expand(2, -1, -1), [2, 3])[1], alone)
    torch.testing.assert_close(isolated_components(E, torch.tensor([2, 3])), alone)
    for wrong in ([], [0, 0], [-1], [8], [0.5], 3):
        with pytest.raises(ValueError, match=r"^components: "):
            isolated_components(E, wrong)


def test_an_embedding_without_spread_is_refused_under_its_name():
    for same in (torch.ones(7, 3), torch.stack([normal(7, 3), torch.full((7, 3), 0.1)])):
        for measure in (circularity, lambda x: isolated_components(x, [0])):
            with pytest.raises(ValueError, match=r"^embedding: the same row for every token"):
                measure(same)


# --- fractions of variance explained ---

FORMULAS = [(clock_fve, clock_cube), (pizza_fve, pizza_cube), (accompanying_fve, accompanying_cube)]


@pytest.mark.parametrize(("fve", "formula"), FORMULAS)
@pytest.mark.parametrize("p", [5, 8, 11])
def test_fve_is_a_fit_of_the_whole_cube(fve, formula, p):
    keys = [1, (p - 1) // 2]
    cube = 2 * formula(p, keys[0]) + formula(p, keys[1]) + 0.7 * normal(p, p, p) + 3 * normal(p, p, 1) + normal(p)
    y = (cube - cube.mean(-1, keepdim=True) - cube.mean((0, 1)) + cube.mean()).flatten()
    U = torch.stack([formula(p, k).flatten() for k in keys], dim=1)
    fit = U @ torch.linalg.lstsq(U, y).solution
    correlation = np.corrcoef(fit, y)[0, 1]
    assert 0.3 < correlation < 0.99
    assert fve(cube, keys, "least_squares") == pytest.approx(correlation**2, rel=1e-9)
    assert fve(cube, keys) == pytest.approx(2 * correlation - 1, rel=1e-9)
    standardized = [(x - x.mean()) / x.std(correction=0) for x in (fit, y)]
    assert fve(cube, keys) == pytest.approx(1 - (standardized[0] - standardized[1]).square().mean().item(), rel=1e-9)
    assert fve(formula(p, keys[1]) * 4 + 1, keys) == pytest.approx(1)


def test_fve_of_the_ideal_networks_as_each_other():
    distance = np.abs(np.cos(math.pi * 3 * np.arange(P) / P))
    correlation = distance.mean() / np.sqrt((distance**2).mean())  # the cosine in c is the same
    for fve, cube in ((clock_fve, pizza_cube(P, 3)), (pizza_fve, clock_cube(P, 3))):
        assert fve(cube, [3]) == pytest.approx(2 * correlation - 1)
        assert fve(cube, [2, 3]) == pytest.approx(2 * correlation - 1)
        assert fve(cube, [2]) == pytest.approx(-1, abs=1e-6)
    assert correlation == pytest.approx(math.sqrt(8) / math.pi, abs=2e-2)  # of a circle without gaps


def test_fve_as_a_clock_is_the_logit_fve_of_least_squares():
    cubes = clock_cube(P, 2) + pizza_cube(P, 3) + normal(2, P, P, P)
    torch.testing.assert_close(clock_fve(cubes, [2, 3], "least_squares"), logit_fve(cubes, [2, 3], "double"))
    torch.testing.assert_close(pizza_fve(cubes, [3])[1].item(), pizza_fve(cubes[1], [3]))
    assert pizza_fve(cubes[1], torch.tensor([3, 2])) == pytest.approx(pizza_fve(cubes[1], [2, 3]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((clock_cube(8, 1), [4]), r"frequencies: \[4\] given, expected one or more of 1 to 3"),
        ((clock_cube(8, 1), []), "frequencies: "),
        ((clock_cube(8, 1), [1, 1]), "frequencies: "),
        ((clock_cube(8, 1), [9]), "frequencies: "),
        ((clock_cube(8, 1), [1], "other"), "convention: 'other' given"),
        ((clock_cube(8, 1), torch.tensor([2, 2])), r"frequencies: \[2, 2\] given, expected each number once"),
        ((clock_cube(8, 1), [1.0]), r"frequencies: 1\.0 given, expected an integer"),
        ((clock_cube(8, 1), None), "frequencies: None given"),
        ((torch.ones(5, 5, 5) * 0.1, [1]), "logits: given the same for every input, or for every answer"),
        ((torch.ones(5, 5, 5) * normal(5), [1]), "logits: given the same"),
        ((torch.ones(5, 5, 5) * normal(5, 5, 1), [1]), "logits: given the same"),
        # the same up to float32 rounding, for which logit_fve refuses it too
        (((normal(5, 5, 1) + normal(5, seed=1)).float(), [1]), "logits: given the same .* up to the rounding of"),
        ((torch.stack([clock_cube(5, 1), 0 * clock_cube(5, 1)]), [1]), r"logits: given the same .* at \[1\]"),
    ],
)
def test_wrong_formulas_are_refused(arguments, message):
    for fve, _ in FORMULAS:
        with pytest.raises(ValueError, match=message):
            fve(*arguments)


# --- the verdict ---


def test_verdicts_on_ideal_networks():
    E = circle_of(P, 3)
    pizza = which_algorithm(cube_of(pizza_network, E), pizza_network, E)
    assert pizza.name == "pizza"
    assert pizza.accuracy == 1
    assert pizza.gradient_symmetricity.n == 100
    assert pizza.circularity == pytest.approx(1)
    clock_logits = cube_of(clock_network, E) + 1e-3 * normal(P, P, P)
    clock = which_algorithm(clock_logits, clock_network, E)
    assert clock.name == "clock"
    low, high = clock.gradient_symmetricity.low, clock.gradient_symmetricity.high
    assert low < clock.gradient_symmetricity.estimate < high
    # without noise its right logits are all alike, of which irrelevance says nothing
    ideal = which_algorithm(cube_of(clock_network, E), clock_network, E)
    assert ideal.name == "clock"
    assert math.isnan(ideal.distance_irrelevance)
    assert which_algorithm(cube_of(clock_network, E), pizza_network, E).name == "neither"
    assert which_algorithm(torch.ones(P, P, P), clock_network, E).name == "neither"
    # one of the two bounds only, either way, and one that does not solve the task
    assert which_algorithm(clock_logits, pizza_network, E).name == "neither"
    assert which_algorithm(cube_of(pizza_network, E), clock_network, E).name == "neither"
    assert which_algorithm(-cube_of(pizza_network, E), pizza_network, E).name == "neither"
    with pytest.raises(ValueError, match="embedding: 10 tokens given, expected 11"):
        which_algorithm(clock_logits, clock_network, E[:10])
