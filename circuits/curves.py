"""Faithfulness over the size of the circuit, from one set of edge scores: CPR and CMD."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from circuits.ablated_runs import EdgeAblation
from circuits.discovery.budget import Budget
from circuits.discovery.ranking import Rule, greedy
from circuits.faithfulness import random_masks
from circuits.metrics import Metric
from circuits.pairs import Pairs
from circuits.scores import EdgeScores
from probe.measures.ratios import Ratio, ratio_of_means

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from probe.suites.hooked import HookedModel

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Sizes of circuits, as shares of all edges, of Mueller et al. 2025 (arXiv 2504.13151)."""
_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class FaithfulnessCurve:
    """A metric of each pair with circuits of several sizes.

    Attributes:
        shares: of all edges that the circuit's budget allows, ascending.
        n_edges: that it has.
        values: the metric with the circuit alone.
        random: with random circuits of as many edges.
        whole: m(N), nothing ablated.
        none: m(0), all edges ablated.
        metric: name of the metric.
        ablation: what ablated edges carry.
        method: how edges were scored and chosen.
    """

    shares: Float[np.ndarray, " size"]
    n_edges: Int[np.ndarray, " size"]
    values: Float[np.ndarray, "size pair"]
    random: Float[np.ndarray, "size draw pair"]
    whole: Float[np.ndarray, " pair"]
    none: Float[np.ndarray, " pair"]
    metric: str
    ablation: str
    method: str

    def faithfulness(self, confidence: float = 0.95) -> Ratio:
        """F at each size, with Fieller's interval over pairs."""
        return ratio_of_means(self.values - self.none, self.whole - self.none, confidence)

    def control(self) -> Float[np.ndarray, "size draw"]:
        """F of each random circuit."""
        return ratio_of_means(self.random - self.none, self.whole - self.none).estimate

    def cpr(self, confidence: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
        """Circuit performance ratio: the area under F over the share of edges from 0 to 1; larger is better.

        Trapezoids between sizes, F being 0 with no edge. The interval is a bootstrap's over pairs (percentile).
        """
        return self._area(lambda f: f, confidence, seed)

    def cmd(self, confidence: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
        """Circuit-model distance: the area between F and 1 over the share of edges; 0 is best. As ``cpr``.

        As a distance cannot be below 0, resampling raises it: its interval lies high where it is near 0.
        """
        return self._area(lambda f: np.abs(1 - f), confidence, seed)

    def control_cpr(self) -> float:
        """CPR of the mean of the random circuits.

        Raises:
            ValueError: there are none.
        """
        if not self.random.shape[1]:
            raise ValueError("random: the curve has no random circuits; expected some, by n_random")
        return float(_trapezoids(self.shares, self.control().mean(1)))

    def to_frame(self) -> pd.DataFrame:
        """A row for each size: ``share``, ``n_edges``, ``faithfulness``, ``low``, ``high``, ``random`` and more."""
        found, control = self.faithfulness(), self.control()
        has = control.shape[1] > 0
        return pd.DataFrame(
            {
                "share": self.shares,
                "n_edges": self.n_edges,
                "faithfulness": found.estimate,
                "low": found.low,
                "high": found.high,
                "random": control.mean(1) if has else np.nan,
                "random_least": control.min(1) if has else np.nan,
                "random_largest": control.max(1) if has else np.nan,
            }
        ).assign(metric=self.metric, ablation=self.ablation, method=self.method)

    def figure(self) -> "go.Figure":
        """Faithfulness over the number of edges, with intervals, beside random circuits.

        The axis is logarithmic, so that a size whose circuit has no edge is not to be seen; its faithfulness is 0.
        """
        import plotly.graph_objects as go

        from probe.report.style import INK, MUTED, figure

        table = self.to_frame()
        title = f"{self.method}, {self.metric} of {len(self.whole)} pairs<br>ablation: {self.ablation}"
        plot = figure(400, title={"text": title, "font": {"size": 13}}, legend={"y": -0.2, "yref": "paper"})
        off = {"array": table["high"] - table["faithfulness"], "arrayminus": table["faithfulness"] - table["low"]}
        plot.add_trace(
            go.Scatter(
                x=table["n_edges"], y=table["faithfulness"], error_y=off, mode="lines+markers", name="circuit",
                line={"color": INK}, marker={"color": INK},
            )
        )  # fmt: skip
        if table["random"].notna().any():
            spread = {"array": table["random_largest"] - table["random"]}
            spread["arrayminus"] = table["random"] - table["random_least"]
            plot.add_trace(
                go.Scatter(
                    x=table["n_edges"], y=table["random"], error_y=spread, mode="lines+markers",
                    name="random circuits (least to largest)", line={"color": MUTED, "dash": "dash"},
                    marker={"color": MUTED, "symbol": "x"},
                )
            )  # fmt: skip
        plot.update_xaxes(type="log", title={"text": "edges in the circuit"})
        plot.update_yaxes(title={"text": "faithfulness (1: as the model)"})
        return plot

    def _area(self, of: Callable[[np.ndarray], np.ndarray], confidence: float, seed: int) -> tuple[float, float, float]:
        drawn = np.random.default_rng(seed)
        n = len(self.whole)
        times = drawn.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
        weights = np.concatenate([np.full((1, n), 1 / n), times])
        whole = weights @ (self.whole - self.none)
        f = ((self.values - self.none) @ weights.T) / whole
        areas = _trapezoids(self.shares, of(f), start=float(of(np.zeros(()))))
        tail = (1 - confidence) / 2
        low, high = np.quantile(areas[1:], [tail, 1 - tail])
        return float(areas[0]), float(low), float(high)


def _trapezoids(
    shares: Float[np.ndarray, " size"], heights: Float[np.ndarray, "size *of"], start: float = 0.0
) -> Float[np.ndarray, "*of"]:
    """The area from share 0, where the height is ``start``, to the last."""
    with_none = np.concatenate([np.full_like(heights[:1], start), heights])
    return np.trapezoid(with_none, np.concatenate([[0.0], shares]), axis=0)


def faithfulness_curve(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    scores: EdgeScores,
    *,
    rule: Rule = greedy,
    shares: Sequence[float] = SHARES,
    ablation: str | None = None,
    n_random: int = 5,
    seed: int = 0,
    batch_size: int | None = None,
) -> FaithfulnessCurve:
    """How faithful the circuits are that a rule chooses from scores, from few edges to all.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast; best others than the scores are from.
        metric: what is read.
        scores: of the edges of this model.
        rule: how edges are chosen.
        shares: sizes of the circuits, above 0 and ascending; the last is 1 for areas that can be compared.
        ablation: what ablated edges carry; that of the scores, if not given.
        n_random: random circuits of each size.
        seed: of these, and of the pairs that ``"resample"`` draws.
        batch_size: pairs at a time; as many as fit, if not given.

    Raises:
        ValueError: as of ``EdgeAblation``; shares are not as said; the scores are of another graph; or ``n_random`` is
            negative.
    """
    if n_random < 0:
        raise ValueError(f"n_random: got {n_random}; expected at least 0")
    sizes = np.asarray(shares, dtype=np.float64)
    if sizes.ndim != 1 or not len(sizes) or (np.diff(sizes, prepend=0.0) <= 0).any() or sizes[-1] > 1:
        raise ValueError(f"shares: got {list(shares)}; expected numbers above 0 and at most 1, ascending")
    runs = EdgeAblation(model, pairs, metric, ablation=ablation or scores.ablation, seed=seed, batch_size=batch_size)
    if scores.graph != runs.graph:
        raise ValueError(f"scores: they are of {scores.graph}; the model's graph is {runs.graph}")
    every = runs.graph.mask
    chosen = np.stack([rule(runs.graph, scores.values, Budget(share=share), runs.ablation) for share in sizes.tolist()])
    n_edges = chosen.sum((1, 2))
    drawn = np.stack([random_masks(every, int(n), n_random, seed + k) for k, n in enumerate(n_edges)])
    whole, none = runs.values(every & ~np.stack([every, np.zeros_like(every)]))[0]
    return FaithfulnessCurve(
        sizes,
        n_edges,
        runs.values(every & ~chosen)[0],
        runs.values(every & ~drawn)[0],
        whole,
        none,
        metric.name,
        runs.ablation,
        f"{scores.method}, {rule.__name__}",
    )
