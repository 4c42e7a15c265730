"""What an intervention is scored by: a number for each pair, from the logits at the pair's answer position.

Every metric says in which direction it points: whether a larger value means that the behaviour is there. All are in
float64. Losses and divergences are in nats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.fourier.basis import fourier_basis, read_frequencies

if TYPE_CHECKING:
    from circuits.pairs import Pairs


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

    @classmethod
    def of(cls, pairs: "Pairs", examples: slice, clean_logits: Float[Tensor, "pair d_vocab"]) -> "Asked":
        """Of some pairs, of which the clean questions have been read."""
        device = clean_logits.device
        wrong = None if pairs.wrong_answers is None else torch.as_tensor(pairs.wrong_answers[examples], device=device)
        answers = torch.as_tensor(pairs.answers[examples], device=device)
        return cls(range(examples.start, examples.stop), answers, wrong, clean_logits.detach())


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
            ValueError: the function did not give a finite number for each pair.
        """
        values = self.function(logits, asked)
        if not isinstance(values, Tensor) or values.shape != (len(logits),):
            got = f"shape {list(values.shape)}" if isinstance(values, Tensor) else repr(values)
            raise ValueError(f"metric: {self.name} gave {got}; expected [{len(logits)}], a number for each pair")
        if not bool(values.isfinite().all()):
            pair = asked.pairs[int(values.isfinite().int().argmin())]
            raise ValueError(f"metric: {self.name} of pair {pair} is not finite")
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
agreement = Metric("agreement", 1, lambda logits, asked: (logits.argmax(1) == asked.clean_logits.argmax(1)).double())
"""1 where the largest logit is that of the answer given to the clean question, right or wrong. It has no gradient."""
NAMED = {metric.name: metric for metric in (logit_difference, answer_log_prob, answer_loss, kl_from_clean)}
"""Metrics by name that edges can be attributed by on any task."""


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
        _check_known(chosen, logits)
        return logits.double().softmax(1)[:, torch.tensor(chosen, device=logits.device)].sum(1)

    return Metric(name, 1, function)


def greater_than(tokens: Sequence[int], name: str = "greater_than") -> Metric:
    """The probability of what is beyond a line in an order less that of what is not (Hanna et al. 2023, section 2).

    The line is between the right answer of each pair and its wrong one (arXiv 2305.00586: the years that are later less
    those that are not). Tokens between the two, if there are any, count on neither side. Its direction is that the
    answer's side is right, 1 where all probability is there, among all tokens, and -1 where all is on the other.

    Args:
        tokens: in their order, such as ``year_tokens(tokenizer)``; answers and wrong answers are among them.
        name: how results call it.

    Raises:
        ValueError: there are fewer than two tokens, or one twice; or, when it is used, pairs have no wrong answers, an
            answer is not among the tokens, or the model has no logit for one.
    """
    ordered = [int(token) for token in tokens]
    if len(ordered) < 2 or len(set(ordered)) < len(ordered) or min(ordered) < 0:
        raise ValueError(f"tokens: got {ordered}; expected two or more, each once")

    def function(logits: Tensor, asked: Asked) -> Tensor:
        if asked.wrong_answers is None:
            raise ValueError(f"metric: {name} is about a line between two answers; expected pairs with wrong_answers")
        _check_known(ordered, logits)
        order = torch.tensor(ordered, device=logits.device)
        right, wrong = (_place(order, which, asked, name) for which in (asked.answers, asked.wrong_answers))
        probability, place = logits.double().softmax(1)[:, order], torch.arange(len(order), device=logits.device)
        up = (right > wrong)[:, None]
        beyond = torch.where(up, place >= right[:, None], place <= right[:, None])
        before = torch.where(up, place <= wrong[:, None], place >= wrong[:, None])
        return (probability * (beyond.double() - before.double())).sum(1)

    return Metric(name, 1, function)


def _place(order: Tensor, answers: Tensor, asked: Asked, name: str) -> Tensor:
    found = answers[:, None] == order
    absent = ~found.any(1)
    if bool(absent.any()):
        i = int(absent.nonzero()[0])
        raise ValueError(
            f"metric: {name}: pair {asked.pairs[i]} has the answer {int(answers[i])}, which is not among the tokens"
        )
    return found.int().argmax(1)


def key_frequency_loss(
    p: int, frequencies: Sequence[int], class_means: Float[Tensor, " answer"], name: str = "key_frequency_loss"
) -> Metric:
    """Loss of a sum modulo p from the part of the logits that turns at key frequencies, pair by pair.

    Of the logits of tokens 0 to p - 1, less their means over all questions, what is in the span of cos(w_k c) and
    sin(w_k c) as functions of the answer c is kept, w_k = 2 pi k / p; the means are added again, and all else is left
    out of the softmax. In nats; a smaller loss means that the key frequencies do it.

    It is not the restricted loss of ``probe.measures.fourier`` (Nanda et al. 2023, arXiv 2301.05217), which keeps
    functions of the *question*, cos w_k(a + b), and for that needs the logits of all p^2 questions at once. Over these
    the two have the same mean if the centred logits are a function of a + b - c, as the algorithm makes them, or any
    function of a + b and c that pairs no key frequency of the one with another of the other. In a trained model they
    are far apart: what is kept here of a pair may have any frequency in a + b, or depend on a - b.

    Args:
        p: modulus.
        frequencies: the key ones, 1 to p // 2.
        class_means: of each answer's logit over all questions; of the model whose restricted loss this is, not of an
            intervened one.
        name: how results call it.

    Raises:
        ValueError: a frequency is none, class_means are not p numbers; or, when it is used, the model has fewer logits
            or an answer is no residue.
    """
    if tuple(class_means.shape) != (p,):
        raise ValueError(f"class_means: got shape {list(class_means.shape)}; expected [{p}], a number for each answer")
    rows = [2 * k + i for k in read_frequencies(frequencies, p) for i in (-1, 0) if 2 * k + i < p]
    basis, means = fourier_basis(p)[rows], class_means.detach().double()

    def function(logits: Tensor, asked: Asked) -> Tensor:
        _check_known(range(p), logits)
        if int(asked.answers.max()) >= p:
            pair = asked.pairs[int(asked.answers.argmax())]
            raise ValueError(
                f"metric: {name}: pair {pair} has the answer {int(asked.answers.max())}; expected 0 to {p - 1}"
            )
        waves, mean = basis.to(logits.device), means.to(logits.device)
        kept = (logits[:, :p].double() - mean) @ waves.T @ waves + mean
        return -_of(kept.log_softmax(1), asked.answers)

    return Metric(name, -1, function)


def _check_known(tokens: Sequence[int], logits: Tensor) -> None:
    if max(tokens) >= logits.shape[1]:
        raise ValueError(f"tokens: got {max(tokens)}; the model has logits 0 to {logits.shape[1] - 1}")
