"""Irreps found numerically: the same as by formula, and right where there is no formula here."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.algebra import decomposition, group, group_from_table, verify
from tests.algebra import tables


def described(g):
    return [(irrep.name, irrep.dim, irrep.kind) for irrep in g.irreps.values()]


@pytest.mark.parametrize("name", ["C2", "C3", "C12", "C113", "D2", "D8", "D59", "S2", "S3", "S4", "S5"])
def test_what_is_found_is_what_the_formulas_give(name):
    known = group(name)
    found = replace(known, closed_form=None)
    verify(found)

    def in_order(g):
        each = sorted(g.irreps.values(), key=lambda irrep: np.round(irrep.character, 6).tolist())
        return np.array([irrep.character for irrep in each]), [(irrep.kind, irrep.faithful) for irrep in each]

    assert len(found.irreps) == len(known.irreps)
    np.testing.assert_allclose(in_order(found)[0], in_order(known)[0], atol=1e-10)
    assert in_order(found)[1] == in_order(known)[1]


def test_matrices_that_are_found_are_orthogonal_conjugates_of_the_formulas():
    known = group("S4")
    found = replace(known, closed_form=None)
    for irrep in known.irreps.values():
        same = [other for other in found.irreps.values() if np.allclose(other.character, irrep.character)]
        # averaging over the group makes a map between them, which is unique up to a factor
        start = np.random.default_rng(0).standard_normal((irrep.dim, irrep.dim))
        between = np.mean(irrep.matrices @ start @ same[0].matrices.transpose(0, 2, 1), axis=0)
        between /= abs(np.linalg.det(between)) ** (1 / irrep.dim)
        np.testing.assert_allclose(between @ between.T, np.eye(irrep.dim), atol=1e-10)
        np.testing.assert_allclose(between @ same[0].matrices @ between.T, irrep.matrices, atol=1e-10)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (tables.Q8, [1, 1, 1, 1, (4, "quaternionic")]),
        (tables.Q16, [1, 1, 1, 1, (2, "real"), (4, "quaternionic"), (4, "quaternionic")]),
        (tables.SL23, [1, (2, "complex"), (3, "real"), (4, "complex"), (4, "quaternionic")]),
        (
            tables.product(tables.Q8, group("S3").table),
            [*[1] * 8, *[(2, "real")] * 4, (4, "quaternionic"), (4, "quaternionic"), (8, "quaternionic")],
        ),
        (tables.product(tables.SL23, group("A4").table), None),
    ],
    ids=["Q8", "Q16", "SL(2,3)", "Q8 x S3", "SL(2,3) x A4"],
)
def test_groups_with_complex_and_quaternionic_irreps(table, expected):
    g = group_from_table(table, "mine")
    verify(g)
    if expected is not None:
        wanted = [(1, "real") if each == 1 else each for each in expected]
        assert sorted((irrep.dim, irrep.kind) for irrep in g.irreps.values()) == sorted(wanted)
    bases = np.concatenate([irrep.basis for irrep in g.irreps.values()])
    np.testing.assert_allclose(bases @ bases.T, np.eye(g.order), atol=1e-12)
    for irrep in g.irreps.values():
        for a in range(g.order):
            np.testing.assert_allclose(irrep.matrices[a] @ irrep.matrices, irrep.matrices[g.table[a]], atol=1e-11)
        # every c-th column says what the others are: blocks are maps x -> x q
        c, d = irrep.endomorphism_dim, irrep.dim
        q = irrep.matrices[:, :, ::c].reshape(g.order, d // c, c, d // c)
        if c == 1:
            continue
        q = np.moveaxis(q, 2, 0)
        if c == 2:
            block = [[q[0], -q[1]], [q[1], q[0]]]
        else:
            block = [
                [q[0], -q[1], -q[2], -q[3]],
                [q[1], q[0], q[3], -q[2]],
                [q[2], -q[3], q[0], q[1]],
                [q[3], q[2], -q[1], q[0]],
            ]
        whole = np.array(block).transpose(2, 3, 0, 4, 1).reshape(g.order, d, d)
        np.testing.assert_allclose(irrep.matrices, whole, atol=1e-11)


def test_the_quaternion_group_has_a_quaternionic_irrep_of_dimension_4():
    g = group_from_table(tables.Q8, "Q8")
    assert described(g) == [
        ("trivial", 1, "real"),
        ("1a", 1, "real"),
        ("1b", 1, "real"),
        ("1c", 1, "real"),
        ("4", 4, "quaternionic"),
    ]
    minus_one = [a for a in range(8) if g.element_orders[a] == 2]
    assert len(minus_one) == 1
    expected = np.zeros(8)
    expected[g.identity], expected[minus_one] = 4, -4
    np.testing.assert_allclose(g.irreps["4"].character, expected, atol=1e-12)
    assert g.irreps["4"].faithful
    assert g.irreps["4"].rank == 4


def test_products_have_products_of_characters():
    g = group("S3xC2")
    expected = [
        np.kron(one.character, other.character)
        for one in group("S3").irreps.values()
        for other in group("C2").irreps.values()
    ]
    found = [irrep.character for irrep in g.irreps.values()]
    assert len(found) == len(expected)
    for character in expected:
        assert sum(np.allclose(character, each, atol=1e-10) for each in found) == 1
    assert described(group("A5xC3"))[-4:] == [
        ("6a", 6, "complex"),
        ("6b", 6, "complex"),
        ("8", 8, "complex"),
        ("10", 10, "complex"),
    ]


@settings(max_examples=30)
@given(st.sampled_from(["C6", "S3", "D4", "A4", "S4", "Q8", "SL23", "C2xC4"]), st.randoms(use_true_random=False))
def test_how_elements_are_numbered_does_not_matter(name, random):
    table = {"Q8": tables.Q8, "SL23": tables.SL23}.get(name)
    known = group(name) if table is None else group_from_table(table, name)
    new_name = random.sample(range(known.order), known.order)
    g = group_from_table(tables.renamed(known.table, new_name), "mine")
    verify(g)
    for irrep in known.irreps.values():
        same = [other for other in g.irreps.values() if np.allclose(other.character[new_name], irrep.character)]
        assert len(same) == 1
        assert (same[0].kind, same[0].faithful) == (irrep.kind, irrep.faithful)


def test_irreps_come_by_dimension_and_then_by_character_and_are_named_so():
    names = list(replace(group("C113"), closed_form=None).irreps)
    assert names[:3] == ["trivial", "2a", "2b"]
    assert names[26:29] == ["2z", "2aa", "2ab"]
    assert len(set(names)) == 57
    g = replace(group("C12"), closed_form=None)
    rows = [(irrep.dim, *np.round(-irrep.character, 6)) for irrep in g.irreps.values()]
    assert rows[1:] == sorted(rows[1:])
    assert [irrep.name for irrep in g.irreps.values()] == ["trivial", "1", "2a", "2b", "2c", "2d", "2e"]


@pytest.mark.parametrize("table", [group("A4").table, tables.SL23], ids=["A4", "SL(2,3)"])
def test_matrices_do_not_depend_on_the_basis_in_which_an_eigenspace_is_found(table, monkeypatch):
    first = group_from_table(table, "mine").irreps
    eigh = np.linalg.eigh

    def turned(matrix):
        values, vectors = eigh(matrix)
        for at in np.split(np.arange(len(values)), np.flatnonzero(np.diff(values) > 1e-9) + 1):
            turn = np.linalg.qr(np.random.default_rng(1).standard_normal((len(at), len(at))))[0]
            vectors[:, at] = vectors[:, at] @ turn
        return values, vectors

    monkeypatch.setattr(np.linalg, "eigh", turned)
    second = group_from_table(table, "mine").irreps
    for name, irrep in first.items():
        np.testing.assert_allclose(second[name].matrices, irrep.matrices, atol=1e-10)


class Draws:
    """Random numbers of which some arrays, by their position, are ones: by these irreps cannot be told apart."""

    def __init__(self, ones):
        self.at, self.ones, self.rng = -1, ones, np.random.default_rng(0)

    def standard_normal(self, shape):
        self.at += 1
        return np.ones(shape) if self.at in self.ones else self.rng.standard_normal(shape)


@pytest.mark.parametrize("ones", [[0], [1], [0, 2], [0, 1, 3]], ids=["weights", "marks", "weights twice", "all"])
def test_a_draw_that_does_not_tell_irreps_apart_is_made_again(ones):
    g = group("A5")
    draws = Draws(ones)
    found = decomposition._copies(g, draws)
    assert draws.at > 1
    assert sorted(copy.vectors.shape[1] for copy in found) == [1, 3, 3, 4, 5]


def test_a_group_whose_irreps_cannot_be_told_apart_is_refused(monkeypatch):
    draws = Draws(range(99))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: draws)
    with pytest.raises(ArithmeticError, match=r"^A5: its irreps could not be told apart numerically$"):
        decomposition.decomposed(group("A5"))
    assert draws.at < 10


def test_what_is_found_is_checked(monkeypatch):
    right = decomposition._matrices
    monkeypatch.setattr(
        decomposition, "_matrices", lambda *args: [each.transpose(0, 2, 1).copy() for each in right(*args)]
    )
    with pytest.raises(ValueError, match="irreps: A5 3a: is not a homomorphism"):
        decomposition.decomposed(group("A5"))
