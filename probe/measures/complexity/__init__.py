"""Other markers that grokking is compared with: learning coefficient, curvature, number of linear mappings.

The sums of squared weights are in `probe.measures.weights`. The control of each is the same measure of the untrained
model: the same call with the weights, or the function, of step 0.
"""

from probe.measures.complexity.hessian import hessian_top_eigenvalues, hessian_trace
from probe.measures.complexity.learning_coefficient import LLC, local_learning_coefficient
from probe.measures.complexity.linear_mappings import (
    Regions,
    activation_regions,
    linear_connectivity,
    linear_mapping_number,
)

__all__ = [
    "LLC",
    "Regions",
    "activation_regions",
    "hessian_top_eigenvalues",
    "hessian_trace",
    "linear_connectivity",
    "linear_mapping_number",
    "local_learning_coefficient",
]
