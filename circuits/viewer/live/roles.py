"""What a head does, told from where it attends (``circuits.heads``).

Where the model can read them, on random sequences that are repeated: there every score has its queries, and the
control of those about copies is the same positions without repeats. Else, as of models that read three tokens, on the
task's own questions. The control of scores about positions is attention to all that is seen alike.
"""

import numpy as np
import xarray as xr

from circuits.graph import Node
from circuits.heads import HeadScores, head_scores, scores_on_repeats
from circuits.heads.attention import REPEATS, SCORES
from circuits.pairs import repeated_tokens
from circuits.viewer.estimates import estimate_of
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.messages import Role
from circuits.viewer.questions import as_pairs, questions_of, thinned
from probe.tasks import RepeatedTokens

LEAST_CONTEXT = 8
LONGEST = 8
"""Tokens in a sequence that is repeated, at most."""
N_EXAMPLES = 64


def roles_of(at: Loaded, node: Node) -> list[Role]:
    """Scores of a head, each that has any queries; none of what is no head.

    Raises:
        ValueError: the model has no patterns, or they are no shares of what its queries see.
    """
    found = at.once(_scores) if node.kind == "head" else None
    if found is None:
        return []
    roles = [_role(found, score, node) for score in SCORES]
    return [role for role in roles if role.value.n]


def _scores(at: Loaded) -> HeadScores | None:
    """Of all heads; None where nothing says what the model could be asked."""
    length = _length(at)
    if length:
        bos = at.task.n_tokens if isinstance(at.task, RepeatedTokens) and at.task.bos else None
        return scores_on_repeats(at.model, repeated_tokens(N_EXAMPLES, length, at.model.cfg.d_vocab, bos=bos))
    if at.task is None:
        return None
    questions = questions_of(at.task)
    chosen = thinned(len(questions), N_EXAMPLES)
    return head_scores(at.model, as_pairs(questions, chosen, at.checkpoint.model.d_vocab))


def _length(at: Loaded) -> int:
    """Tokens in a sequence that is repeated; 0 if the model cannot read two copies, or knows too few tokens.

    For the control of n tokens that repeat as many others are needed.
    """
    n_ctx, d_vocab = at.checkpoint.model.n_ctx, at.model.cfg.d_vocab
    if n_ctx < LEAST_CONTEXT or d_vocab < 2 * LONGEST:
        return 0
    return min(LONGEST, n_ctx // 2)


def _role(found: HeadScores, score: str, node: Node) -> Role:
    def of_head(values: xr.DataArray) -> np.ndarray:
        return values.sel(score=score, layer=node.layer, head=node.head).to_numpy()

    control = found.uniform.sel(score=score).to_numpy()
    if found.unrepeated is not None and score in REPEATS:
        control = of_head(found.unrepeated)
    return Role(name=score.replace("_", " "), value=estimate_of(of_head(found.values)), control=estimate_of(control))
