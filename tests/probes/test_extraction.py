"""Texts that a model goes on with: what the probe says without decoding, against decoding token by token."""

from functools import partial

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import probe
from probe.batch.schema import parse_batch
from probe.measures.memorization import extractable_texts, memorization_score
from probe.probes import extraction
from probe.probes.extraction import Extraction
from probe.tasks import Facts, Text
from tests.probes.stub import observation, values

TEXT = "the a old small river boat man house road light stone door night wind ran stood fell spoke turned left"
WORDS = TEXT.split()


def write_corpus(path, n_lines, seed=0):
    """Lines of eight words, each drawn by the one before it."""
    rng = np.random.default_rng(seed)
    follows = rng.dirichlet(np.full(len(WORDS), 0.2), size=len(WORDS)).cumsum(1)
    words = [0]
    for draw in rng.random(8 * n_lines - 1):
        words.append(min(int(np.searchsorted(follows[words[-1]], draw)), len(WORDS) - 1))
    lines = [" ".join(WORDS[w] for w in words[8 * i : 8 * i + 8]) for i in range(n_lines)]
    path.write_text("".join(f"{line}.\n" for line in lines))
    return str(path)


def decode(next_token, prompt, n_tokens):
    """Greedy decoding of one text, token by token, as a user would ask the model."""
    tokens = list(prompt)
    for _ in range(n_tokens):
        tokens.append(next_token(tokens))
    return tokens[len(prompt) :]


def tokens_of(task, text):
    return [*task.tokens[text].tolist(), int(task.targets[text, -1])]


class Reciter:
    """Goes on with a text as it is where it is to know it; else with what follows from all tokens so far.

    It also knows tokens that are not the task's, and likes them best.
    """

    def __init__(self, task, knows):
        self.task, self.next, self.asked = task, {}, []
        for text in range(len(task.tokens)):
            tokens = tokens_of(task, text)
            for place in range(1, len(tokens)):
                if knows[text, place - 1]:
                    self.next[tuple(tokens[:place])] = tokens[place]

    def next_token(self, tokens):
        other = sum((i + 3) * token for i, token in enumerate(tokens)) % self.task.d_vocab
        return self.next.get(tuple(tokens), other)

    def run_with_hooks(self, tokens, fwd_hooks):
        self.asked += [tuple(row) for row in tokens.tolist()]
        logits = torch.zeros(*tokens.shape, self.task.d_vocab + 2)
        for i, row in enumerate(tokens.tolist()):
            for place in range(len(row)):
                logits[i, place, self.next_token(row[: place + 1])] = 1.0
        logits[..., -1] = 2.0
        return logits


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = write_corpus(tmp_path_factory.mktemp("corpus") / "small.txt", 24, seed=7)
    return Text(path, length=11, n_tokens=290, held_out=0.3)


def measured(task, model, **arguments):
    """Rows and arrays of the probe."""
    logits = model.run_with_hooks(torch.as_tensor(task.tokens), [])[..., : task.d_vocab]
    model.asked.clear()
    found = list(Extraction(**arguments).measure(observation(task, scored_logits=logits, model=model)))
    return found, {one.name: one.array for one in found if hasattr(one, "array")}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.85, 0.97]), st.sampled_from([9, 60, 1 << 13]))
def test_what_is_said_is_what_decoding_gives(small, seed, share, batch_tokens):
    rng = np.random.default_rng(seed)
    known = rng.random(small.tokens.shape) < share
    known[rng.random(len(known)) < 0.3] = True
    model = Reciter(small, known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "BATCH_TOKENS", batch_tokens)
        _, arrays = measured(small, model, prompts=(2, 5), n_tokens=7)
    exact, right, scores = (arrays[f"extraction_{name}"] for name in ("exact", "tokens_right", "score"))
    assert exact.dims == right.dims == ("example", "prompt")
    assert scores.dims == ("text", "prompt")
    assert sorted(scores["text"].values) == list(range(len(small.tokens)))
    for k in (2, 5):
        for text in range(len(small.tokens)):
            tokens = tokens_of(small, text)
            said, true = decode(model.next_token, tokens[:k], 7), tokens[k : k + 7]
            assert exact.sel(prompt=k).values[text] == (said == true)
            assert right.sel(prompt=k).values[text] == [*np.equal(said, true), False].index(False)
            assert scores.sel(prompt=k, text=text).item() == pytest.approx(np.mean(np.equal(said, true)))


def test_texts_that_are_known_are_not_decoded_nor_are_tokens_before_the_first_wrong_one(small):
    known = np.ones(small.tokens.shape, dtype=bool)
    beginnings = {tuple(tokens_of(small, text)[:7]) for text in range(len(known))}
    assert len(beginnings) == len(known)
    model = Reciter(small, known)
    measured(small, model, prompts=(7,), n_tokens=5)
    assert model.asked == []
    shown = np.flatnonzero(small.train_mask)[[1, 4]]
    known[shown, [8, 9]] = False  # the third token after the prompt, and the fourth
    model = Reciter(small, known)
    measured(small, model, prompts=(7,), n_tokens=5)
    first, second = (tokens_of(small, text)[:place] for text, place in zip(shown, (9, 10), strict=True))
    said, other = decode(model.next_token, first, 2), decode(model.next_token, second, 1)
    assert model.asked == [(*first, said[0]), (*first, *said), (*second, *other)]


def test_rows_are_of_shown_and_never_shown_texts_each_with_its_interval(small):
    known = np.random.default_rng(1).random(small.tokens.shape) < 0.9
    known[small.train_mask] |= np.random.default_rng(2).random((int(small.train_mask.sum()), 1)) < 0.6
    found, arrays = measured(small, Reciter(small, known), prompts=(2, 5), n_tokens=6, n_texts=1000)
    assert set(values(found, "extractable")) == {"train/2", "train/5", "test/2", "test/5"}
    assert (small.train_mask == small.subsets["train"]).all()
    for name, mask in (("train", small.train_mask), ("test", ~small.train_mask)):
        for k in (2, 5):
            exact = arrays["extraction_exact"].sel(prompt=k).values[mask]
            score = arrays["extraction_score"].sel(prompt=k, text=np.flatnonzero(mask)).values
            share = extractable_texts(exact[:, None], np.ones((len(exact), 1), int), n_tokens=1).share
            right = np.arange(6) < np.rint(6 * score)[:, None]
            mean = memorization_score(right.astype(int), np.ones((len(score), 6), int), n_tokens=6).mean
            for metric, expected in (("extractable", share), ("memorization_score", mean)):
                got = [values(found, f"{metric}{end}")[f"{name}/{k}"] for end in ("", "_low", "_high")]
                assert got == pytest.approx([expected.value, expected.low, expected.high])


def test_a_sample_is_the_same_at_every_step_and_of_both_kinds(small):
    rng = np.random.default_rng(0)
    drawn = []
    for share in (0.5, 0.9):
        _, arrays = measured(
            small, Reciter(small, rng.random(small.tokens.shape) < share), prompts=(2,), n_tokens=6, n_texts=5
        )
        drawn.append(arrays["extraction_score"]["text"].values)
        assert arrays["extraction_exact"].shape == (len(small.tokens), 1)
    assert (drawn[0] == drawn[1]).all()
    assert len(set(drawn[0].tolist())) == 10
    assert small.train_mask[drawn[0]].sum() == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(Extraction, prompts=()), r"prompts: got \(\); expected numbers of tokens above 0, ascending"),
        (partial(Extraction, prompts=(0, 4)), r"prompts: got \(0, 4\)"),
        (partial(Extraction, prompts=(8, 4)), r"prompts: got \(8, 4\)"),
        (partial(Extraction, prompts=(4, 4)), r"prompts: got \(4, 4\)"),
        (partial(Extraction, n_tokens=0), "n_tokens: got 0"),
        (partial(Extraction, n_texts=1), "n_texts: got 1; expected 2 or more"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_tasks_without_texts_or_with_texts_too_short_are_refused(small):
    with pytest.raises(ValueError, match="no corpus of text"):
        Extraction().check(Facts(20))
    with pytest.raises(ValueError, match=r"prompts: got 7; expected at most 6, so that 6 of the 12 tokens"):
        Extraction(prompts=(2, 7), n_tokens=6).check(small)
    Extraction(prompts=(2, 6), n_tokens=6).check(small)
    assert Extraction().check(Text(small.corpus, length=63, held_out=0.4)) is None  # 32 after 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    batch = {
        "name": "texts",
        "suite": {
            "task": {
                "family": "text",
                "corpus": write_corpus(place / "corpus.txt", 220),
                "length": 20,
                "n_tokens": 300,
                "held_out": 0.2,
                "frequency": {"kind": "duplicated", "times": [1, 4, 16, 64]},
            },
            "shapes": [{"d_model": 48, "n_heads": 4}],
            "vary": {"learning_rate": [4.0e-3], "weight_decay": [0.0]},
            "training": {
                "steps": 240,
                "batch_size": 64,
                "loss_dtype": "float32",
                "checkpoints": {"log_until": 0, "every": 120},
            },
        },
        "probes": [
            "performance",
            "recall",
            {"name": "extraction", "args": {"prompts": [4, 8], "n_tokens": 12, "n_texts": 30}},
        ],
    }
    return probe.run(parse_batch(yaml.safe_dump(batch), "texts.yaml"), out=str(place / "run"), workers=1)


def test_the_more_often_a_text_was_shown_the_more_of_it_comes_out(folder):
    task = probe.open_suite(f"{folder}/suite").by_name["d48-s0"].task
    exact = probe.arrays(folder, "d48-s0", "extraction_exact").sel(step=240)
    table = probe.results(folder)
    last = table[(table.step == 240) & (table.probe == "extraction")].set_index(["metric", "key"]).value
    for k in (4, 8):
        share = [exact.sel(prompt=k).values[task.exposures == times].mean() for times in (0, 1, 4, 16, 64)]
        assert share[4] > 0.7
        assert share[4] > share[3] > share[1]
        assert max(share[:2]) < 0.1  # the control, and a text that was shown a few times
        assert last["extractable", f"train/{k}"] == pytest.approx(exact.sel(prompt=k).values[task.train_mask].mean())
        assert last["extractable_low", f"train/{k}"] > last["extractable_high", f"test/{k}"]
        assert last["memorization_score_low", f"train/{k}"] > last["memorization_score_high", f"test/{k}"]
    first = table[(table.step == 0) & (table.metric == "extractable")]
    assert not first.value.any()


def test_a_trained_model_is_asked_as_a_user_would_ask_it(folder):
    checkpoint = probe.open_suite(f"{folder}/suite")["d48-s0", 240]
    task, model = checkpoint.task, checkpoint.load()

    def next_token(tokens):
        with torch.no_grad():
            return int(model(torch.tensor([tokens]))[0, -1].argmax())

    stored = {
        name: probe.arrays(folder, "d48-s0", f"extraction_{name}").sel(step=240, prompt=8)
        for name in ("exact", "tokens_right", "score")
    }
    for text in stored["score"]["text"].values:
        tokens = tokens_of(task, text)
        right = np.equal(decode(next_token, tokens[:8], 12), tokens[8:20])
        assert stored["exact"].values[text] == right.all()
        assert stored["tokens_right"].values[text] == [*right, False].index(False)
        assert stored["score"].sel(text=text).item() == pytest.approx(right.mean())
    assert 0 < stored["exact"].values[stored["score"]["text"].values].mean() < 1
