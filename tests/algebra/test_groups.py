"""Groups by name and by table: the axioms, what follows from them, and tables that are no group's."""

import itertools
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy.combinatorics import Permutation

from probe.algebra import MAX_ORDER, group, group_from_table
from tests.algebra import tables

SMALL = ["C2", "C7", "C12", "D2", "D3", "D8", "S2", "S3", "S4", "A3", "A4", "A5", "C2xC4", "S3xC2", "C2xC2xC3"]


@pytest.mark.parametrize("name", [*SMALL, "S5", "D59", "C113"])
def test_a_named_group_is_a_group(name):
    g = group(name)
    t = np.arange(g.order)
    assert g.name == name
    assert g.table.shape == (g.order, g.order)
    assert len(g.elements) == len(set(g.elements)) == g.order
    assert g.identity == 0
    assert (g.table[0] == t).all()
    assert (g.table[:, 0] == t).all()
    assert (np.sort(g.table, axis=0) == t[:, None]).all()
    assert (np.sort(g.table, axis=1) == t).all()
    for a in range(g.order):
        assert (g.table[g.table[a]] == g.table[a][g.table]).all()
    assert (g.table[t, g.inverse] == 0).all()
    assert (g.table[g.inverse, t] == 0).all()


@pytest.mark.parametrize("name", SMALL)
def test_what_follows_from_the_table_is_what_a_search_finds(name):
    g = group(name)
    times, inverse = g.table.tolist(), g.inverse.tolist()
    classes = {frozenset(times[times[h][a]][inverse[h]] for h in range(g.order)) for a in range(g.order)}
    assert {frozenset(each) for each in g.conjugacy_classes} == classes
    assert [each[0] for each in g.conjugacy_classes] == sorted(min(each) for each in classes)
    assert all(list(each) == sorted(each) for each in g.conjugacy_classes)
    assert all(a in g.conjugacy_classes[g.class_of[a]] for a in range(g.order))
    assert g.is_abelian == (len(classes) == g.order)

    for a in range(g.order):
        power, m = a, 1
        while power != 0:
            power, m = times[power][a], m + 1
        assert g.element_orders[a] == m

    def generated(by):
        found = {0}
        while len(more := found | {times[a][s] for a in found for s in by}) > len(found):
            found = more
        return found

    assert generated(g.generators) == set(range(g.order))
    for at, s in enumerate(g.generators):
        assert s == min(set(range(g.order)) - generated(g.generators[:at]))


@pytest.mark.parametrize("n", [2, 3, 6, 113])
def test_a_cyclic_group_is_addition(n):
    g = group(f"C{n}")
    assert g.table.tolist() == [[(a + b) % n for b in range(n)] for a in range(n)]
    assert g.elements == tuple(str(t) for t in range(n))
    assert g.generators == (1,)
    assert g.is_abelian


@pytest.mark.parametrize("n", [3, 4, 5, 12, 59])
def test_a_dihedral_group_is_the_symmetries_of_a_polygon(n):
    g = group(f"D{n}")
    assert g.order == 2 * n
    # as maps of the corners: r^k s takes v to k - v
    corners = np.arange(n)
    maps = [(k + corners) % n for k in range(n)] + [(k - corners) % n for k in range(n)]
    number = {tuple(each): at for at, each in enumerate(maps)}
    assert len(number) == 2 * n
    assert g.table.tolist() == [[number[tuple(a[b])] for b in maps] for a in maps]
    assert g.elements[:3] == ("e", "r", "r2")
    assert g.elements[n : n + 3] == ("s", "r s", "r2 s")
    assert g.generators == (1, n)
    assert not g.is_abelian


def permutation(label, n):
    cycles = [[int(x) for x in cycle.split()] for cycle in re.findall(r"\(([0-9 ]+)\)", label)]
    return Permutation(cycles, size=n)


@pytest.mark.parametrize(("name", "n"), [("S3", 3), ("S4", 4), ("S5", 5), ("A4", 4), ("A5", 5)])
def test_permutations_are_composed_right_one_first(name, n):
    g = group(name)
    each = [permutation(label, n) for label in g.elements]
    images = [tuple(p.array_form) for p in each]
    assert images == sorted(images)
    assert g.order == math.factorial(n) // (2 if name[0] == "A" else 1)
    assert all(p.is_even for p in each) == (name[0] == "A")
    rng = np.random.default_rng(0)
    for a, b in rng.integers(0, g.order, (300, 2)):
        # in sympy the left one of a product acts first
        assert each[g.table[a, b]] == each[b] * each[a]


def test_a_product_of_permutations_by_hand():
    g = group("S3")
    assert g.elements == ("()", "(1 2)", "(0 1)", "(0 1 2)", "(0 2 1)", "(0 2)")
    # (1 2) first takes 0 to 0, then (0 1) takes it to 1
    assert g.elements[g.table[2, 1]] == "(0 1 2)"
    assert g.elements[g.table[1, 2]] == "(0 2 1)"
    assert group("A5").elements[3] == "(1 2)(3 4)"


@pytest.mark.parametrize("factors", [["C2", "C4"], ["S3", "C2"], ["C2", "C2", "C3"], ["D3", "A4"]])
def test_a_product_is_componentwise(factors):
    g = group("x".join(factors))
    parts = [group(each) for each in factors]
    tuples = list(itertools.product(*(range(part.order) for part in parts)))
    number = {each: at for at, each in enumerate(tuples)}
    for a, b in itertools.product(tuples, repeat=2):
        product = tuple(int(part.table[x, y]) for part, x, y in zip(parts, a, b, strict=True))
        assert g.table[number[a], number[b]] == number[product]
    assert (
        g.elements[number[tuples[-2]]]
        == "(" + ", ".join(part.elements[x] for part, x in zip(parts, tuples[-2], strict=True)) + ")"
    )


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("S4", [1, 3, 6, 6, 8]),
        ("S5", [1, 10, 15, 20, 20, 24, 30]),
        ("A4", [1, 3, 4, 4]),
        ("A5", [1, 12, 12, 15, 20]),
        ("A6", [1, 40, 40, 45, 72, 72, 90]),
        ("D59", [1, *[2] * 29, 59]),
        ("D6", [1, 1, 2, 2, 3, 3]),
    ],
)
def test_classes_are_those_of_textbooks(name, sizes):
    assert sorted(len(each) for each in group(name).conjugacy_classes) == sizes


def test_generators_of_a_symmetric_group_are_transpositions_of_neighbours():
    g = group("S6")
    assert g.order == 720
    assert [g.elements[s] for s in g.generators] == ["(4 5)", "(3 4)", "(2 3)", "(1 2)", "(0 1)"]


def test_products_of_generators_make_the_representation():
    g = group("S4")
    left = np.stack([np.eye(24)[:, row] for row in g.table])  # [g, x, y] = 1 if x = g y
    assert (g.products(left[list(g.generators)]) == left).all()
    twice = np.stack([left, left], axis=1)
    assert (g.products(twice[list(g.generators)]) == twice).all()


@pytest.mark.parametrize(
    "name",
    ["", "x", "C", "C0", "C1", "D1", "S1", "A2", "C03", "E8", "C5x", "xC5", "C5xC1", "C-3", "S5 ", 5, None, ["C5"]],
)
def test_a_name_that_is_none_is_said_to_be_none(name):
    says = rf"^name: got {re.escape(repr(name))}; expected a name such as C113 .*D59 .*S5 .*A5 .*C2xC4.*at most 1024"
    with pytest.raises(ValueError, match=says):
        group(name)


@pytest.mark.parametrize(
    ("name", "meant"), [("s5", "S5"), ("S_5", "S5"), ("Z113", "C113"), ("C2 x c4", "C2xC4"), ("C2*C4", "C2xC4")]
)
def test_another_spelling_is_recognized(name, meant):
    with pytest.raises(ValueError, match=rf"did you mean '{meant}'\?"):
        group(name)
    with pytest.raises(ValueError, match=r"at most 1024$"):
        group("E8")


def test_there_is_a_largest_order():
    assert MAX_ORDER == 1024
    assert group("C1024").order == group("D512").order == group("C32xC32").order == 1024
    assert group("A6xC2").order == 720
    for name in ("C1025", "D513", "S7", "A7", "S9999", "C2xC513", "S5xC9"):
        with pytest.raises(
            ValueError, match=f"^name: got '{name}', whose order is above 1024; expected a name such as"
        ):
            group(name)


def test_a_group_is_made_once_is_not_written_to_and_can_be_sent():
    g = group("S4")
    assert group("S4") is g
    assert g.irreps is g.irreps
    for array in (g.table, g.inverse, g.class_of, g.element_orders, *(i.matrices for i in g.irreps.values())):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        g.name = "other"
    for name in ("S4", "D4", "C5", "A4"):
        again = pickle.loads(pickle.dumps(group(name)))
        assert (again.table == group(name).table).all()
        assert list(again.irreps) == list(group(name).irreps)
    assert repr(g) == "Group(name='S4')"


@given(st.sampled_from(["C6", "S3", "D4", "A4"]), st.data())
def test_a_table_may_name_its_elements_in_any_way(name, data):
    known = group(name)
    new_name = data.draw(st.permutations(range(known.order)))
    g = group_from_table(tables.renamed(known.table, new_name).tolist(), "mine")
    assert (g.name, g.identity) == ("mine", new_name[0])
    assert g.elements == tuple(str(t) for t in range(known.order))
    for a in range(known.order):
        assert g.inverse[new_name[a]] == new_name[known.inverse[a]]
        assert g.element_orders[new_name[a]] == known.element_orders[a]
        for b in range(known.order):
            assert g.table[new_name[a], new_name[b]] == new_name[known.table[a, b]]
    renamed = {frozenset(new_name[a] for a in each) for each in known.conjugacy_classes}
    assert {frozenset(each) for each in g.conjugacy_classes} == renamed


def test_a_table_is_copied():
    table = group("C4").table.copy()
    g = group_from_table(table, "mine")
    table[0, 0] = 3
    assert g.table[0, 0] == 0


def test_the_group_of_one_element():
    g = group_from_table([[0]], "one")
    assert (g.order, g.identity, g.generators, g.is_abelian, list(g.irreps)) == (1, 0, (), True, ["trivial"])


# The smallest loop that is no group: rows and columns are permutations, 0 is the identity, (1 1) 2 is not 1 (1 2).
LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


def test_what_is_said_not_to_be_associative_is_not():
    # addition modulo 8, with 3 and 7 exchanged in two rows and columns
    switched = group("C8").table.copy()
    switched[np.ix_([1, 5], [2, 6])] = [[7, 3], [3, 7]]
    rng = np.random.default_rng(0)
    for table in (LOOP, *(tables.renamed(switched, rng.permutation(8)) for _ in range(10))):
        with pytest.raises(ValueError, match=r"not associative") as error:
            group_from_table(table, "none")
        x, s, y = (int(number) for number in re.findall(r"\d+", str(error.value))[:3])
        assert table[table[x][s]][y] != table[x][table[s][y]]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (LOOP, r"not associative: \((\d) \* (\d)\) \* (\d) is not \1 \* \(\2 \* \3\)"),
        # here the first generators are those of C4, with which all products are associative
        (tables.product(LOOP, group("C4").table), r"not associative"),
        (tables.product(group("C4").table, LOOP), r"not associative"),
        (tables.doubled(group("S3").table), r"not associative"),
        ([[(a - b) % 5 for b in range(5)] for a in range(5)], "no element e has"),
        ([[(b - a) % 5 for b in range(5)] for a in range(5)], "no element e has"),
        ([[0, 1, 2], [1, 2, 0], [2, 1, 0]], r"column 1 is not a permutation of 0\.\.2"),
        ([[0, 1, 2], [1, 1, 0], [2, 0, 1]], r"row 1 is not a permutation of 0\.\.2"),
        ([[1, 2], [2, 1]], r"row 0 is not a permutation of 0\.\.1"),
        ([[0, -1], [-1, 0]], "row 0 is not"),
        ([[0.0, 1.0], [1.0, 0.0]], "entries of type float64 given, expected whole numbers"),
        ([[False, True], [True, False]], "entries of type bool given"),
        ([["0"]], "entries of type <U1 given"),
        ([[0, 1], [1]], "rows of different lengths"),
        ([0, 1], r"shape \(2,\) given, expected \[order, order\]"),
        ([[0, 1]], r"shape \(1, 2\) given"),
        ([], r"shape \(0,\) given"),
        (np.zeros((0, 0), int), r"shape \(0, 0\) given"),
        (np.zeros((1025, 1025), int), "1025 elements given, expected at most 1024"),
    ],
)
def test_a_table_that_is_no_groups_is_refused(table, says):
    with pytest.raises(ValueError, match=f"^table: .*{says}"):
        group_from_table(table, "none")
