"""Figures with a slider over training steps: a frame per step, and which steps the slider offers."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

SLIDER_STEPS = 24


def slider_steps(steps: Sequence[int], count: int = SLIDER_STEPS) -> list[int]:
    """At most ``count`` of the steps, first and last among them, spread evenly over their order."""
    ordered = sorted(steps)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return [ordered[i] for i in places]


def add_frames(plot: go.Figure, frames: dict[int, list[dict[str, object]]]) -> None:
    """Give a figure a frame for each step, in which its traces have these arrays, and a slider to choose among them.

    The figure itself is to show the last of them.
    """
    names = [str(step) for step in frames]
    types = [trace.type for trace in plot.data]
    plot.frames = [
        {"name": name, "data": [{"type": kind, **arrays} for kind, arrays in zip(types, traces, strict=True)]}
        for name, traces in zip(names, frames.values(), strict=True)
    ]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    slider = {
        "active": len(names) - 1,
        "currentvalue": {"prefix": "training step "},
        "pad": {"t": 40},
        "steps": [{"label": name, "method": "animate", "args": [[name], still]} for name in names],
    }
    plot.update_layout(sliders=[slider])
