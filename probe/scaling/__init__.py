"""Across sizes and training steps: when each model memorized and generalized, and what size does to performance."""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use
from probe.scaling.transitions import by_size, transitions

if TYPE_CHECKING:
    from probe.measures.scale import (
        Forecast,
        ProductLaw,
        Shape,
        Threshold,
        breakthroughness,
        forecast,
        linearity,
        product_law,
        shape,
        threshold,
    )
    from probe.scaling.emergence import emergence_table
    from probe.scaling.explanations import errors_fixed_table, metric_table, product_law_table, resolution_table
    from probe.scaling.in_context import in_context_table
    from probe.scaling.reading import read
    from probe.scaling.reference_tables import published_emergence, published_mmlu
    from probe.scaling.seeds import pooled_over_seeds
    from probe.scaling.size_and_data import beyond_loss_table, catch_up_table, equal_compute_table, loss_law_table
    from probe.scaling.verdicts import shape_table

_HOME = {
    "Forecast": "probe.measures.scale",
    "ProductLaw": "probe.measures.scale",
    "Shape": "probe.measures.scale",
    "Threshold": "probe.measures.scale",
    "beyond_loss_table": "probe.scaling.size_and_data",
    "breakthroughness": "probe.measures.scale",
    "catch_up_table": "probe.scaling.size_and_data",
    "emergence_table": "probe.scaling.emergence",
    "equal_compute_table": "probe.scaling.size_and_data",
    "errors_fixed_table": "probe.scaling.explanations",
    "forecast": "probe.measures.scale",
    "in_context_table": "probe.scaling.in_context",
    "linearity": "probe.measures.scale",
    "loss_law_table": "probe.scaling.size_and_data",
    "metric_table": "probe.scaling.explanations",
    "pooled_over_seeds": "probe.scaling.seeds",
    "product_law": "probe.measures.scale",
    "product_law_table": "probe.scaling.explanations",
    "published_emergence": "probe.scaling.reference_tables",
    "published_mmlu": "probe.scaling.reference_tables",
    "read": "probe.scaling.reading",
    "resolution_table": "probe.scaling.explanations",
    "shape": "probe.measures.scale",
    "shape_table": "probe.scaling.verdicts",
    "threshold": "probe.measures.scale",
}

__all__ = [
    "Forecast",
    "ProductLaw",
    "Shape",
    "Threshold",
    "beyond_loss_table",
    "breakthroughness",
    "by_size",
    "catch_up_table",
    "emergence_table",
    "equal_compute_table",
    "errors_fixed_table",
    "forecast",
    "in_context_table",
    "linearity",
    "loss_law_table",
    "metric_table",
    "pooled_over_seeds",
    "product_law",
    "product_law_table",
    "published_emergence",
    "published_mmlu",
    "read",
    "resolution_table",
    "shape",
    "shape_table",
    "threshold",
    "transitions",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
