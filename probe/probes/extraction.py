"""Which texts of a corpus a model goes on with by heart, from prompts of several lengths."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from probe.activations.forward import BATCH_TOKENS
from probe.activations.sites import LOGITS
from probe.measures.memorization import extractable_texts, memorization_score
from probe.measures.memorization.arguments import Estimate
from probe.probes.base import Array, Observation, Probe, Row, check_argument
from probe.tasks import Task, Text

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

SUBSETS = ("train", "test")


@dataclass(frozen=True)
class Extraction(Probe):
    """k-extractability of every sequence of a corpus, and the memorization score of a sample of them.

    A sequence is given up to its k-th token, for every k of ``prompts``, and the model goes on greedily for
    ``n_tokens``. *Extractable* is one that comes out right to the last of them (Carlini et al. 2022, arXiv 2202.07646,
    definition 3.1, there 50 tokens). The *memorization score* is the share of these tokens that are right, each at its
    place, also after a wrong one (Biderman et al. 2023, arXiv 2304.11158, definition 2: 32 tokens after 32).

    What is extractable takes no decoding: greedy decoding gives the true continuation if and only if each of its tokens
    is the likeliest after the true ones before it. For up to its first wrong token, what is decoded are the true ones;
    so the right tokens before it are the same, too, and the one forward pass that all probes share says both. Scores
    need real decoding, from the first wrong token on: they are measured on ``n_texts`` sequences of each subset (all,
    if there are no more), the same at every step.

    Rows ``extractable`` and ``memorization_score``, by subset and prompt, as in ``"train/32"``, each with its interval
    over sequences (``_low``, ``_high``); ``test`` are those never shown, the control: common words are right in any.
    Arrays ``extraction_exact`` (1 where extractable) and ``extraction_tokens_right`` (right tokens before the first
    wrong one), [example, prompt]; ``extraction_score`` [text, prompt], with the numbers of the examples as ``text``.

    Args:
        prompts: k, the tokens given, ascending.
        n_tokens: of the continuation.
        n_texts: sequences of each subset that are decoded.
    """

    prompts: tuple[int, ...] = (8, 32)
    n_tokens: int = 32
    n_texts: int = 256

    name: ClassVar[str] = "extraction"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        ascending = bool(self.prompts) and all(np.diff([0, *self.prompts]) > 0)
        check_argument(ascending, "prompts", self.prompts, "numbers of tokens above 0, ascending")
        check_argument(self.n_tokens >= 1, "n_tokens", self.n_tokens, "1 or more")
        check_argument(self.n_texts >= 2, "n_texts", self.n_texts, "2 or more, for an interval")

    def check(self, task: Task) -> None:
        if not isinstance(task, Text):
            raise ValueError("the task is no corpus of text, whose sequences could be continued")
        longest = task.length + 1 - self.n_tokens  # the last token of a sequence is predicted, not read
        if longest < 1:
            raise ValueError(
                f"n_tokens: got {self.n_tokens}; expected at most {task.length}, so that one token is given"
            )
        if self.prompts[-1] > longest:
            raise ValueError(
                f"prompts: got {self.prompts[-1]}; expected at most {longest}, so that {self.n_tokens} of the"
                f" {task.length + 1} tokens of a sequence are left to go on with"
            )

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        task = observation.task
        predicted, true = (
            torch.stack([part[:, k - 1 : k - 1 + self.n_tokens] for k in self.prompts])
            for part in (observation.outcomes.predicted, torch.as_tensor(task.targets))
        )
        found = extractable_texts(predicted, true, n_tokens=self.n_tokens)
        yield self._array("exact", found.extractable.to(torch.int8), {})
        yield self._array("tokens_right", found.tokens_right.to(torch.int32), {})
        drawn, scores = [], []
        for subset in SUBSETS:
            examples = np.flatnonzero(task.subsets[subset])
            share = extractable_texts(predicted[:, examples], true[:, examples], n_tokens=self.n_tokens).share
            yield from self._rows("extractable", subset, share)
            texts = self._drawn(examples)
            decoded = [
                _decoded(
                    observation.model,
                    torch.as_tensor(task.tokens[texts, :k]),
                    true[place, texts],
                    predicted[place, texts],
                    found.tokens_right[place, texts],
                    task.d_vocab,
                )
                for place, k in enumerate(self.prompts)
            ]
            score = memorization_score(torch.stack(decoded), true[:, texts], n_tokens=self.n_tokens)
            yield from self._rows("memorization_score", subset, score.mean)
            drawn.append(texts)
            scores.append(score.score.float())
        yield self._array("score", torch.cat(scores, dim=1), {"text": np.concatenate(drawn)})

    def _drawn(self, examples: Int[np.ndarray, " example"]) -> Int[np.ndarray, " text"]:
        """The examples of a subset that are decoded."""
        return np.sort(np.random.default_rng(0).permutation(examples)[: self.n_texts])

    def _rows(self, metric: str, subset: str, estimate: Estimate) -> Iterator[Row]:
        for end, values in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
            for k, value in zip(self.prompts, values.tolist(), strict=True):
                yield Row(f"{metric}{end}", value, LOGITS, f"{subset}/{k}")

    def _array(self, name: str, values: Tensor, texts: Mapping[str, np.ndarray]) -> Array:
        """Of ``values`` [prompt, text]; with the example that each is of, if not all are there."""
        coords = {**texts, "prompt": np.array(self.prompts)}
        return Array(
            f"extraction_{name}",
            xr.DataArray(values.mT.numpy(), dims=(*(texts or ("example",)), "prompt"), coords=coords),
        )


def _decoded(
    model: "HookedModel",
    prompts: Int[Tensor, "text given"],
    true: Int[Tensor, "text token"],
    predicted: Int[Tensor, "text token"],
    first_wrong: Int[Tensor, " text"],
    d_vocab: int,
) -> Int[Tensor, "text token"]:
    """What the model goes on with, greedily.

    Args:
        model: in evaluation mode.
        prompts: what is given.
        true: how the texts go on.
        predicted: the likeliest token given the true ones before it.
        first_wrong: which of these is the first that is not the true one; as many as there are tokens, if none is.
        d_vocab: tokens there are; a model may know more.
    """
    n_tokens, length = true.shape[1], prompts.shape[1] + true.shape[1]
    decoded = torch.where(torch.arange(n_tokens) < first_wrong[:, None], true, predicted)
    order = first_wrong.argsort()  # so that the texts that are to be decoded are the first of a batch, ever more
    with torch.no_grad():
        for batch in order.split(max(1, BATCH_TOKENS // length)):
            rows = torch.cat([prompts[batch], decoded[batch]], dim=1)
            begins = first_wrong[batch].contiguous()
            for token in range(int(begins[0]) + 1, n_tokens):
                wrong = int(torch.searchsorted(begins, token))
                place = prompts.shape[1] + token
                logits = model.run_with_hooks(rows[:wrong, :place], fwd_hooks=[])
                rows[:wrong, place] = logits[:, -1, :d_vocab].argmax(-1)
            decoded[batch] = rows[:, prompts.shape[1] :]
    return decoded
