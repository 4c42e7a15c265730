"""Where the heads of a model attend, from one forward pass: to the token before, to a copy, to what followed it.

1. A forward pass over a batch gives the pattern of every head, how much of its attention each query gives to each key.
2. Each score names keys for each query: the token before, an earlier copy, and so on. The attention to these is summed
   over them, and its mean taken over the queries that have any.
3. A head that attends to all that it sees alike gives each key 1 / (number of keys seen). What it would score, the
   score of the same keys, is the control.

Patterns are those of one batch at a time; of each example a number per score and head is kept.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.heads.means import means_over
from circuits.pairs import Pairs
from circuits.passes import batches_of, check_evaluating
from probe.activations.forward import Batch, default_batch_size, reading
from probe.activations.inputs import Inputs
from probe.activations.sites import match_sites, position_second

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

SCORES = ("previous_token", "current_token", "first_token", "duplicate_token", "induction")
"""What is scored beside offsets."""
REPEATS = ("duplicate_token", "induction")
"""Scores of tokens that have an earlier copy; the others are about positions alone."""
PATTERN_NUMBERS = 1 << 26
"""Numbers that all patterns, and the keys of all scores, may be in a batch, if nobody says how many examples."""
TOLERANCE = 0.01
"""How far a query's attention to what it sees may be from 1, and to the rest from 0: rounding in bfloat16 is below."""


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Where heads attend, example by example.

    Attributes:
        values: [score, example, layer, head], shares of attention, 0 to 1; nan where an example has no such query.
        uniform: [score, example], what attention to all that is seen alike would score.
        by_offset: [offset, example, layer, head], attention to the position that is so many before the query.
        uniform_by_offset: [offset, example].
        unrepeated: as ``values``, of ``REPEATS`` alone, where the same positions hold other tokens and nothing repeats;
            None where that was not run.
    """

    values: xr.DataArray
    uniform: xr.DataArray
    by_offset: xr.DataArray
    uniform_by_offset: xr.DataArray
    unrepeated: xr.DataArray | None = None

    def means(self, confidence: float = 0.95) -> xr.Dataset:
        """``mean``, ``low``, ``high`` [score, layer, head] over examples, ``n`` that have the score, and ``uniform``
        [score], the mean control; with ``unrepeated`` and its ``unrepeated_low`` and ``_high`` if it was run.

        Intervals are Student's, of each head by itself.

        Raises:
            ValueError: the confidence is outside (0, 1).
        """
        found = means_over(self.values, "example", confidence).assign(uniform=self.uniform.mean("example"))
        if self.unrepeated is None:
            return found
        control = means_over(self.unrepeated, "example", confidence).reindex(score=found["score"])
        return found.assign(unrepeated=control["mean"], unrepeated_low=control["low"], unrepeated_high=control["high"])

    def means_by_offset(self, confidence: float = 0.95) -> xr.Dataset:
        """The same of ``by_offset``, [offset, layer, head]."""
        found = means_over(self.by_offset, "example", confidence)
        return found.assign(uniform=self.uniform_by_offset.mean("example"))

    def to_frame(self, confidence: float = 0.95) -> pd.DataFrame:
        """A row for each score and head: ``score``, ``layer``, ``head``, and what ``means`` gives."""
        return self.means(confidence).to_dataframe().reset_index()


def head_scores(
    model: "HookedModel",
    inputs: Any,
    *,
    places: Any = None,
    max_offset: int = 8,
    batch_size: int | None = None,
) -> HeadScores:
    """How much of its attention each head gives to what, per example, from one forward pass.

    Each is the mean over an example's queries of the attention to the keys that it names, summed over these:

    ==================  ==============================================================================================
    score               keys, and queries of which the mean is taken
    ==================  ==============================================================================================
    previous_token      the position before; of all queries but the first
    current_token       the query's own position; of all but the first, which may see nothing else
    first_token         position 0; of all but the first
    duplicate_token     earlier positions that hold the query's token; of queries that have one
    induction           earlier positions that come right after such a copy; of queries that have one. The
                        prefix-matching score (Olsson et al. 2022, arXiv 2209.11895)
    offset d            the position that is d before (after, if d is negative, which only bidirectional models see);
                        of queries that have one and are not the first, so that 0 and 1 are the two first above
    ==================  ==============================================================================================

    Padding is neither query nor key. A token at the beginning of every example, such as BOS, is position 0: it is the
    key of ``first_token``, and has no earlier copy. Query heads that share keys and values have patterns of their own,
    and scores.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``, causal or bidirectional.
        inputs: ``Inputs``, ``Pairs``, of which the clean questions are read, or what ``Inputs.of`` takes.
        places: inputs of the same lengths whose repeated tokens say which queries and keys the last two scores are of,
            in the place of those of the inputs: what is at these positions by position alone.
        max_offset: the largest offset, at least 0.
        batch_size: examples at a time; as many as fit ``PATTERN_NUMBERS``, if not given. Scores do not depend on it.

    Raises:
        ValueError: the model is in training mode, has no patterns, sees only a window of the input, or its patterns are
            no shares of what its queries see; a token is outside the vocabulary or an example longer than the context;
            a number is too small; or ``places`` have other lengths.
    """
    for name, number, least in (("max_offset", max_offset, 0), ("batch_size", batch_size, 1)):
        if number is not None and number < least:
            raise ValueError(f"{name}: got {number}; expected at least {least}")
    check_evaluating(model)
    read = inputs_of(inputs)
    at = read if places is None else inputs_of(places)
    if not np.array_equal(at.lengths, read.lengths):
        raise ValueError(
            f"places: got lengths {at.lengths.tolist()}; expected those of inputs, {read.lengths.tolist()}"
        )
    _check_fit(model, read)
    cfg = model.cfg
    causal = cfg.attention_dir == "causal"
    offsets = np.arange(0 if causal else -max_offset, max_offset + 1)
    sites = [f"blocks.{layer}.attn.hook_pattern" for layer in range(cfg.n_layers)]
    match_sites(sites, model.hook_dict)
    device = next(iter(model.named_parameters()))[1].device
    length = read.tokens.shape[1]
    n_squares = cfg.n_layers * cfg.n_heads + len(SCORES) + len(offsets)
    fit = PATTERN_NUMBERS // (n_squares * length**2)
    size = batch_size or max(1, min(fit, default_batch_size(length, cfg.d_vocab, str(device), to_logits=False)))
    found, uniform = [], []
    with reading(model, sites) as activations:
        for examples in batches_of(len(read.tokens), size):
            batch = Batch(read, examples, device)
            keys = _keys(Batch(at, examples, device).tokens, batch.mask.bool(), offsets)
            seen = _seen(batch.mask.bool(), causal)
            queries = keys.any(-1).sum(-1).double()  # of which the mean is taken; none gives nan
            keys = keys.double()
            uniform.append(einsum(keys, 1 / seen.sum(-1).clamp(min=1).double(), "s b q k, b q -> s b") / queries)
            patterns = activations(batch)
            layers = []
            for site in sites:
                pattern = position_second(site, patterns.pop(site)).double()
                _check_shares(site, pattern, seen, batch.mask.bool(), examples)
                layers.append(einsum(pattern, keys, "b h q k, s b q k -> s b h") / queries[..., None])
            found.append(torch.stack(layers, 2))
    return _labelled(torch.cat(found, 1), torch.cat(uniform, 1), offsets)


def inputs_of(given: Any) -> Inputs:
    """What a model is shown: of pairs the clean questions.

    Raises:
        ValueError: as of ``Inputs.of``.
    """
    return given.inputs(corrupted=False) if isinstance(given, Pairs) else Inputs.of(given)


def earlier_copies(tokens: Tensor, content: Bool[Tensor, "example position"]) -> Bool[Tensor, "example query key"]:
    """Which keys are earlier copies of the query's token."""
    n = tokens.shape[1]
    before = torch.ones(n, n, dtype=torch.bool, device=tokens.device).tril(-1)
    return (tokens[:, :, None] == tokens[:, None, :]) & before & content[:, :, None] & content[:, None, :]


def _keys(
    tokens: Tensor, content: Bool[Tensor, "example position"], offsets: np.ndarray
) -> Bool[Tensor, "score example query key"]:
    """Keys that each score names, of the queries that it counts; then those of each offset."""
    copies = earlier_copies(tokens, content)
    after = copies.roll(1, 2)  # the last key, which may come round to 0, has no later query
    after &= torch.ones_like(after[0]).tril(-1)  # right after a copy, and before the query
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    before = positions[:, None] - positions
    counted = content[:, :, None] & content[:, None, :] & (positions > 0)[:, None]
    at_offset = [counted & (before == offset) for offset in (1, 0, *offsets.tolist())]
    first = counted & (positions == 0)
    return torch.stack([*at_offset[:2], first, copies, after, *at_offset[2:]])


def _seen(content: Bool[Tensor, "example position"], causal: bool) -> Bool[Tensor, "example query key"]:
    seen = content[:, :, None] & content[:, None, :]
    return seen & torch.ones_like(seen[0]).tril() if causal else seen


def _check_shares(
    site: str,
    pattern: Float[Tensor, "example head query key"],
    seen: Bool[Tensor, "example query key"],
    content: Bool[Tensor, "example position"],
    examples: slice,
) -> None:
    """See that the attention of each query sums to 1 over what it sees."""
    missed = (pattern * seen[:, None]).sum(-1) - 1
    missed = missed.abs().nan_to_num(nan=torch.inf) * content[:, None]
    outside = (pattern * ~seen[:, None]).sum(-1) * content[:, None]
    worst = torch.maximum(missed, outside)
    if worst.max() > TOLERANCE:
        example, head, query = np.unravel_index(int(worst.argmax()), worst.shape)
        raise ValueError(
            f"{site}: the attention of head {head} from position {query} of example {examples.start + int(example)} to"
            f" what it sees sums to {float((pattern * seen[:, None]).sum(-1)[example, head, query]):.3g}; expected 1:"
            " scores are shares of the attention to what the model's attention_dir says that a query sees"
        )


def _check_fit(model: "HookedModel", inputs: Inputs) -> None:
    cfg = model.cfg
    longest = int(inputs.lengths.max())
    window = getattr(cfg, "sliding_window", None) or getattr(cfg, "window_size", None)
    if longest > cfg.n_ctx:
        raise ValueError(f"inputs: an example has {longest} tokens; the model reads at most {cfg.n_ctx}")
    if window is not None and 0 < window < longest:
        raise ValueError(
            f"inputs: an example has {longest} tokens, and the model's attention sees a window of {window}; expected"
            " shorter ones, as the control is attention to all that comes before"
        )
    content = np.arange(inputs.tokens.shape[1]) < inputs.lengths[:, None]
    outside = content & ((inputs.tokens < 0) | (inputs.tokens >= cfg.d_vocab))
    if outside.any():
        example, position = np.argwhere(outside)[0]
        raise ValueError(
            f"inputs: example {example} has token {inputs.tokens[example, position]} at position {position}; the model"
            f" knows 0 to {cfg.d_vocab - 1}"
        )


def _labelled(values: Tensor, uniform: Tensor, offsets: np.ndarray) -> HeadScores:
    """From numbers of all scores and then all offsets."""
    found, control = values.cpu().numpy(), uniform.cpu().numpy()
    axes = ("example", "layer", "head")
    coords = dict(zip(axes, map(np.arange, found.shape[1:]), strict=True))
    n, named = len(SCORES), np.array(SCORES)
    one = {"example": coords["example"]}
    return HeadScores(
        xr.DataArray(found[:n], {"score": named, **coords}, ("score", *axes)),
        xr.DataArray(control[:n], {"score": named, **one}, ("score", "example")),
        xr.DataArray(found[n:], {"offset": offsets, **coords}, ("offset", *axes)),
        xr.DataArray(control[n:], {"offset": offsets, **one}, ("offset", "example")),
    )
