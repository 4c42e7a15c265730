"""``probe.few_shot`` on models whose answers are known by construction."""

import hashlib
import os
import re
import signal
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

import probe
from probe.fewshot import asking
from probe.fewshot.questions import Questions
from probe.fewshot.reading import Prompts
from probe.suites.pretrained import PretrainedModel
from tests.activations.small_suite import write_suite
from tests.fewshot import rigged

ASKED = {"operands": "1-6", "partners": "1-6", "shots": (0, 2), "progress": False}
ANSWERS = {("small", 1): 12, ("small", 20): 6, ("large", 1): 30}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Models that always give the same answer, whatever they are asked: the token after ``A:`` is that number."""
    root = tmp_path_factory.mktemp("constant")
    for (name, step), answer in ANSWERS.items():
        read = rigged.tokenizer(60 if name == "small" else 90)
        rigged.save(root / name / f"step{step}", {":": str(answer)}, "neox" if name == "small" else "gpt2", read)
    return root


def items_in(folder):
    return sorted((folder / "items").glob("*.parquet"))


def test_accuracy_by_operand_is_what_it_was_made_to_be(root):
    found = probe.few_shot(root, **ASKED)
    table = found.by_operand
    assert table.columns.tolist() == [
        *("model", "n_params", "step", "n_shot", "operation", "operand"),
        *("accuracy", "n_items", "low", "high", "n_tokens"),
    ]
    assert len(table) == 3 * 2 * 6
    assert table[["model", "step", "n_shot"]].drop_duplicates().to_numpy().tolist() == [
        [name, step, n] for name, step in ANSWERS for n in (0, 2)
    ]
    suite = probe.open_suite(root)
    for row in table.to_dict("records"):
        answer, a = ANSWERS[row["model"], row["step"]], row["operand"]
        right = sum(a * b == answer for b in range(1, 7))
        assert row["accuracy"] == right / 6
        p, n, z = right / 6, 6, 1.959963984540054  # Wilson 1927
        middle = (p + z * z / 2 / n) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + (z / 2 / n) ** 2)
        assert (row["low"], row["high"]) == pytest.approx((max(middle - half, 0), min(middle + half, 1)), abs=1e-12)
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert (row["n_items"], row["n_tokens"], row["operation"]) == (6, 1, "multiplication")
        assert row["n_params"] == suite.by_name[row["model"]].n_params
    assert sorted(table["accuracy"].unique()) == [0, 1 / 6]


def test_the_operand_is_the_first(tmp_path):
    """A model that doubles the last number that it reads, which is the second operand, or the first one."""
    rigged.save(tmp_path / "m", {str(n): str(2 * n) for n in range(5, 10)})
    given = ASKED | {"operands": "1-3", "partners": "5-8"}
    table = probe.few_shot(tmp_path, template="{a} times {b}", **given).by_operand
    assert table["accuracy"].tolist() == [0, 1, 0] * 2
    given |= {"operands": "5,6", "partners": "1-4"}
    table = probe.few_shot(tmp_path, template="{b} times {a}", **given).by_operand
    assert table[["operand", "accuracy", "n_items"]].to_numpy().tolist() == [[5, 0.25, 4], [6, 0.25, 4]] * 2


@pytest.mark.parametrize(
    ("operation", "right"), [("addition", {(7, 5)}), ("subtraction", set()), ("multiplication", {(6, 2)})]
)
def test_operations(root, operation, right):
    suite = probe.open_suite(root)
    found = probe.few_shot(suite, operation, [6, 7], [2, 5], 0, models="small", steps=[1], progress=False)
    items = found.items
    assert set(map(tuple, items.loc[items["right"], ["a", "b"]].to_numpy().tolist())) == right
    assert set(items["operation"]) == set(found.by_operand["operation"]) == {operation}


def test_negative_answers(tmp_path):
    rigged.save(tmp_path / "m", {":": "-", "-": "3"})
    found = probe.few_shot(tmp_path, "subtraction", "1-5", "4", 0, progress=False)
    assert found.by_operand["accuracy"].tolist() == [1, 0, 0, 0, 0]
    assert set(found.items["answer"]) == {"-3"}


def test_the_items(root):
    found = probe.few_shot(root, **ASKED)
    items = found.items
    assert items.columns.tolist() == ["model", "step", "n_shot", "operation", "a", "b", "prompt", "answer", "right"]
    assert len(items) == 3 * 2 * 36
    questions = Questions("multiplication", "1-6", "1-6", (0, 2))
    for (name, step, n_shot), part in items.groupby(["model", "step", "n_shot"]):
        assert part[["a", "b"]].to_numpy().tolist() == [[a, b] for a in range(1, 7) for b in range(1, 7)]
        digests = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in questions.prompts(n_shot)]
        assert part["prompt"].tolist() == digests  # the same for every model and step
        assert set(part["answer"]) == {str(ANSWERS[name, step])}
        assert part["right"].tolist() == (part["a"] * part["b"] == ANSWERS[name, step]).tolist()
    table = items.groupby(["model", "step", "n_shot", "a"], sort=False)["right"].mean()
    assert table.tolist() == found.by_operand["accuracy"].tolist()


def test_answers_do_not_depend_on_the_batch(tmp_path):
    """A model with random weights, whose answers depend on all that it reads."""
    rigged.save_random(tmp_path / "m", "neox", rigged.tokenizer(40), seed=3)
    given = ASKED | {"operands": "1-5", "partners": "2-4", "shots": (0, 1, 5), "max_new_tokens": 6}
    tables = [probe.few_shot(tmp_path, batch_size=size, **given).items for size in (1, 4, None)]
    assert tables[0]["answer"].nunique() > 10
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_a_folder_holds_the_same_and_is_read_back(root, tmp_path):
    memory = probe.few_shot(root, **ASKED)
    stored = probe.few_shot(root, out=tmp_path / "out", **ASKED)
    again = probe.few_shot(root, out=str(tmp_path / "out") + "/", **ASKED)
    assert len(items_in(tmp_path / "out")) == 6
    for one in (stored, again):
        pd.testing.assert_frame_equal(one.by_operand, memory.by_operand)
        pd.testing.assert_frame_equal(one.items, memory.items)
    csv = pd.read_csv(tmp_path / "out" / "multiplication.csv")
    pd.testing.assert_frame_equal(csv, memory.by_operand, check_dtype=False)
    by_file = pd.read_parquet(items_in(tmp_path / "out")[0])
    assert by_file[["model", "step", "n_shot"]].drop_duplicates().shape == (1, 3)


@pytest.fixture
def loads(monkeypatch):
    """The checkpoints whose weights are loaded, and released, in order."""
    said = []
    for what in ("load", "release"):
        method = getattr(PretrainedModel, what)

        def told(self, step, *rest, what=what, method=method):
            said.append(f"{what} {self.name} {step}")
            return method(self, step, *rest)

        monkeypatch.setattr(PretrainedModel, what, told)
    return said


def test_what_is_there_is_not_asked_again(root, tmp_path, loads):
    whole = probe.few_shot(root, out=tmp_path, **ASKED)
    assert loads == [f"{what} {name} {step}" for name, step in ANSWERS for what in ("load", "release")]
    loads.clear()
    before = {path: path.stat().st_mtime_ns for path in items_in(tmp_path)}
    probe.few_shot(root, out=tmp_path, **ASKED)
    assert loads == []
    gone = [whole.parts[1], whole.parts[2], whole.parts[3]]  # small at step 1 with 2 examples; small at step 20
    for path in gone:
        os.unlink(path)
    again = probe.few_shot(root, out=tmp_path, **ASKED)
    assert loads == ["load small 1", "release small 1", "load small 20", "release small 20"]
    pd.testing.assert_frame_equal(again.items, whole.items)
    pd.testing.assert_frame_equal(again.by_operand, whole.by_operand)
    after = {path: path.stat().st_mtime_ns for path in items_in(tmp_path)}
    assert after.keys() == before.keys()
    assert {str(path) for path in after if after[path] != before[path]} == set(gone)


@pytest.mark.parametrize("n_whole", [0, 3])
def test_killed_at_any_moment_it_goes_on(root, tmp_path, loads, n_whole):
    """A process of its own is killed while it puts a file in its place."""
    whole = probe.few_shot(root, **ASKED)
    child = os.fork()
    if child == 0:
        renamed, replace = [], os.replace

        def replace_some(*paths):
            if len(renamed) == n_whole:
                os.kill(os.getpid(), signal.SIGKILL)
            renamed.append(paths)
            replace(*paths)

        os.replace = replace_some
        try:
            probe.few_shot(root, out=tmp_path, **ASKED)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(items_in(tmp_path)) == n_whole
    assert len(list((tmp_path / "items").iterdir())) == n_whole + 1  # and what was being written
    loads.clear()
    again = probe.few_shot(root, out=tmp_path, **ASKED)
    assert len(items_in(tmp_path)) == 6
    assert len(loads) / 2 == (3 if n_whole == 0 else 2)
    pd.testing.assert_frame_equal(again.items, whole.items)
    pd.testing.assert_frame_equal(again.by_operand, whole.by_operand)


@pytest.mark.parametrize(
    ("changed", "n_new"),
    [
        ({"operation": "addition"}, 2),
        ({"template": "Q: What is {a} times {b}? A:{answer}\n\n"}, 1),  # of examples, not of the question
        ({"template": "Q: {a} times {b}? A:"}, 2),
        ({"seed": 1}, 1),  # without examples nothing is drawn
        ({"operands": "1-5"}, 2),
        ({"partners": "1-5"}, 2),
        ({"max_new_tokens": 8}, 2),
        ({"shots": (0, 1, 2)}, 1),
        ({"shots": 2}, 0),
        ({"batch_size": 5}, 0),
        ({"models": ["small", "large"]}, 2),
        ({"models": ["small"], "steps": [1, 20]}, 2),
    ],
    ids=str,
)
def test_what_decides_the_answers_decides_where_they_are_kept(root, tmp_path_factory, changed, n_new):
    out = tmp_path_factory.getbasetemp() / "decides"
    given = ASKED | {"models": ["small"], "steps": [1]}
    probe.few_shot(root, out=out, **given)
    before = set(items_in(out))
    fresh, kept = probe.few_shot(root, **given | changed), probe.few_shot(root, out=out, **given | changed)
    pd.testing.assert_frame_equal(fresh.items, kept.items)
    new = set(items_in(out)) - before
    assert len(new) == n_new
    for path in new:
        path.unlink()


def test_other_weights_under_the_same_name_are_asked(tmp_path):
    for answer in (12, 6):
        rigged.save(tmp_path / "m" / "step1", {":": str(answer)})
        found = probe.few_shot(tmp_path, out=tmp_path / "out", models=["m"], **ASKED)
        assert set(found.items["answer"]) == {str(answer)}
    assert len(items_in(tmp_path / "out")) == 4


def test_a_damaged_file_is_named(root, tmp_path):
    found = probe.few_shot(root, out=tmp_path, **ASKED)
    with open(found.parts[2], "r+b") as file:
        file.truncate(100)
    with pytest.raises(ValueError, match=f"^out: {re.escape(found.parts[2])} is damaged .*; delete it"):
        probe.few_shot(root, out=tmp_path, **ASKED)
    pd.DataFrame({"a": [1]}).to_parquet(found.parts[2])
    with pytest.raises(ValueError, match="is damaged"):
        probe.few_shot(root, out=tmp_path, **ASKED)


def test_numbers_that_a_tokenizer_splits_otherwise_are_warned_about_once(tmp_path):
    split = rigged.tokenizer(without=(24, 36))
    for name, step, read in (("one", 1, split), ("one", 2, split), ("two", 1, split), ("three", 1, rigged.tokenizer())):
        rigged.save(tmp_path / name / f"step{step}", {":": str(step)}, "gpt2" if name == "two" else "neox", read)
    with pytest.warns(UserWarning, match="splits") as caught:
        table = probe.few_shot(tmp_path, "addition", "23-25,36,7", "3,36", 0, progress=False).by_operand
    said = [str(warning.message) for warning in caught]
    assert len(said) == 1, said
    assert said[0].startswith(
        "operands: the tokenizer of one, two splits 24, 36 otherwise than most numbers of as many digits (24 into 2"
        " tokens of 1 + 1 digits, most into 1 token)"
    )
    n_tokens = table.set_index(["model", "step", "operand"])["n_tokens"]
    assert n_tokens["one", 2].to_dict() == n_tokens["two", 1].to_dict() == {7: 1, 23: 1, 24: 2, 25: 1, 36: 2}
    assert set(n_tokens["three"]) == {1}


def test_a_copy_of_other_weights_is_warned_about(tmp_path):
    for step in (1, 2):
        rigged.save(tmp_path / f"step{step}", {":": "12"})
    with pytest.warns(UserWarning, match="at step 2 has the weights of step 1, so one of them is not what it claims"):
        found = probe.few_shot(tmp_path, out=tmp_path / "out", **ASKED)
    assert found.items["step"].unique().tolist() == [1, 2]


def test_two_models_with_the_same_weights_are_two_models(tmp_path):
    for name in ("one", "two"):
        rigged.save(tmp_path / name, {":": "12"})
    found = probe.few_shot(tmp_path, out=tmp_path / "out", models=["one", "two"], **ASKED)
    assert found.items["model"].unique().tolist() == ["one", "two"]
    assert len(items_in(tmp_path / "out")) == 4


def test_tokenizers_that_do_not_say_all_of_themselves_are_not_taken_for_the_same(tmp_path, monkeypatch):
    for name, without in (("one", ()), ("two", (24,))):
        rigged.save(tmp_path / name, {":": "12"}, read=rigged.tokenizer(without=without))
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    with pytest.warns(UserWarning, match=r"the tokenizer of two splits 24 .*\(24 into 2 tokens, most into 1 token\)"):
        table = probe.few_shot(tmp_path, operands="23-25", partners="1", shots=0, progress=False).by_operand
    n_tokens = table.groupby("model")["n_tokens"].agg(list)
    assert n_tokens.to_dict() == {"one": [1, 1, 1], "two": [1, 2, 1]}


def test_a_tokenizer_that_ends_every_text(tmp_path):
    """What the model is asked ends with the question, not with the end of text."""
    read = rigged.tokenizer()
    read.backend_tokenizer.post_processor = TemplateProcessing(f"{rigged.END} $A {rigged.END}", None, [(rigged.END, 1)])
    rigged.save(tmp_path / "m", {":": "12"}, read=read)
    assert read("so")["input_ids"][-1] == 1
    assert set(probe.few_shot(tmp_path, **ASKED).items["answer"]) == {"12"}


def test_a_model_without_a_tokenizer(tmp_path):
    ours = write_suite(tmp_path, steps=(0, 10))
    for given in (ours, ours.address):
        with pytest.raises(ValueError, match=r"^tokenizer: small has none, so it cannot be asked in words; expected"):
            probe.few_shot(given, **ASKED)


def test_a_context_that_is_too_short(root):
    """A question has 12 tokens, an example 14 or 15; the models read 128."""
    n = len(rigged.tokenizer()(rigged.TEMPLATE.format(a=3, b=4))["input_ids"])
    at_most = (128 - 16 - n) // (n + 2)
    assert len(probe.few_shot(root, **ASKED | {"shots": at_most}).by_operand) == 18
    says = (
        f"shots: with {at_most + 1} the longest prompt has {n + (at_most + 1) * (n + 2)} tokens,"
        " and its answer up to 16;"
        f" small reads at most n_ctx = 128; expected fewer (of those asked for {at_most} fit)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        probe.few_shot(root, **ASKED | {"shots": (1, at_most, at_most + 1)})
    with pytest.raises(ValueError, match=r"n_ctx = 128; expected fewer \(none of those asked for fits\)"):
        probe.few_shot(root, **ASKED | {"shots": 0, "max_new_tokens": 129 - n})
    assert len(probe.few_shot(root, **ASKED | {"shots": 0, "max_new_tokens": 128 - n}).by_operand) == 18


def test_a_tokenizer_that_is_not_of_the_model(root, tmp_path):
    rigged.save(tmp_path / "m", {":": "12"}, read=rigged.tokenizer(30))
    rigged.tokenizer(80).save_pretrained(tmp_path / "m")
    says = "tokenizer: that of m gives token .*; the model knows tokens 0 to"
    with pytest.raises(ValueError, match=f"^{says}"):
        probe.few_shot(tmp_path, **ASKED | {"operands": "1-70"})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"operation": "division"}, "operation: got 'division'"),
        ({"operands": "one"}, "operands: got 'one'"),
        ({"partners": "6-1"}, "partners: got '6-1'"),
        ({"shots": 35}, "shots: got 35; expected whole numbers from 0 to 34"),
        ({"template": "{a}"}, "template: got '{a}', but it lacks {b}"),
        ({"seed": -1}, "seed: got -1"),
        ({"batch_size": 0}, "batch_size: got 0; expected a whole number, at least 1"),
        ({"batch_size": 2.0}, "batch_size: got 2.0"),
        ({"max_new_tokens": 0}, "max_new_tokens: got 0; expected a whole number, at least 1"),
        ({"max_new_tokens": None}, "max_new_tokens: got None"),
        ({"device": "abacus"}, "device: got 'abacus'"),
        ({"models": ["huge"]}, "model: got 'huge'; expected one of small, large"),
        ({"steps": [7]}, "step: small has no checkpoint at 7"),
        ({"steps": 7}, "steps: got 7; expected whole numbers"),
        ({"steps": []}, "steps: the suite has no checkpoint to ask"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_anything_is_loaded(root, tmp_path, loads, given, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        probe.few_shot(root, out=tmp_path / "out", **ASKED | given)
    assert loads == []
    assert not (tmp_path / "out").exists()


def test_a_model_that_gives_no_numbers_is_named_and_given_back(tmp_path, loads):
    folder = rigged.save_random(tmp_path / "m", "neox", rigged.tokenizer())
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["embed_out.weight"][5] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"^{re.escape(str(folder))}: its logits are nan"):
        probe.few_shot(tmp_path, **ASKED)
    assert loads == ["load m 0", "release m 0"]


def test_what_will_be_done_and_what_is_done_is_told(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("probe.progress.PRINT_EVERY_S", 0.0)
    given = ASKED | {"progress": True, "out": tmp_path}
    whole = probe.few_shot(root, **given)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "asking 36 questions of 3 checkpoint(s) with 0, 2 examples: 6 of 6 units are to be asked"
    assert re.fullmatch(r" *\d+%  small at step 1, 0 examples · about \d+ s left", lines[1])
    assert re.fullmatch(r"100%  large at step 1, 2 examples · about 0 s left", lines[-1])
    shares = [int(line.split("%")[0]) for line in lines[1:]]
    assert shares == sorted(shares)
    os.unlink(whole.parts[0])
    probe.few_shot(root, **given)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(": 1 of 6 units are to be asked")
    assert lines[-1].startswith("100%  small at step 1, 0 examples")
    probe.few_shot(root, **given | {"progress": False})
    assert capsys.readouterr().err == ""


def test_longer_prompts_come_first_and_batches_are_filled(tmp_path, monkeypatch):
    rigged.save(tmp_path / "m", {":": "12"}, read=rigged.tokenizer(without=(10, 11)))
    sizes, ask = [], asking.greedy_answers
    monkeypatch.setattr(
        asking, "greedy_answers", lambda *a: (sizes.append([len(prompt) for prompt in a[2]]), ask(*a))[1]
    )
    with pytest.warns(UserWarning, match="splits 10, 11 otherwise"):
        probe.few_shot(tmp_path, "multiplication", "1-5", "10-14", 1, batch_size=10, progress=False)
    assert [len(batch) for batch in sizes] == [10, 10, 5]
    flat = [length for batch in sizes for length in batch]
    assert flat == sorted(flat, reverse=True)
    assert len(set(flat)) > 1


def test_questions_that_read_alike_are_kept_apart(tmp_path):
    """A template that does not say what is asked, nor where one number ends."""
    rigged.save(tmp_path / "m", {":": "11"})
    given = {"shots": 0, "template": "{a}{b} :", "progress": False, "out": tmp_path / "out", "models": ["m"]}
    for operation, a, b, right in (
        ("multiplication", 1, 11, True),
        ("addition", 1, 11, False),
        ("multiplication", 11, 1, True),
    ):
        items = probe.few_shot(tmp_path, operation, [a], [b], **given).items
        assert items[["operation", "a", "b", "right"]].to_numpy().tolist() == [[operation, a, b, right]]


def test_texts_and_tokens_decide_what_is_read():
    def prompts(*texts, words=rigged.WORDS):
        return Prompts.of(texts, rigged.made([*words, *"0123456789"]))

    first = prompts("many is", "so")
    assert first.digest == prompts("many is", "so").digest
    assert [row.tolist() for row in first.rows] == [
        [rigged.WORDS.index(word) for word in ("many", "is")],
        [len(rigged.WORDS) - 1],
    ]
    assert (len(first), first.longest) == (2, 2)
    others = [
        prompts("many  is", "so"),  # the same tokens
        prompts("many is", "so", words=[*rigged.WORDS[:2], *rigged.WORDS[:1:-1]]),  # the same texts
        prompts("many", "is so"),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 4
