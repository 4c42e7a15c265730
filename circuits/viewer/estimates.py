"""Means with their intervals, as the front end is told them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from circuits.heads.means import means_over
from circuits.viewer.messages import Estimate


def estimate_of(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean of independent values, and Student's 95 % interval of it; those that are nan are left out."""
    found = means_over(xr.DataArray(np.asarray(values, dtype=np.float64), dims="value"), "value")
    mean, low, high = (float(found[name]) for name in ("mean", "low", "high"))
    return Estimate(mean=mean, low=low, high=high, n=int(found["n"]))
