"""Biographies: what is shown, told anew, asked and never shown; and what a model makes of it."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import probe
from probe.batch.schema import parse_batch
from probe.measures.performance import outcomes
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import Biographies, Duplicated, Mixture, ModularArithmetic, Part, Task, Zipf, task_from_dict
from probe.tasks.task import task_to_dict
from probe.training.ensemble import Ensemble, Member
from probe.training.exposure import exposures_by
from probe.training.settings import TrainingSettings

TASK = Biographies(
    60, attributes=3, values=5, phrasings=2, biographies=3, order="drawn", frequency=Duplicated((1, 3)), held_out=0.2
)


@st.composite
def tasks(draw):
    fields = {
        "n": draw(st.integers(12, 40)),
        "attributes": draw(st.integers(1, 5)),
        "values": draw(st.integers(2, 9)),
        "phrasings": draw(st.integers(1, 4)),
        "order": draw(st.sampled_from(["fixed", "drawn"])),
        "asked": draw(st.floats(0.2, 0.8)),
        "held_out": draw(st.floats(0.1, 0.6)),
        "seed": draw(st.integers(0, 99)),
        "frequency": draw(
            st.sampled_from([Duplicated((1,)), Duplicated((1, 4)), Duplicated((2, 0, 3)), Zipf(300, 1.0)])
        ),
    }
    ways = fields["phrasings"] ** fields["attributes"]
    if fields["order"] == "drawn":
        ways *= int(np.prod(np.arange(1, fields["attributes"] + 1)))
    if ways == 1:
        fields["phrasings"], ways = 2, 2 * ways
    return Biographies(**fields, biographies=draw(st.integers(1, min(6, ways - 1))))


def read(task):
    """Every example as it is written: the people's names, and what is told or asked with what is answered."""
    n_values, n_words = task.attributes * task.values, task.attributes * task.phrasings
    ends = np.cumsum([n_values, task.n_names, task.n_names, n_words, task.attributes])
    told, asked = [], []
    for row, target in zip(task.tokens.tolist(), task.targets.tolist(), strict=True):
        kinds = np.searchsorted(ends, row, side="right").tolist()
        if kinds[0] == 4:  # a question
            assert kinds[1:3] == [1, 2]
            assert set(row[3:]) <= {0}
            assert target[:2] + target[3:] == [-1] * (task.n_ctx - 1)
            asked.append((tuple(row[1:3]), row[0] - ends[3], target[2]))
        else:
            assert kinds == [1, 2, *[3, 0] * task.attributes][:-1]
            assert target[:2] + target[3::2] == [-1] * (task.attributes + 1)
            assert row[3::2] == target[2:-1:2]  # what is predicted is read next
            words = [divmod(word - ends[2], task.phrasings) for word in row[2::2]]
            told.append((tuple(row[:2]), words, target[2::2]))
    return told, asked


@settings(max_examples=40)
@given(tasks())
def test_biographies_tell_and_questions_ask_the_same_attributes_of_the_same_people(task):
    assert isinstance(task, Task)
    told, asked = read(task)
    assert (len(told), len(asked)) == (task.n * (task.biographies + 1), task.n * task.attributes)
    knowledge = {(names, attribute): value for names, attribute, value in asked}
    assert len(knowledge) == len(asked)  # no two people are called the same
    of_whom = {}
    for names, words, values in told:
        assert sorted(attribute for attribute, _ in words) == list(range(task.attributes))
        if task.order == "fixed":
            assert [attribute for attribute, _ in words] == list(range(task.attributes))
        for (attribute, _), value in zip(words, values, strict=True):
            assert knowledge[names, attribute] == value
            assert value // task.values == attribute
        of_whom.setdefault(names, []).append(tuple(words))
    assert len(of_whom) == task.n
    assert all(len(set(tellings)) == task.biographies + 1 for tellings in of_whom.values())  # no two are the same
    assert [names for names, _, _ in told] + [names for names, _, _ in asked] == [
        list(of_whom)[person] for person in task.person
    ]
    assert task.is_question.tolist() == [False] * len(told) + [True] * len(asked)
    assert max(map(max, task.tokens.tolist())) < task.d_vocab
    assert task.d_vocab == task.attributes * (task.values + task.phrasings + 1) + 2 * task.n_names
    assert set(task.targets[task.targets >= 0].tolist()) <= set(task.answer_tokens.tolist())
    assert len(task.answer_tokens) == task.attributes * task.values
    assert (task.answer_positions == 2).all()
    assert task.lengths.tolist() == [2 * task.attributes + 1] * len(told) + [3] * len(asked)


@settings(max_examples=40)
@given(tasks())
def test_what_is_shown_is_as_declared_and_the_rest_is_never_shown(task):
    telling = np.arange(task.n * (task.biographies + 1)).reshape(task.n, -1)
    asking = telling.size + np.arange(task.n * task.attributes).reshape(task.n, -1)
    told, asked = task.exposures[telling], task.exposures[asking]
    declared = task.declared[telling][:, :1]
    assert (task.declared[telling] == declared).all()
    assert (task.declared[asking] == task.biographies * declared).all()
    assert (told[:, -1] == 0).all()
    shown = told[:, :1] > 0
    assert (told[:, :-1] == np.where(shown, declared, 0)).all()
    chosen = asked[:, :1] > 0
    assert (asked == np.where(chosen, task.biographies * declared, 0)).all()
    assert (asked.sum(1)[chosen[:, 0]] == task.attributes * told.sum(1)[chosen[:, 0]]).all()
    assert not (chosen & ~shown).any()
    assert ((declared > 0) & ~shown).sum() <= round(task.held_out * task.n)
    assert chosen.sum() == round(task.asked * shown.sum())
    if isinstance(task.frequency, Duplicated) and 0 not in task.frequency.times:
        assert (~shown).sum() == round(task.held_out * task.n)
        for times in task.frequency.times:  # each share is one of every frequency
            group = declared == times
            assert abs((~shown & group).sum() - task.held_out * group.sum()) <= 1
            assert abs((chosen & group).sum() - task.asked * (shown & group).sum()) <= 1


@settings(max_examples=40)
@given(tasks())
def test_subsets_are_what_was_shown_what_follows_from_it_and_what_does_not(task):
    subsets, shown, question = task.subsets, task.exposures > 0, task.is_question
    known = np.isin(task.person, task.person[shown & ~question])
    asked = np.isin(task.person, task.person[shown & question])
    expected = {
        "train": shown,
        "recited": known & ~question & shown,
        "retold": known & ~question & ~shown,
        "asked": asked & question,
        "extracted": known & ~asked & question,
        "test": ~known,
        "test_biographies": ~known & ~question,
        "test_questions": ~known & question,
        "all": shown | True,
    }
    assert list(subsets) == list(expected)
    for name, mask in expected.items():
        assert (subsets[name] == mask).all(), name
        assert mask.any(), name
    parts = ("recited", "retold", "asked", "extracted", "test")
    assert (sum(subsets[name].astype(int) for name in parts) == 1).all()


def test_values_names_phrasings_and_orders_are_drawn_evenly():
    task = Biographies(4000, attributes=3, values=8, phrasings=2, biographies=4, order="drawn", seed=1)
    told, _ = read(task)
    value = task.value
    for attribute in range(3):
        assert stats.chisquare(np.bincount(value[:, attribute])).pvalue > 1e-3
    pairs = np.zeros((8, 8))
    np.add.at(pairs, (value[:, 0], value[:, 1]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-3
    for telling in range(5):  # each of the 48 ways to tell is as likely as another, in each place
        ways = Counter(tuple(words) for _, words, _ in told[telling::5])
        assert len(ways) == 48
        assert stats.chisquare(list(ways.values())).pvalue > 1e-3
    assert task.n_names == 90
    names = [names for names, _, _ in told[::5]]
    for place in range(2):
        assert stats.chisquare(list(Counter(pair[place] for pair in names).values())).pvalue > 1e-3
        assert len({pair[place] for pair in names}) == task.n_names
    for mask in (task.person_shown, task.person_asked):  # who is held out or asked does not go by attributes
        table = [np.bincount(value[part, 0], minlength=8) for part in (mask, ~mask)]
        assert stats.chi2_contingency(table).pvalue > 1e-3


def test_all_the_ways_there_are_can_be_told_but_one():
    task = Biographies(200, attributes=2, phrasings=2, biographies=7, order="drawn")
    unseen = Counter(tuple(words) for _, words, _ in read(task)[0][7::8])
    assert len(unseen) == 8
    assert stats.chisquare(list(unseen.values())).pvalue > 1e-3


def test_exposures_are_those_of_the_batches_that_are_drawn():
    settings = TrainingSettings(steps=30, batch_size=64)
    ensemble = Ensemble(Architecture.of(Shape(8, n_heads=2), TASK), [Member("m", TASK, 5)], settings, "cpu")
    rows = {tuple(row): i for i, row in enumerate(TASK.tokens.tolist())}
    assert len(rows) == len(TASK.tokens)
    seen = np.zeros(len(rows), dtype=int)
    for _ in range(settings.steps):
        inputs, targets, _ = ensemble._batch()
        for row, target in zip(inputs.table_token[inputs.row[0]].tolist(), targets[0].tolist(), strict=True):
            example = rows[tuple(row)]
            assert target == TASK.targets[example][list(TASK.scored)].tolist()
            seen[example] += 1
        ensemble.step += 1
    assert (seen == exposures_by(TASK, 64, 5, [30])[0]).all()
    assert seen.sum() == 30 * 64
    assert not seen[TASK.exposures == 0].any()


def test_a_task_is_what_it_is_written_down_as():
    again = task_from_dict(task_to_dict(TASK))
    assert again == TASK
    assert (again.tokens == TASK.tokens).all()


def test_the_seed_draws_all_that_is_drawn():
    def drawn(task):
        told = task.tokens[~task.is_question]
        asked = task.person_asked[task.person_shown]
        return {"names": told[:, :2], "words": told[:, 2::2], "value": task.value, "asked": asked}

    one, other = (drawn(Biographies(60, order="drawn", seed=seed)) for seed in (0, 1))
    for what, found in one.items():
        assert (other[what] != found).any(), what
    assert (dataclasses.replace(TASK, seed=1).person_shown != TASK.person_shown).any()


def test_it_is_blended_with_other_tasks():
    mixture = Mixture((Part("lives", TASK, 3), Part("sums", ModularArithmetic(7, train_fraction=0.5), 1)), total=4000)
    assert (mixture.subsets["lives/extracted"][mixture.examples["lives"]] == TASK.subsets["extracted"]).all()
    assert (mixture.lengths[mixture.examples["lives"]] == TASK.lengths).all()


def test_a_batch_tells_one_biography_from_several_and_keeps_recital_and_extraction_apart(tmp_path):
    batch = {
        "name": "lives",
        "suite": {
            "task": {"family": "biographies", "n": 20, "attributes": 2, "values": 4},
            "shapes": [{"d_model": 8, "n_heads": 2}],
            "vary": {"task": [{"biographies": 1}, {"biographies": 5, "order": "drawn"}]},
            "training": {"steps": 4, "batch_size": 16, "checkpoints": {"log_until": 0, "every": 2}},
        },
        "probes": ["performance", "recall"],
    }
    folder = probe.run(parse_batch(yaml.safe_dump(batch), "lives.yaml"), out=str(tmp_path / "run"), workers=1)
    table = probe.results(folder)
    assert set(table["model"]) == {"d8-1-s0", "d8-5-s0"}
    for model, rows in table[table["step"] == 4].groupby("model"):
        task = probe.open_suite(f"{folder}/suite").by_name[model].task
        assert set(rows["key"]) == set(task.subsets)
        exposures = rows[rows["metric"] == "exposures"].set_index("key")["value"]
        shown = exposures_by(task, 16, 0, [4])[0]
        for subset, mask in task.subsets.items():
            assert exposures[subset] == pytest.approx(shown[mask].mean())
        assert exposures["retold"] == exposures["extracted"] == exposures["test"] == 0
    assert "What is memorized" in (tmp_path / "run" / "memorization.html").read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 2}, "n: got 2; expected 3 or more"),
        ({"attributes": 0}, "attributes: got 0"),
        ({"values": 1}, "values: got 1"),
        ({"phrasings": 0}, "phrasings: got 0"),
        ({"biographies": 0}, "biographies: got 0"),
        ({"phrasings": 1}, r"biographies: got 1; expected fewer than the 1 ways .* order = 'fixed'"),
        ({"attributes": 2, "phrasings": 2, "biographies": 4}, "biographies: got 4; expected fewer than the 4 ways"),
        ({"attributes": 2, "phrasings": 2, "biographies": 8, "order": "drawn"}, "expected fewer than the 8 ways"),
        (
            {"attributes": 12, "phrasings": 100},
            r"phrasings: got 100; .* than 12: there are 1e\+24 ways",
        ),
        ({"order": "shuffled"}, "order: got 'shuffled'; expected 'fixed' or 'drawn'"),
        ({"asked": 0.0}, r"asked: got 0\.0; expected a share above 0 and below 1 .* of the 450 people shown"),
        ({"asked": 1.0}, r"asked: got 1\.0"),
        ({"asked": 0.001}, r"asked: got 0\.001"),
        ({"n": 4, "held_out": 0.5, "asked": 0.9}, r"asked: got 0\.9; .* of the 2 people shown, and leaves one"),
        ({"asked": float("nan")}, "asked: got nan"),
        ({"held_out": 0.0}, r"held_out: got 0\.0"),
        ({"frequency": Duplicated((0, 1)), "held_out": 0.999}, r"held_out: 0\.999 leaves no fact that is shown"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Biographies(**fields)


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="multi: Unexpected keyword"):
        task_from_dict({"family": "biographies", "multi": 5})


def test_several_biographies_make_known_what_one_makes_only_recited():
    """The paper's finding: both are recited, but what is told in one way is hardly answered in another, or if asked."""
    fields = {"n": 160, "attributes": 2, "values": 8, "asked": 0.7, "held_out": 0.2}
    tasks = {"one": Biographies(**fields), "several": Biographies(**fields, biographies=8, order="drawn")}
    arch = Architecture.of(Shape(d_model=32), tasks["one"])
    members = [Member(name, task, 0, 1e-2, 0.3) for name, task in tasks.items()]
    ensemble = Ensemble(arch, members, TrainingSettings(steps=300, batch_size=128, loss_dtype="float32"), "cpu")
    for _ in range(300):
        ensemble.train_step()
    right = {}
    for i, (name, task) in enumerate(tasks.items()):
        model = HookedTransformer.with_weights(arch, ensemble.weights(i))
        with torch.no_grad():
            logits = model(torch.tensor(task.tokens))[:, list(task.scored)][..., torch.tensor(task.answer_tokens)]
        of_tokens = outcomes(logits, task.scored_answers).token_accuracy.numpy()
        right[name] = {subset: of_tokens[mask].mean() for subset, mask in task.subsets.items()}
        assert min(right[name]["recited"], right[name]["asked"]) > 0.9, name
        assert max(right[name]["test_biographies"], right[name]["test_questions"]) < 0.3, name  # chance is 1/8
    assert right["one"]["retold"] < 0.7
    assert right["several"]["retold"] > 0.9
    assert right["one"]["extracted"] < 0.4
    assert right["several"]["extracted"] > right["one"]["extracted"] + 0.15
