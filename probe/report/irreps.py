"""Structure by irreducible representations of a group, over steps: of the logits, the embedding and the neurons."""

import pandas as pd
import plotly.graph_objects as go

from probe.report.over_steps import Curves, by_key, draw_curves
from probe.report.rows import key_irreps_of, rows_of


def irrep_logits_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Logit cosine with each irrep's character over steps, and the loss on training pairs with one key irrep removed.

    At most seven irreps are drawn, the key irreps and then those with the largest values.

    Args:
        results: tidy results table; the rows of the probe ``irrep_progress`` of the model are drawn.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    rows = rows_of(results, model, "irrep_progress")
    keys = key_irreps_of(results, model)
    excluded = {name: line for name, line in by_key(rows, "excluded_loss").items() if name in keys}
    panels = [
        Curves("logit cosine with each irrep's character", "cosine", by_key(rows, "logit_cosine")),
        Curves("excluded loss, one key irrep removed", "nats", excluded, "log"),
    ]
    return draw_curves([panel for panel in panels if panel.lines], results, model, keys)


def irrep_shares_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Share of the embedding and of the neurons' variance in each irrep over steps, at most seven irreps.

    Neurons: as functions of a (first), of b (second) and of the product a b.

    Args:
        results: tidy results table; the rows of the probe ``irrep_power`` of the model are drawn.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    rows = rows_of(results, model, "irrep_power")
    keys = key_irreps_of(results, model)
    titles = {
        "power_share": ("embedding", "share of power"),
        "neuron_product": ("neurons: functions of the product", "share of variance"),
        "neuron_first": ("neurons: functions of a", "share of variance"),
        "neuron_second": ("neurons: functions of b", "share of variance"),
    }
    panels = [Curves(*titles[metric], by_key(rows, metric)) for metric in titles]
    return draw_curves([panel for panel in panels if panel.lines], results, model, keys)
