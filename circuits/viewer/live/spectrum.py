"""What a node writes, by Fourier frequency, where the task is an addition in Z_n by another name.

Of ``embed`` it is the embedding of the first operand. Of a head or an MLP it is what it writes at the answer position,
a map over both operands (i, j) in the order in which the operation is i + j. What depends on i alone or on j alone with
frequency k, and on both with k in each, such as cos w_k(i + j), is the share of k; what pairs two frequencies is in no
share. The circle is that of the means by first operand, by second, or by answer: whichever has most of the largest
frequency. (``probe.measures.fourier``; Nanda et al. 2023, arXiv 2301.05217, section 4.)
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.graph import Node
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.live.written import written_at_answers
from circuits.viewer.messages import Spectrum
from probe.algebra import CyclicForm
from probe.measures.fourier import circle, frequency_power, frequency_power_2d
from probe.suites.hooked import weights_by_name

MAX_ORDER = 200
"""The largest n of which both operands are looked at: there are n^2 questions."""


def spectrum_of(at: Loaded, node: Node) -> Spectrum | None:
    """None of a task without a cyclic form, or with one that is too large; and where nothing varies."""
    form = None if at.task is None else at.task.cyclic_form
    if form is None:
        return None
    if node.kind == "embed":
        matrix = weights_by_name(at.model)["embed.W_E"].double().cpu()[torch.as_tensor(form.a)]
        matrix = matrix - matrix.mean(0)
        if not _varies(matrix):
            return None
        return _spectrum(at, "embedding", frequency_power(matrix), {"first operand": (form.a, matrix)})
    if form.order > MAX_ORDER:
        return None
    example = at.checkpoint.task.example_of(form)
    maps = written_at_answers(at, node, example.ravel()).double().unflatten(0, example.shape)
    maps = maps - maps.mean((0, 1))
    if not _varies(maps):
        return None
    power = frequency_power_2d(maps)
    share = power[:, 0] + power[0] + power.diagonal()
    return _spectrum(at, f"{node} at the answer position", share, _means(form, maps))


def _varies(values: Tensor) -> bool:
    return bool(values.isfinite().all()) and bool(values.any())


def _means(form: CyclicForm, maps: Float[Tensor, "n n d"]) -> dict[str, tuple[np.ndarray, Float[Tensor, "n d"]]]:
    """Tokens, and the mean of a map for each, by what they are."""
    i = torch.arange(form.order)
    by_answer = maps[i, (i[:, None] - i) % form.order].mean(1)  # [sum, first operand]
    return {
        "first operand": (form.a, maps.mean(1)),
        "second operand": (form.b, maps.mean(0)),
        "answer": (form.c, by_answer),
    }


def _spectrum(
    at: Loaded, what: str, share: Float[Tensor, " frequency"], views: dict[str, tuple[np.ndarray, Tensor]]
) -> Spectrum:
    key = int(share[1:].argmax()) + 1
    planes = {by: circle(matrix, key) for by, (_, matrix) in views.items()}
    by = max(planes, key=lambda view: float(planes[view].square().sum()))
    places: list[list[float | None]] = [[None] * at.checkpoint.model.d_vocab for _ in range(2)]
    for token, point in zip(views[by][0].tolist(), planes[by].tolist(), strict=True):
        places[0][token], places[1][token] = point
    return Spectrum(
        what=f"{what}, by {by}",
        frequency=list(range(1, len(share))),
        share=share[1:].tolist(),
        key=key,
        circle_x=places[0],
        circle_y=places[1],
    )
