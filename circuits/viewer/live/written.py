"""What a node writes at the answer position of a task's questions, and at which of them it writes most."""

import numpy as np
import torch
from jaxtyping import Float, Int
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
) -> tuple[Float[Tensor, "question d_model"], Float[Tensor, "question d_vocab"]]:
    """What a node writes at the answer position of some questions of the task, and the logits there.

    Args:
        at: the model, of which something says the task.
        node: one that writes.
        chosen: the questions, by number.
    """
    row = at.graph.sources.index(node)
    site, rows = next((site, rows) for site, rows in at.graph.source_sites if rows.start <= row < rows.stop)
    W_O = None if node.layer is None else weights_out(at.model, at.graph)[node.layer]
    written, logits = [], []
    pairs = as_pairs(questions_of(at.checkpoint.task), chosen, at.checkpoint.model.d_vocab)
    for _, seen, said in at_answers(at.model, pairs, [site], None):
        here = seen[site]
        if node.kind == "head":
            assert W_O is not None
            head = row - rows.start
            here = here[:, head] @ W_O[head]
        written.append(here)
        logits.append(said)
    return torch.cat(written).cpu(), torch.cat(logits).cpu()


def top_examples(at: Loaded, node: Node) -> list[TopExample]:
    """Questions at which what a node writes is longest, among ``N_LOOKED_AT`` of the task, evenly spaced; none where it
    is as long at all of them.

    Right is the answer that is the likeliest of those that the task has.
    """
    task = at.checkpoint.task
    questions, chosen = questions_of(task), thinned(len(task.tokens), N_LOOKED_AT)
    written, logits = written_at_answers(at, node, chosen)
    sizes, answers = written.double().norm(dim=1), task.answer_tokens
    assert questions.answers is not None
    said = answers[logits[:, torch.as_tensor(answers)].argmax(1).numpy()]
    if not float(sizes.max() - sizes.min()) > LEAST_SPREAD * float(sizes.max()):
        return []
    largest = sizes.argsort(descending=True, stable=True)[:N_TOP].tolist()
    return [
        TopExample(
            example=int(example),
            tokens=at.show(questions.tokens[example, : questions.lengths[example]]),
            size=float(sizes[place]),
            correct=bool(said[place] == questions.answers[example]),
        )
        for place in largest
        for example in [chosen[place]]
    ]
