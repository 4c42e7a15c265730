"""A corpus as a task: every token in its order, whatever the file; what is shown and what is not."""

import gzip
import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from probe.tasks import Duplicated, Text, task_from_dict, task_to_dict, text

DOCUMENTS = [f"the {i}th line is about the number {i * i} and naïve cafés" for i in range(60)]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(DOCUMENTS) + "\n", encoding="utf-8")
    return str(path)


def text_of(task, rows):
    """The text of consecutive sequences: the first token of the first, and all that is predicted."""
    tokens = [int(task.tokens[rows[0], 0]), *np.concatenate([task.targets[row] for row in rows]).tolist()]
    return task.tokenizer.decode(tokens, skip_special_tokens=False)


def test_halves_of_a_letter_in_json_are_replaced(tmp_path):
    lines = [*(f'{{"text": "line {i} of a corpus"}}' for i in range(60)), '{"text": "\\ud800 24"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    task = Text(str(tmp_path / "a.jsonl"), length=8, n_tokens=300)
    assert "\ufffd 24" in task.tokenizer.decode(np.append(task.tokens.ravel(), task.targets[-1, -1]).tolist())


def test_the_sequences_are_the_corpus_in_its_order(corpus):
    task = Text(corpus, length=16, n_tokens=400)
    found = text_of(task, range(len(task.tokens)))
    whole = "".join(f"{document}<|endoftext|>" for document in DOCUMENTS)
    assert whole.startswith(found)
    assert len(whole) - len(found) < 16 * 8  # less than a sequence is dropped
    assert (task.tokens[1:, 0] == task.targets[:-1, -1]).all()
    assert (task.tokens[:, 1:] == task.targets[:, :-1]).all()
    assert task.d_vocab == 400
    assert task.scored == tuple(range(16))
    assert (task.lengths == 16).all()


def test_files_of_any_kind_are_the_same_task(corpus, tmp_path):
    task = Text(corpus, length=16, n_tokens=400)
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"body": document}) + "\n" for document in DOCUMENTS))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(("\n".join(DOCUMENTS) + "\n").encode()))
    pq.write_table(pa.table({"body": DOCUMENTS}), tmp_path / "c.parquet")
    for name in ("c.jsonl", "c.txt.gz", "c.parquet"):
        other = Text(str(tmp_path / name), length=16, n_tokens=400, text_field="body")
        assert other.digest == task.digest, name
        assert (other.tokens == task.tokens).all(), name
    halves = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, part in zip(halves, (DOCUMENTS[:20], DOCUMENTS[20:]), strict=True):
        path.write_text("\n".join(part) + "\n", encoding="utf-8")
    assert Text([str(path) for path in halves], length=16, n_tokens=400).digest == task.digest


def test_sequences_are_shown_as_declared(corpus):
    task = Text(corpus, length=8, n_tokens=300, frequency=Duplicated((1, 10)), held_out=0.25)
    n = len(task.tokens)
    assert set(task.exposures.tolist()) == {0, 1, 10}
    assert abs((task.exposures == 0).sum() - n / 4) <= 1
    assert (task.subsets["test"] == (task.exposures == 0)).all()
    assert (Text(corpus, length=8, n_tokens=300, held_out=0.25, seed=1).train_mask != task.train_mask).any()


def test_a_task_is_what_it_is_written_down_as_until_the_corpus_changes(corpus):
    task = Text(corpus, length=16, n_tokens=400)
    assert task_from_dict(task_to_dict(task)) == task
    with open(corpus, "a", encoding="utf-8") as file:
        file.write("one more line about nothing at all, long enough to be a sequence of its own, or so it seems\n" * 3)
    with pytest.raises(ValueError, match="it has changed"):
        task_from_dict(task_to_dict(task))


def test_a_corpus_is_looked_for_once(corpus, tmp_path, monkeypatch):
    asked = []
    find_shards = text.find_shards
    monkeypatch.setattr(text, "find_shards", lambda *given: asked.append(given) or find_shards(*given))
    task = Text(corpus, length=16, n_tokens=400)
    (tmp_path / "corpus.txt").unlink()
    assert task.tokenizer.decode(task.tokens[0].tolist()).startswith(DOCUMENTS[0][:10])
    assert (task.targets[0, :-1] == task.tokens[0, 1:]).all()
    assert len(asked) == 1


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(corpus, tmp_path):
    whole = Text(corpus, length=16, n_tokens=400)
    torn = tmp_path / "torn.txt.gz"
    torn.write_bytes(gzip.compress(b"some text that is cut off " * 1000)[:60])
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    with pytest.warns(UserWarning, match=r"torn.txt.gz is left out: EOFError"):
        assert Text([corpus, str(torn), str(empty)], length=16, n_tokens=400).digest == whole.digest
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"good line\nbad \xff line\n" * 30)
    with pytest.warns(UserWarning, match=r"broken.txt: 30 faulty lines, the first 2: bytes that are not UTF-8"):
        Text(str(broken), length=4, n_tokens=300)


def test_a_sound_corpus_gives_no_warning(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Text(corpus, length=12, n_tokens=350)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 0}, "length: got 0"),
        ({"n_tokens": 256}, "n_tokens: got 256; expected at least 257"),
        ({"length": 5000}, "corpus: 0 sequences of 5000 tokens"),
        ({"held_out": 0.0}, "held_out: got 0.0"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_bad_fields_are_refused_by_name(corpus, fields, message):
    with pytest.raises(ValueError, match=message):
        Text(corpus, **fields)


def test_a_corpus_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"corpus: got .*nothing.txt', where there is no file"):
        Text(str(tmp_path / "nothing.txt"))
