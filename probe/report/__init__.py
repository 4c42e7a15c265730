"""Figures and the HTML report of a run, from its results table and stored arrays.

Every figure is one call that takes plain data and returns a plotly figure; ``write_report`` puts them in pages: an
overview, one of the suite's transitions, and one for each model. ``render_page`` makes a page of any sections.
"""

from probe.report.curves import accuracy_figure, loss_figure, progress_figure
from probe.report.data import ReportData
from probe.report.fits import fit_figure
from probe.report.foresight import foresight_figure
from probe.report.fourier import circle_figure, key_frequency_figure, spectrum_figure
from probe.report.fraction import fraction_figure
from probe.report.irreps import irrep_logits_figure, irrep_shares_figure
from probe.report.leads import lead_figure
from probe.report.logits import (
    component_loss_figure,
    diagonal_share_figure,
    logit_cosine_figure,
    logit_spectrum_figure,
)
from probe.report.over_steps import measures_figure
from probe.report.overview import models_table, render_report
from probe.report.page import Link, Panel, Section, render_page
from probe.report.pages import report_pages, structure_page, write_report
from probe.report.phase_map import phase_map_figure
from probe.report.probes import probe_figure
from probe.report.scale import final_accuracy_figure, transition_figure
from probe.report.structure import render_structure, structure_models
from probe.report.timeline import timeline_figure
from probe.report.units import head_figure, neuron_clusters_figure, neuron_fits_figure
from probe.report.verdict import Verdict, verdict

__all__ = [
    "Link",
    "Panel",
    "ReportData",
    "Section",
    "Verdict",
    "accuracy_figure",
    "circle_figure",
    "component_loss_figure",
    "diagonal_share_figure",
    "final_accuracy_figure",
    "fit_figure",
    "foresight_figure",
    "fraction_figure",
    "head_figure",
    "irrep_logits_figure",
    "irrep_shares_figure",
    "key_frequency_figure",
    "lead_figure",
    "logit_cosine_figure",
    "logit_spectrum_figure",
    "loss_figure",
    "measures_figure",
    "models_table",
    "neuron_clusters_figure",
    "neuron_fits_figure",
    "phase_map_figure",
    "probe_figure",
    "progress_figure",
    "render_page",
    "render_report",
    "render_structure",
    "report_pages",
    "spectrum_figure",
    "structure_models",
    "structure_page",
    "timeline_figure",
    "transition_figure",
    "verdict",
    "write_report",
]
