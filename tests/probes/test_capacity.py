"""Bits of random facts: of a table that holds some of them exactly."""

import math

import pytest
import torch

from probe.probes.capacity import Capacity
from probe.tasks import Facts, ModularArithmetic
from tests.probes.stub import observation, values

TASK = Facts(50, relations=2, values=8, phrasings=2, trained_phrasings=1, held_out=0.2)


def measured(known_phrasings=(0, 1)):
    """Holds every other fact that was shown, in some phrasings, and guesses evenly among the values of the rest."""
    logits = torch.full((len(TASK.fact), TASK.n_answers), -torch.inf).double()
    for example in range(len(TASK.fact)):
        relation = int(TASK.fact[example]) % 2
        logits[example, relation * 8 : relation * 8 + 8] = 0
        shown = TASK.exposures.reshape(-1, 2)[TASK.fact[example]].any()
        if shown and TASK.fact[example] % 4 < 2 and TASK.phrasing[example] in known_phrasings:
            logits[example] = -torch.inf
            logits[example, TASK.answers[example]] = 0
    return list(Capacity().measure(observation(TASK, logits.clamp(min=-1e9))))


def test_a_fact_that_is_held_is_three_bits_and_one_that_is_guessed_is_none():
    rows = measured()
    shown = TASK.exposures.reshape(-1, 2).any(1)
    held = sum(3 for fact in range(TASK.n_facts) if shown[fact] and fact % 4 < 2)
    assert values(rows, "bits")["train"] == pytest.approx(held)
    assert values(rows, "bits_total")["train"] == pytest.approx(3 * shown.sum())
    assert values(rows, "bits_low")["train"] < held < values(rows, "bits_high")["train"]
    assert values(rows, "bits")["test"] == pytest.approx(0, abs=1e-9)


def test_a_fact_shown_in_one_phrasing_counts_in_that_one():
    """Facts are drawn to be shown in one phrasing of two: those held in the other count nothing."""
    rows = measured(known_phrasings=(0,))
    phrasing = TASK.exposures.reshape(-1, 2).argmax(1)
    shown = TASK.exposures.reshape(-1, 2).any(1)
    held = sum(3 for fact in range(TASK.n_facts) if shown[fact] and fact % 4 < 2 and phrasing[fact] == 0)
    assert values(rows, "bits")["train"] == pytest.approx(held)


def test_a_mean_over_phrasings_is_of_the_log_probabilities():
    task = Facts(20, relations=1, values=4, phrasings=2, trained_phrasings=2, held_out=0.2)
    logits = torch.zeros(len(task.fact), 4).double()
    sure = torch.as_tensor(task.phrasing == 0)
    logits[sure, torch.as_tensor(task.answers)[sure]] = 1e3
    rows = list(Capacity().measure(observation(task, logits)))
    shown = task.exposures.reshape(-1, 2).any(1).sum()
    assert values(rows, "bits")["train"] == pytest.approx(shown * (2 + (0 + math.log2(0.25)) / 2))


def test_it_is_refused_where_answers_are_not_random():
    with pytest.raises(ValueError, match="not drawn at random"):
        Capacity().check(ModularArithmetic(7))


def test_a_model_that_diverged_has_no_bits():
    logits = torch.full((len(TASK.fact), TASK.n_answers), torch.nan)
    assert not list(Capacity().measure(observation(TASK, logits)))
