"""Roles of heads along training: hand-written heads, a loop over queries and keys, and what goes by position alone."""

import numpy as np
import pytest
import torch
from scipy import stats

from circuits.role_probe import HeadRoles
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import InContextLinear, InContextMapping, ModularArithmetic, RepeatedTokens
from tests.circuits.heads.known_heads import D_VOCAB, N_CTX, known_heads
from tests.probes.stub import observation, values
from tests.suites.plain import noisy_weights

MAPPING = InContextMapping(60, n_keys=6, n_values=8, pairs=7, seed=1)
assert (MAPPING.d_vocab, MAPPING.n_ctx) == (D_VOCAB, N_CTX)


def rows_of(task, model, **arguments):
    return list(HeadRoles(**arguments).measure(observation(task, model=model)))


def slowly(task, model, head, members, others, shift):
    """Attention to what follows (``shift`` 1) copies of what is asked, or to these; by places of ``others``."""
    per_example = []
    for member, other in zip(members, others, strict=True):
        _, cache = model.run_with_cache(torch.as_tensor(task.tokens[member][None]))
        pattern = cache[f"blocks.{head[0]}.attn.hook_pattern"][0, head[1]].double().numpy()
        asked = task.asked[other].tolist()
        found = []
        for query, key in enumerate(asked):
            copies = [place for place in range(query) if asked[place] == key]
            if copies:
                found.append(sum(pattern[2 * query, 2 * place + shift] for place in copies))
        if found:
            per_example.append(np.mean(found))
    return np.mean(per_example)


def test_a_head_that_was_written_to_look_answers_up_scores_1_at_what_is_asked():
    rows = rows_of(MAPPING, known_heads())
    induction, elsewhere = values(rows, "induction"), values(rows, "induction_elsewhere")
    # before position 0 is nothing, so that its own token stands there: where that is asked, it is one copy more
    each = []
    for keys in MAPPING.asked.tolist():
        copies = [(keys[:place].count(key), key == keys[0]) for place, key in enumerate(keys) if key in keys[:place]]
        each += [np.mean([n / (n + first) for n, first in copies])] if copies else []
    assert induction["L1.H1"] == pytest.approx(np.mean(each), abs=1e-5)
    half = stats.t.ppf(0.975, len(each) - 1) * stats.sem(each)
    assert values(rows, "induction_low")["L1.H1"] == pytest.approx(np.mean(each) - half, abs=1e-5)
    assert values(rows, "induction_high")["L1.H1"] == pytest.approx(np.mean(each) + half, abs=1e-5)
    # it finds what was asked here wherever another question would look for its own
    assert elsewhere["L1.H1"] < 0.5
    assert values(rows, "previous_token")["L0.H0"] > 0.999
    assert values(rows, "first_token")["L1.H0"] > 0.999
    assert induction["L0.H1"] == pytest.approx(induction["uniform"], abs=1e-6)  # it attends to all alike
    assert set(elsewhere) == {"L0.H0", "L0.H1", "L1.H0", "L1.H1"}
    assert values(rows, "induction_gain_low")["L1.H1"] > 0.3
    # who goes by position alone, or by nothing, gains nothing from the question being this one
    for head in ("L0.H0", "L0.H1", "L1.H0"):
        low, high = (values(rows, f"induction_gain{end}")[head] for end in ("_low", "_high"))
        assert low < 0 < high or low == high == 0


@pytest.mark.parametrize("task", [MAPPING, InContextLinear(40, 5, 6, seed=2)], ids=["mapping", "linear"])
def test_what_is_asked_is_a_query_and_answers_are_not(task):
    arch = Architecture.of(Shape(d_model=12, n_heads=2, n_layers=2, attn_only=True), task)
    model = HookedTransformer.with_weights(arch, noisy_weights(arch))
    rows = rows_of(task, model, subset="test")
    members = np.flatnonzero(task.subsets["test"])
    for metric, others, shift in (
        ("induction", members, 1),
        ("duplicate_token", members, 0),
        ("induction_elsewhere", np.roll(members, -1), 1),
        ("duplicate_token_elsewhere", np.roll(members, -1), 0),
    ):
        found = values(rows, metric)
        for head in ((0, 1), (1, 0)):
            expected = slowly(task, model, head, members, others, shift)
            assert found[f"L{head[0]}.H{head[1]}"] == pytest.approx(expected, abs=1e-6), metric


def test_a_head_that_goes_by_position_scores_elsewhere_as_it_does_here():
    task = RepeatedTokens(40, 12, 6, 6, bos=True)  # of one length, so what follows a copy is always 5 positions before
    rows = rows_of(task, known_heads(offset=5))
    assert values(rows, "induction")["L0.H0"] > 0.999
    assert values(rows, "induction_elsewhere")["L0.H0"] > 0.999
    assert values(rows, "induction_gain")["L0.H0"] == pytest.approx(0, abs=1e-6)
    rows = rows_of(task, known_heads())
    assert values(rows, "induction")["L1.H1"] > 0.999


def test_questions_are_compared_with_others_of_their_length():
    task = RepeatedTokens(30, 12, 2, 5, bos=True)
    assert len(set(task.lengths.tolist())) > 3
    rows = rows_of(task, known_heads())
    assert values(rows, "induction")["L1.H1"] > 0.999
    assert values(rows, "induction_elsewhere")["L1.H1"] < 0.7
    two = RepeatedTokens(2, 12, 2, 5, bos=True, train_fraction=1.0, seed=0)
    assert len(set(two.lengths.tolist())) == 2
    alone = rows_of(two, known_heads())
    assert values(alone, "induction")["L1.H1"] > 0.999
    assert not values(alone, "induction_elsewhere")


def test_the_gain_is_that_of_each_question_over_its_own_control():
    task = RepeatedTokens(25, 9, 2, 4, bos=True, seed=3)
    arch = Architecture.of(Shape(d_model=12, n_heads=2, n_layers=2, attn_only=True), task)
    model = HookedTransformer.with_weights(arch, noisy_weights(arch))
    gains = []
    for length in set(task.lengths.tolist()):
        alike = np.flatnonzero(task.lengths == length)
        for one, other in zip(alike, np.roll(alike, -1), strict=True) if len(alike) > 1 else ():
            _, cache = model.run_with_cache(torch.as_tensor(task.tokens[one, :length][None]))
            pattern = cache["blocks.1.attn.hook_pattern"][0, 1].double().numpy()
            scores = []
            for tokens in (task.tokens[one].tolist(), task.tokens[other].tolist()):
                after = {q: [k + 1 for k in range(q - 1) if tokens[k] == tokens[q]] for q in range(length)}
                scores.append(np.mean([pattern[q, keys].sum() for q, keys in after.items() if keys]))
            gains.append(scores[0] - scores[1])
    rows = rows_of(task, model)
    half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
    expected = (np.mean(gains) - half, np.mean(gains), np.mean(gains) + half)
    assert [values(rows, f"induction_gain{end}")["L1.H1"] for end in ("_low", "", "_high")] == pytest.approx(expected)


def test_questions_in_which_nothing_comes_again_have_roles_by_position():
    task = ModularArithmetic(7)
    arch = Architecture.of(Shape(d_model=8, n_heads=2), task)
    model = HookedTransformer.with_weights(arch, noisy_weights(arch))
    rows = rows_of(task, model, n=20)
    assert set(values(rows, "previous_token")) == {"uniform", "L0.H0", "L0.H1"}


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match="n: got 1; expected 2 or more"):
        HeadRoles(n=1)
    with pytest.raises(ValueError, match="subset: got 'new'; expected one of train, test, all"):
        HeadRoles(subset="new").check(MAPPING)
    HeadRoles(subset="test").check(MAPPING)
