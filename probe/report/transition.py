"""The transition page of a run: when each thing happened, what moved first, and which runs generalize."""

from collections.abc import Sequence

import pandas as pd

from probe.report.data import ReportData
from probe.report.left_out import with_left_out, with_meaning
from probe.report.page import Link, Section, render_page
from probe.report.transition_parts import (
    fits_section,
    foreseen_section,
    fractions_section,
    leads_section,
    outcome_section,
    timeline_section,
)
from probe.scaling.leads import run_leads
from probe.scaling.transitions import transitions


def has_transition(results: pd.DataFrame) -> bool:
    """Whether a transition page has something to say: any model was evaluated on pairs that it was not trained on."""
    return len(results) > 0 and bool(transitions(results)["test_measured"].any())


def render_transition(data: ReportData, links: Sequence[Link] = ()) -> str:
    """The transition page as the text of one HTML file that asks for nothing outside itself.

    Args:
        data: the run.
        links: to the other pages of the report.
    """
    description = f"Suite {data.suite}. {data.description}".strip()
    title = "Transitions: what happened when"
    return render_page(title, description, transition_sections(data), links)


def transition_sections(data: ReportData) -> list[Section]:
    """The sections of the transition page in reading order; last, why others are left out.

    Args:
        data: the run; ``has_transition`` holds of its results.
    """
    data = with_meaning(data)
    runs = run_leads(data.results)
    found = [
        timeline_section(data, runs),
        leads_section(data, runs),
        fits_section(data),
        outcome_section(data),
        fractions_section(data, runs),
        foreseen_section(data, runs),
    ]
    return with_left_out(found)
