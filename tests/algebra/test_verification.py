"""What ``verify`` refuses: irreps with one thing wrong."""

from dataclasses import replace

import numpy as np
import pytest

from probe.algebra import Irrep, group, verify
from probe.algebra.verification import check_irreps


def with_irreps(name, **changed):
    """The group with other matrices (or None: without it) for some irreps."""
    g = group(name)
    irreps = {irrep.name: irrep.matrices for irrep in g.irreps.values()} | changed
    made = [Irrep(each, matrices.copy()) for each, matrices in irreps.items() if matrices is not None]
    return replace(g, closed_form=lambda _: made)


def direct_sum(one, other):
    d, e = one.shape[-1], other.shape[-1]
    matrices = np.zeros((len(one), d + e, d + e))
    matrices[:, :d, :d], matrices[:, d:, d:] = one, other
    return matrices


@pytest.mark.parametrize("name", ["C5", "D4", "S4", "A4", "C2xC4"])
def test_right_irreps_pass(name):
    verify(group(name))
    verify(with_irreps(name))


def test_matrices_that_do_not_multiply_as_the_group_does():
    g = group("S4")
    standard = g.irreps["standard"].matrices
    one_off = standard.copy()
    one_off[7] *= -1
    for matrices in (one_off, standard + 1e-9, np.roll(standard, 1, axis=0)):
        with pytest.raises(ValueError, match=r"^irreps: S4 standard: is not a homomorphism \(by "):
            verify(with_irreps("S4", standard=matrices))
    # the transposes are those of a -> a^-1, which turns products around
    with pytest.raises(ValueError, match="S4 standard: is not a homomorphism"):
        verify(with_irreps("S4", standard=standard.transpose(0, 2, 1).copy()))


def test_matrices_that_are_not_orthogonal():
    skew = np.array([[1.0, 0.5], [0.0, 1.0]])
    matrices = skew @ group("S3").irreps["standard"].matrices @ np.linalg.inv(skew)
    with pytest.raises(ValueError, match="irreps: S3 standard: matrices are not orthogonal"):
        verify(with_irreps("S3", standard=matrices))


def test_a_representation_that_is_reducible():
    irreps = group("S4").irreps
    both = direct_sum(irreps["standard"].matrices, irreps["sign"].matrices)
    with pytest.raises(ValueError, match=r"S4 standard: <chi, chi> = 2 with mean chi\(g\^2\) = 2, as no irrep has"):
        verify(with_irreps("S4", standard=both))
    twice = direct_sum(irreps["standard"].matrices, irreps["standard"].matrices)
    with pytest.raises(ValueError, match=r"<chi, chi> = 4 with mean chi\(g\^2\) = 2"):
        verify(with_irreps("S4", standard=twice))


def test_one_that_is_missing_or_there_twice():
    with pytest.raises(ValueError, match=r"S4: ranks dim\^2 / c sum to 20, expected the order 24"):
        verify(with_irreps("S4", **{"[2,2]": None}))
    sign = group("S4").irreps["sign"].matrices
    with pytest.raises(ValueError, match=r"S4: ranks .* sum to 25"):
        verify(with_irreps("S4", again=sign))
    # the ranks still sum to the order
    with pytest.raises(ValueError, match="S4 has 8, expected 5: one per class of g and g"):
        verify(with_irreps("S4", **{"[2,2]": None}, a=sign, b=sign, c=sign, d=sign))
    with pytest.raises(ValueError, match=r"S4: bases are not orthonormal \(by 1\)"):
        verify(with_irreps("S4", sign=group("S4").irreps["trivial"].matrices))


def test_complex_matrices_that_are_not_in_blocks():
    irreps = list(group("A4xC3").irreps.values())
    six = next(irrep for irrep in irreps if irrep.dim == 6)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    others = [irrep for irrep in irreps if irrep is not six]
    with pytest.raises(ValueError, match="bases are not orthonormal"):
        check_irreps(group("A4xC3"), [*others, Irrep(six.name, turn @ six.matrices @ turn.T)])
