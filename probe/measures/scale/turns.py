"""A turn told from sizes too few to compare forms: a fall and a rise, each beyond sampling error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from probe.measures.scale.noise import Sizes

MIN_SIZES = 3
ERROR = 0.01


def turn_of_few(sizes: Sizes) -> str:
    """ "u_shape" or "inverted_u" if performance turns once beyond sampling error, else "undecided".

    It falls to a size in between from one before, and rises from it to one after, both by more than sampling error
    would make any two sizes differ with a probability of 1 % (Bonferroni, over all pairs and both directions). It says
    nothing of the scatter between models of one size, which so few do not show.
    """
    n = len(sizes.x)
    if n < MIN_SIZES or sizes.variance is None:
        return "undecided"
    beyond = ndtri(1 - ERROR / (n * (n - 1)))
    turns = [kind for kind, sign in (("u_shape", 1.0), ("inverted_u", -1.0)) if _turns(sizes, sign, beyond)]
    return turns[0] if len(turns) == 1 else "undecided"


def _turns(sizes: Sizes, sign: float, beyond: float) -> bool:
    value, variance = sign * sizes.value, sizes.variance
    assert variance is not None
    z: Float[np.ndarray, "size size"] = (value[:, None] - value) / np.sqrt(variance[:, None] + variance)
    return any(z[:i, i].max() > beyond and z[i + 1 :, i].max() > beyond for i in range(1, len(value) - 1))
