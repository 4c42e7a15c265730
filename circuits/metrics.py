"""What an intervention is scored by: a number for each pair, from the logits at the pair's answer position.

Every metric says in which direction it points: whether a larger value means that the behaviour is there. All are in
float64. Losses and divergences are in nats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Asked:
    """What of some pairs a metric is told beside the logits.

    Attributes:
        pairs: which pairs they are, for messages.
        answers: the right token of each.
        wrong_answers: the token that the corrupted question is answered by; None where the pairs have none.
        clean_logits: logits [pair, d_vocab] of the model on the clean question, without gradient.
    """

    pairs: range
    answers: Int[Tensor, " pair"]
    wrong_answers: Int[Tensor, " pair"] | None
    clean_logits: Float[Tensor, "pair d_vocab"]


@dataclass(frozen=True)
class Metric:
    """A number for each pair.

    Args:
        name: how results call it.
        direction: 1 if a larger value means that the behaviour is there, -1 if a smaller one does.
        function: from logits [pair, d_vocab] at the answer position, and what is asked, to [pair].
        flat_at_clean: whether its gradient is 0 on the clean question, whatever the model: then what is linear about
            the clean question, as EAP is, scores all edges 0.

    Raises:
        ValueError: the direction is neither 1 nor -1.
    """

    name: str
    direction: Literal[1, -1]
    function: Callable[[Float[Tensor, "pair d_vocab"], Asked], Float[Tensor, " pair"]]
    flat_at_clean: bool = False

    def __post_init__(self) -> None:
        if self.direction not in (1, -1):
            raise ValueError(f"direction: got {self.direction}; expected 1 or -1")

    def __call__(self, logits: Float[Tensor, "pair d_vocab"], asked: Asked) -> Float[Tensor, " pair"]:
        """Its values.

        Raises:
            ValueError: the function did not give a number for each pair.
        """
        values = self.function(logits, asked)
        if not isinstance(values, Tensor) or values.shape != (len(logits),):
            got = f"shape {list(values.shape)}" if isinstance(values, Tensor) else repr(values)
            raise ValueError(f"metric: {self.name} gave {got}; expected [{len(logits)}], a number for each pair")
        return values


def _of(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.double().gather(1, tokens[:, None])[:, 0]


def _logit_difference(logits: Tensor, asked: Asked) -> Tensor:
    if asked.wrong_answers is None:
        raise ValueError("metric: logit_difference compares two answers; expected pairs that have wrong_answers")
    return _of(logits, asked.answers) - _of(logits, asked.wrong_answers)


def _answer_log_prob(logits: Tensor, asked: Asked) -> Tensor:
    return _of(logits.double().log_softmax(1), asked.answers)


def _kl_from_clean(logits: Tensor, asked: Asked) -> Tensor:
    clean, found = asked.clean_logits.double().log_softmax(1), logits.double().log_softmax(1)
    return (clean.exp() * (clean - found)).sum(1)


logit_difference = Metric("logit_difference", 1, _logit_difference)
"""Logit of the right answer less that of the wrong one (Wang et al. 2023, arXiv 2211.00593)."""
answer_log_prob = Metric("answer_log_prob", 1, _answer_log_prob)
"""Log-probability of the right answer among all tokens."""
answer_loss = Metric("answer_loss", -1, lambda logits, asked: -_answer_log_prob(logits, asked))
"""Cross-entropy of the right answer among all tokens."""
kl_from_clean = Metric("kl_from_clean", -1, _kl_from_clean, flat_at_clean=True)
"""KL divergence from the distribution on the clean question to this one, sum p_clean log(p_clean / p)."""
accuracy = Metric("accuracy", 1, lambda logits, asked: (logits.argmax(1) == asked.answers).double())
"""1 where the right answer has the largest logit (the first of equal ones), else 0. It has no gradient."""


def set_probability(tokens: Sequence[int], name: str = "set_probability") -> Metric:
    """The probability, among all tokens, that the answer is one of a set; its direction is that the set is right.

    Args:
        tokens: the set, the same for all pairs.
        name: how results call it.

    Raises:
        ValueError: the set is empty, has a token twice, or, when it is used, one that the model has no logit for.
    """
    chosen = [int(token) for token in tokens]
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ValueError(f"tokens: got {chosen}; expected one or several, each once")

    def function(logits: Tensor, asked: Asked) -> Tensor:
        if max(chosen) >= logits.shape[1]:
            raise ValueError(f"tokens: got {max(chosen)}; the model has logits 0 to {logits.shape[1] - 1}")
        return logits.double().softmax(1)[:, torch.tensor(chosen, device=logits.device)].sum(1)

    return Metric(name, 1, function)
