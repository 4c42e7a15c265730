"""From curves to dates: when a network memorized and generalized, what moved first, and whether it was to be foreseen.

* ``dates``          memorized, generalized, the phases in between, by threshold
* ``logistic``       the date of a transition by a logistic fit, with its interval, or that there is none
* ``piecewise``      change points, as many as the curve asks for, with their intervals
* ``lead``           which measure moves before test accuracy, and by how many steps
* ``outcomes``       comprehension, grokking, memorization, confusion
* ``forecasting``    whether and when a run will generalize, from measures up to a step, scored on held-out runs
* ``critical``       time to generalize against train fraction, and the fraction below which it never happens

``curves`` checks what they are given, ``noise`` is the law of the deviations that fits rest on, ``course`` tells what a
curve does from noise, ``censored`` and ``concordance`` are regression and ranking of times of which some are only known
to be late.
"""

from probe.measures.transition.critical import (
    CriticalBracket,
    CriticalFraction,
    critical_fraction_bracket,
    fit_critical_fraction,
)
from probe.measures.transition.dates import (
    Phases,
    Stretch,
    first_step_below,
    generalized_step,
    memorized_step,
    peak_step,
    phases,
)
from probe.measures.transition.forecasting import EarlyWarning, early_warning
from probe.measures.transition.lead import Lead, LeadTimes, SeedLeads, lead_times, leads_over_seeds
from probe.measures.transition.logistic import LogisticFit, fit_logistic
from probe.measures.transition.outcomes import LEARNING_PHASES, learning_phase, learning_phase_of_curves
from probe.measures.transition.piecewise import PiecewiseLinearFit, fit_piecewise_linear

__all__ = [
    "LEARNING_PHASES",
    "CriticalBracket",
    "CriticalFraction",
    "EarlyWarning",
    "Lead",
    "LeadTimes",
    "LogisticFit",
    "Phases",
    "PiecewiseLinearFit",
    "SeedLeads",
    "Stretch",
    "critical_fraction_bracket",
    "early_warning",
    "first_step_below",
    "fit_critical_fraction",
    "fit_logistic",
    "fit_piecewise_linear",
    "generalized_step",
    "lead_times",
    "leads_over_seeds",
    "learning_phase",
    "learning_phase_of_curves",
    "memorized_step",
    "peak_step",
    "phases",
]
