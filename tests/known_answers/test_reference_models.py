"""Measures of published models against published or independently computed numbers."""

import pytest
import torch

from probe.measures.fourier import (
    by_embedding,
    by_logits,
    by_neurons,
    degree2_fit,
    fourier_norms,
    frequency_power,
    gini,
    key_frequencies,
    logit_cosines,
    logit_fve,
    logit_fve_directions,
    progress,
    sum_fve,
)
from probe.measures.performance import accuracy, cross_entropy, subset_mean
from probe.measures.transition import first_step_below, generalized_step, memorized_step, peak_step
from probe.measures.weights import sum_of_squares
from tests import reference_models

NANDA_KEYS = (6, 23, 37, 39, 41)
CYCLIC_KEYS = (16, 30, 56)
P = reference_models.P


@pytest.fixture(scope="module")
def nanda():
    return reference_models.nanda_wd01()


@pytest.fixture(scope="module")
def cyclic():
    return reference_models.cyclic113()


def fve(value):
    return pytest.approx(value, abs=1e-3)


def loss(value):
    return pytest.approx(value, rel=5e-3)


def performance(model, measure):
    t = torch.arange(P)
    values = measure(model.cube.flatten(0, 1), ((t[:, None] + t) % P).flatten())
    train = model.train_mask.flatten()
    return subset_mean(values, train).item(), subset_mean(values, ~train).item()


class TestNandaWd01:
    """One-layer transformer of Nanda et al. 2023 (arXiv 2301.05217), weight decay 0.1, epoch 107790."""

    def test_losses(self, nanda):
        # 113 or 114 logits give the same double: see the docstring of nanda_wd01
        train, test = performance(nanda, cross_entropy)
        assert train == pytest.approx(9.2025e-9, rel=1e-3)  # as stored
        assert test == pytest.approx(4.9915e-7, rel=1e-3)
        assert (train, test) == pytest.approx((9.2024e-9, 4.9884e-7), rel=2e-5)  # recomputed elsewhere
        assert performance(nanda, accuracy) == (1.0, 1.0)

    def test_sum_of_squares(self, nanda):
        assert sum_of_squares(nanda.weights)["all"] == pytest.approx(1180.97, rel=1e-5)

    def test_embedding_spectrum(self, nanda):
        share = frequency_power(nanda.W_E)
        assert share[[23, 6, 37, 41, 39]].tolist() == fve([0.238, 0.168, 0.152, 0.144, 0.127])
        assert gini(fourier_norms(nanda.W_E)) == fve(0.5386)

    def test_neuron_logit_spectrum(self, nanda):
        share = frequency_power(nanda.W_L.T)
        assert share[[23, 6, 41, 39, 37]].tolist() == fve([0.429, 0.178, 0.141, 0.129, 0.114])
        assert share[list(NANDA_KEYS)].sum().item() == fve(0.990)
        assert gini(fourier_norms(nanda.W_L.T)) == fve(0.7576)

    def test_key_frequencies(self, nanda):
        assert by_logits(nanda.cube).frequencies == NANDA_KEYS
        assert by_neurons(nanda.neurons).frequencies == NANDA_KEYS
        assert by_embedding(nanda.W_L.T).frequencies == NANDA_KEYS
        # 12 and 46 stand out in the embedding (.027, .033 of its power) but do not reach the logits
        assert by_embedding(nanda.W_E).frequencies == (6, 12, 23, 37, 39, 41, 46)

    def test_neurons(self, nanda):
        best, share = degree2_fit(nanda.neurons)
        single = share > 0.85
        assert single.sum() == 185
        assert set(best[single].tolist()) == set(NANDA_KEYS)

    def test_fve(self, nanda):
        assert logit_fve(nanda.cube, NANDA_KEYS, "none") == fve(0.97477)
        assert logit_fve(nanda.cube, NANDA_KEYS) == fve(0.97558)
        assert logit_fve_directions(nanda.cube, NANDA_KEYS, "none") == fve(0.9780)
        assert logit_fve_directions(nanda.cube, NANDA_KEYS) == fve(0.9788)
        assert sum_fve(nanda.cube) == fve(0.97558)

    def test_progress(self, nanda):
        t = torch.arange(P)
        found = progress(nanda.cube, (t[:, None] + t) % P, nanda.train_mask)
        assert found.keys == NANDA_KEYS
        assert (found.train_loss, found.test_loss) == pytest.approx((9.2024e-9, 4.9884e-7), rel=2e-5)
        assert found.restricted_loss == loss(2.20e-9)
        assert found.excluded_loss == loss(8.385)
        # given to three and two digits: 1.18 and .029
        assert found.excluded_loss_each[23] == loss(1.18)
        assert found.excluded_loss_each[6] == pytest.approx(0.029, abs=5e-4)
        assert (found.fve, found.fve_directions, found.fve_any_key) == (fve(0.97558), fve(0.9788), fve(0.97558))
        assert key_frequencies(nanda.cube) == key_frequencies(neuron_logit_map=nanda.W_L) == list(NANDA_KEYS)

    def test_dates(self):
        curve = reference_models.nanda_wd01_loss_curve()
        assert first_step_below(curve.train_steps, curve.train, 0.1) == 138
        assert first_step_below(curve.test_steps, curve.test, 1.0) == 90_890
        assert first_step_below(curve.test_steps, curve.test, 0.1) == 95_520
        assert peak_step(curve.test_steps, curve.test) == 1550
        assert curve.test.max().item() == pytest.approx(40.45, abs=5e-3)


class TestCyclic113:
    """Cyclic group of order 113 of Chughtai et al. 2023 (arXiv 2302.03025), a transformer with biases."""

    def test_losses(self, cyclic):
        assert performance(cyclic, cross_entropy)[1] == pytest.approx(1.88475e-7, rel=1e-5)
        assert performance(cyclic, accuracy) == (1.0, 1.0)

    def test_key_frequencies(self, cyclic):
        assert by_logits(cyclic.cube).frequencies == CYCLIC_KEYS
        assert by_neurons(cyclic.neurons).frequencies == CYCLIC_KEYS
        # 1 stands out in the embedding without being key
        assert by_embedding(cyclic.W_E).frequencies == (1, *CYCLIC_KEYS)
        assert frequency_power(cyclic.W_E)[1].item() == fve(0.065)

    def test_cosines_and_fve(self, cyclic):
        cosines = logit_cosines(cyclic.cube)
        assert cosines[[16, 30, 56]].tolist() == pytest.approx([0.77797, 0.51767, 0.30873], abs=2e-5)
        assert logit_fve(cyclic.cube, CYCLIC_KEYS, "classes") == fve(0.9685)
        assert sum_fve(cyclic.cube) == fve(0.97127)

    def test_dates_of_the_sister_run(self):
        curve = reference_models.cyclic113_sister_accuracy_curve()
        assert memorized_step(curve.train_steps, curve.train) == 200
        assert generalized_step(curve.test_steps, curve.test) == 5100
