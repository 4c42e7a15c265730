"""Random facts: independent of each other, asked in phrasings of which some are never shown."""

import numpy as np
import pytest
from scipy import stats

from probe.tasks import Duplicated, Facts, Task, task_from_dict, task_to_dict

TASK = Facts(60, relations=3, values=5, phrasings=3, trained_phrasings=2, frequency=Duplicated((1, 3)), held_out=0.2)


def test_a_question_names_subject_relation_and_phrasing_and_nothing_else_tells_the_answer():
    assert isinstance(TASK, Task)
    asked = {}
    for example, (row, target) in enumerate(zip(TASK.tokens.tolist(), TASK.targets.tolist(), strict=True)):
        subject, relation = divmod(int(TASK.fact[example]), 3)
        assert target[:2] == [-1, -1]
        assert target[2] // 5 == relation
        word = row[0] if TASK.phrasing[example] % 2 else row[2]
        names = row[1:] if TASK.phrasing[example] % 2 else row[:2]
        asked.setdefault(("names", subject), set()).add(tuple(names))
        asked.setdefault(("word", relation, int(TASK.phrasing[example])), set()).add(word)
        asked.setdefault(("value", int(TASK.fact[example])), set()).add(target[2])
    assert all(len(found) == 1 for found in asked.values())
    names = {min(found) for what, found in asked.items() if what[0] == "names"}
    words = {min(found) for what, found in asked.items() if what[0] == "word"}
    assert (len(names), len(words)) == (60, 9)  # no two subjects, nor two ways to ask, are called the same
    first, last, values = {n[0] for n in names}, {n[1] for n in names}, set(range(15))
    assert not (first & last) | (first & words) | (last & words) | (values & (first | last | words))
    assert len(first) < 60
    assert len(last) < 60  # neither name alone says who it is
    assert max(max(row) for row in TASK.tokens.tolist()) < TASK.d_vocab


def test_values_are_drawn_evenly_and_independently():
    value = Facts(4000, relations=3, values=8, seed=1).value.reshape(4000, 3)
    for relation in range(3):
        assert stats.chisquare(np.bincount(value[:, relation])).pvalue > 1e-3
    table = np.zeros((8, 8))
    np.add.at(table, (value[:, 0], value[:, 1]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_a_fact_is_shown_in_some_of_its_phrasings_as_often_as_declared():
    exposures = TASK.exposures.reshape(-1, 3)
    held_out = ~exposures.any(1)
    assert abs(held_out.sum() - 0.2 * TASK.n_facts) <= 1
    declared = TASK.declared.reshape(-1, 3)[:, 0]
    assert ((exposures > 0).sum(1)[~held_out] == 2).all()
    assert (exposures.max(1)[~held_out] == declared[~held_out]).all()
    assert set(declared[held_out]) == {1, 3}  # at every frequency
    assert (exposures.any(0)).all()  # every phrasing is learned from some facts


def test_subsets_are_what_was_shown_what_was_rephrased_and_what_was_never_shown():
    subsets = TASK.subsets
    shown = TASK.exposures > 0
    known = np.isin(TASK.fact, TASK.fact[shown])
    assert (subsets["train"] == shown).all()
    assert (subsets["rephrased"] == (known & ~shown)).all()
    assert (subsets["test"] == ~known).all()
    assert "rephrased" not in Facts(20).subsets


def with_special(**fields):
    given = {"relations": 3, "values": 5, "phrasings": 3, "trained_phrasings": 2, "frequency": Duplicated((1, 3))}
    return Facts(60, **given | {"held_out": 0.2, "special": 0.25, "special_passes": 7} | fields)


def test_a_special_batch_is_some_of_the_facts_shown_at_every_frequency():
    task, facts = with_special(), TASK.exposures.reshape(-1, 3)
    later, special = task.exposures.reshape(-1, 3), task.special_exposures.reshape(-1, 3)
    assert (later + special == facts).all()  # nothing else is drawn otherwise than without one
    chosen = special.any(1)
    assert not (later[chosen]).any()
    shown = facts.max(1)
    assert chosen.sum() == round(0.25 * (shown > 0).sum())
    for times in (1, 3):
        assert abs(chosen[shown == times].sum() - 0.25 * (shown == times).sum()) <= 1
    assert (with_special(seed=1).special_exposures != task.special_exposures).any()
    assert task.special_passes == 7
    assert TASK.special_passes == 0
    assert not TASK.special_exposures.any()
    assert "special" not in TASK.subsets


def test_a_special_batch_is_a_subset_of_its_own_and_in_no_other():
    task = with_special()
    subsets = task.subsets
    special, of_special = task.special_exposures > 0, np.isin(task.fact, task.fact[task.special_exposures > 0])
    assert (subsets["special"] == special).all()
    assert (subsets["train"] == (task.exposures > 0)).all()
    assert (subsets["test"] == TASK.subsets["test"]).all()
    assert (subsets["rephrased"] == (TASK.subsets["rephrased"] & ~of_special)).all()
    others = ("train", "rephrased", "test")
    assert not (of_special & np.any([subsets[name] for name in others], axis=0)).any()
    assert task_from_dict(task_to_dict(task)) == task
    assert (task_from_dict(task_to_dict(task)).special_exposures == task.special_exposures).all()


def test_special_facts_are_drawn_apart_from_all_else():
    """Which facts are special says nothing of their values, subjects or relations, nor of how they are asked."""
    task = Facts(2000, relations=4, values=4, phrasings=2, special=0.3, special_passes=1)
    special = task.special_exposures.reshape(-1, 2)
    shown = (task.exposures.reshape(-1, 2) + special).any(1)
    for labels in (task.value, np.arange(8000) % 4, np.arange(8000) // 800):
        table = np.stack([np.bincount(labels[shown & (special.any(1) == is_special)]) for is_special in (True, False)])
        assert stats.chi2_contingency(table).pvalue > 1e-3
    asked = special[special.any(1)].argmax(1)
    assert stats.binomtest(int(asked.sum()), len(asked)).pvalue > 1e-3


def test_a_task_is_what_it_is_written_down_as():
    again = task_from_dict(task_to_dict(TASK))
    assert again == TASK
    assert (again.targets == TASK.targets).all()
    assert (Facts(60, seed=1).targets != Facts(60).targets).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 1}, "n: got 1"),
        ({"relations": 0}, "relations: got 0"),
        ({"values": 1}, "values: got 1"),
        ({"phrasings": 0}, "phrasings: got 0"),
        ({"phrasings": 2, "trained_phrasings": 3}, "trained_phrasings: got 3; expected at most phrasings, 2"),
        ({"held_out": 1.5}, "held_out: got 1.5"),
        ({"seed": -1}, "seed: got -1"),
        ({"special": -0.1, "special_passes": 1}, r"special: got -0\.1; expected a share, 0 or more and below 1"),
        ({"special": 1.0, "special_passes": 1}, r"special: got 1\.0; expected a share"),
        ({"special": float("nan"), "special_passes": 1}, "special: got nan; expected a share"),
        ({"special": 0.1}, "special_passes: got 0; expected 1 or more, in which the special batch is shown"),
        ({"special": 0.1, "special_passes": -1}, "special_passes: got -1; expected 1 or more"),
        ({"special_passes": 3}, "special_passes: got 3; expected 0 without a special batch"),
        ({"special": 1e-5, "special_passes": 1}, "special: 1e-05 of the 3600 facts that are shown is none"),
        ({"special": 0.99999, "special_passes": 1}, "special: 0.99999 of the 3600 facts that are shown is all"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Facts(**fields)
