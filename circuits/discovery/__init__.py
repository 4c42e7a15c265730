"""From a model and a contrast to a circuit; all by one signature, (model, pairs, metric, *, ablation, budget).

``budget``       how large a circuit may be: edges, a share of all, or the least score
``scoring``      ``top_edges`` and ``greedy_edges``: attribute all edges, then choose
``ranking``      the rules by which they choose: ``largest``, ``greedy``; what has an effect
``smallest``     the smallest of these circuits that is faithful
``eliminating``  ``acdc``, and ``pruned``, a circuit without the edges that it does not need
``stability``    in how many resamples of the pairs an edge is chosen
"""

from circuits.discovery.budget import Budget
from circuits.discovery.eliminating import acdc, pruned
from circuits.discovery.ranking import greedy, largest, on_paths
from circuits.discovery.scoring import chosen_by, greedy_edges, top_edges
from circuits.discovery.smallest import smallest_circuit
from circuits.discovery.stability import Stability, edge_stability

__all__ = [
    "Budget",
    "Stability",
    "acdc",
    "chosen_by",
    "edge_stability",
    "greedy",
    "greedy_edges",
    "largest",
    "on_paths",
    "pruned",
    "smallest_circuit",
    "top_edges",
]
