"""Irreps by formula: cyclic, dihedral, symmetric. Characters from textbooks; the theorems of Schur and Peter-Weyl."""

import itertools
import math

import numpy as np
import pytest

from probe.algebra import group, verify
from probe.algebra.symmetric import partitions, standard_tableaux, transposition

NAMED = ["C2", "C3", "C4", "C113", "D2", "D3", "D4", "D59", "S2", "S3", "S4", "S5", "S6", "A3", "A4", "A5", "A6"]
PRODUCTS = ["C2xC4", "S3xC2", "C2xC2xC3", "A4xC3"]
GOLDEN = (1 + 5**0.5) / 2


def by_class(g, irrep):
    """Character at each class, which has to be constant on it."""
    values = [irrep.character[list(each)] for each in g.conjugacy_classes]
    assert all(np.ptp(each) < 1e-12 for each in values)
    return np.array([each[0] for each in values])


def labelled(g, irrep, *labels):
    return [round(float(irrep.character[g.elements.index(label)]), 12) for label in labels]


@pytest.mark.parametrize("name", [*NAMED, *PRODUCTS])
def test_irreps_are_what_they_are_said_to_be(name):
    """By other means than ``verify``, which is run as well."""
    g = group(name)
    verify(g)
    n = g.order
    assert list(g.irreps) == [irrep.name for irrep in g.irreps.values()]
    assert next(iter(g.irreps)) == "trivial"
    assert (g.irreps["trivial"].matrices == 1).all()
    for irrep in g.irreps.values():
        d = irrep.dim
        assert irrep.matrices.shape == (n, d, d)
        assert irrep.matrices.dtype == np.float64
        for a in range(0, n, 1 + n // 120):
            np.testing.assert_allclose(irrep.matrices[a] @ irrep.matrices, irrep.matrices[g.table[a]], atol=1e-11)
        np.testing.assert_allclose(irrep.matrices[g.inverse], irrep.matrices.transpose(0, 2, 1), atol=1e-11)
        by_class(g, irrep)
        c = irrep.endomorphism_dim
        assert {"real": 1, "complex": 2, "quaternionic": 4}[irrep.kind] == c
        assert abs(np.mean(irrep.character**2) - c) < 1e-10
        assert irrep.rank * c == d * d
        assert np.linalg.matrix_rank(irrep.matrices.reshape(n, d * d), tol=1e-8) == irrep.rank
        kernel = [a for a in range(n) if np.abs(irrep.matrices[a] - np.eye(d)).max() < 1e-6]
        assert irrep.faithful == (kernel == [0])
    for one, other in itertools.combinations(list(g.irreps.values())[:20], 2):
        assert abs(np.mean(one.character * other.character)) < 1e-10


@pytest.mark.parametrize("name", ["C3", "C4", "C12", "D3", "D4", "S3", "S4", "S5", "A4", "A5", "C2xC4", "A4xC3"])
def test_bases_are_orthonormal_complete_and_project_by_convolution(name):
    g = group(name)
    n = g.order
    bases = {irrep.name: irrep.basis for irrep in g.irreps.values()}
    together = np.concatenate(list(bases.values()))
    np.testing.assert_allclose(together @ together.T, np.eye(n), atol=1e-12)
    rng = np.random.default_rng(0)
    f = rng.standard_normal(n)
    for irrep in g.irreps.values():
        basis = bases[irrep.name]
        assert basis.shape == (irrep.rank, n)
        weight = irrep.dim / irrep.endomorphism_dim / n
        convolved = [weight * sum(f[y] * irrep.character[g.table[g.inverse[y], x]] for y in range(n)) for x in range(n)]
        np.testing.assert_allclose(basis.T @ (basis @ f), convolved, atol=1e-12)
        # matrix elements lie in the span
        elements = irrep.matrices.reshape(n, -1)
        np.testing.assert_allclose(basis.T @ (basis @ elements), elements, atol=1e-12)


@pytest.mark.parametrize("name", ["C5", "C6", "C113"])
def test_cyclic_irreps_are_the_frequencies(name):
    g = group(name)
    n = g.order
    t = np.arange(n)
    names = ["trivial", *(f"k={k}" for k in range(1, n // 2 + 1))]
    assert list(g.irreps) == names
    for k, irrep in enumerate(g.irreps.values()):
        one_dimensional = k == 0 or 2 * k == n
        assert (irrep.dim, irrep.kind) == ((1, "real") if one_dimensional else (2, "complex"))
        np.testing.assert_allclose(irrep.character, irrep.dim * np.cos(2 * np.pi * k * t / n), atol=1e-12)
        assert irrep.faithful == (math.gcd(k, n) == 1)
        cos_sin = [np.cos(2 * np.pi * k * t / n)] + ([] if one_dimensional else [np.sin(2 * np.pi * k * t / n)])
        expected = [row / np.linalg.norm(row) for row in cos_sin]
        np.testing.assert_allclose(irrep.basis, expected, atol=1e-12)
    quarter = group("C4").irreps["k=1"].matrices[1]
    np.testing.assert_allclose(quarter, [[0, -1], [1, 0]], atol=1e-15)


def test_c113_has_57_irreps_and_d59_31():
    assert len(group("C113").irreps) == 57
    d59 = group("D59").irreps
    assert len(d59) == 31
    assert [irrep.dim for irrep in d59.values()] == [1, 1] + [2] * 29
    assert {irrep.kind for irrep in d59.values()} == {"real"}
    assert list(d59) == ["trivial", "sign", *(f"k={k}" for k in range(1, 30))]
    assert all(d59[f"k={k}"].faithful for k in range(1, 30))


@pytest.mark.parametrize("n", [2, 4, 5, 6, 12])
def test_dihedral_irreps_are_those_of_the_textbook(n):
    g = group(f"D{n}")
    t = np.arange(n)
    minus = (-1.0) ** t
    ones = np.ones(n)
    expected = {"trivial": [*ones, *ones], "sign": [*ones, *-ones]}
    if n % 2 == 0:
        expected |= {f"k={n // 2}+": [*minus, *minus], f"k={n // 2}-": [*minus, *-minus]}
    expected |= {f"k={k}": [*2 * np.cos(2 * np.pi * k * t / n), *0 * ones] for k in range(1, (n + 1) // 2)}
    assert list(g.irreps) == list(expected)
    for name, character in expected.items():
        np.testing.assert_allclose(g.irreps[name].character, character, atol=1e-12)
    if n > 2:
        c, s = np.cos(2 * np.pi / n), np.sin(2 * np.pi / n)
        np.testing.assert_allclose(g.irreps["k=1"].matrices[1], [[c, -s], [s, c]], atol=1e-12)
        np.testing.assert_allclose(g.irreps["k=1"].matrices[n], [[1, 0], [0, -1]], atol=1e-12)


S5_CLASSES = ("()", "(0 1)", "(0 1)(2 3)", "(0 1 2)", "(0 1 2)(3 4)", "(0 1 2 3)", "(0 1 2 3 4)")
S5_CHARACTERS = {  # James and Liebeck, Representations and Characters of Groups, chapter 19
    "trivial": [1, 1, 1, 1, 1, 1, 1],
    "standard": [4, 2, 0, 1, -1, 0, -1],
    "[3,2]": [5, 1, 1, -1, 1, -1, 0],
    "[3,1,1]": [6, 0, -2, 0, 0, 0, 1],
    "[2,2,1]": [5, -1, 1, -1, -1, 1, 0],
    "[2,1,1,1]": [4, -2, 0, 1, 1, 0, -1],
    "sign": [1, -1, 1, 1, -1, -1, 1],
}


def test_s5_has_the_characters_of_the_textbook():
    g = group("S5")
    assert list(g.irreps) == list(S5_CHARACTERS)
    for name, irrep in g.irreps.items():
        assert labelled(g, irrep, *S5_CLASSES) == S5_CHARACTERS[name]
        assert irrep.kind == "real"
        assert irrep.faithful == (irrep.dim > 1)


def test_s4_has_the_characters_of_the_textbook():
    g = group("S4")
    classes = ("()", "(0 1)", "(0 1)(2 3)", "(0 1 2)", "(0 1 2 3)")
    expected = {
        "trivial": [1, 1, 1, 1, 1],
        "standard": [3, 1, -1, 0, -1],
        "[2,2]": [2, 0, 2, -1, 0],
        "[2,1,1]": [3, -1, -1, 0, 1],
        "sign": [1, -1, 1, 1, -1],
    }
    assert {name: labelled(g, irrep, *classes) for name, irrep in g.irreps.items()} == expected
    assert not g.irreps["[2,2]"].faithful


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_sign_and_standard_are_parity_and_fixed_points(n):
    g = group(f"S{n}")
    images = np.array(list(itertools.permutations(range(n))))
    parity = [round(np.linalg.det(np.eye(n)[each])) for each in images]
    assert g.irreps["sign"].character.tolist() == parity
    if n > 2:
        np.testing.assert_allclose(g.irreps["standard"].character, (images == np.arange(n)).sum(1) - 1, atol=1e-12)


def hook_lengths(partition):
    columns = [sum(length > column for length in partition) for column in range(partition[0])]
    hooks = [length - j + columns[j] - i - 1 for i, length in enumerate(partition) for j in range(length)]
    return math.factorial(sum(partition)) // math.prod(hooks)


def test_tableaux_are_counted_by_hook_lengths():
    assert list(partitions(4)) == [(4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1)]
    assert [len(list(partitions(n))) for n in range(1, 10)] == [1, 2, 3, 5, 7, 11, 15, 22, 30]
    for n in range(1, 8):
        for partition in partitions(n):
            tableaux = list(standard_tableaux(partition))
            assert len(set(tableaux)) == len(tableaux) == hook_lengths(partition)
    assert [irrep.dim for irrep in group("S6").irreps.values()] == [1, 5, 9, 10, 5, 16, 10, 5, 9, 5, 1]


def test_youngs_orthogonal_form_by_hand():
    tableaux = list(standard_tableaux((2, 1)))
    assert sorted(tableaux) == [(0, 0, 1), (0, 1, 0)]
    beside = tableaux.index((0, 0, 1))  # 0 and 1 stand side by side
    other = 1 - beside
    first, second = transposition(tableaux, 0), transposition(tableaux, 1)
    np.testing.assert_allclose(np.diag(first)[[beside, other]], [1, -1])
    assert first[0, 1] == first[1, 0] == 0
    np.testing.assert_allclose(second[np.ix_([beside, other], [beside, other])], [[-0.5, 0.75**0.5], [0.75**0.5, 0.5]])


def test_matrices_of_transpositions_are_youngs():
    g = group("S4")
    tableaux = list(standard_tableaux((3, 1)))
    for i in range(3):
        neighbours = g.elements.index(f"({i} {i + 1})")
        np.testing.assert_allclose(g.irreps["standard"].matrices[neighbours], transposition(tableaux, i), atol=1e-12)


def test_a5_has_golden_characters():
    g = group("A5")
    assert list(g.irreps) == ["trivial", "3a", "3b", "4", "5"]
    assert [irrep.dim for irrep in g.irreps.values()] == [1, 3, 3, 4, 5]
    assert {irrep.kind for irrep in g.irreps.values()} == {"real"}
    expected = {"trivial": [1, 1, 1], "3a": [3, -1, 0], "3b": [3, -1, 0], "4": [4, 0, 1], "5": [5, 1, -1]}
    for name, values in expected.items():
        assert labelled(g, g.irreps[name], "()", "(0 1)(2 3)", "(0 1 2)") == values
    fives = [a for a in range(60) if g.element_orders[a] == 5]
    for name in ("3a", "3b"):
        values = g.irreps[name].character[fives]
        np.testing.assert_allclose(np.sort(values), [1 - GOLDEN] * 12 + [GOLDEN] * 12, atol=1e-11)
    # the one that is larger at the first five-cycle comes first
    assert g.irreps["3a"].character[fives[0]] > 1 > 0 > g.irreps["3b"].character[fives[0]]
    np.testing.assert_allclose(g.irreps["4"].character[fives], -1, atol=1e-11)
    np.testing.assert_allclose(g.irreps["5"].character[fives], 0, atol=1e-11)


def test_a4_has_a_complex_irrep():
    g = group("A4")
    kinds = [(irrep.name, irrep.dim, irrep.kind, irrep.faithful) for irrep in g.irreps.values()]
    assert kinds == [("trivial", 1, "real", False), ("2", 2, "complex", False), ("3", 3, "real", True)]
    assert labelled(g, g.irreps["2"], "()", "(0 1)(2 3)", "(0 1 2)") == [2, 2, -1]
