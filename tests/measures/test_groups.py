"""Group measures against plain loops over the Cayley table, closed forms, and the Fourier measures."""

import math

import numpy as np
import pytest
import torch

from probe.algebra import group, group_from_table
from probe.measures import fourier
from probe.measures.groups import (
    best_irreps,
    irrep_power,
    key_irreps,
    logit_cosines,
    logit_fve,
    neuron_shares,
    progress,
)

QUATERNION_UNITS = ("1", "i", "j", "k", "-1", "-i", "-j", "-k")


def quaternions():
    """Q8, whose irrep of dimension 4 is quaternionic: written out, because no name makes it."""
    product = {("i", "j"): "k", ("j", "k"): "i", ("k", "i"): "j", ("j", "i"): "-k", ("k", "j"): "-i", ("i", "k"): "-j"}

    def times(x, y):
        sign = x.startswith("-") != y.startswith("-")
        x, y = x.strip("-"), y.strip("-")
        if "1" in (x, y):
            out = y if x == "1" else x
        elif x == y:
            out, sign = "1", not sign
        else:
            out = product[x, y]
            sign, out = sign != out.startswith("-"), out.strip("-")
        return ("-" if sign else "") + out

    index = {unit: i for i, unit in enumerate(QUATERNION_UNITS)}
    return group_from_table([[index[times(x, y)] for y in QUATERNION_UNITS] for x in QUATERNION_UNITS], "Q8")


GROUPS = {"S3": group("S3"), "C6": group("C6"), "A4": group("A4"), "D4": group("D4"), "Q8": quaternions()}


@pytest.fixture(params=GROUPS, ids=str)
def g(request):
    return GROUPS[request.param]


def noise(n, seed, *batch):
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return rand(*batch, n, n, n) + 2 * rand(*batch, 1, 1, n) + 3 * rand(*batch, n, n, 1)


def some_mask(n, seed):
    mask = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    mask[0, 0], mask[-1, -1] = True, False
    return mask


def direction(g, name):
    """chi_rho(a b c^-1) over the cube, of unit norm, by a loop."""
    n, chi = g.order, g.irreps[name].character
    u = np.array([[[chi[g.table[g.table[a, b], g.inverse[c]]] for c in range(n)] for b in range(n)] for a in range(n)])
    return u / np.linalg.norm(u)


def functions(g, name, at):
    """The irrep's matrix elements at ``at[a, b]``, as orthonormal functions of the input: [function, a, b]."""
    matrices = g.irreps[name].matrices[at].reshape(*at.shape, -1).reshape(at.size, -1)
    u, s, _ = np.linalg.svd(matrices, full_matrices=False)
    return u[:, s > 1e-9 * s[0]].T.reshape(-1, *at.shape)


def projected(g, name, L, at):
    F = functions(g, name, at)
    return np.einsum("fab, fc -> abc", F, np.einsum("fab, abc -> fc", F, L))


def losses(g, L):
    n = g.order
    return np.array([[np.log(np.exp(L[a, b]).sum()) - L[a, b, g.table[a, b]] for b in range(n)] for a in range(n)])


def test_cosines_and_fve_are_those_of_loops(g):
    L = noise(g.order, 0).numpy()
    by_answers = L - L.mean(-1, keepdims=True)
    double = by_answers - by_answers.mean((0, 1))
    cosines = logit_cosines(g, L)
    assert list(cosines) == list(g.irreps)
    for name, cosine in cosines.items():
        assert isinstance(cosine, float)
        expected = (by_answers * direction(g, name)).sum() / np.linalg.norm(by_answers)
        assert cosine == pytest.approx(0 if name == "trivial" else expected, abs=1e-12)
    chosen = [name for name in g.irreps if name != "trivial"][:2]
    explained = sum((L * direction(g, name)).sum() ** 2 for name in chosen)
    assert logit_fve(g, L, chosen) == pytest.approx(explained / (double**2).sum(), abs=1e-12)
    assert logit_fve(g, L, chosen, "none") == pytest.approx(explained / (L**2).sum(), abs=1e-12)


def test_progress_is_that_of_loops(g):
    L, mask = noise(g.order, 1).numpy(), some_mask(g.order, 1).numpy()
    chosen = [name for name in g.irreps if name != "trivial"][-2:]
    found = progress(g, L, mask, chosen)
    parts = {name: projected(g, name, L, g.table) for name in chosen}
    kept = sum(parts.values())
    assert found.keys == tuple(chosen)
    assert (found.train_loss, found.test_loss) == pytest.approx((losses(g, L)[mask].mean(), losses(g, L)[~mask].mean()))
    assert found.restricted_loss == pytest.approx(losses(g, kept + L.mean((0, 1))).mean())
    assert found.excluded_loss == pytest.approx(losses(g, L - kept)[mask].mean())
    each = {name: losses(g, L - part)[mask].mean() for name, part in parts.items()}
    assert found.excluded_loss_each == pytest.approx(each)
    algorithm = sum((L * direction(g, name)).sum() * direction(g, name) for name in chosen)
    assert found.algorithm_loss == pytest.approx(losses(g, algorithm).mean())
    double = L - L.mean((0, 1)) - L.mean(-1, keepdims=True) + L.mean()
    quotient = g.table[g.table[:, :, None], g.inverse]  # a b c^-1
    by_quotient = np.array([double[quotient == r].mean() for r in range(g.order)])
    assert found.fve_any_key == pytest.approx((by_quotient[quotient] ** 2).sum() / (double**2).sum())
    by_input = L - L.mean((0, 1))
    assert found.fve_directions == pytest.approx((kept**2).sum() / (by_input**2).sum())
    assert found.test_accuracy == pytest.approx((L.argmax(-1) == g.table)[~mask].mean())


def test_an_ideal_network_of_one_irrep(g):
    name = list(g.irreps)[-1]
    L = 5 * g.order * direction(g, name)
    assert logit_cosines(g, L) == pytest.approx({other: float(other == name) for other in g.irreps}, abs=1e-10)
    assert key_irreps(g, L) == [name]
    found = progress(g, L, some_mask(g.order, 2))
    assert (found.fve, found.fve_any_key, found.fve_directions) == pytest.approx((1.0, 1.0, 1.0))
    assert (found.restricted_loss, found.algorithm_loss) == pytest.approx((found.all_loss, found.all_loss))
    assert found.excluded_loss == pytest.approx(math.log(g.order))
    if g.irreps[name].faithful:
        assert found.test_accuracy == 1.0


def test_noise_has_no_key_irreps():
    assert key_irreps(GROUPS["A4"], noise(12, 3)) == []
    cosines = logit_cosines(GROUPS["A4"], noise(12, 3))
    assert max(cosines.values()) > 0.005  # the threshold alone would call noise structured


@pytest.mark.parametrize("n", [2, 3, 7, 10])
def test_cyclic_groups_are_the_fourier_measures(n):
    g, L, mask = group(f"C{n}"), noise(n, 4), some_mask(n, 4)
    assert list(logit_cosines(g, L).values()) == pytest.approx(fourier.logit_cosines(L).tolist())
    ours = progress(g, L, mask, ["k=1"])
    t = torch.arange(n)
    theirs = fourier.progress(L, (t[:, None] + t) % n, mask, [1])
    for field, value in vars(theirs).items():
        if field not in ("keys", "excluded_loss_each"):
            assert getattr(ours, field) == pytest.approx(value, nan_ok=True), field
    W = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    assert list(irrep_power(g, W).values()) == pytest.approx(fourier.frequency_power(W).tolist())
    neurons = torch.relu(noise(n, 5))
    best, share = fourier.degree2_fit(neurons)
    names, same = best_irreps(g, neurons)
    assert names.tolist() == [f"k={k}" for k in best.tolist()]
    torch.testing.assert_close(same, share)


def test_embedding_power_is_that_of_projections_on_the_matrix_elements(g):
    W = np.random.default_rng(0).normal(size=(2, g.order, 4))
    power = irrep_power(g, W)
    assert torch.stack(list(power.values())).sum(0).tolist() == pytest.approx([1.0, 1.0])
    for name, shares in power.items():
        M = g.irreps[name].matrices.reshape(g.order, -1)
        for i in range(2):
            kept = M @ np.linalg.pinv(M, rcond=1e-9) @ W[i]
            assert shares[i].item() == pytest.approx((kept**2).sum() / (W[i] ** 2).sum(), abs=1e-12)
    own = g.irreps[list(g.irreps)[-1]].matrices.reshape(g.order, -1)
    assert list(irrep_power(g, own).values())[-1] == pytest.approx(1.0)


def test_neuron_shares_are_those_of_projections(g):
    neurons = np.maximum(noise(g.order, 6).numpy(), 0)[..., :5]
    varying = neurons - neurons.mean((0, 1))
    a, b = (index.copy() for index in np.broadcast_arrays(np.arange(g.order)[:, None], np.arange(g.order)))
    found = neuron_shares(g, neurons)
    assert list(found) == [name for name in g.irreps if name != "trivial"]
    by_neuron = []
    for name, shares in found.items():
        total = (varying**2).sum()
        parts = {"first": a, "second": b, "product": g.table}
        kept = {part: projected(g, name, varying, at) for part, at in parts.items()}
        for part, values in kept.items():
            assert getattr(shares, part) == pytest.approx((values**2).sum() / total, abs=1e-12)
        one = functions(g, name, np.arange(g.order)[:, None])[..., 0]
        both = np.einsum("ia, jb, abm -> ijm", one, one, varying)
        assert shares.both == pytest.approx((both**2).sum() / total, abs=1e-12)
        assert shares.both >= shares.product - 1e-12
        power = sum((kept[part] ** 2).sum((0, 1)) for part in ("first", "second")) + (both**2).sum((0, 1))
        by_neuron.append(power / (varying**2).sum((0, 1)))
    names, share = best_irreps(g, neurons)
    np.testing.assert_allclose(share, np.max(by_neuron, axis=0), atol=1e-12)
    assert names.tolist() == [list(found)[i] for i in np.argmax(by_neuron, axis=0)]


def test_parts_of_the_neurons_are_orthogonal():
    neurons = noise(24, 7)[..., :3].relu()
    shares = neuron_shares(group("S4"), neurons).values()
    assert sum(s.first + s.second + s.product for s in shares) < 1


def test_leading_dimensions_are_a_batch_and_dead_neurons_have_no_irrep():
    g = GROUPS["S3"]
    L, mask = noise(6, 8, 2, 3), some_mask(6, 8)
    together = progress(g, L, mask, ["sign"])
    for i in range(2):
        for j in range(3):
            alone = progress(g, L[i, j].numpy(), mask.numpy(), ["sign"])
            for field in ("excluded_loss", "restricted_loss", "algorithm_loss_test", "fve"):
                assert getattr(together, field)[i, j].item() == pytest.approx(getattr(alone, field))
            assert logit_cosines(g, L)["standard"][i, j].item() == pytest.approx(logit_cosines(g, L[i, j])["standard"])
    neurons = noise(6, 9, 2)[..., :3].relu()
    neurons[1, ..., 2] = 0.5
    names, share = best_irreps(g, neurons)
    assert (names.shape, names[1, 2], share[1, 2]) == ((2, 3), "", 0)
    torch.testing.assert_close(share[0], best_irreps(g, neurons[0])[1])
    assert neuron_shares(g, neurons)["sign"].first.shape == (2,)


def test_s5_is_fast_enough_to_be_used():
    g = group("S5")
    L = noise(120, 10)
    found = progress(g, L, some_mask(120, 10), list(g.irreps)[1:3])
    assert 0 < found.fve < 0.01
    assert len(logit_cosines(g, L)) == 7


def test_wrong_input_is_refused():
    g = GROUPS["S3"]
    L = noise(6, 0)
    by_name = (
        (lambda measure: measure("S3", L), (logit_cosines, key_irreps)),
        (lambda measure: measure("S3", L, ["sign"]), (logit_fve,)),
        (lambda measure: measure("S3", L, some_mask(6, 0), ["sign"]), (progress,)),
        (lambda measure: measure("S3", L[0]), (irrep_power,)),
        (lambda measure: measure("S3", L), (neuron_shares, best_irreps)),
    )
    for call, measures in by_name:
        for measure in measures:
            with pytest.raises(ValueError, match="group: 'S3' given, expected a group, such as"):
                call(measure)
    wrong = (
        (lambda: logit_cosines(g, noise(5, 0)), r"logits: shape \(5, 5, 5\) given, expected \[\*batch, 6, 6, 6\]"),
        (lambda: logit_cosines(g, torch.ones(6, 6, 6)), "logits: given the same for every input"),
        (lambda: logit_cosines(g, torch.stack([L, torch.ones(6, 6, 6)])), r"logits: given the same .* at \[1\] up"),
        (lambda: logit_cosines(g, L * math.nan), "logits: nan given"),
        (lambda: key_irreps(g, noise(6, 0, 2)), "logits: shape .* one network at a time"),
        (lambda: logit_fve(g, L, ["standrad"]), "irreps: 'standrad' given, .*did you mean 'standard'"),
        (lambda: logit_fve(g, L, ["sign", "sign"]), "irreps: .* expected each irrep once"),
        (lambda: progress(g, L, torch.ones(6, 6), ["sign"]), "train_mask: true for every input"),
        (lambda: irrep_power(g, torch.ones(5, 2)), r"matrix: shape \(5, 2\) given, expected \[\*batch, 6, d\]"),
        (lambda: irrep_power(g, torch.zeros(6, 2)), "matrix: zeros only"),
        (lambda: neuron_shares(g, torch.ones(6, 6, 2)), "neurons: the same for every input"),
        (lambda: neuron_shares(g, torch.ones(6, 5, 2)), "neurons: shape"),
        (lambda: best_irreps(g, torch.full((6, 6, 2), math.inf)), "neurons: inf given"),
    )
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()
