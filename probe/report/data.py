"""What a report is made from: the results of a run and its stored arrays, never a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import xarray as xr


@dataclass(frozen=True)
class ReportData:
    """Everything the report needs.

    Args:
        results: tidy results table, a row per number.
        suite: name of the suite, shown as the title.
        batch_yaml: the request, with every default written out.
        command: what to type to make this run again.
        circles: for each model that has them, the embedding in the plane of each key frequency over steps; dims
            (step, frequency, token, axis). See ``circle_figure``.
        versions: package or commit -> version.
        device: what the run was computed on, in words.
        description: what was asked of whom, in a sentence, shown under the title.
        stopped: models whose training ended early -> why.
    """

    results: pd.DataFrame
    suite: str
    batch_yaml: str
    command: str
    circles: Mapping[str, xr.DataArray] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    description: str = ""
    stopped: Mapping[str, str] = field(default_factory=dict)
