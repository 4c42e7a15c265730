"""Pythia's published accuracies on x1 times x2, by x1: 24 against 23, and multiples of 12 against their neighbours."""

import numpy as np
import pandas as pd
import pytest

from probe.measures.memorization import neighbour_contrast, operand_contrast
from tests import reference_models

SIZES = ("160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
ITEMS = 50  # x2 from 1 to 50


@pytest.fixture(scope="module")
def accuracy():
    """Multiplication with 16 examples in the prompt, after the last step: [size, operand]."""
    table = pd.read_csv(reference_models.reference_path("../pythia/pythia_arithmetic_by_operand.csv.gz"))
    table = table[(table.step == 143_000) & (table.n_shot == 16) & (table.operation == "multiplication")]
    wide = table.pivot(index="n_params", columns="operand", values="acc").sort_index()
    assert wide.shape == (7, 100)
    return wide.to_numpy()


def test_24_against_23(accuracy):
    found = operand_contrast(accuracy, range(100), 24, 23, ITEMS)
    by_size = dict(zip(SIZES, zip(found.first.value.tolist(), found.second.value.tolist(), strict=True), strict=True))
    assert by_size["160m"] == by_size["410m"] == (0.0, 0.0)
    assert by_size["2.8b"] == pytest.approx((0.16, 0.12))
    assert by_size["6.9b"] == pytest.approx((0.50, 0.22))
    assert by_size["12b"] == pytest.approx((0.54, 0.46))
    # of these, 50 items show a difference at one size only
    apart = (found.difference.low > 0).tolist()
    assert apart == [size == "6.9b" for size in SIZES]


def test_multiples_of_12_against_their_neighbours(accuracy):
    found = neighbour_contrast(accuracy, range(100), range(12, 97, 12), ITEMS)
    by_hand = [accuracy[:, m] - (accuracy[:, m - 1] + accuracy[:, m + 1]) / 2 for m in (12, 24, 36, 48, 60, 72, 84, 96)]
    np.testing.assert_allclose(found.each, np.array(by_hand).T, atol=1e-12)
    assert found.members.value.tolist()[-2:] == pytest.approx([0.30, 0.495])
    assert found.neighbours.value.tolist()[-2:] == pytest.approx([0.14125, 0.3525])
    # from 1B on, and not below
    assert (found.p_value <= 0.05).tolist() == [False, False, True, True, True, True, True]
    assert found.p_value[5].item() == pytest.approx(1 / 3**8)
    assert (found.difference.low[4:] > 0).all()


def test_it_is_not_24_alone(accuracy):
    """Neither is 24 the best of its surroundings: at 6.9B 22 is better, and the other even numbers are not far off."""
    at_7b = accuracy[SIZES.index("6.9b")]
    assert at_7b[22] == pytest.approx(0.54)
    assert at_7b[22] > at_7b[24] > at_7b[23]
