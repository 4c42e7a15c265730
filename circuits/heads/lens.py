"""Logit lens: what a model would answer if it went on to the logits right after each layer (nostalgebraist 2020).

The residual stream before the first block, and after each, goes through the final normalization, with the scale that it
has itself, and the unembedding. Early layers need not write in the directions that the unembedding reads: that the lens
finds no answer there does not show that there is none.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from circuits.heads.answers import at_answers
from circuits.heads.means import means_over
from circuits.pairs import Pairs

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

TOLERANCE = 1e-4
"""Share of the largest logit by which the lens after the last layer may miss the model's; or what the model's numbers
are rounded to, if that is more."""


@dataclass(frozen=True, eq=False)
class LogitLens:
    """What the model would answer after each layer, pair by pair.

    Attributes:
        values: [depth, pair] each: ``log_prob`` of the right answer, in nats; its ``rank`` among all tokens, 1 if no
            logit is larger; and ``logit_difference`` to the wrong answer, where the pairs have one. Depths are
            ``embed``, ``L0``, ``L1``, ...
        d_vocab: logits there are: an answer by chance has log-probability -log(d_vocab) and rank (d_vocab + 1) / 2.
    """

    values: xr.Dataset
    d_vocab: int

    def means(self, what: str, confidence: float = 0.95) -> xr.Dataset:
        """``mean``, ``low``, ``high`` [depth] over pairs of one of the values, and ``n``; the interval is Student's.

        Raises:
            ValueError: there is no such value, or the confidence is outside (0, 1).
        """
        if what not in self.values:
            raise ValueError(f"what: got {what!r}; expected one of {', '.join(map(str, self.values))}")
        return means_over(self.values[what], "pair", confidence)


def logit_lens(model: "HookedModel", pairs: Pairs, *, batch_size: int | None = None) -> LogitLens:
    """The answers to the clean questions that the residual stream gives after each layer.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: of which the clean questions are read, at their answer positions.
        batch_size: pairs at a time; as many as ``probe`` takes in a capture, if not given. Values do not depend on it.

    Raises:
        ValueError: the batch size is below 1; the model is in training mode, does not know the tokens of the pairs, or
            its logits are not those of the lens after its last layer.
    """
    n_layers = model.cfg.n_layers
    streams = ["blocks.0.hook_resid_pre", *(f"blocks.{layer}.hook_resid_post" for layer in range(n_layers))]
    to_logits: Any = model  # of whose parts the protocol of hooked models does not speak
    found: list[dict[str, np.ndarray]] = []
    for examples, seen, logits in at_answers(model, pairs, streams, batch_size, depths=len(streams)):
        with torch.no_grad():
            lens = to_logits.unembed(to_logits.ln_final(torch.stack([seen[site] for site in streams], 1)))
        _check_last(lens[:, -1], logits)
        wrong = None if pairs.wrong_answers is None else pairs.wrong_answers[examples]
        found.append(_answers(lens, pairs.answers[examples], wrong))
    values = {what: np.concatenate([part[what] for part in found]).T for what in found[0]}
    coords = {"depth": ["embed", *(f"L{layer}" for layer in range(n_layers))], "pair": np.arange(len(pairs))}
    return LogitLens(
        xr.Dataset({what: (tuple(coords), value) for what, value in values.items()}, coords), model.cfg.d_vocab_out
    )


def _answers(
    logits: Float[Tensor, "pair depth d_vocab"], answers: Int[np.ndarray, " pair"], wrong: np.ndarray | None
) -> dict[str, Float[np.ndarray, "pair depth"]]:
    logits = logits.double()

    def of(tokens: np.ndarray) -> Tensor:
        at = torch.as_tensor(tokens, device=logits.device)[:, None, None].expand(-1, logits.shape[1], 1)
        return logits.gather(2, at)[..., 0]

    right = of(answers)
    found = {
        "log_prob": right - logits.logsumexp(2),
        "rank": 1 + (logits > right[..., None]).sum(2).double(),
    }
    if wrong is not None:
        found["logit_difference"] = right - of(wrong)
    return {what: value.cpu().numpy() for what, value in found.items()}


def _check_last(lens: Tensor, model: Tensor) -> None:
    missed = float((lens - model).abs().max())
    allowed = max(TOLERANCE, 10 * torch.finfo(model.dtype).eps) * max(1.0, float(model.abs().max()))
    if not missed <= allowed:
        raise ValueError(
            f"model: the lens after its last layer misses its logits by {missed:.2g}; expected at most {allowed:.2g}:"
            " more than the final normalization and the unembedding is between them, such as a cap on logits"
        )
