"""Metrics about an order of tokens and about key frequencies, against sums written out and the losses of the cube."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from circuits.metrics import Asked, greater_than, key_frequency_loss
from probe.measures.fourier import progress


def asked(logits, answers, wrong=None, first=0):
    wrong = None if wrong is None else torch.as_tensor(wrong)
    return Asked(range(first, first + len(logits)), torch.as_tensor(answers), wrong, logits)


@given(st.permutations(range(6)), st.integers(0, 5), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_what_is_beyond_the_line_less_what_is_not(order, right, wrong, seed):
    """Of eight tokens six have an order; each is added up by itself."""
    if right == wrong:
        return
    logits = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
    p = softmax(logits.double().numpy()[0])
    expected = 0.0
    for place, token in enumerate(order):
        if (place - right) * (right - wrong) >= 0:
            expected += p[token]
        elif (place - wrong) * (wrong - right) >= 0:
            expected -= p[token]
    metric = greater_than(order)
    found = metric(logits, asked(logits, [order[right]], [order[wrong]]))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, abs=1e-6)
    assert metric(logits, asked(logits, [order[wrong]], [order[right]])).item() == pytest.approx(-expected, abs=1e-6)


def test_each_pair_has_a_line_of_its_own():
    """Odds on paper: years 1 to 4, of which 3 and 4 are half."""
    logits = torch.tensor([[0.0, 0.0, np.log(2), np.log(2)]]).repeat(3, 1)
    found = greater_than([0, 1, 2, 3])(logits, asked(logits, [1, 2, 3], [0, 1, 2]))
    assert found.tolist() == pytest.approx([4 / 6, 2 / 6, -2 / 6])
    assert greater_than([0, 1]).direction == 1
    values = greater_than([0, 1, 2, 3])(logits.requires_grad_(), asked(logits, [1, 2, 3], [0, 1, 2]))
    assert torch.autograd.grad(values.sum(), logits)[0].abs().min() > 0


P, KEYS = 11, [2, 5]
A, B = np.mgrid[0:P, 0:P]
SUM = (A + B) % P


def loss_of(cube, keys=KEYS):
    """The metric on all questions, with a token more than there are answers."""
    cube = torch.as_tensor(cube)
    logits = torch.cat([cube.flatten(0, 1), torch.full((P * P, 1), 50.0)], 1)
    metric = key_frequency_loss(P, keys, cube.mean((0, 1)))
    return metric(logits, asked(logits, SUM.ravel())).reshape(P, P)


def loss_of_cube(cube, keys=KEYS):
    return progress(cube, SUM, A < 5, keys).restricted_loss


def cube_of(seed=0):
    """A function of a + b - c, a bias of each answer, and what the softmax does not see."""
    drawn = np.random.default_rng(seed)
    quotient = (A[..., None] + B[..., None] - np.arange(P)) % P
    return drawn.normal(size=P)[quotient] * 2 + drawn.normal(size=P) + drawn.normal(size=(P, P, 1))


@pytest.mark.parametrize("keys", [[1], [2, 5], [1, 2, 3, 4, 5]])
def test_the_loss_is_the_restricted_loss_of_the_cube_where_logits_are_of_a_plus_b_less_c(keys):
    for seed in range(3):
        assert loss_of(cube_of(seed), keys).mean().item() == pytest.approx(loss_of_cube(cube_of(seed), keys), rel=1e-9)


def test_and_of_any_function_of_a_plus_b_and_c_within_key_frequencies():
    drawn = np.random.default_rng(1)
    phases = drawn.normal(size=(5, 5, 2, 2))
    angles = 2 * np.pi * np.outer(np.arange(1, 6), np.arange(P)) / P
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    key = np.array([False, True, False, False, True])
    phases[key[:, None] != key] = 0
    cube = np.einsum("klij,kis,ljc->sc", phases, waves, waves)[SUM]
    assert loss_of(cube).mean().item() == pytest.approx(loss_of_cube(cube), rel=1e-9)
    # where frequencies of the question and of the answer are mixed, the two are not the same
    phases[1, 2], phases[2, 1] = 1.0, -1.0
    mixed = np.einsum("klij,kis,ljc->sc", phases, waves, waves)[SUM]
    assert abs(loss_of(mixed).mean().item() - loss_of_cube(mixed)) > 0.01


def test_the_loss_depends_on_no_other_frequency_and_no_other_token():
    cube, other = torch.as_tensor(cube_of()), torch.arange(P).double() * 2 * torch.pi * 3 / P
    moved = cube.clone()
    moved[3, 4] += 7 * torch.cos(other) + 3
    metric = key_frequency_loss(P, KEYS, cube.mean((0, 1)))
    one, two = (
        metric(torch.cat([rows, torch.full((1, 1), extra)], 1), asked(rows, [7]))
        for rows, extra in ((cube[3, 4][None], 0.0), (moved[3, 4][None], 30.0))
    )
    assert one.item() == pytest.approx(two.item(), rel=1e-9)
    assert metric.direction == -1
    pair = cube[3, 4][None].clone().requires_grad_()
    gradient = torch.autograd.grad(metric(pair, asked(pair, [7])).sum(), pair)[0][0]
    step = 1e-5 * torch.randn(P, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    up, down = (metric(pair.detach() + sign * step, asked(pair, [7])).item() for sign in (1, -1))
    assert (gradient @ step).item() * 2 == pytest.approx(up - down, rel=1e-5)


def test_even_moduli_have_a_frequency_without_a_sine():
    cube = (-1.0) ** np.add.outer(np.add.outer(np.arange(4), np.arange(4)), np.arange(4))
    logits = torch.as_tensor(cube.reshape(16, 4))
    answers = np.add.outer(np.arange(4), np.arange(4)).ravel() % 4
    found = key_frequency_loss(4, [2], logits.mean(0))(logits, asked(logits, answers))
    expected = -np.log(np.e / (2 * np.e + 2 / np.e))
    assert found.tolist() == pytest.approx([expected] * 16)


def test_what_is_refused():
    logits = torch.zeros(2, 4)
    for tokens in ([], [1], [1, 1], [-1, 2]):
        with pytest.raises(ValueError, match=r"tokens: got .*; expected two or more, each once"):
            greater_than(tokens)
    with pytest.raises(ValueError, match="line between two answers; expected pairs with wrong_answers"):
        greater_than([0, 1])(logits, asked(logits, [0, 1]))
    with pytest.raises(ValueError, match="tokens: got 9; the model has logits 0 to 3"):
        greater_than([0, 9])(logits, asked(logits, [0, 0], [1, 1]))
    with pytest.raises(ValueError, match="pair 6 has the answer 3, which is not among the tokens"):
        greater_than([0, 1])(logits, asked(logits, [0, 3], [1, 1], first=5))
    with pytest.raises(ValueError, match=r"class_means: got shape \[4\]; expected \[5\]"):
        key_frequency_loss(5, [1], torch.zeros(4))
    with pytest.raises(ValueError, match="frequencies: frequency 3 given, expected 1 to 2"):
        key_frequency_loss(5, [3], torch.zeros(5))
    with pytest.raises(ValueError, match="tokens: got 4; the model has logits 0 to 3"):
        key_frequency_loss(5, [1], torch.zeros(5))(logits, asked(logits, [0, 1]))
    with pytest.raises(ValueError, match="pair 1 has the answer 3; expected 0 to 2"):
        key_frequency_loss(3, [1], torch.zeros(3))(logits, asked(logits, [0, 3]))
