"""What is still known when part of a network is taken away."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.shares import clopper_pearson

CONFIDENCE = 0.95


def surviving_share(
    right: Float[Tensor, "*batch example"], still: Float[Tensor, "*batch example"], chance: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Of the examples that are answered rightly, the share that still is, and its 95 % interval (Clopper-Pearson).

    What survives of the trained examples without what computes the answer by a rule is known without it: a lower bound
    of what is known by heart, as memory may use the same directions. The control are examples never shown. Examples
    count as independent. nan where no more are right than by chance, of which nothing can be said: where the 95 %
    interval of the share that is right reaches ``chance``.

    Args:
        right: 1 where the whole network is right, else 0.
        still: the same of the network without the part.
        chance: of a right answer.
    """
    n, k = (x.sum(-1).cpu().numpy() for x in (right, right * still))
    known = clopper_pearson(n, right.shape[-1], CONFIDENCE)[0] > chance
    some = np.maximum(n, 1)
    share, low, high = (
        torch.as_tensor(np.where(known, part, np.nan), device=right.device)
        for part in (k / some, *clopper_pearson(k, some, CONFIDENCE))
    )
    return share, low, high
