"""What a reader would find in a figure: the curve of a name in a panel, the panels, the legend."""

import numpy as np
import plotly.graph_objects as go

from tests.report.synthetic_structure import STEPS


def values(results, model, probe, metric, key="") -> list[float]:
    chosen = (results["model"] == model) & (results["probe"] == probe) & (results["metric"] == metric)
    return results[chosen & (results["key"] == key)].sort_values("step")["value"].tolist()


def line(figure: go.Figure, panel: str, name: str = "") -> go.Scatter:
    """The curve of a name in the panel of a title; what a reader would find there."""
    place = [annotation.text for annotation in figure.layout.annotations].index(panel)
    axis = f"x{place + 1 if place else ''}"
    full = f"{panel}, {name}" if name else panel
    (found,) = [trace for trace in figure.data if trace.xaxis == axis and trace.name == full]
    np.testing.assert_array_equal(found.customdata, STEPS)
    return found


def titles(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def in_legend(figure: go.Figure) -> list[str]:
    return [trace.name for trace in figure.data if trace.x is not None and len(trace.x) == 1 and trace.x[0] is None]


def close(found, expected) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), expected, rtol=2e-6)
