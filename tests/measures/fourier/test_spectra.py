import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probe.measures.fourier import (
    amplitudes_and_phases,
    circle,
    circle_circularity,
    degree2_fit,
    fourier_basis,
    fourier_norms,
    frequency_power,
    frequency_power_2d,
    gini,
    inverse_participation_ratio,
)

moduli = st.integers(2, 40)


def random_matrix(p: int, d: int, seed: int, *batch: int) -> torch.Tensor:
    return torch.randn(*batch, p, d, generator=torch.Generator().manual_seed(seed))


def angles(n: int, k: int) -> torch.Tensor:
    return 2 * math.pi * k * torch.arange(n, dtype=torch.float64) / n


@settings(deadline=None)
@given(p=moduli, d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_norms_keep_the_sum_of_squares(p, d, seed):
    W = random_matrix(p, d, seed)
    assert fourier_norms(W).square().sum().item() == pytest.approx(W.double().square().sum().item())


@settings(deadline=None)
@given(p=moduli, d=st.integers(1, 6), seed=st.integers(0, 10**6), shift=st.integers(0, 40))
def test_power_shares_sum_to_one_and_do_not_see_a_shift_of_the_tokens(p, d, seed, shift):
    W = random_matrix(p, d, seed)
    share = frequency_power(W)
    assert share.shape == (p // 2 + 1,)
    assert share.sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(frequency_power(W.roll(shift, dims=0)), share)


@settings(deadline=None)
@given(p=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_power_is_that_of_the_discrete_fourier_transform(p, seed):
    W = random_matrix(p, 3, seed)
    spectrum = np.abs(np.fft.fft(W.double().numpy(), axis=0)) ** 2
    by_frequency = np.zeros(p // 2 + 1)
    for k in range(p):
        by_frequency[min(k, p - k)] += spectrum[k].sum()
    np.testing.assert_allclose(frequency_power(W).numpy(), by_frequency / by_frequency.sum(), atol=1e-12)


def test_power_of_a_single_frequency_and_of_a_constant():
    t = np.arange(12)
    wave = np.cos(2 * np.pi * 5 * t / 12)[:, None] * np.ones(3)
    assert frequency_power(wave).tolist() == pytest.approx([0, 0, 0, 0, 0, 1, 0], abs=1e-12)
    alternating = (-1.0) ** t[:, None]
    assert frequency_power(alternating).tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 1], abs=1e-12)
    assert frequency_power(np.ones((7, 2))).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)


def test_leading_dimensions_are_a_batch():
    W = random_matrix(9, 4, 0, 2, 3)
    for measure in (fourier_norms, frequency_power, lambda x: circle(x, 2)):
        together = measure(W)
        assert together.dtype == torch.float64
        for i in range(2):
            for j in range(3):
                torch.testing.assert_close(together[i, j], measure(W[i, j]))


def test_zero_weights_have_no_spectrum():
    with pytest.raises(ValueError, match="matrix: zeros only"):
        frequency_power(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="maps: zeros only"):
        frequency_power_2d(torch.stack([torch.ones(4, 4, 1), torch.zeros(4, 4, 1)]))


nonnegative = arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1e3)).filter(lambda x: x.sum() > 1e-3)


@settings(deadline=None)
@given(x=nonnegative, scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_gini_bounds_scale_and_order(x, scale, seed):
    value = gini(x)
    assert -1e-12 <= value <= 1 - 1 / len(x) + 1e-12
    assert gini(x * scale) == pytest.approx(value, abs=1e-9)
    assert gini(np.random.default_rng(seed).permutation(x)) == pytest.approx(value, abs=1e-12)


@settings(deadline=None)
@given(x=nonnegative)
def test_gini_is_the_mean_absolute_difference_over_twice_the_mean(x):
    differences = sum(abs(a - b) for a in x for b in x) / len(x) ** 2
    assert gini(x) == pytest.approx(differences / (2 * x.mean()), abs=1e-9)


def test_gini_of_known_distributions():
    assert gini([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 5.0, 0.0]]).tolist() == pytest.approx([0.0, 0.75])


def test_gini_refuses_negative_values():
    with pytest.raises(ValueError, match=r"x: -1\.0 given"):
        gini([1.0, -1.0])
    with pytest.raises(ValueError, match="x: zeros only"):
        gini([[1.0, 1.0], [0.0, 0.0]])


@settings(deadline=None)
@given(p=st.integers(3, 30), data=st.data(), seed=st.integers(0, 10**6))
def test_a_circle_is_traversed_in_order_of_k_t_whatever_its_plane(p, data, seed):
    k = data.draw(st.integers(1, (p - 1) // 2))
    plane = torch.linalg.qr(random_matrix(6, 2, seed).double()).Q  # orthonormal columns
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    expected = 2.5 * torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(circle(expected @ plane.T, k), expected)


def test_circle_is_a_projection_on_the_plane_of_both_components():
    W = random_matrix(11, 5, 0).double()
    F = fourier_basis(11)
    components = F[5:7] @ W  # frequency 3
    coordinates = circle(W, 3)
    projected = W @ torch.linalg.pinv(components) @ components
    torch.testing.assert_close(coordinates.square().sum(-1), projected.square().sum(-1))
    along_cosine = W @ components[0] / components[0].norm()
    torch.testing.assert_close(coordinates[:, 0], along_cosine)


def test_an_axis_that_does_not_exist_is_zero():
    W = random_matrix(8, 3, 0)
    highest = circle(W, 4)  # p / 2 has a cosine only
    assert highest[:, 1].abs().max() == 0
    assert highest[:, 0].abs().max() > 0
    on_a_line = random_matrix(7, 1, 0)
    assert circle(on_a_line, 2)[:, 1].abs().max() == 0
    assert circle(torch.zeros(7, 3), 2).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [7, 60, 113])
def test_a_frequency_that_is_only_rounding_has_no_axis(dtype, p):
    a = angles(p, 2)
    W = (3 * torch.stack([a.cos(), a.sin(), a.cos() + 0.3], dim=1)).to(dtype)
    assert circle(W, 2).norm() > 1
    assert circle(W, 1).abs().max() == 0
    assert circle(torch.full((p, 4), 0.1, dtype=dtype), 1).abs().max() == 0
    assert circle(torch.stack([W, W.roll(1, 0) * 0 + 1]), 2)[1].abs().max() == 0
    assert circle(torch.stack([W.double() * 1e15, W.double()]), 2)[1].norm() > 1  # each beside its own norm
    with pytest.raises(ValueError, match="matrix: no component of frequency 1"):
        circle_circularity(W, 1)
    # but a small one is there
    b = angles(p, 1)
    small = 10 * torch.finfo(dtype).eps if dtype != torch.float64 else 1e-9
    faint = W.double() + small * torch.stack([b.cos(), b.sin(), 0 * b], dim=1)
    assert circle(faint.to(dtype), 1).norm(dim=0).min() > 0


@pytest.mark.parametrize("k", [2.0, "2", None, [2]])
def test_a_frequency_that_is_no_integer_is_refused(k):
    with pytest.raises(ValueError, match=r"k: .* given, expected an integer"):
        circle(torch.ones(9, 2), k)
    torch.testing.assert_close(circle(random_matrix(9, 2, 0), torch.tensor(2)), circle(random_matrix(9, 2, 0), 2))


@pytest.mark.parametrize("scale", [1e-170, 1e150, 1e160, 1e300])
def test_extreme_scales_do_not_matter(scale):
    W, maps = random_matrix(7, 3, 0).double(), random_matrix(5, 2, 0, 5).double()
    torch.testing.assert_close(frequency_power(scale * W), frequency_power(W))
    torch.testing.assert_close(frequency_power_2d(scale * maps), frequency_power_2d(maps))
    assert inverse_participation_ratio(scale * W[0]) == pytest.approx(inverse_participation_ratio(W[0]))


@pytest.mark.parametrize(("k", "nearest"), [(0, "constant"), (5, "same frequency as 4"), (9, "constant"), (-2, "as 2")])
def test_frequencies_outside_the_group_are_refused_with_the_nearest(k, nearest):
    with pytest.raises(ValueError, match=f"k: frequency {k} given, expected 1 to 4.*{nearest}"):
        circle(torch.ones(9, 2), k)


def test_a_vector_is_not_a_matrix():
    with pytest.raises(ValueError, match=r"matrix: shape \(5,\) given"):
        frequency_power(torch.ones(5))


def neuron(k: int, n: int = 13) -> torch.Tensor:
    """Every degree-2 product of frequency k, plus a constant."""
    a = angles(n, k)
    of_a = 1.0 + 2 * a.cos() - a.sin()
    of_b = 0.5 - a.cos() + 3 * a.sin()
    return of_a[:, None] * of_b + 7


class TestDegree2Fit:
    def test_a_polynomial_of_one_frequency_is_all_its_variance(self):
        best, share = degree2_fit(torch.stack([neuron(k) for k in (1, 4, 6)], dim=-1))
        assert best.tolist() == [1, 4, 6]
        assert share.tolist() == pytest.approx([1.0, 1.0, 1.0])

    @pytest.mark.parametrize("n", [7, 8])
    def test_share_is_that_of_a_least_squares_fit(self, n):
        neurons = random_matrix(n, 5, 0, n).double().relu()
        best, share = degree2_fit(neurons)
        for m in range(5):
            y = neurons[..., m].flatten().numpy()
            shares = []
            for k in range(1, n // 2 + 1):
                terms = [np.ones(n), angles(n, k).cos().numpy(), angles(n, k).sin().numpy()]
                design = np.stack([np.outer(u, v).flatten() for u in terms for v in terms], axis=1)
                residual = y - design @ np.linalg.lstsq(design, y, rcond=1e-10)[0]
                shares.append(1 - residual.var() / y.var())
            assert best[m] == 1 + np.argmax(shares)
            assert share[m].item() == pytest.approx(max(shares), abs=1e-10)

    def test_batch_and_dead_neurons(self):
        neurons = random_matrix(5, 3, 0, 2, 5).double().relu()
        neurons[1, ..., 2] = 0.0
        best, share = degree2_fit(neurons)
        assert best.shape == share.shape == (2, 3)
        assert (best[1, 2], share[1, 2]) == (0, 0)
        torch.testing.assert_close(share[1], degree2_fit(neurons[1].numpy())[1])

    def test_constant_neurons_have_no_frequency_made_of_rounding_errors(self):
        best, share = degree2_fit(torch.linspace(0.01, 3, 50, dtype=torch.float64).expand(7, 7, 50))
        assert best.tolist() == [0] * 50
        assert share.tolist() == [0.0] * 50

    @pytest.mark.parametrize("n", [2, 3, 6])
    def test_small_and_even_groups(self, n):
        t = torch.arange(n)
        product = torch.cos(2 * math.pi * (n // 2) * (t[:, None] + t).double() / n)
        best, share = degree2_fit(product.unsqueeze(-1))
        assert (best.tolist(), share.tolist()) == ([n // 2], [pytest.approx(1.0)])

    def test_attention_of_heads_is_fitted_alike(self):
        a = angles(17, 5)
        pattern = torch.sigmoid(0.3 * torch.cos(a[:, None] - a))  # nearly of degree 2
        best, share = degree2_fit(torch.stack([pattern, 1 - pattern], dim=-1))
        assert best.tolist() == [5, 5]
        assert (share > 0.99).all()

    def test_what_is_not_a_map_over_pairs_is_refused(self):
        with pytest.raises(ValueError, match="maps: shape"):
            degree2_fit(torch.zeros(5, 6, 2))
        with pytest.raises(ValueError, match="maps: nan given at \\[0, 1, 0\\]"):
            degree2_fit(torch.tensor([[[0.0], [math.nan]], [[1.0], [1.0]]]))


@settings(deadline=None)
@given(p=st.integers(2, 14), seed=st.integers(0, 10**6))
def test_power_by_pairs_of_frequencies_is_that_of_the_2d_transform(p, seed):
    maps = random_matrix(p, 2, seed, p).double()
    spectrum = (np.abs(np.fft.fft2(maps.numpy(), axes=(0, 1))) ** 2).sum(-1)
    expected = np.zeros((p // 2 + 1, p // 2 + 1))
    for i in range(p):
        for j in range(p):
            expected[min(i, p - i), min(j, p - j)] += spectrum[i, j]
    np.testing.assert_allclose(frequency_power_2d(maps), expected / expected.sum(), atol=1e-12)


def test_the_algorithm_of_addition_lies_on_the_diagonal():
    t = torch.arange(12)
    maps = torch.stack([torch.cos(2 * math.pi * 5 * (t[:, None] + t - c).double() / 12) for c in range(12)], dim=-1)
    power = frequency_power_2d(maps)
    assert power[5, 5].item() == pytest.approx(1.0)
    assert power.shape == (7, 7)


@settings(deadline=None)
@given(p=moduli, seed=st.integers(0, 10**6))
def test_amplitudes_and_phases_give_back_the_matrix(p, seed):
    W = random_matrix(p, 3, seed)
    amplitude, phase = amplitudes_and_phases(W)
    assert amplitude.shape == phase.shape == (p // 2 + 1, 3)
    assert (amplitude >= 0).all()
    again = sum(amplitude[k] * torch.cos(angles(p, k)[:, None] - phase[k]) for k in range(p // 2 + 1))
    torch.testing.assert_close(again, W.double())


def test_phase_of_a_shifted_wave():
    amplitude, phase = amplitudes_and_phases(2 * torch.cos(angles(9, 2) - 0.7)[:, None])
    assert (amplitude[2, 0].item(), phase[2, 0].item()) == (pytest.approx(2.0), pytest.approx(0.7))


def test_inverse_participation_ratio():
    assert inverse_participation_ratio([[1.0, -1.0, 1.0, 1.0], [0.0, 5.0, 0.0, 0.0]]).tolist() == [0.25, 1.0]
    assert isinstance(inverse_participation_ratio([3.0]), float)
    with pytest.raises(ValueError, match="x: zeros only"):
        inverse_participation_ratio([0.0, 0.0])


class TestCircularity:
    @settings(deadline=None)
    @given(p=st.integers(3, 30), data=st.data(), seed=st.integers(0, 10**6))
    def test_of_a_circle_is_1_in_any_plane(self, p, data, seed):
        k = data.draw(st.integers(1, (p - 1) // 2))
        plane = torch.linalg.qr(random_matrix(6, 2, seed).double()).Q
        ring = torch.stack([angles(p, k).cos(), angles(p, k).sin()], dim=1) @ plane.T
        assert circle_circularity(3 * ring, k) == pytest.approx(1.0)

    @pytest.mark.parametrize(("long", "short"), [(1.0, 0.5), (1.0, 0.0), (3.0, 2.0)])
    def test_of_an_ellipse(self, long, short):
        ellipse = torch.stack([long * angles(17, 3).cos(), short * angles(17, 3).sin()], dim=1)
        expected = (long + short) ** 2 / (2 * (long**2 + short**2))
        assert circle_circularity(ellipse, 3) == pytest.approx(expected)

    @pytest.mark.parametrize(("p", "d"), [(101, 64), (64, 101), (211, 16)])
    def test_of_noise(self, p, d):
        found = circle_circularity(random_matrix(p, d, 0, 200), 7)
        assert found.shape == (200,)
        assert found.mean().item() == pytest.approx(d / (d + p), rel=0.1)

    def test_where_there_is_nothing(self):
        for nothing in (torch.zeros(7, 3), torch.ones(7, 3), torch.stack([random_matrix(7, 3, 0), torch.ones(7, 3)])):
            with pytest.raises(ValueError, match="matrix: no component of frequency 2"):
                circle_circularity(nothing, 2)

    def test_of_the_highest_even_frequency_is_1_for_two_places_in_turn(self):
        assert circle_circularity(torch.tensor([[1.0, 2.0], [-1.0, -2.0]] * 4), 4) == pytest.approx(1)
