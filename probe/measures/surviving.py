"""What is still known when part of a network is taken away."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.shares import clopper_pearson

CONFIDENCE = 0.95


def surviving_share(
    right: Float[Tensor, "*batch example"], still: Float[Tensor, "*batch example"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Of the examples that are answered rightly, the share that still is, and its 95 % interval (Clopper-Pearson).

    Without what computes the answer by a rule, what survives of the trained examples is known by heart; the control are
    examples never shown, of which nothing can be. Examples count as independent. nan where none is answered rightly.

    Args:
        right: 1 where the whole network is right, else 0.
        still: the same of the network without the part.
    """
    n, k = (x.sum(-1).cpu().numpy() for x in (right, right * still))
    some = np.maximum(n, 1)
    share, low, high = (
        torch.as_tensor(np.where(n > 0, part, np.nan), device=right.device)
        for part in (k / some, *clopper_pearson(k, some, CONFIDENCE))
    )
    return share, low, high
