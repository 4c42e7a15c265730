"""Restricted, excluded and trig loss, and all the other progress measures of a network that adds modulo p.

Source: Nanda et al. 2023, arXiv 2301.05217, section 5.1 and appendix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.algebra.cyclic import find_cyclic_form
from probe.measures.arrays import valid
from probe.measures.cube import Progress, checked_cubes, checked_mask, progress_of
from probe.measures.fourier.logits import addition, places
from probe.measures.fourier.significance import key_frequencies


def progress(
    logits: Float[Tensor | np.ndarray, "*batch p p p"],
    answers: Int[Tensor | np.ndarray, "p p"],
    train_mask: Bool[Tensor | np.ndarray, "p p"],
    frequencies: Sequence[int] | None = None,
) -> Progress:
    """All progress measures of a network, or of a batch of them, in one go.

    ``answers[a, b]`` says what is asked: a sum, a difference or any ``u a + v b + w`` modulo p with u and v invertible,
    or a product or quotient modulo a prime. Then the frequencies are those of the discrete logarithm (Z_(p-1)), where 0
    has no place: inputs with a zero are left out of every mean, and the answer 0 of every softmax and argmax. Only
    ``logits[1:, 1:, 1:]`` is looked at, so that a network that answers 0 too often has a smaller loss, and a higher
    accuracy, here than over all p answers.

    ``frequencies`` are those of one network by the rule `by_logits` unless given. Along a trajectory, and for a batch,
    give those of the final step: the measures are to be held to one choice.

    Raises ValueError for answers that are no such operation, a mask of other inputs, or one that is all true or false.
    """
    asked = valid(answers, "answers", "p p")
    p = len(asked)
    form = find_cyclic_form(asked.cpu().numpy())
    logits = checked_cubes(logits, p)
    train = checked_mask(train_mask, p).to(logits.device)
    a, b, c = (torch.as_tensor(tokens, device=logits.device) for tokens in (form.a, form.b, form.c))
    if form.order < p or not all((t == torch.arange(len(t), device=t.device)).all() for t in (a, b, c)):
        logits = logits[..., a[:, None, None], b[:, None], c]
        train = checked_mask(train[a[:, None], b], form.order, "input without a zero")
    if frequencies is None:
        if logits.ndim > 3:
            raise ValueError(
                f"frequencies: None given for a batch of shape {tuple(logits.shape[:-3])}; expected those of the final"
                " step, or of one network at a time"
            )
        frequencies = key_frequencies(logits)
    return progress_of_sums(logits, train, frequencies)


def progress_of_sums(
    logits: Float[Tensor, "*batch n n n"], train: Bool[Tensor, "n n"], frequencies: Sequence[int]
) -> Progress:
    """`progress` of logits in the order in which the operation is addition in Z_n, for any set of trained inputs.

    Losses on an empty set of inputs, as the test set is where everything was trained on, are nan.
    """
    cubes = checked_cubes(logits)
    table, components = addition(cubes)
    chosen = places(frequencies, len(table))
    return progress_of(cubes, table, components, chosen, [place + 1 for place in chosen], train)
