"""Where heads attend on sequences that repeat, beside the same positions where nothing repeats.

A head that looks back by a fixed number of positions scores as an induction head does on sequences of one length. So
earlier copies are replaced by tokens that occur nowhere else, and the score is taken of the very same queries and keys:
what is left of it is not due to the tokens.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuits.heads.attention import REPEATS, HeadScores, earlier_copies, head_scores, inputs_of
from probe.activations.inputs import Inputs

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


def scores_on_repeats(
    model: "HookedModel",
    inputs: Any,
    *,
    max_offset: int = 8,
    batch_size: int | None = None,
    seed: int = 0,
) -> HeadScores:
    """``head_scores`` on sequences that repeat, such as ``repeated_tokens`` makes, with ``unrepeated`` filled in.

    Takes one forward pass over the inputs, and one over ``without_repeats`` of them, for the control.

    Args:
        model, max_offset, batch_size: as of ``head_scores``.
        inputs: the same, in which some tokens have an earlier copy.
        seed: of the tokens that are put in.

    Raises:
        ValueError: as of ``head_scores`` and ``without_repeats``.
    """
    read = inputs_of(inputs)
    found = head_scores(model, read, max_offset=max_offset, batch_size=batch_size)
    other = without_repeats(read, model.cfg.d_vocab, seed=seed)
    control = head_scores(model, other, places=read, max_offset=0, batch_size=batch_size)
    return replace(found, unrepeated=control.values.sel(score=list(REPEATS)))


def without_repeats(inputs: Inputs, d_vocab: int, *, seed: int = 0) -> Inputs:
    """The same inputs with another random token in the place of each that occurs again later.

    The last of each token's copies stays, and so does what occurs once, such as BOS. What is put in is drawn from the
    tokens that are not in the example, each once; where these are too few, with repeats among themselves.

    Args:
        inputs: sequences that repeat.
        d_vocab: tokens there are.
        seed: of what is drawn.

    Raises:
        ValueError: no token of any example has an earlier copy, or an example has every token that there is.
    """
    tokens = inputs.tokens.copy()
    content = np.arange(tokens.shape[1]) < inputs.lengths[:, None]
    again = earlier_copies(torch.from_numpy(tokens), torch.from_numpy(content)).any(1).numpy()
    if not again.any():
        raise ValueError("inputs: no token has an earlier copy; expected sequences that repeat")
    drawn = np.random.default_rng(seed)
    for example in np.flatnonzero(again.any(1)):
        other = np.setdiff1d(np.arange(d_vocab), tokens[example, content[example]])
        n = int(again[example].sum())
        if not len(other):
            raise ValueError(
                f"inputs: example {example} has all {d_vocab} tokens that there are, so none is left to put in the"
                " place of those that repeat; expected a larger vocabulary or shorter examples"
            )
        tokens[example, again[example]] = drawn.choice(other, n, replace=n > len(other))
    return replace(inputs, tokens=tokens)
