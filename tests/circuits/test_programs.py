"""Transformers whose circuit is known: they compute their program, by the edges that are said and by no other."""

import numpy as np
import pytest
import torch
from einops import einsum

from circuits import eap, repeated_tokens
from circuits.graph import Graph
from tests.circuits.masked import masked_forward
from tests.circuits.programs.clock import CLOCK, FREQUENCIES, GAIN, P
from tests.circuits.programs.compiled import SORT
from tests.circuits.programs.induction import BOS, D_VOCAB, INDUCTION, MATCH
from tests.circuits.programs.known import PROGRAMS, WRITTEN
from tests.circuits.programs.previous_token import PREVIOUS_TOKEN

N_PAIRS = 12


def at_answers(logits, pairs):
    return logits[torch.arange(len(pairs)), torch.tensor(pairs.answer_positions)]


def written(model, graph, tokens):
    """What every source writes [source, pair, position, d_model]."""
    _, cache = model.run_with_cache(tokens)
    found = []
    for site, _ in graph.source_sites:
        if site.endswith("hook_z"):
            W_O = model.blocks[int(site.split(".")[1])].attn.W_O
            found.append(einsum(cache[site], W_O, "b p h e, h e d -> h b p d"))
        else:
            found.append(cache[site][None])
    return torch.cat(found)


@torch.no_grad()
def change_by_edge(program, ablation):
    """The largest change of a logit of any pair when each edge alone is replaced, by the edge's name.

    Of one edge alone this is to add to its input what its source writes elsewhere less what it writes here.
    """
    model, pairs = program.model(), program.pairs(N_PAIRS, 0)
    graph = Graph.of(model)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    here = written(model, graph, clean)
    elsewhere = {
        "corrupted": written(model, graph, corrupted),
        "mean": here.mean(1, keepdim=True).expand_as(here),
        "zero": torch.zeros_like(here),
    }[ablation]
    intact = at_answers(model(clean), pairs)
    found = {}
    for edge in graph.edges():
        source, destination = graph.place(edge)
        site, columns = next(x for x in graph.destination_sites if x[1].start <= destination < x[1].stop)

        def replace(activation, hook, source=source, head=destination - columns.start):
            whole = activation.clone()
            (whole[:, :, head] if whole.ndim == 4 else whole).add_(elsewhere[source] - here[source])
            return whole

        logits = at_answers(model.run_with_hooks(clean, fwd_hooks=[(site, replace)]), pairs)
        found[str(edge)] = (logits - intact).abs().max().item()
    return found


@pytest.mark.parametrize("ablation", ["corrupted", "mean", "zero"])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_each_known_edge_matters_and_no_other_does(program, ablation):
    change = change_by_edge(program, ablation)
    known = program.known_edges | (program.fixed_edges if ablation == "zero" else frozenset())
    assert known <= set(change)
    # a mean of equal numbers is rounded; all else is exact
    assert {edge for edge, largest in change.items() if largest > (1e-4 if ablation == "mean" else 0)} == known
    assert min(change[edge] for edge in known) > 0.25


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_all_other_edges_at_once_do_not_matter_and_the_known_ones_are_all(program):
    arch, w = program.weights()
    pairs = program.pairs(N_PAIRS, 1)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    intact, _ = masked_forward(arch, w, clean)
    other, elsewhere = masked_forward(arch, w, corrupted)
    zero = {source: torch.zeros_like(value) for source, value in elsewhere.items()}
    edges = {str(edge): tuple(str(edge).split(" -> ")) for edge in Graph.of(program.model()).edges()}

    def logits(instead, ablated):
        masks = {edges[edge]: torch.tensor(1.0) for edge in ablated}
        return at_answers(masked_forward(arch, w, clean, instead, masks)[0], pairs)

    def same(one, other):
        return torch.allclose(one, other, atol=1e-5)

    known, fixed = program.known_edges, program.fixed_edges
    assert same(logits(elsewhere, set(edges) - known), at_answers(intact, pairs))
    assert same(logits(zero, set(edges) - known - fixed), at_answers(intact, pairs))
    # the known edges carry all that differs: with them replaced, the answer is that to the corrupted question
    assert same(logits(elsewhere, known), at_answers(other, pairs))
    assert not same(at_answers(intact, pairs), at_answers(other, pairs))


def largest_scores(program):
    """EAP's largest score of each edge, by absolute value, over the pairs."""
    scores = eap(program.model(), program.pairs(N_PAIRS, 0), program.metric, per_example=True)
    largest = np.abs(scores.per_example).max(0)
    return {str(edge): largest[scores.graph.place(edge)] for edge in scores.graph.edges()}


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_gradients_see_known_edges_alone(program):
    score = largest_scores(program)
    assert program.flat_edges <= program.known_edges
    assert all(score[edge] > 0.1 for edge in program.known_edges - program.flat_edges)
    # at all others there is a difference of exactly 0, or a gradient of exactly 0
    assert all(score[edge] == 0 for edge in score if edge not in program.known_edges)


def test_gradients_do_not_see_where_hard_attention_goes():
    _, program = SORT
    score = largest_scores(program)
    assert program.flat_edges == {"embed -> L0.H0.q", "embed -> L0.H0.k", "L0.H0 -> L0.MLP", "L0.MLP -> L1.H0.k"}
    assert all(score[edge] < 1e-9 for edge in program.flat_edges)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_pairs_are_answered_as_they_say(program):
    model, pairs = program.model(), program.pairs(40, 3)
    assert len(pairs) == 40
    again, another = program.pairs(40, 3), program.pairs(40, 4)
    assert np.array_equal(pairs.clean, again.clean)
    assert np.array_equal(pairs.corrupted, again.corrupted)
    assert not np.array_equal(pairs.clean, another.clean)
    clean, corrupted = (
        at_answers(model(torch.tensor(question)), pairs).detach().numpy() for question in (pairs.clean, pairs.corrupted)
    )
    if pairs.wrong_answers is None:
        assert (clean[:, 0] > corrupted[:, 0]).all()
    else:
        assert (clean.argmax(1) == pairs.answers).all()
        assert (corrupted.argmax(1) == pairs.wrong_answers).all()


@pytest.mark.parametrize("program", WRITTEN, ids=str)
def test_parts_that_are_idle_are_as_active_as_others(program):
    """Otherwise it would say nothing that they are found to have no effect."""
    model, pairs = program.model(), program.pairs(N_PAIRS, 0)
    graph = Graph.of(model)
    clean, corrupted = (written(model, graph, torch.tensor(question)) for question in (pairs.clean, pairs.corrupted))
    used = {edge.split(" -> ")[0] for edge in program.known_edges}
    idle = [row for row, name in enumerate(graph.source_names) if name not in used]
    assert idle
    for row in idle:
        assert (clean - corrupted)[row].abs().max() > 0.1, graph.source_names[row]


def test_previous_token_on_all_questions():
    model = PREVIOUS_TOKEN.model()
    tokens = torch.cartesian_prod(*[torch.arange(model.arch.d_vocab)] * model.arch.n_ctx)
    assert torch.equal(model(tokens).argmax(-1)[:, 1:], tokens[:, :-1])


def test_induction_answers_what_followed_before():
    model = INDUCTION.model()
    pairs = repeated_tokens(100, 5, D_VOCAB, bos=BOS, seed=0)
    tokens = torch.tensor(pairs.clean)
    logits, cache = model.run_with_cache(tokens)
    # from the first repeated token on, every next token is known
    assert torch.equal(logits[:, 6:-1].argmax(-1), tokens[:, 7:])
    assert torch.equal(logits[:, -1].argmax(-1), torch.tensor(pairs.answers))
    n = tokens.shape[1]
    before = cache["blocks.0.attn.hook_pattern"][:, 0].diagonal(-1, dim1=1, dim2=2)
    assert torch.allclose(before, torch.ones(100, n - 1))
    # the last token was there 5 before; the position after that, 4 before, has exp(MATCH) against 1 of all others
    matched = cache["blocks.1.attn.hook_pattern"][:, 1, -1, -5]
    expected = np.exp(MATCH) / (np.exp(MATCH) + n - 1)
    assert torch.allclose(matched, torch.full((100,), expected, dtype=torch.float32), atol=1e-5)


def test_clock_is_a_sum_of_cosines_on_all_questions():
    model = CLOCK.model()
    a, b, c = torch.meshgrid(*[torch.arange(P)] * 3, indexing="ij")
    questions = torch.stack([a[..., 0].flatten(), b[..., 0].flatten(), torch.full((P**2,), P)], dim=1)
    logits = model(questions)[:, -1]
    w = 2 * torch.pi * torch.tensor(FREQUENCIES, dtype=torch.float64) / P
    expected = GAIN * ((a + b - c)[..., None] * w).cos().sum(-1)
    assert torch.allclose(logits[:, :P].double(), expected.reshape(P**2, P), atol=1e-4)
    assert (logits[:, P] == 0).all()
    assert torch.equal(logits.argmax(1), questions[:, :2].sum(1) % P)
