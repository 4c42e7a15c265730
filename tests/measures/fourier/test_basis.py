import math

import numpy as np
import pytest
import torch

from probe.measures.fourier import fourier_basis, fourier_targets


@pytest.mark.parametrize("p", range(2, 41))
def test_basis_is_orthonormal(p):
    F = fourier_basis(p)
    torch.testing.assert_close(F @ F.T, torch.eye(p, dtype=torch.float64), atol=1e-13, rtol=0)


@pytest.mark.parametrize("p", [2, 5, 8, 113])
def test_basis_rows_are_constant_then_cosine_and_sine_of_each_frequency(p):
    F = fourier_basis(p)
    for t in range(p):
        assert F[0, t].item() == pytest.approx(1 / math.sqrt(p))
        for k in range(1, (p - 1) // 2 + 1):
            assert F[2 * k - 1, t].item() == pytest.approx(math.cos(2 * math.pi * k * t / p) * math.sqrt(2 / p))
            assert F[2 * k, t].item() == pytest.approx(math.sin(2 * math.pi * k * t / p) * math.sqrt(2 / p))
        if p % 2 == 0:
            assert F[-1, t].item() == pytest.approx((-1) ** t / math.sqrt(p))


def test_a_basis_is_the_callers_own():
    fourier_basis(6).zero_()
    assert fourier_basis(6)[0, 0] > 0


@pytest.mark.parametrize("p", [0, 1, -3])
def test_basis_needs_two_tokens(p):
    with pytest.raises(ValueError, match=f"p: {p} given, expected at least 2"):
        fourier_basis(p)


@pytest.mark.parametrize("p", [5.5, 5.0, "5", None])
def test_basis_needs_a_whole_number_of_tokens(p):
    with pytest.raises(ValueError, match=f"p: {p!r} given, expected an integer"):
        fourier_basis(p)
    assert torch.equal(fourier_basis(np.int64(5)), fourier_basis(5))


@pytest.mark.parametrize("p", [2, 7, 12, 113])
def test_targets_are_cosine_and_sine_of_each_frequency(p):
    c = torch.tensor([0, 1, p - 1, p, -1, 5])  # tokens are taken mod p
    targets = fourier_targets(c, p)
    assert targets.values.shape == (6, p - 1)
    columns = zip(targets.names, targets.frequencies, targets.values.T.tolist(), strict=True)
    for name, k, column in columns:
        wave, named = name.split()
        assert int(named) == k
        function = {"cos": math.cos, "sin": math.sin}[wave]
        assert column == pytest.approx([function(2 * math.pi * k * t / p) for t in c.tolist()], abs=1e-12)
    expected = [(wave, k) for k in range(1, p // 2 + 1) for wave in ("cos", "sin") if wave == "cos" or 2 * k < p]
    assert targets.names == tuple(f"{wave} {k}" for wave, k in expected)


def test_targets_of_chosen_frequencies_keep_their_order():
    every, chosen = fourier_targets(np.arange(11), 11), fourier_targets(np.arange(11), 11, [4, 2])
    assert chosen.names == ("cos 4", "sin 4", "cos 2", "sin 2")
    assert chosen.frequencies == (4, 4, 2, 2)
    torch.testing.assert_close(chosen.values, every.values[:, [6, 7, 2, 3]])
    for kind in (np.array, torch.tensor):
        of_kind = fourier_targets(np.arange(11), 11, kind([4, 2]))
        assert of_kind.frequencies == (4, 4, 2, 2)
        torch.testing.assert_close(of_kind.values, chosen.values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.arange(5), 9, [5]), "frequencies: frequency 5 given, expected 1 to 4.* same frequency as 4"),
        ((torch.arange(5), 9, torch.tensor([3, 3])), r"frequencies: \[3, 3\] given, expected each number once"),
        ((torch.arange(5), 9, [2.5]), r"frequencies: 2\.5 given, expected an integer"),
        ((torch.arange(5), 9, []), "frequencies: none given, expected one or more of 1 to 4"),
        ((torch.ones(5), 9), r"c: torch.float32 of shape \(5,\) given, expected integers, one per example"),
        ((torch.ones(5, 1, dtype=torch.int64), 9), r"c: torch.int64 of shape \(5, 1\) given"),
    ],
)
def test_wrong_targets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fourier_targets(*arguments)
