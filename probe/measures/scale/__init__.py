"""Performance over scale: which shape it has, where it leaves chance, what it foretells, what explains it.

* ``trends``        linearity and breakthroughness
* ``comparison``    the shape and how sure it is: ``forms`` fitted (``fitting``), admitted (``admission``) and compared,
  with where they change (``places``); ``turns`` of few sizes
* ``emergence``     the scale at which performance leaves the chance level
* ``prediction``    the largest sizes foretold from the smaller
* ``composition``   the product of the steps of a task beside the whole; ``corrections``: which errors a larger model
  does not make
* ``answers``       one answer scored in several ways; ``item_counts``: how many it takes to see that a share is not 0
* ``loss_law``      loss as a law of parameters and data; ``catching_up``: what smaller models reach on more data;
  ``equal_loss``: what size tells of performance that loss does not

``noise`` is what they all are given, checked: sizes, values and their sampling error.
"""

from probe.measures.scale.catching_up import Reached, best_size, reached_at
from probe.measures.scale.comparison import Shape, shape
from probe.measures.scale.composition import ProductLaw, product_law
from probe.measures.scale.corrections import ErrorsFixed, changed_answers, errors_fixed
from probe.measures.scale.emergence import Threshold, threshold
from probe.measures.scale.equal_loss import BeyondLoss, beyond_loss
from probe.measures.scale.item_counts import Resolution, expected_exact_match, items_needed, resolution
from probe.measures.scale.loss_law import LossLaw, fit_loss_law
from probe.measures.scale.prediction import Forecast, forecast
from probe.measures.scale.trends import breakthroughness, linearity

__all__ = [
    "BeyondLoss",
    "ErrorsFixed",
    "Forecast",
    "LossLaw",
    "ProductLaw",
    "Reached",
    "Resolution",
    "Shape",
    "Threshold",
    "best_size",
    "beyond_loss",
    "breakthroughness",
    "changed_answers",
    "errors_fixed",
    "expected_exact_match",
    "fit_loss_law",
    "forecast",
    "items_needed",
    "linearity",
    "product_law",
    "reached_at",
    "resolution",
    "shape",
    "threshold",
]
