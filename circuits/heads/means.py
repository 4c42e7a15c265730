"""Means over examples, of whatever else there is apart, and their intervals."""

import numpy as np
import torch
import xarray as xr

from probe.measures.intervals import check_confidence, t_interval


def means_over(values: xr.DataArray, over: str, confidence: float = 0.95) -> xr.Dataset:
    """The mean over examples that are taken to be independent, and Student's interval of it, of each by itself.

    Args:
        values: a number for each example, of each of whatever the other axes are; nan where an example has none.
        over: the axis of examples.
        confidence: of the interval.

    Returns:
        ``mean``, ``low``, ``high``, in the units of the values, and ``n``, the examples that have a value. The ends are
        nan with fewer than two, the mean with none.

    Raises:
        ValueError: the confidence is outside (0, 1).
    """
    check_confidence(confidence)

    def interval(row: np.ndarray) -> tuple[float, float, float, int]:
        there = row[~np.isnan(row)]
        if len(there) < 2:
            return there.sum() / len(there) if len(there) else np.nan, np.nan, np.nan, len(there)
        found = t_interval(torch.from_numpy(there), confidence)
        return found.estimate, found.low, found.high, found.n

    found = xr.apply_ufunc(
        interval,
        values.astype(np.float64),
        input_core_dims=[[over]],
        output_core_dims=[[]] * 4,
        vectorize=True,
        output_dtypes=[float, float, float, int],
    )
    return xr.Dataset(dict(zip(("mean", "low", "high", "n"), found, strict=True)))
