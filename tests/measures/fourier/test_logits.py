"""The cube measures against closed forms and against plain loops that share nothing with them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from probe.measures import cube as cube_module
from probe.measures.fourier import logit_cosines, logit_fve, logit_fve_directions, progress, sum_fve

CENTRINGS = ("none", "classes", "inputs", "double")


def noise(n: int, seed: int, *batch: int) -> torch.Tensor:
    """A structured part, a bias per answer, a softmax-invariant part per input, and noise."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return rand(*batch, n, n, n) + 2 * rand(*batch, 1, 1, n) + 3 * rand(*batch, n, n, 1) + 2 * waves(n, {1: 1.0})


def waves(n: int, amplitudes: dict[int, float]) -> torch.Tensor:
    t = torch.arange(n)
    r = t[:, None, None] + t[:, None] - t
    return sum(a * torch.cos(2 * math.pi * k * r.double() / n) for k, a in amplitudes.items())


def assert_same(found, expected):
    """All numbers are, those that there are none of among them."""
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, nan_ok=True), name


def some_mask(n: int, seed: int) -> torch.Tensor:
    mask = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    mask[0, 0], mask[-1, -1] = True, False
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
                if centring == "classes":
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


def addition(n: int) -> torch.Tensor:
    t = torch.arange(n)
    return (t[:, None] + t) % n


def slow_algorithm(L, keys):
    """The projection on the directions cos w_f (i + j - c), and nothing else."""
    n, out = len(L), np.zeros_like(L)
    centred = slow_centred(L, "double")
    for f in keys:
        u = waves(n, {f: 1.0}).numpy()
        out += (centred * u).sum() / (u * u).sum() * u
    return out


@pytest.mark.parametrize(("n", "keys"), [(7, (1, 3)), (6, (1, 3)), (8, (4,)), (5, (2,)), (3, (1,)), (2, (1,))])
class TestAgainstLoops:
    def test_cosines(self, n, keys):
        L = noise(n, 2).double().numpy()
        expected = [0.0] + [slow_cosine(slow_centred(L, "classes"), f) for f in range(1, n // 2 + 1)]
        np.testing.assert_allclose(logit_cosines(L), expected, atol=1e-12)

    def test_fve(self, n, keys):
        L = noise(n, 3).double().numpy()
        for centring in CENTRINGS:
            centred = slow_centred(L, centring)
            assert isinstance(logit_fve(L, keys, centring), float)
            cube = sum(slow_cosine(centred, f) ** 2 for f in keys)
            assert logit_fve(L, keys, centring) == pytest.approx(cube, abs=1e-12)
            directions = (slow_projection(centred, keys) ** 2).sum() / (centred**2).sum()
            assert logit_fve_directions(L, keys, centring) == pytest.approx(directions, abs=1e-12)

    def test_sum_fve(self, n, keys):
        L = slow_centred(noise(n, 4).double().numpy(), "double")
        projected = np.zeros((n, n, n))
        for r in range(n):
            orbit = [(i, j, (i + j - r) % n) for i in range(n) for j in range(n)]
            for at in orbit:
                projected[at] = sum(L[other] for other in orbit) / n**2
        expected = (projected**2).sum() / (L**2).sum()
        assert sum_fve(noise(n, 4)) == pytest.approx(expected, abs=1e-6)

    def test_progress(self, n, keys):
        L, mask = noise(n, 5).double().numpy(), some_mask(n, 5).numpy()
        found = progress(L, addition(n).numpy(), mask, keys)
        projection = slow_projection(L, keys)
        losses = {
            "": slow_losses(L),
            "restricted_": slow_losses(projection + L.mean((0, 1))),
            "algorithm_": slow_losses(slow_algorithm(L, keys)),
            "excluded_": slow_losses(L - projection),
        }
        for name, values in losses.items():
            by_subset = {"train": values[mask].mean(), "test": values[~mask].mean(), "all": values.mean()}
            default = {"": None, "excluded_": "train"}.get(name, "all")
            for subset, expected in by_subset.items():
                field = f"{name}loss" if subset == default else f"{name}loss_{subset}" if name else f"{subset}_loss"
                assert getattr(found, field) == pytest.approx(expected, abs=1e-12), field
        each = {f: slow_losses(L - slow_projection(L, [f]))[mask].mean() for f in keys}
        assert found.excluded_loss_each == pytest.approx(each, abs=1e-12)
        right = L.argmax(-1) == addition(n).numpy()
        assert (found.train_accuracy, found.test_accuracy) == pytest.approx((right[mask].mean(), right[~mask].mean()))
        still = right & ((L - projection).argmax(-1) == addition(n).numpy())
        for field, chosen in (("surviving", mask), ("surviving_test", ~mask)):
            share, n_right = still[chosen].sum() / max(right[chosen].sum(), 1), int(right[chosen].sum())
            value, low, high = (getattr(found, f"{field}{end}") for end in ("", "_low", "_high"))
            if n_right and binomtest(n_right, int(chosen.sum())).proportion_ci(method="exact").low > 1 / n:
                expected = binomtest(int(still[chosen].sum()), n_right).proportion_ci(method="exact")
                assert (value, low, high) == pytest.approx((share, expected.low, expected.high)), field
            else:
                assert np.isnan([value, low, high]).all()
        assert found.keys == keys
        assert found.fve == pytest.approx(logit_fve(L, keys), abs=1e-12)
        assert found.fve_directions == pytest.approx(logit_fve_directions(L, keys), abs=1e-12)
        assert found.fve_any_key == pytest.approx(sum_fve(L), abs=1e-12)


# ---- closed forms ----


@pytest.mark.parametrize("n", [9, 12, 23])
def test_a_cube_made_of_key_frequencies(n):
    amplitudes = {1: 3.0, 4: 4.0}
    cube = waves(n, amplitudes)
    cosines = logit_cosines(cube)
    assert cosines[[1, 4]].tolist() == pytest.approx([0.6, 0.8])
    assert cosines.square().sum().item() == pytest.approx(1.0)
    for centring in CENTRINGS:
        assert logit_fve(cube, (1, 4), centring) == pytest.approx(1.0)
        assert logit_fve(cube, (4,), centring) == pytest.approx(0.64)
        assert logit_fve_directions(cube, (1, 4), centring) == pytest.approx(1.0)
    assert sum_fve(cube) == pytest.approx(1.0)
    found = progress(cube, addition(n), some_mask(n, 0), (1, 4))
    full = slow_losses(cube.numpy()).mean()
    assert (found.restricted_loss, found.algorithm_loss) == pytest.approx((full, full))
    assert found.excluded_loss == pytest.approx(math.log(n))
    without = {1: slow_losses(waves(n, {4: 4.0}).numpy()).mean(), 4: slow_losses(waves(n, {1: 3.0}).numpy()).mean()}
    assert found.excluded_loss_each == pytest.approx(without)


def test_the_highest_frequency_of_an_even_group_has_a_cosine_only():
    cube = waves(8, {4: 2.0})
    assert logit_cosines(cube).tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-12)
    assert logit_fve_directions(cube, (4,)) == pytest.approx(1.0)
    assert progress(cube, addition(8), some_mask(8, 0), (4,)).excluded_loss == pytest.approx(math.log(8))


def test_a_sine_of_the_orbit_counts_in_sum_fve_but_has_no_cosine():
    t = torch.arange(7)
    cube = torch.sin(2 * math.pi * 2 * (t[:, None, None] + t[:, None] - t).double() / 7)
    assert sum_fve(cube) == pytest.approx(1.0)
    assert logit_cosines(cube).abs().max().item() < 1e-12
    assert logit_fve_directions(cube, (2,)) == pytest.approx(1.0)


def test_a_lookup_table_is_not_the_fourier_algorithm():
    n = 11
    generator = torch.Generator().manual_seed(0)
    memorized = torch.nn.functional.one_hot(torch.randint(n, (n, n), generator=generator), n) * 10.0
    assert sum_fve(memorized) < 0.03
    assert logit_fve(memorized, (1, 2, 3, 4, 5)) < 0.03


def quadratic_network(p: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of Gromov's closed form for addition modulo p, and its hidden weights (arXiv 2301.02679, section 3).

    One hidden layer of squares with weights cos(w_k a + f1), cos(w_k b + f2), and cos(w_k c + f1 + f2) to the logits.
    """
    generator = torch.Generator().manual_seed(seed)
    k = torch.randint(1, (p + 1) // 2, (width,), generator=generator)
    first, second = (2 * math.pi * torch.rand(width, generator=generator, dtype=torch.float64) for _ in range(2))
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64)[:, None] / p
    hidden = (torch.cos(angle + first)[:, None] + torch.cos(angle + second)).square()
    return hidden @ torch.cos(angle + first + second).T, torch.cos(angle + first)


def test_the_closed_form_quadratic_network_is_recognized():
    """A network that is exact by construction: no training, no published weights."""
    p = 31
    logits, hidden = quadratic_network(p, 20_000, 0)
    found = progress(logits, addition(p), some_mask(p, 0), range(1, p // 2 + 1))
    assert (found.train_accuracy, found.test_accuracy) == (1.0, 1.0)
    assert found.fve > 0.9  # what is left falls as one over the width
    assert found.fve_any_key == pytest.approx(found.fve, abs=0.01)
    from probe.measures.fourier import fourier_norms, inverse_participation_ratio

    by_neuron = fourier_norms(hidden.T.unsqueeze(-1))  # each neuron is a wave of one frequency: one or two rows
    assert (inverse_participation_ratio(by_neuron) >= 0.5 - 1e-9).all()
    untrained = torch.randn(p, p, p, generator=torch.Generator().manual_seed(0))
    assert sum_fve(untrained) < 0.01


def test_no_key_frequencies():
    cube, mask = noise(5, 0), some_mask(5, 0)
    assert logit_fve(cube, ()) == 0
    assert logit_fve_directions(cube, ()) == 0
    found = progress(cube, addition(5), mask, ())
    assert found.excluded_loss == pytest.approx(found.train_loss)
    assert found.excluded_loss_each == {}
    biases = cube.double().mean((0, 1)).expand(5, 5, 5).numpy()
    assert found.restricted_loss == pytest.approx(slow_losses(biases).mean())
    assert found.algorithm_loss == pytest.approx(math.log(5))


def test_default_conventions():
    cube = noise(7, 0)
    assert logit_fve(cube, (1, 2)) == logit_fve(cube, (1, 2), "double")
    assert logit_fve_directions(cube, (1, 2)) == logit_fve_directions(cube, (1, 2), "inputs")
    assert len({logit_fve(cube, (1, 2), centring) for centring in CENTRINGS}) == 4  # they differ on this cube


# ---- properties ----


@settings(deadline=None)
@given(n=st.integers(3, 12), seed=st.integers(0, 10**6))
def test_what_the_softmax_does_not_see_changes_no_loss_and_no_centred_measure(n, seed):
    cube, mask = noise(n, seed).double(), some_mask(n, seed)
    per_input = 100 * torch.rand(n, n, 1, generator=torch.Generator().manual_seed(seed)).double()
    keys = tuple(range(1, n // 2 + 1))[:2]
    before, after = (progress(x, addition(n), mask, keys) for x in (cube, cube + per_input))
    for name in ("train_loss", "restricted_loss", "algorithm_loss", "excluded_loss", "excluded_loss_test", "fve"):
        assert getattr(after, name) == pytest.approx(getattr(before, name))
    for measure in (logit_cosines, sum_fve, lambda x: logit_fve_directions(x, keys, "double")):
        torch.testing.assert_close(measure(cube + per_input), measure(cube))


@settings(deadline=None)
@given(n=st.integers(3, 12), seed=st.integers(0, 10**6), scale=st.floats(1e-2, 1e2))
def test_fractions_are_ordered_and_do_not_see_the_scale(n, seed, scale):
    cube = noise(n, seed).double()
    keys = tuple(range(1, n // 2 + 1))
    for centring in CENTRINGS:
        fve = logit_fve(cube, keys, centring)
        directions = logit_fve_directions(cube, keys, centring)
        assert 0 <= fve <= directions + 1e-12 <= 1 + 1e-9
        assert logit_fve(scale * cube, keys, centring) == pytest.approx(fve)
        assert logit_fve_directions(scale * cube, keys, centring) == pytest.approx(directions)
    assert logit_fve(cube, keys) <= sum_fve(cube) + 1e-12
    # the squares of all cosines are the FVE of all frequencies, centred over answers
    assert logit_cosines(cube).square().sum().item() == pytest.approx(logit_fve(cube, keys, "classes"))


@settings(deadline=None)
@given(n=st.integers(3, 10), seed=st.integers(0, 10**6), shift=st.integers(0, 10))
def test_relabelling_the_inputs_by_a_rotation_and_the_answers_with_them_changes_nothing(n, seed, shift):
    cube = noise(n, seed).double()
    moved = cube.roll((shift, shift), dims=(0, 2))  # (i + s) + j has the answer k + s
    torch.testing.assert_close(logit_cosines(moved), logit_cosines(cube))


@settings(deadline=None, max_examples=30)
@given(p=st.integers(2, 12), data=st.data(), seed=st.integers(0, 10**6))
def test_other_operations_are_the_same_after_renaming(p, data, seed):
    """u a + v b + w: the logits of a network that adds, with its tokens renamed, give the numbers of addition."""
    units = [u for u in range(1, p) if math.gcd(u, p) == 1]
    u, v = data.draw(st.sampled_from(units)), data.draw(st.sampled_from(units))
    w = data.draw(st.integers(0, p - 1))
    cube, mask = noise(p, seed).double(), some_mask(p, seed)
    t = torch.arange(p)
    i, j = (u * t + w) % p, (v * t) % p  # token a stands for i[a]
    renamed = progress(cube[i[:, None], j], (i[:, None] + j) % p, mask[i[:, None], j], (1,))
    plain = progress(cube, addition(p), mask, (1,))
    assert vars(renamed).keys() == vars(plain).keys()
    assert_same(renamed, plain)


@pytest.mark.parametrize("operation", ["a*b", "a/b"])
def test_products_and_quotients_go_through_the_discrete_logarithm(operation):
    p = 11
    logarithm = {pow(2, e, p): e for e in range(p - 1)}  # 2 generates the units modulo 11
    sign = 1 if operation == "a*b" else -1
    cube = torch.randn(p, p, p, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    answers = torch.zeros(p, p, dtype=torch.int64)
    for a in range(1, p):
        for b in range(1, p):
            answers[a, b] = a * pow(b, sign, p) % p
            for c in range(1, p):
                e = logarithm[a] + sign * logarithm[b] - logarithm[c]
                cube[a, b, c] = 5 * math.cos(2 * math.pi * 3 * e / 10)
    found = progress(cube, answers, some_mask(p, 0))
    assert (found.keys, found.test_accuracy) == ((3,), 1.0)
    assert found.fve == pytest.approx(1.0)
    assert found.excluded_loss == pytest.approx(math.log(10))


def products(p: int) -> torch.Tensor:
    t = torch.arange(p)
    return t[:, None] * t % p


def units(p: int) -> torch.Tensor:
    """The inputs without a zero."""
    return (torch.arange(p)[:, None] > 0) & (torch.arange(p) > 0)


def test_of_a_product_inputs_with_a_zero_and_the_answer_zero_are_left_out():
    p = 7
    cube, mask = noise(p, 0).double(), some_mask(p, 0)
    found = progress(cube, products(p), mask, (1,))
    losses = slow_product_losses(cube.numpy()[1:, 1:, 1:])
    kept = mask[1:, 1:].numpy()
    assert found.train_loss == pytest.approx(losses[kept].mean())
    assert found.test_loss == pytest.approx(losses[~kept].mean())
    right = cube[1:, 1:, 1:].argmax(-1) + 1 == products(p)[1:, 1:]
    assert found.train_accuracy == right.numpy()[kept].mean()
    # what the network says of zero is not looked at
    loud = cube.clone()
    loud[0], loud[:, 0], loud[..., 0] = 100.0, -100.0, 1e3
    assert_same(progress(loud, products(p), mask, (1,)), found)


def slow_product_losses(L):
    n = len(L)
    answer = [[(i + 1) * (j + 1) % (n + 1) - 1 for j in range(n)] for i in range(n)]
    return np.array(
        [[math.log(sum(math.exp(x) for x in L[i, j])) - L[i, j, answer[i][j]] for j in range(n)] for i in range(n)]
    )


def test_leading_dimensions_are_a_batch_whatever_the_parts_it_is_worked_on_in(monkeypatch):
    cube, mask, keys = noise(6, 0, 2, 3), some_mask(6, 0), (3, 1)
    measures = (
        logit_cosines,
        sum_fve,
        lambda x: logit_fve(x, keys),
        lambda x: logit_fve_directions(x, keys),
        lambda x: torch.as_tensor(progress(x, addition(6), mask, keys).excluded_loss_each[3]),
        lambda x: torch.as_tensor(progress(x, addition(6), mask, keys).restricted_loss_test),
    )
    for part_bytes in (1, 4 * 8 * 6**3, 2**28):
        monkeypatch.setattr(cube_module, "_PART_BYTES", part_bytes)
        for measure in measures:
            together = measure(cube)
            assert together.dtype == torch.float64
            for i in range(2):
                for j in range(3):
                    torch.testing.assert_close(together[i, j], torch.as_tensor(measure(cube[i, j].numpy())).double())


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda keys: [np.int64(k) for k in keys]])
def test_frequencies_may_be_an_array_or_a_tensor(kind):
    cube, keys = noise(7, 0).double(), [3, 1]
    for measure in (logit_fve, logit_fve_directions):
        assert measure(cube, kind(keys)) == measure(cube, keys)
    found, plain = (progress(cube, addition(7), some_mask(7, 0), k) for k in (kind(keys), keys))
    assert_same(found, plain)
    assert found.keys == (3, 1)
    assert [type(k) for k in (*found.keys, *found.excluded_loss_each)] == [int] * 4


# ---- wrong input ----


@pytest.mark.parametrize(
    "keys", [(0,), (4,), (1, 1), (-1,), torch.tensor([2, 2]), np.array([2, 2]), [2.5], ["2"], "2", 5, torch.ones(1)]
)
def test_frequencies_outside_the_group_or_twice_are_refused(keys):
    cube = noise(7, 0)
    for measure in (logit_fve, logit_fve_directions, lambda x, k: progress(x, addition(7), some_mask(7, 0), k)):
        with pytest.raises(ValueError, match="frequencies: "):
            measure(cube, keys)
    for measure in (logit_fve, logit_fve_directions):
        with pytest.raises(ValueError, match="frequencies: None given"):
            measure(cube, None)


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 6), (6, 5, 5), (1, 1, 1), (0, 5, 5, 5)])
def test_what_is_not_a_cube_is_refused(shape):
    with pytest.raises(ValueError, match="logits: shape"):
        sum_fve(torch.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    cube = noise(5, 0)
    cube[1, 2, 3] = value
    for measure in (logit_cosines, sum_fve, lambda x: progress(x, addition(5), some_mask(5, 0), (1,))):
        with pytest.raises(ValueError, match=rf"logits: {value} given at \[1, 2, 3\]"):
            measure(cube)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_without_an_input_or_an_answer_in_them_are_refused(dtype):
    t = torch.arange(5, dtype=dtype)
    constants = (
        torch.full((5, 5, 5), 3.7, dtype=dtype),
        torch.zeros(5, 5, 5, dtype=dtype),
        (t / 3).expand(5, 5, 5),
        (t[:, None] + t).unsqueeze(-1).expand(5, 5, 5) * 0.1,
        t[:, None, None] + t[:, None] + t * 0.3,
    )
    for constant in constants:
        for measure in (logit_cosines, sum_fve, lambda x: logit_fve(x, (1,))):
            with pytest.raises(ValueError, match="logits: given the same for every input, or for every answer"):
                measure(constant)
        for batch, place in ((torch.stack([noise(5, 0).to(dtype), constant]), 1), (constant[None, None], "0, 0")):
            with pytest.raises(ValueError, match=rf"logits: given the same .*, at \[{place}\] up to the rounding"):
                sum_fve(batch)


def test_a_dead_checkpoint_is_named_whatever_the_parts_the_batch_is_worked_on_in(monkeypatch):
    cubes = noise(5, 0, 2, 3)
    cubes[1, 0] = 2.5
    for part_bytes in (1, 2 * 8 * 5**3, 2**28):
        monkeypatch.setattr(cube_module, "_PART_BYTES", part_bytes)
        with pytest.raises(ValueError, match=r"at \[1, 0\] up to the rounding of the largest, 2\.5; expected"):
            progress(cubes, addition(5), some_mask(5, 0), (1,))


def test_logits_beside_a_huge_one_are_refused_for_what_is_true():
    cube = noise(5, 0).float()
    cube[..., 2] = -1e9  # a masked answer: float32 has no digits left for the differences of the others about it
    with pytest.raises(ValueError, match=r"logits: given the same .* up to the rounding of the largest, 1e\+09;"):
        logit_fve(cube, (1,))


def test_a_small_structure_on_large_logits_is_not_constant():
    cube = waves(7, {2: 1e-6}) + 1e3
    assert logit_fve(cube, (2,)) == pytest.approx(1.0, abs=1e-4)


def test_masks_answers_and_centrings_that_do_not_exist_are_refused():
    cube = noise(5, 0)
    wrong = (
        (addition(5), torch.ones(4, 4), r"train_mask: shape \(4, 4\)"),
        (addition(5), torch.ones(5, 5), "train_mask: true for every input"),
        (addition(5), torch.zeros(5, 5), "train_mask: true for no input"),
        (products(5), units(5), "train_mask: true for every input without a zero given"),
        (products(5), ~units(5), "train_mask: true for no input without a zero given"),
        (addition(5), 2 * torch.eye(5), "train_mask: numbers other than 0 and 1"),
        (addition(7), some_mask(7, 0), r"logits: shape \(5, 5, 5\) given, expected \[\*batch, 7, 7, 7\]"),
        (addition(5)[:, :4], some_mask(5, 0), r"answers: shape \(5, 4\)"),
        (addition(5) ** 2 % 5, some_mask(5, 0), "answers: a 5 x 5 table given that is no addition"),
        (addition(5) + 0.5, some_mask(5, 0), r"answers: shape \(5, 5\) given, expected integers"),
    )
    for answers, mask, message in wrong:
        with pytest.raises(ValueError, match=message):
            progress(cube, answers, mask, (1,))
    with pytest.raises(ValueError, match="frequencies: None given for a batch"):
        progress(noise(5, 0, 2), addition(5), some_mask(5, 0))
    for measure in (logit_fve, logit_fve_directions):
        with pytest.raises(ValueError, match="centring: 'both' given, expected one of none, classes"):
            measure(cube, (1,), "both")
