"""What is told of nodes and of all questions: against the public functions, and loops over questions by hand."""

import numpy as np
import pytest
import torch

from circuits import pairs_from_task, repeated_tokens
from circuits.heads import direct_logit_attribution, head_scores, scores_on_repeats
from circuits.probes import CircuitFormation
from circuits.viewer.answers import Answers
from circuits.viewer.live import operands, spectrum
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.live.spectrum import spectrum_of
from circuits.viewer.live.written import top_examples
from probe.measures.fourier import circle, fourier_basis
from tests.circuits.viewer.live_suite import DIGITS, QUOTIENT, REPEATED, STEP, SUM, at, interval, suite_in, written


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return suite_in(tmp_path_factory.getbasetemp() / "live")


@pytest.fixture(scope="module")
def answers(suite):
    return Answers.of(suite.address)


# --- nodes ---


def test_pattern_is_that_of_the_example_alone(answers, suite):
    model, task = suite[REPEATED, STEP].load(), suite.by_name[REPEATED].task
    for example in (0, 5):
        told = answers.answer("node", at(REPEATED, node="L1.H1", example=example))
        tokens = task.tokens[example, : task.lengths[example]]
        _, cache = model.run_with_cache(torch.tensor(tokens[None]))
        expected = cache["blocks.1.attn.hook_pattern"][0, 1].detach().numpy()
        assert told.tokens == ["BOS", *map(str, tokens[1:])]
        assert np.array(told.pattern.values) == pytest.approx(expected, abs=1e-6)
        assert told.pattern.head == "L1.H1"
    assert len({task.lengths[0], task.lengths[5]}) == 2  # one of them is padded
    assert answers.answer("node", at(REPEATED, node="embed")).pattern is None


@pytest.mark.parametrize("node", ["embed", "L0.H1", "L1.MLP"])
def test_attribution_is_the_direct_one(answers, suite, node):
    told = answers.answer("node", at(SUM, node=node))
    checkpoint = suite[SUM, STEP]
    found = direct_logit_attribution(checkpoint.load(), pairs_from_task(checkpoint.task, 49))
    assert told.attribution.model_dump() == interval(found.values.sel(component=node).to_numpy())


def test_what_writes_nothing_has_no_parts(answers):
    told = answers.answer("node", at(SUM, node="logits"))
    assert (told.pattern, told.attribution, told.roles, told.spectrum, told.top) == (None, None, [], None, [])


def test_roles_are_told_on_repeats_where_two_copies_fit(answers, suite):
    told = answers.answer("node", at(REPEATED, node="L1.H0"))
    model = suite[REPEATED, STEP].load()
    found = scores_on_repeats(model, repeated_tokens(64, 8, 17, bos=16))
    assert [role.name for role in told.roles] == [
        "previous token",
        "current token",
        "first token",
        "duplicate token",
        "induction",
    ]
    for role in told.roles:
        score = role.name.replace(" ", "_")
        assert role.value.model_dump() == interval(found.values.sel(score=score, layer=1, head=0).to_numpy())
        if score in ("duplicate_token", "induction"):
            assert role.control.model_dump() == interval(found.unrepeated.sel(score=score, layer=1, head=0).to_numpy())
        else:
            assert role.control.mean == pytest.approx(float(found.uniform.sel(score=score).mean()))
    assert answers.answer("node", at(REPEATED, node="embed")).roles == []


def test_roles_of_a_short_context_are_told_on_its_own_questions(answers, suite):
    told = answers.answer("node", at(SUM, node="L0.H1"))
    task = suite.by_name[SUM].task
    found = head_scores(suite[SUM, STEP].load(), task.tokens)
    assert [role.name for role in told.roles] == ["previous token", "current token", "first token", "duplicate token"]
    for role in told.roles:
        values = found.values.sel(score=role.name.replace(" ", "_"), layer=0, head=1).to_numpy()
        assert role.value.model_dump() == interval(values[~np.isnan(values)])
        assert role.control.mean is not None
    assert told.roles[3].value.n == 7  # of a = b


def shares_by_hand(maps):
    """Share of variance at each frequency of i, of j, and of both, one basis function after the other."""
    n = len(maps)
    basis, centred = fourier_basis(n).numpy(), maps - maps.mean((0, 1))
    found = []
    for k in range(1, n // 2 + 1):
        total = 0.0
        rows = [row for row in (0, 2 * k - 1, 2 * k) if row < n]  # an even n lacks its last sine
        for one in rows:
            for other in rows:
                if one or other:
                    total += (np.einsum("a,abd,b->d", basis[one], centred, basis[other]) ** 2).sum()
        found.append(total / (centred**2).sum())
    return found


@pytest.mark.parametrize(("name", "node"), [(SUM, "L0.H0"), (SUM, "L1.MLP"), (QUOTIENT, "L0.H1"), (QUOTIENT, "L0.MLP")])
def test_spectrum_is_of_what_is_written_at_the_answer(answers, suite, name, node):
    told = answers.answer("node", at(name, node=node)).spectrum
    checkpoint = suite[name, STEP]
    model, form = checkpoint.load(), checkpoint.task.cyclic_form
    maps = np.array(
        [[written(model, node, [a, b, 7])[-1].double().numpy() for b in form.b.tolist()] for a in form.a.tolist()]
    )
    shares = shares_by_hand(maps)
    assert told.frequency == [1, 2, 3]
    assert told.share == pytest.approx(shares, rel=1e-4)
    assert told.key == 1 + int(np.argmax(shares))
    assert sum(told.share) <= 1 + 1e-9
    n, centred = len(maps), maps - maps.mean((0, 1))
    views = {
        "first operand": (form.a, centred.mean(1)),
        "second operand": (form.b, centred.mean(0)),
        "answer": (form.c, np.array([np.mean([centred[i, (s - i) % n] for i in range(n)], 0) for s in range(n)])),
    }
    planes = {by: circle(view, told.key).numpy() for by, (_, view) in views.items()}
    by = max(planes, key=lambda view: (planes[view] ** 2).sum())
    assert told.what == f"{node} at the answer position, by {by}"
    tokens = views[by][0].tolist()
    assert [told.circle_x[token] for token in tokens] == pytest.approx(planes[by][:, 0], abs=1e-4)
    assert [told.circle_y[token] for token in tokens] == pytest.approx(planes[by][:, 1], abs=1e-4)
    assert [token for token in range(8) if told.circle_x[token] is None] == sorted({*range(8)} - {*tokens})


def test_spectrum_of_waves_is_known(suite, monkeypatch):
    """Of waves in the answer, in the second operand, and in a pair of frequencies; of a / b, whose order is another."""
    checkpoint = suite[QUOTIENT, STEP]
    at_it = Loaded(checkpoint, checkpoint.load(), CircuitFormation())
    head, form = next(node for node in at_it.graph.sources if node.kind == "head"), checkpoint.task.cyclic_form
    i, j = torch.arange(6).double()[:, None], torch.arange(6).double()
    axes = torch.eye(8)[:2].double() * 3

    def turning(k, place):
        angle = (2 * torch.pi * k / 6 * place)[..., None]
        return angle.cos() * axes[0] + angle.sin() * axes[1]

    def told_of(maps):
        flat = (maps + 5.0).expand(6, 6, 8).reshape(36, 8)
        monkeypatch.setattr(spectrum, "written_at_answers", lambda *given: flat)
        return spectrum_of(at_it, head)

    for k, place, by, tokens in ((2, i + j, "answer", form.c), (1, j[None], "second operand", form.b)):
        told = told_of(turning(k, place))
        assert (told.key, told.what) == (k, f"{head} at the answer position, by {by}")
        assert told.share == pytest.approx([float(frequency == k) for frequency in told.frequency], abs=1e-9)
        angles = 2 * np.pi * k / 6 * np.arange(6)
        assert [told.circle_x[token] for token in tokens.tolist()] == pytest.approx(3 * np.cos(angles), abs=1e-9)
        assert [told.circle_y[token] for token in tokens.tolist()] == pytest.approx(3 * np.sin(angles), abs=1e-9)
    mixed = turning(1, i) * turning(2, j)  # of two frequencies: in no share
    assert told_of(mixed).share == pytest.approx([0.0] * 3, abs=1e-9)
    assert told_of(mixed + turning(1, i + j)).share[0] == pytest.approx(
        float(36 * 9 / (36 * 9 + (mixed**2).sum())), abs=1e-9
    )


def test_spectrum_of_the_embedding(answers, suite):
    told = answers.answer("node", at(QUOTIENT, node="embed")).spectrum
    checkpoint = suite[QUOTIENT, STEP]
    form = checkpoint.task.cyclic_form
    matrix = checkpoint.load().embed.W_E.detach().double().numpy()[form.a]
    centred = matrix - matrix.mean(0)
    power = (fourier_basis(6).numpy() @ centred) ** 2
    shares = [power[1:3].sum(), power[3:5].sum(), power[5:].sum()] / power.sum()
    assert told.share == pytest.approx(shares.tolist())
    assert told.what == "embedding, by first operand"
    plane = circle(centred, told.key).numpy()
    assert [told.circle_x[token] for token in form.a.tolist()] == pytest.approx(plane[:, 0])


def test_no_spectrum_without_a_cyclic_form_or_of_nothing(answers, suite, monkeypatch):
    assert answers.answer("node", at(REPEATED, node="L0.H0")).spectrum is None
    checkpoint = suite[SUM, STEP]
    loaded = Loaded(checkpoint, checkpoint.load(), CircuitFormation())
    nodes = {str(node): node for node in loaded.graph.sources}
    for name in ("embed.W_E", "blocks.0.attn.W_O", "blocks.0.mlp.W_out"):
        dict(loaded.model.named_parameters())[name].data.zero_()
    assert [spectrum_of(loaded, nodes[name]) for name in ("embed", "L0.H0", "L0.MLP")] == [None] * 3
    monkeypatch.setattr("circuits.viewer.live.spectrum.MAX_ORDER", 6)
    assert answers.answer("node", at(SUM, node="L0.H0")).spectrum is None
    assert answers.answer("node", at(QUOTIENT, node="L0.H0")).spectrum is not None


@pytest.mark.parametrize(("name", "node"), [(SUM, "L1.H1"), (SUM, "L0.MLP"), (REPEATED, "L1.H0"), (REPEATED, "embed")])
def test_top_examples_are_those_at_which_a_node_writes_most(answers, suite, name, node):
    told = answers.answer("node", at(name, node=node)).top
    checkpoint = suite[name, STEP]
    model, task = checkpoint.load(), checkpoint.task
    sizes, right = [], []
    for row, length in zip(task.tokens.tolist(), task.lengths.tolist(), strict=True):
        sizes.append(float(written(model, node, row[:length])[-1].norm()))
        said = model(torch.tensor([row[:length]]))[0, -1, : task.n_answers].argmax()
        right.append(int(said) == task.targets[len(right), length - 1])
    order = sorted(range(len(sizes)), key=lambda example: -sizes[example])
    assert [example.size for example in told] == pytest.approx([sizes[example] for example in order[:8]], rel=1e-5)
    assert len({example.example for example in told}) == 8
    for example in told:
        assert example.size == pytest.approx(sizes[example.example], rel=1e-5)
        assert example.correct == right[example.example]
        length = task.lengths[example.example]
        shown = [
            {"16": "BOS", "7": "="}.get(t, t) if name == SUM or t == "16" else t
            for t in map(str, task.tokens[example.example, :length])
        ]
        assert example.tokens == shown
    assert 0 < sum(right) < len(right)


def test_right_is_told_among_the_answers_there_are(suite):
    checkpoint = suite[SUM, STEP]
    model = checkpoint.load()

    def told():
        at_it = Loaded(checkpoint, model, CircuitFormation())
        return top_examples(at_it, at_it.graph.sources[-1])

    before = told()
    stream = model.unembed.W_U.data
    stream[:, 7] = 100 * stream[:, :7].sum(1)  # "=", which is no answer, is often the likeliest
    with torch.no_grad():
        said = model(torch.tensor(checkpoint.task.tokens))[:, -1].argmax(1)
    assert (said == 7).any()
    stream[:, 7] = -stream[:, 7]
    with torch.no_grad():
        other = model(torch.tensor(checkpoint.task.tokens))[:, -1].argmax(1)
    assert {example.example for example in before if 7 in (said[example.example], other[example.example])}
    assert told() == before
    stream[:, 7] = -stream[:, 7]
    assert told() == before


def test_no_top_examples_where_all_are_alike(answers):
    assert answers.answer("node", at(SUM, node="embed")).top == []  # at "=" it writes the same


def test_of_many_questions_some_are_looked_at(suite, monkeypatch):
    monkeypatch.setattr("circuits.viewer.live.written.N_LOOKED_AT", 5)
    told = Answers.of(suite.address).answer("node", at(SUM, node="L0.MLP"))
    assert {example.example for example in told.top} == {0, 12, 24, 36, 48}


# --- maps ---


def test_map_of_a_sum_question_by_question(answers, suite):
    told = answers.answer("map", at(SUM, step=20))
    checkpoint = suite[SUM, 20]
    model, task = checkpoint.load(), checkpoint.task
    assert (told.kind, told.rows, told.columns) == ("operands", [*map(str, range(7))], [*map(str, range(7))])
    assert (told.row_title, told.column_title) == ("first operand", "second operand")
    exposures = checkpoint.exposures
    for a in range(7):
        for b in range(7):
            said = model(torch.tensor([[a, b, 7]]))[0, -1, :7].detach().double().softmax(0)
            assert told.right[a][b] == pytest.approx(float(said[(a + b) % 7]), rel=1e-5)
            assert told.answer[a][b] == str(int(said.argmax()))
            assert told.correct[a][b] == (int(said.argmax()) == (a + b) % 7)
            assert told.held_out[a][b] == (not task.train_mask[7 * a + b])
            assert told.exposures[a][b] == exposures[7 * a + b]
    assert 0 < np.sum(told.correct) < 49


def test_map_has_no_number_where_there_is_no_question(answers):
    told = answers.answer("map", at(QUOTIENT))
    for row in range(7):
        cells = (told.right[row][0], told.correct[row][0], told.held_out[row][0], told.exposures[row][0])
        assert cells == (None,) * 4
        assert told.answer[row][0] == ""
        assert None not in told.right[row][1:]


def test_map_of_answers_of_several_tokens(answers, suite):
    told = answers.answer("map", at(DIGITS))
    checkpoint = suite[DIGITS, STEP]
    model, task = checkpoint.load(), checkpoint.task
    begun = 0  # answers of which a token is right, and not all are
    for row, (a, b) in enumerate(task.facts.tolist()):
        logits = model(torch.tensor(task.tokens[row : row + 1]))[0].detach().double()
        probability, words, right = 1.0, "", []
        for position in np.flatnonzero(task.targets[row] >= 0):
            said = logits[position, task.answer_tokens].softmax(0)
            probability *= float(said[task.targets[row, position]])
            words += task.vocabulary[int(said.argmax())]
            right.append(int(said.argmax()) == task.targets[row, position])
        begun += right[0] and not all(right)
        assert told.correct[a][b] == all(right)
        assert told.right[a][b] == pytest.approx(probability, rel=1e-4)
        assert told.answer[a][b] == task.said(np.array([[task.vocabulary.index(word) for word in words]]))[0]
    assert begun


def test_map_of_many_operands_shows_some(answers, monkeypatch):
    whole = answers.answer("map", at(SUM))
    monkeypatch.setattr(operands, "MOST_OPERANDS", 4)
    told = answers.answer("map", at(SUM))
    assert told.row_title == "first operand (4 of 7)"
    assert told.rows == told.columns == ["0", "2", "4", "6"]
    assert np.array(told.right) == pytest.approx(np.array(whole.right)[::2, ::2])
    for field in ("answer", "correct", "held_out", "exposures"):
        assert getattr(told, field) == [row[::2] for row in getattr(whole, field)[::2]], field


def test_a_task_without_operands_has_no_map(answers):
    with pytest.raises(ValueError, match=r"model: .* of repeated is not recorded; add the probe recall"):
        answers.answer("map", at(REPEATED))


def test_models_of_several_tasks_are_noted(answers):
    assert any("different tasks" in note for note in answers.answer("run", {}).notes)
