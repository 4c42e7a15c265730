"""Edges exchanged within a pass, on activations made up: each input against a sum written out term by term."""

import numpy as np
import pytest
import torch

from circuits.exchange import Exchange
from circuits.graph import Graph

ROWS, POSITIONS, D_HEAD, D_MODEL = 3, 4, 2, 5


def made_up(graph, seed):
    """An activation for every source site, of heads their z."""
    drawn = np.random.default_rng(seed)
    return {
        site: torch.tensor(
            drawn.normal(size=(ROWS, POSITIONS, *((graph.n_heads, D_HEAD) if "z" in site else (D_MODEL,))))
        )
        for site, _ in graph.source_sites
    }


def in_order(graph):
    """Sites as a pass comes by them."""
    yield "blocks.0.hook_resid_pre"
    for layer in range(graph.n_layers):
        names = ["hook_q_input", "hook_k_input", "hook_v_input", "attn.hook_z"] + [
            "hook_mlp_in",
            "hook_mlp_out",
        ] * graph.mlps
        yield from (f"blocks.{layer}.{name}" for name in names)
    yield f"blocks.{graph.n_layers - 1}.hook_resid_post"


@pytest.mark.parametrize("graph", [Graph(2, 2), Graph(2, 4, 2, parallel=True), Graph(2, 1, mlps=False)], ids=str)
@pytest.mark.parametrize("own", [True, False], ids=["a set for each row", "one set for all"])
def test_an_input_is_moved_by_what_its_edges_carry_instead(graph, own):
    drawn = np.random.default_rng(0)
    here, elsewhere = made_up(graph, 1), made_up(graph, 2)
    W_O = [torch.tensor(drawn.normal(size=(graph.n_heads, D_HEAD, D_MODEL))) for _ in range(graph.n_layers)]
    taken = graph.mask & (drawn.random((ROWS if own else 1, *graph.mask.shape)) < 0.5)
    exchange = Exchange(graph, W_O, torch.tensor(taken), elsewhere)

    written = {}  # by row of the graph: what the source writes elsewhere less what it writes here
    for site, rows in graph.source_sites:
        for head, row in enumerate(range(rows.start, rows.stop)):
            difference = elsewhere[site] - here[site]
            if difference.ndim == 4:
                difference = difference[:, :, head] @ W_O[int(site.split(".")[1])][head]
            written[row] = difference

    columns = dict(graph.destination_sites)
    for site in in_order(graph):
        if site in here:
            assert exchange.at(site, here[site]) is here[site]  # what a source writes is left to be read
            continue
        width = columns[site].stop - columns[site].start
        read = torch.tensor(drawn.normal(size=(ROWS, POSITIONS, width, D_MODEL)))
        read = read if "_input" in site else read[:, :, 0]
        found = exchange.at(site, read)
        assert found.shape == read.shape
        for number, column in enumerate(range(columns[site].start, columns[site].stop)):
            for row in range(ROWS):
                expected = (read[row, :, number] if "_input" in site else read[row]).clone()
                for source in np.flatnonzero(taken[row if own else 0, :, column]):
                    expected += written[source][row]
                one = found[row, :, number] if "_input" in site else found[row]
                torch.testing.assert_close(one, expected, rtol=0, atol=1e-12)


def test_sources_of_which_no_edge_is_taken_need_not_be_known_elsewhere():
    graph = Graph(1, 2)
    taken = torch.zeros(1, *graph.mask.shape, dtype=torch.bool)
    logits = graph.n_destinations - 1
    taken[0, graph.source_names.index("L0.H1"), logits] = True
    here = made_up(graph, 1)
    z = "blocks.0.attn.hook_z"
    W_O = torch.stack([torch.full((D_HEAD, D_MODEL), 9.0), torch.ones(D_HEAD, D_MODEL)])
    exchange = Exchange(graph, [W_O], taken, {z: here[z] + 1})
    for site in in_order(graph):
        given = here.get(site, torch.zeros(ROWS, POSITIONS, D_MODEL))
        found = exchange.at(site, given)
        if not site.endswith("resid_post"):
            assert found is given
    torch.testing.assert_close(found, torch.full_like(found, D_HEAD))  # that head's difference of ones, by ones


def test_differences_of_half_precision_are_added_up_in_single():
    """256 + 1 is 256 in bfloat16: sources that write 256, 1 and -256 more add up to 1, and not to 0."""
    graph = Graph(1, 1)
    one = torch.ones(1, 1, 1, dtype=torch.bfloat16)
    more = {"blocks.0.hook_resid_pre": 256 * one, "blocks.0.attn.hook_z": one[..., None]}
    more["blocks.0.hook_mlp_out"] = -256 * one
    exchange = Exchange(graph, [one], torch.tensor(graph.mask)[None], more)
    for site, activation in more.items():
        exchange.at(site, 0 * activation)
    found = exchange.at("blocks.0.hook_resid_post", 0 * one)
    assert found.dtype == torch.bfloat16
    assert found.item() == 1
