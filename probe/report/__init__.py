"""Figures and the HTML report of a run, from its results table and stored arrays.

Every figure is one call that takes plain data and returns a plotly figure; ``write_report`` puts them in one page.
"""

from probe.report.curves import accuracy_figure, loss_figure, progress_figure
from probe.report.data import ReportData
from probe.report.fourier import circle_figure, spectrum_figure
from probe.report.html import models_table, render_report, write_report
from probe.report.probes import probe_figure
from probe.report.scale import final_accuracy_figure, transition_figure
from probe.report.verdict import Verdict, verdict

__all__ = [
    "ReportData",
    "Verdict",
    "accuracy_figure",
    "circle_figure",
    "final_accuracy_figure",
    "loss_figure",
    "models_table",
    "probe_figure",
    "progress_figure",
    "render_report",
    "spectrum_figure",
    "transition_figure",
    "verdict",
    "write_report",
]
