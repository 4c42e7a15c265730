"""What a node writes at the answer position of a task's questions, and at which of them it writes most."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.graph import Node
from circuits.heads.answers import at_answers
from circuits.passes import weights_out
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.messages import TopExample
from circuits.viewer.questions import as_pairs, questions_of, thinned

N_LOOKED_AT = 512
N_TOP = 8
LEAST_SPREAD = 1e-5
"""Share of the greatest length by which lengths have to differ: what is written at one token alone is of one length."""


def written_at_answers(
    at: Loaded, node: Node, chosen: Int[np.ndarray, " question"]
) -> Float[Tensor, "question d_model"]:
    """What a node writes at the answer position of some questions of the task.

    Args:
        at: the model, of which something says the task.
        node: one that writes.
        chosen: the questions, by number.
    """
    row = at.graph.sources.index(node)
    site, rows = next((site, rows) for site, rows in at.graph.source_sites if rows.start <= row < rows.stop)
    W_O = None if node.layer is None else weights_out(at.model, at.graph)[node.layer]
    written = []
    pairs = as_pairs(questions_of(at.checkpoint.task), chosen, at.checkpoint.model.d_vocab)
    for _, seen, _ in at_answers(at.model, pairs, [site], None):
        here = seen[site]
        if node.kind == "head":
            assert W_O is not None
            head = row - rows.start
            here = here[:, head] @ W_O[head]
        written.append(here)
    return torch.cat(written).cpu()


@dataclass(frozen=True, eq=False)
class Sizes:
    """How long what each node writes is at the answer position of some questions, and which are answered rightly.

    Right is the answer that is the likeliest of those that the task has.
    """

    chosen: Int[np.ndarray, " question"]
    sizes: Float[Tensor, "source question"]
    right: Bool[np.ndarray, " question"]


def sizes_written(at: Loaded) -> Sizes:
    """Of ``N_LOOKED_AT`` questions of the task, evenly spaced, in one forward pass."""
    task = at.checkpoint.task
    questions, chosen = questions_of(task), thinned(len(task.tokens), N_LOOKED_AT)
    sites, W_O = at.graph.source_sites, weights_out(at.model, at.graph)
    answers = torch.as_tensor(task.answer_tokens)
    sizes, said = [], []
    pairs = as_pairs(questions, chosen, at.checkpoint.model.d_vocab)
    for _, seen, logits in at_answers(at.model, pairs, [site for site, _ in sites], None):
        found = []
        for site, _ in sites:
            here = seen[site]
            if here.ndim == 3:  # of heads
                here = einsum(here, W_O[int(site.split(".")[1])], "q head d_head, head d_head d -> q head d")
            found.append(here.double().norm(dim=-1).reshape(len(here), -1).T)
        sizes.append(torch.cat(found).cpu())
        said.append(answers[logits.cpu()[:, answers].argmax(1)].numpy())
    assert questions.answers is not None
    return Sizes(chosen, torch.cat(sizes, 1), np.concatenate(said) == questions.answers[chosen])


def top_examples(at: Loaded, node: Node) -> list[TopExample]:
    """Questions at which what a node writes is longest; none where it is as long at all of them."""
    found, questions = at.once(sizes_written), questions_of(at.checkpoint.task)
    sizes = found.sizes[at.graph.sources.index(node)]
    if not float(sizes.max() - sizes.min()) > LEAST_SPREAD * float(sizes.max()):
        return []
    largest = sizes.argsort(descending=True, stable=True)[:N_TOP].tolist()
    return [
        TopExample(
            example=int(example),
            tokens=at.show(questions.tokens[example, : questions.lengths[example]]),
            size=float(sizes[place]),
            correct=bool(found.right[place]),
        )
        for place in largest
        for example in [found.chosen[place]]
    ]
