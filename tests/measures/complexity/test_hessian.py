import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from probe.measures.complexity import hessian_top_eigenvalues, hessian_trace

DOUBLE = torch.float64
OTHER = torch.ones(2, requires_grad=True)


def random_symmetric(d, seed):
    A = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return (A + A.T) / 2


def form(H):
    return lambda w: w @ H @ w / 2


def with_eigenvalues(eigenvalues, seed=0):
    eigenvalues = torch.as_tensor(eigenvalues, dtype=DOUBLE)
    Q = torch.linalg.qr(random_symmetric(len(eigenvalues), seed)).Q
    return Q @ torch.diag(eigenvalues) @ Q.T


def network(width, dtype=DOUBLE):
    """The loss of a small classifier as a function of its weights, the weights, and the dense Hessian."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator, dtype=DOUBLE).to(dtype)
    labels = torch.randint(3, (40,), generator=generator)
    shapes = {"in": (4, width), "bias": (width,), "out": (width, 3)}
    weights = {name: torch.randn(shape, generator=generator, dtype=DOUBLE).to(dtype) for name, shape in shapes.items()}

    def loss(w):
        logits = torch.tanh(x @ w["in"] + w["bias"]) @ w["out"]
        return torch.nn.functional.cross_entropy(logits, labels)

    blocks = torch.func.jacrev(torch.func.grad(loss))(weights)
    sizes = {name: value.numel() for name, value in weights.items()}
    H = torch.cat([torch.cat([blocks[a][b].reshape(sizes[a], sizes[b]) for b in sizes], dim=1) for a in sizes])
    return loss, weights, H


@settings(deadline=None, max_examples=30)
@given(d=st.integers(1, 12), data=st.data(), seed=st.integers(0, 10**6))
def test_few_weights_give_the_whole_spectrum_with_its_signs(d, data, seed):
    k = data.draw(st.integers(1, d))
    H = random_symmetric(d, seed)
    expected = torch.linalg.eigvalsh(H).flip(0)[:k]
    torch.testing.assert_close(hessian_top_eigenvalues(form(H), torch.ones(d, dtype=DOUBLE), k), expected)


@pytest.mark.parametrize("width", [3, 20])  # 27 weights, whole; 160, by Lanczos
@pytest.mark.parametrize("k", [1, 4])
def test_a_network_against_its_dense_hessian(width, k):
    loss, weights, H = network(width)
    expected = torch.linalg.eigvalsh(H).flip(0)
    assert expected[0] > 0 > expected[-1]
    top = hessian_top_eigenvalues(loss, weights, k)
    torch.testing.assert_close(top, expected[:k], rtol=1e-8, atol=1e-10)
    assert top.dtype == DOUBLE


def test_the_largest_are_not_the_largest_in_size():
    H = with_eigenvalues([5.0, 1.0, *[-100.0] * 98])
    top = hessian_top_eigenvalues(form(H), torch.zeros(100, dtype=DOUBLE), 2)
    assert top.tolist() == pytest.approx([5, 1], rel=1e-8)
    every_one_negative = hessian_top_eigenvalues(
        form(with_eigenvalues(range(-90, 0))), torch.zeros(90, dtype=DOUBLE), 3
    )
    assert every_one_negative.tolist() == pytest.approx([-1, -2, -3], rel=1e-8)


@pytest.mark.parametrize("eigenvalues", [[3.0] * 5 + [0.0] * 95, [1.0] * 100, [2.0, 2.0, *[-1.0] * 98]])
def test_eigenvalues_that_are_equal_are_all_found(eigenvalues):
    H = with_eigenvalues(eigenvalues)
    for seed in range(3):
        top = hessian_top_eigenvalues(form(H), torch.zeros(100, dtype=DOUBLE), 4, seed=seed)
        assert top.tolist() == pytest.approx(sorted(eigenvalues)[::-1][:4], abs=1e-8)


@pytest.mark.parametrize("d", [3, 200])
def test_flat_and_linear_losses_have_no_curvature(d):
    for loss in (lambda w: w.sum(), lambda w: (w * 0).sum(), lambda w: (w**2).sum() ** 2):
        weights = torch.zeros(d, dtype=DOUBLE)
        assert hessian_top_eigenvalues(loss, weights, 2).tolist() == [0, 0]
        assert hessian_trace(loss, weights, n_probes=3).estimate == 0


def test_more_than_half_of_the_spectrum_is_computed_whole():
    H = random_symmetric(70, 1)
    top = hessian_top_eigenvalues(form(H), torch.zeros(70, dtype=DOUBLE), 70)
    torch.testing.assert_close(top, torch.linalg.eigvalsh(H).flip(0))


def test_single_precision_stays_single():
    loss, weights, _ = network(20, torch.float32)
    expected = torch.linalg.eigvalsh(network(20)[2])
    seen = set()

    def watched(w):
        seen.update(value.dtype for value in w.values())
        return loss(w)

    top = hessian_top_eigenvalues(watched, weights, 2)
    assert seen == {torch.float32}
    assert top.dtype == DOUBLE
    torch.testing.assert_close(top, expected.flip(0)[:2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-4), (DOUBLE, 1e-9)])
def test_eigenvalues_close_to_each_other_are_told_apart(dtype, precision):
    h = torch.linspace(0, 1, 500, dtype=dtype)
    top = hessian_top_eigenvalues(lambda w: (h * w.square()).sum() / 2, torch.zeros(500, dtype=dtype), 3)
    assert top.tolist() == pytest.approx([1, 498 / 499, 497 / 499], rel=precision)


def test_a_hessian_at_other_weights_is_another_one():
    # w^4: second derivative 12 w^2
    for value in (0.5, 2.0):
        top = hessian_top_eigenvalues(lambda w: w.pow(4).sum(), torch.tensor([value, 0.0], dtype=DOUBLE))
        assert top.tolist() == pytest.approx([12 * value**2])


def test_a_module_through_functional_call():
    net = torch.nn.Sequential(torch.nn.Linear(3, 30), torch.nn.GELU(), torch.nn.Linear(30, 1)).double()
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    weights = dict(net.named_parameters())

    def loss(w):
        return torch.func.functional_call(net, w, (x,)).square().mean()

    interval = hessian_trace(loss, weights, n_probes=2000)
    assert hessian_top_eigenvalues(loss, weights).item() > interval.estimate / 151
    assert all(value.grad is None for value in weights.values())


def test_the_trace_of_a_diagonal_hessian_is_exact():
    h = torch.tensor([3.0, -1.0, 0.5], dtype=DOUBLE)
    interval = hessian_trace(lambda w: (h * w.square()).sum() / 2, torch.ones(3, dtype=DOUBLE), n_probes=5)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((2.5, 2.5, 2.5))
    assert interval.n == 5


def test_the_trace_of_a_network_is_that_of_its_dense_hessian():
    loss, weights, H = network(20)
    interval = hessian_trace(loss, weights, n_probes=500)
    assert interval.low < H.trace() < interval.high
    variance = 2 * (H.square().sum() - H.diagonal().square().sum()).item()
    half = t.ppf(0.975, 499) * math.sqrt(variance / 500)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.15)
    assert interval.high - interval.low < 0.3 * interval.estimate


def test_intervals_of_the_trace_hold_it_as_often_as_they_say():
    H = random_symmetric(15, 2)
    held = [
        interval.low < H.trace() < interval.high
        for interval in (
            hessian_trace(form(H), torch.zeros(15, dtype=DOUBLE), n_probes=20, confidence=0.8, seed=seed)
            for seed in range(100)
        )
    ]
    assert sum(held) / 100 == pytest.approx(0.8, abs=0.16)


def test_one_seed_is_one_result_and_the_global_generator_is_left_alone():
    loss, weights, _ = network(20)
    state = torch.get_rng_state()
    assert hessian_trace(loss, weights, n_probes=4, seed=1) == hessian_trace(loss, weights, n_probes=4, seed=1)
    assert hessian_trace(loss, weights, n_probes=4, seed=1) != hessian_trace(loss, weights, n_probes=4, seed=2)
    assert torch.equal(hessian_top_eigenvalues(loss, weights, 2), hessian_top_eigenvalues(loss, weights, 2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("measure", "arguments", "message"),
    [
        (hessian_top_eigenvalues, {"k": 0}, "k: 0 given, expected 1 to 70"),
        (hessian_top_eigenvalues, {"k": 71}, "k: 71 given, expected 1 to 70"),
        (hessian_trace, {"n_probes": 1}, "n_probes: 1 given, expected at least 2"),
        (hessian_trace, {"confidence": 1.0}, r"confidence: 1\.0 given"),
    ],
)
def test_settings_that_make_no_sense_are_refused(measure, arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(lambda w: w.square().sum(), torch.ones(70, dtype=DOUBLE), **arguments)


@pytest.mark.parametrize("measure", [hessian_top_eigenvalues, hessian_trace])
@pytest.mark.parametrize(
    ("loss", "weights", "message"),
    [
        (lambda w: w, torch.ones(3), r"loss_fn: shape \(3,\) given"),
        (lambda w: w.log().sum(), -torch.ones(3), "loss_fn: nan given at the weights"),
        (lambda w: w.abs().pow(1.5).sum(), torch.zeros(3), "loss_fn: a Hessian with nan or infinity given"),
        (lambda w: w.abs().pow(1.5).sum(), torch.zeros(100), "loss_fn: a Hessian with nan or infinity given"),
        (lambda w: w.sum(), torch.tensor([1.0, math.inf]), "weights: nan or infinity given"),
        (lambda w: w.sum(), torch.tensor([1, 2]), r"weights: torch\.int64 given"),
        (lambda w: torch.tensor(0.0), {}, "weights: none given"),
        (lambda w: w.sum(), np.zeros(3), "weights: ndarray given, expected a floating-point tensor, or several"),
        (lambda w: torch.tensor(3.0), torch.zeros(3), "loss_fn: the loss has no gradient"),
        (lambda w: torch.tensor(3.0), torch.zeros(100), "loss_fn: the loss has no gradient"),
        (lambda w: w.detach().sum(), torch.zeros(3), "loss_fn: the loss has no gradient"),
        (lambda w: OTHER.sum(), torch.zeros(3), "loss_fn: the loss has no gradient"),
    ],
)
def test_bad_losses_and_weights_are_refused(measure, loss, weights, message):
    with pytest.raises(ValueError, match=message):
        measure(loss, weights)


@pytest.mark.parametrize("d", [3, 100])
def test_a_loss_without_curvature_is_flat_and_not_refused(d):
    assert hessian_top_eigenvalues(lambda w: w.sum(), torch.ones(d)).tolist() == [0]
    with torch.no_grad():
        assert hessian_top_eigenvalues(lambda w: w.square().sum(), torch.ones(d)).tolist() == pytest.approx([2])


def test_lanczos_that_does_not_converge_says_so(monkeypatch):
    import scipy.sparse.linalg

    real = scipy.sparse.linalg.eigsh
    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", lambda *args, **kwargs: real(*args, **kwargs, maxiter=1))
    with pytest.raises(ValueError, match=r"tolerance: 1e-10 given, not reached"):
        hessian_top_eigenvalues(form(random_symmetric(300, 0)), torch.zeros(300, dtype=DOUBLE), 3)
