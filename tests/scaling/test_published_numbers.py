"""Published measurements over scale, short enough to stand here: the same verdicts where the data are not at hand."""

import numpy as np
import pytest

from probe.scaling import breakthroughness, linearity, product_law, shape, threshold

BIGBENCH = np.array([2.1e6, 1.7e7, 5.7e7, 1.3e8, 2.4e8, 4.2e8, 1e9, 2e9, 4e9, 8e9, 2.7e10, 1.28e11])
PYTHIA = np.array([1.6e8, 4.1e8, 1e9, 1.4e9, 2.8e9, 6.9e9, 1.2e10])


def error_of(share, n_items):
    value = np.asarray(share)
    return np.sqrt(value * (1 - value) / n_items)


def test_a_breakthrough_has_the_linearity_of_one_step():
    modified_arithmetic = np.r_[np.zeros(11), 0.132]
    assert linearity(modified_arithmetic) == pytest.approx(3.317, abs=1e-3)
    assert breakthroughness(modified_arithmetic) == np.inf
    error = error_of(modified_arithmetic, 204)
    assert breakthroughness(modified_arithmetic, np.sqrt(2) * 0.0237) == pytest.approx(0.132 / 0.0237 / np.sqrt(2))
    found = shape(BIGBENCH, modified_arithmetic, error, 0.0)
    assert (found.kind, found.place.estimate) == ("jump", BIGBENCH[-1])
    assert threshold(BIGBENCH, modified_arithmetic, error, 0.0).scale == BIGBENCH[-1]


def test_unit_conversion_by_multiple_choice_and_by_exact_match():
    choice = [0.137, 0.302, 0.322, 0.361, 0.366, 0.371, 0.410, 0.415, 0.410, 0.424, 0.478, 0.522]
    exact = [0, 0, 0, 0, 0.039, 0, 0.013, 0.052, 0.065, 0.026, 0.065, 0.234]
    assert linearity(choice) > 1.5 * linearity(exact)
    assert breakthroughness(exact) < breakthroughness(choice)  # small values scatter: it does not tell them apart alone
    assert shape(BIGBENCH, choice, error_of(choice, 205)).kind == "power_law"
    late = shape(BIGBENCH, exact, error_of(exact, 77), 0.0)
    assert late.likeliest == "logistic"
    assert late.place.estimate > BIGBENCH[-2]


def test_ipa_transliteration_by_exact_match_is_not_flat():
    """Means by bin of compute; where sampling error is small, a curve that leaves 0 is never flat."""
    middle = np.array([1e21, 6e21, 2e22, 6e22, 2e23, 5e23])
    exact = np.array([0, 0, 0, 0.021, 0.095, 0.232])
    for n_items, chance in ((1003, None), (1003, 0.0), (200, None), (10_000, 0.0)):
        found = shape(middle, exact, error_of(exact, n_items), chance)
        assert found.kind in ("logistic", "undecided")
        assert found.probabilities["flat"] < 0.01
    assert shape(middle, exact, error_of(exact, 1003)).kind == "logistic"
    assert shape(middle, exact).kind == "undecided"
    bleu = [0.071, 0.125, 0.551, 8.60, 20.0, 49.2]
    assert breakthroughness(exact) > breakthroughness(np.log(bleu))
    assert linearity(np.log(bleu)) > 4 > linearity(exact)


def test_pythias_addition_by_size_and_with_no_shots():
    few_shot = [0.018, 0.035, 0.032, 0.051, 0.685, 0.477, 0.874]
    found = shape(PYTHIA, few_shot, error_of(few_shot, 5000), 0.0)
    assert found.kind == "jump"
    assert (found.place.low, found.place.estimate) == (PYTHIA[3], PYTHIA[4])
    assert shape(PYTHIA, few_shot, error_of(few_shot, 5000)).kind == "undecided"
    zero_shot = [0, 0, 0.003, 0, 0.022, 0.013, 0.041]
    left = threshold(PYTHIA, zero_shot, error_of(zero_shot, 5000), 0.0)
    assert PYTHIA[1] <= left.low
    assert left.high <= PYTHIA[4]
    perplexity = [32.2, 10.6, 7.41, 6.11, 5.00, 4.16, 3.87]
    smooth = shape(PYTHIA, np.log(perplexity), 0.02)
    assert smooth.kind == "power_law"
    assert smooth.exponent.estimate > 0


def test_pythias_arithmetic_along_training():
    steps = [13_000, 39_000, 65_000, 91_000, 117_000, 143_000]
    addition = [0.029, 0.100, 0.333, 0.688, 0.847, 0.874]
    multiplication = [0.020, 0.105, 0.217, 0.344, 0.405, 0.448]
    for value in (addition, multiplication):
        found = shape(steps, value, error_of(value, 5000))
        assert found.likeliest in ("logistic", "broken")
        assert found.kind == "undecided"
        assert found.probabilities["flat"] == 0
        assert 39_000 < found.place.estimate < 143_000


def test_chain_of_thought_pays_from_some_size_on():
    """Gains on word problems in points: below 0 for all small models, above for all large ones."""
    gains = {
        "LaMDA": ([4.2e8, 2e9, 8e9, 6.8e10, 1.37e11], [-2.2, -1.7, -1.6, 2.5, 7.8]),
        "GPT": ([3.5e8, 1.3e9, 6.7e9, 1.75e11], [-1.7, -1.9, -1.6, 31.3]),
        "PaLM": ([8e9, 6.2e10, 5.4e11], [-0.8, 20.3, 39.0]),
    }
    for sizes, gain in gains.values():
        small = np.array(sizes) < 1e10
        assert (np.array(gain)[small] < 0).all()
        assert (np.array(gain)[~small] > 0).all()
        assert (np.diff(np.array(gain)[~small]) > 0).all()
    sizes, gain = gains["LaMDA"]
    assert shape(sizes, gain, 0.6).kind not in ("flat", "u_shape", "inverted_u")  # 1319 items, of .02 to .15 right


def test_scope_neglect_turns_down_and_up_and_the_conjunction_fallacy_up_and_down():
    sizes = [3.5e8, 1.3e9, 6.7e9, 1.75e11]
    assert shape(sizes, [0.585, 0.544, 0.408, 0.571], 0.014).kind == "u_shape"
    assert shape(sizes, [0.471, 0.500, 0.687, 0.347], 0.04).kind == "inverted_u"
    assert shape(sizes, [0.585, 0.544, 0.408, 0.571]).kind == "undecided"


def test_mmlu_by_compute_is_at_chance_then_rises():
    middle = np.array([0.5, 2, 6, 20, 45, 80, 200, 600]) * 1e21
    mmlu = [0.259, 0.270, 0.277, 0.304, 0.347, 0.390, 0.540, 0.673]
    found = shape(middle, mmlu, error_of(mmlu, 14_042), 0.25)
    assert found.kind == "logistic"
    assert found.place.low > 8e22
    assert found.probabilities["power_law"] < 0.01
    left = threshold(middle, mmlu, 0.01, 0.25)
    assert 1e21 < left.scale <= 4.5e22


def test_the_product_of_five_steps():
    found = product_law([[0.4] * 5, [0.6] * 5], [0.0102, 0.0778])
    np.testing.assert_allclose(found.predicted, [0.0102, 0.0778], atol=5e-5)
