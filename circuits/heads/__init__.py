"""Heads: where they attend, what they copy, which of them compose, and what each adds to the answer.

``attention``    where the heads of a model attend: to the token before, to an earlier copy, to what followed it
``repeats``      the same beside a control in which nothing repeats
``weights``      weights of heads with what normalization does to them folded in
``eigenvalues``  eigenvalues of the full OV and QK circuits: does a head copy, does it match?
``composition``  does a head read what an earlier one writes, through its queries, keys or values?
``direct``       direct logit attribution: the answer's logits as a sum over what heads, MLPs and biases write
``lens``         logit lens: what the model would answer after each layer
``answers``      what a model does at the answer positions
``means``        means over examples, and their intervals
``figures``      heatmaps of heads and of pairs of heads, bars, lines

Eigenvalues and composition are told from the weights alone; all else takes a forward pass.
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from circuits.heads.attention import HeadScores, head_scores
    from circuits.heads.composition import composition_scores
    from circuits.heads.direct import DirectAttribution, direct_logit_attribution
    from circuits.heads.eigenvalues import ov_copying, qk_matching
    from circuits.heads.figures import attribution_figure, composition_figure, heads_figure, lens_figure
    from circuits.heads.lens import LogitLens, logit_lens
    from circuits.heads.repeats import scores_on_repeats, without_repeats

_HOME = {
    "DirectAttribution": "circuits.heads.direct",
    "HeadScores": "circuits.heads.attention",
    "LogitLens": "circuits.heads.lens",
    "attribution_figure": "circuits.heads.figures",
    "composition_figure": "circuits.heads.figures",
    "composition_scores": "circuits.heads.composition",
    "direct_logit_attribution": "circuits.heads.direct",
    "head_scores": "circuits.heads.attention",
    "heads_figure": "circuits.heads.figures",
    "lens_figure": "circuits.heads.figures",
    "logit_lens": "circuits.heads.lens",
    "ov_copying": "circuits.heads.eigenvalues",
    "qk_matching": "circuits.heads.eigenvalues",
    "scores_on_repeats": "circuits.heads.repeats",
    "without_repeats": "circuits.heads.repeats",
}

__all__ = [
    "DirectAttribution",
    "HeadScores",
    "LogitLens",
    "attribution_figure",
    "composition_figure",
    "composition_scores",
    "direct_logit_attribution",
    "head_scores",
    "heads_figure",
    "lens_figure",
    "logit_lens",
    "ov_copying",
    "qk_matching",
    "scores_on_repeats",
    "without_repeats",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
