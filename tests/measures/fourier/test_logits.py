"""The cube measures against closed forms and against plain loops that share nothing with them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.progress import (
    centred_cube,
    excluded_loss,
    excluded_loss_each,
    logit_cosines,
    logit_fve_cube,
    logit_fve_directions,
    orbit_means,
    restricted_loss,
    sum_fve,
    sum_means,
)

CENTRINGS = ("none", "answers", "inputs", "double")


def noise(n: int, seed: int, *batch: int) -> torch.Tensor:
    """A structured part, a bias per answer, a softmax-invariant part per input, and noise."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return rand(*batch, n, n, n) + 2 * rand(*batch, 1, 1, n) + 3 * rand(*batch, n, n, 1) + 2 * waves(n, {1: 1.0})


def waves(n: int, amplitudes: dict[int, float]) -> torch.Tensor:
    t = torch.arange(n)
    r = t[:, None, None] + t[:, None] - t
    return sum(a * torch.cos(2 * math.pi * k * r.double() / n) for k, a in amplitudes.items())


def some_mask(n: int, seed: int) -> torch.Tensor:
    mask = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    mask[0, 0] = True
    return mask


# ---- plain loops over i, j, c; numpy floats only ----


def slow_functions_of_the_input(n, keys):
    """Unit-norm cos and sin of w_f (i + j), as dictionaries by input."""
    functions = []
    for f in keys:
        for wave in (math.cos, math.sin):
            values = {(i, j): wave(2 * math.pi * f * (i + j) / n) for i in range(n) for j in range(n)}
            norm = math.sqrt(sum(v * v for v in values.values()))
            if norm > 1e-9:  # the sine of n/2 is zero
                functions.append({at: v / norm for at, v in values.items()})
    return functions


def slow_projection(L, keys):
    n = len(L)
    out = np.zeros((n, n, n))
    for function in slow_functions_of_the_input(n, keys):
        for c in range(n):
            product = sum(function[i, j] * L[i, j, c] for i in range(n) for j in range(n))
            for i in range(n):
                for j in range(n):
                    out[i, j, c] += product * function[i, j]
    return out


def slow_losses(L):
    n = len(L)
    return np.array(
        [[math.log(sum(math.exp(x) for x in L[i, j])) - L[i, j, (i + j) % n] for j in range(n)] for i in range(n)]
    )


def slow_centred(L, centring):
    n, out = len(L), L.copy()
    for i in range(n):
        for j in range(n):
            for c in range(n):
                over_answers = sum(L[i, j]) / n
                over_inputs = sum(L[a, b, c] for a in range(n) for b in range(n)) / n**2
                if centring == "answers":
                    out[i, j, c] = L[i, j, c] - over_answers
                elif centring == "inputs":
                    out[i, j, c] = L[i, j, c] - over_inputs
                elif centring == "double":
                    out[i, j, c] = L[i, j, c] - over_answers - over_inputs + L.mean()
    return out


def slow_cosine(L, f):
    """Cosine of the whole cube with cos w_f (i + j - c)."""
    n = len(L)
    u = np.array(
        [[[math.cos(2 * math.pi * f * (i + j - c) / n) for c in range(n)] for j in range(n)] for i in range(n)]
    )
    return (L * u).sum() / math.sqrt((L * L).sum() * (u * u).sum())


@pytest.mark.parametrize(("n", "keys"), [(7, (1, 3)), (6, (1, 3)), (8, (4,)), (5, (2,))])
class TestAgainstLoops:
    def test_sum_and_orbit_means(self, n, keys):
        L = noise(n, 0).double().numpy()
        sums, orbits = np.zeros((n, n)), np.zeros(n)
        for i in range(n):
            for j in range(n):
                for c in range(n):
                    sums[(i + j) % n, c] += L[i, j, c] / n
                    orbits[(i + j - c) % n] += L[i, j, c] / n**2
        np.testing.assert_allclose(sum_means(L), sums, atol=1e-12)
        np.testing.assert_allclose(orbit_means(L), orbits, atol=1e-12)

    def test_centring(self, n, keys):
        L = noise(n, 1).double().numpy()
        for centring in CENTRINGS:
            np.testing.assert_allclose(centred_cube(L, centring), slow_centred(L, centring), atol=1e-12)

    def test_cosines(self, n, keys):
        L = noise(n, 2).double().numpy()
        expected = [slow_cosine(slow_centred(L, "answers"), f) for f in range(1, n // 2 + 1)]
        np.testing.assert_allclose(logit_cosines(L), expected, atol=1e-12)

    def test_fve(self, n, keys):
        L = noise(n, 3).double().numpy()
        for centring in CENTRINGS:
            centred = slow_centred(L, centring)
            cube = sum(slow_cosine(centred, f) ** 2 for f in keys)
            assert logit_fve_cube(L, keys, centring).item() == pytest.approx(cube, abs=1e-12)
            directions = (slow_projection(centred, keys) ** 2).sum() / (centred**2).sum()
            assert logit_fve_directions(L, keys, centring).item() == pytest.approx(directions, abs=1e-12)

    def test_sum_fve(self, n, keys):
        L = slow_centred(noise(n, 4).double().numpy(), "double")
        projected = np.zeros((n, n, n))
        for r in range(n):
            orbit = [(i, j, (i + j - r) % n) for i in range(n) for j in range(n)]
            for at in orbit:
                projected[at] = sum(L[other] for other in orbit) / n**2
        expected = (projected**2).sum() / (L**2).sum()
        assert sum_fve(noise(n, 4)).item() == pytest.approx(expected, abs=1e-6)

    def test_restricted_loss(self, n, keys):
        L = noise(n, 5).double().numpy()
        kept = slow_projection(L, keys) + L.mean((0, 1))
        np.testing.assert_allclose(restricted_loss(L, keys), slow_losses(kept), atol=1e-12)

    def test_excluded_loss(self, n, keys):
        L, mask = noise(n, 6).double().numpy(), some_mask(n, 6)
        expected = slow_losses(L - slow_projection(L, keys))[mask.numpy()].mean()
        assert excluded_loss(L, keys, mask).item() == pytest.approx(expected, abs=1e-12)
        each = [slow_losses(L - slow_projection(L, [f]))[mask.numpy()].mean() for f in keys]
        np.testing.assert_allclose(excluded_loss_each(L, keys, mask), each, atol=1e-12)


# ---- closed forms ----


@pytest.mark.parametrize("n", [9, 12, 23])
def test_a_cube_made_of_key_frequencies(n):
    amplitudes = {1: 3.0, 4: 4.0}
    cube = waves(n, amplitudes)
    everywhere = torch.ones(n, n, dtype=torch.bool)
    cosines = logit_cosines(cube)
    assert cosines[[0, 3]].tolist() == pytest.approx([0.6, 0.8])
    assert cosines.square().sum().item() == pytest.approx(1.0)
    for centring in CENTRINGS:
        assert logit_fve_cube(cube, (1, 4), centring).item() == pytest.approx(1.0)
        assert logit_fve_cube(cube, (4,), centring).item() == pytest.approx(0.64)
        assert logit_fve_directions(cube, (1, 4), centring).item() == pytest.approx(1.0)
    assert sum_fve(cube).item() == pytest.approx(1.0)
    full = torch.from_numpy(slow_losses(cube.numpy()))
    torch.testing.assert_close(restricted_loss(cube, (1, 4)), full)
    assert excluded_loss(cube, (1, 4), everywhere).item() == pytest.approx(math.log(n))
    without = [slow_losses(waves(n, {4: 4.0}).numpy()).mean(), slow_losses(waves(n, {1: 3.0}).numpy()).mean()]
    assert excluded_loss_each(cube, (1, 4), everywhere).tolist() == pytest.approx(without)


def test_the_highest_frequency_of_an_even_group_has_a_cosine_only():
    cube = waves(8, {4: 2.0})
    assert logit_cosines(cube).tolist() == pytest.approx([0, 0, 0, 1], abs=1e-12)
    assert logit_fve_directions(cube, (4,)).item() == pytest.approx(1.0)
    assert excluded_loss(cube, (4,), torch.ones(8, 8)).item() == pytest.approx(math.log(8))


def test_a_sine_of_the_orbit_counts_in_sum_fve_but_has_no_cosine():
    t = torch.arange(7)
    cube = torch.sin(2 * math.pi * 2 * (t[:, None, None] + t[:, None] - t).double() / 7)
    assert sum_fve(cube).item() == pytest.approx(1.0)
    assert logit_cosines(cube).abs().max().item() < 1e-12
    assert logit_fve_directions(cube, (2,)).item() == pytest.approx(1.0)


def test_a_lookup_table_is_not_the_fourier_algorithm():
    n = 11
    generator = torch.Generator().manual_seed(0)
    memorized = torch.nn.functional.one_hot(torch.randint(n, (n, n), generator=generator), n) * 10.0
    assert sum_fve(memorized).item() < 0.03
    assert logit_fve_cube(memorized, (1, 2, 3, 4, 5)).item() < 0.03


def test_no_key_frequencies():
    cube = noise(5, 0)
    mask = torch.ones(5, 5, dtype=torch.bool)
    assert logit_fve_cube(cube, ()).item() == 0
    assert logit_fve_directions(cube, ()).item() == 0
    assert excluded_loss(cube, (), mask).item() == pytest.approx(slow_losses(cube.double().numpy()).mean())
    assert excluded_loss_each(cube, (), mask).shape == (0,)
    biases = cube.double().mean((0, 1)).expand(5, 5, 5).numpy()
    np.testing.assert_allclose(restricted_loss(cube, ()), slow_losses(biases))


def test_default_conventions():
    cube = noise(7, 0)
    assert logit_fve_cube(cube, (1, 2)) == logit_fve_cube(cube, (1, 2), "double")
    assert logit_fve_directions(cube, (1, 2)) == logit_fve_directions(cube, (1, 2), "inputs")
    values = [logit_fve_cube(cube, (1, 2), centring).item() for centring in CENTRINGS]
    assert len(set(values)) == 4  # the conventions differ on this cube


# ---- properties ----


@settings(deadline=None)
@given(n=st.integers(3, 12), seed=st.integers(0, 10**6))
def test_what_the_softmax_does_not_see_changes_no_loss_and_no_centred_measure(n, seed):
    cube, mask = noise(n, seed).double(), some_mask(n, seed)
    per_input = 100 * torch.rand(n, n, 1, generator=torch.Generator().manual_seed(seed)).double()
    keys = tuple(range(1, n // 2 + 1))[:2]
    for measure in (
        logit_cosines,
        sum_fve,
        lambda x: logit_fve_cube(x, keys),
        lambda x: logit_fve_directions(x, keys, "double"),
        lambda x: restricted_loss(x, keys),
        lambda x: excluded_loss(x, keys, mask),
    ):
        torch.testing.assert_close(measure(cube + per_input), measure(cube))


@settings(deadline=None)
@given(n=st.integers(3, 12), seed=st.integers(0, 10**6), scale=st.floats(1e-2, 1e2))
def test_fractions_are_ordered_and_do_not_see_the_scale(n, seed, scale):
    cube = noise(n, seed).double()
    keys = tuple(range(1, n // 2 + 1))
    for centring in CENTRINGS:
        fve = logit_fve_cube(cube, keys, centring)
        directions = logit_fve_directions(cube, keys, centring)
        assert 0 <= fve <= directions + 1e-12 <= 1 + 1e-9
        torch.testing.assert_close(logit_fve_cube(scale * cube, keys, centring), fve)
        torch.testing.assert_close(logit_fve_directions(scale * cube, keys, centring), directions)
    assert logit_fve_cube(cube, keys) <= sum_fve(cube) + 1e-12
    # the squares of all cosines are the FVE of all frequencies, centred over answers
    torch.testing.assert_close(logit_cosines(cube).square().sum(), logit_fve_cube(cube, keys, "answers"))


@settings(deadline=None)
@given(n=st.integers(3, 10), seed=st.integers(0, 10**6), shift=st.integers(0, 10))
def test_relabelling_the_inputs_by_a_rotation_and_the_answers_with_them_changes_nothing(n, seed, shift):
    cube = noise(n, seed).double()
    moved = cube.roll((shift, shift), dims=(0, 2))  # (i + s) + j has the answer k + s
    torch.testing.assert_close(logit_cosines(moved), logit_cosines(cube))
    torch.testing.assert_close(restricted_loss(moved, (1,)), restricted_loss(cube, (1,)).roll(shift, dims=0))


def test_leading_dimensions_are_a_batch():
    cube, mask, keys = noise(6, 0, 2, 3), some_mask(6, 0), (3, 1)
    for measure in (
        sum_means,
        orbit_means,
        logit_cosines,
        sum_fve,
        lambda x: logit_fve_cube(x, keys),
        lambda x: logit_fve_directions(x, keys),
        lambda x: restricted_loss(x, keys),
        lambda x: excluded_loss(x, keys, mask),
        lambda x: excluded_loss_each(x, keys, mask),
    ):
        together = measure(cube)
        assert together.dtype == torch.float64
        for i in range(2):
            for j in range(3):
                torch.testing.assert_close(together[i, j], measure(cube[i, j].numpy()))


# ---- wrong input ----


@pytest.mark.parametrize("keys", [(0,), (4,), (1, 1), (-1,)])
def test_keys_outside_the_group_or_twice_are_refused(keys):
    cube, mask = torch.zeros(7, 7, 7), torch.ones(7, 7)
    for measure in (logit_fve_cube, logit_fve_directions, restricted_loss):
        with pytest.raises(ValueError, match="keys: "):
            measure(cube, keys)
    for measure in (excluded_loss, excluded_loss_each):
        with pytest.raises(ValueError, match="keys: "):
            measure(cube, keys, mask)


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 6), (6, 5, 5), (1, 1, 1)])
def test_what_is_not_a_cube_is_refused(shape):
    with pytest.raises(ValueError, match="cube: shape"):
        sum_fve(torch.zeros(shape))


def test_masks_and_centrings_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="mask: shape"):
        excluded_loss(torch.zeros(5, 5, 5), (1,), torch.ones(4, 4))
    with pytest.raises(ValueError, match="mask: shape"):
        excluded_loss(torch.zeros(5, 5, 5), (1,), torch.zeros(5, 5))
    with pytest.raises(ValueError, match="centring: 'both' given, expected 'none'"):
        centred_cube(torch.zeros(5, 5, 5), "both")
