"""Which examples are held out together, and what the errors on them say: a score, its interval, a difference.

1. Every example belongs to one of K folds. A model that is fitted on the other folds predicts it.
2. score = 1 - (sum of errors) / (sum of reference errors), both over all held-out examples. With squared errors beside
   those of the training mean it is R2, with wrong answers beside the number of examples it is accuracy.
3. Its interval comes from how the K folds differ. Fits that share most of their examples are not independent, so the
   variance of the mean over folds is s^2 (1/K + n_test/n_train) instead of s^2/K (Nadeau & Bengio 2003, Machine
   Learning 52, 239, section 3), and t has K - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

N_FOLDS = 5


def assign_folds(
    n_examples: int,
    n_folds: int = N_FOLDS,
    seed: int = 0,
    groups: Sequence[int] | Int[np.ndarray | Tensor, " example"] | None = None,
) -> Int[Tensor, " example"]:
    """The fold of each example, 0 to ``n_folds - 1``: balanced, random, the same for the same arguments.

    ``groups`` (an integer per example) keeps examples of one group in one fold. Without it, what a group shares leaks
    from the training folds into the held-out one, as from (b, a) to (a, b) where the operation commutes. Folds then
    have equally many groups, give or take one, of each size.

    Raises ValueError if there are fewer groups (or examples) than folds, or fewer than 2 folds.
    """
    each = np.arange(n_examples) if groups is None else np.asarray(groups)
    if each.shape != (n_examples,):
        raise ValueError(f"groups: got shape {each.shape}; expected ({n_examples},), one per example")
    _, group, size = np.unique(each, return_inverse=True, return_counts=True)
    if not 2 <= n_folds <= len(size):
        what = "examples" if groups is None else "groups"
        raise ValueError(f"n_folds: got {n_folds}; expected 2 to {len(size)}, the number of {what}")
    shuffled = np.random.default_rng(seed).permutation(len(size))
    largest_first = shuffled[np.argsort(-size[shuffled], kind="stable")]
    fold = np.empty(len(size), dtype=np.int64)
    fold[largest_first] = np.arange(len(size)) % n_folds
    return torch.from_numpy(fold[group])


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval, each [*batch, target]."""

    value: Float[Tensor, "*batch target"]
    low: Float[Tensor, "*batch target"]
    high: Float[Tensor, "*batch target"]


@dataclass(frozen=True)
class HeldOut:
    """Errors of predictions on held-out examples, summed over each fold.

    Attributes:
        error: of the fitted model.
        reference: of the prediction that scores 0.
        sizes: examples in each fold.
    """

    error: Float[Tensor, "*batch fold target"]
    reference: Float[Tensor, "*batch fold target"]
    sizes: Int[Tensor, " fold"]

    def grouped(self, labels: Sequence[Hashable]) -> HeldOut:
        """Targets with the same label as one target, labels in the order in which they first occur.

        The cosine and sine of one frequency, say: their R2 is then that of the point in the plane.
        """
        index = label_index(labels, self.error.shape[-1], "labels").to(self.error.device)

        def add_up(errors: Tensor) -> Tensor:
            return errors.new_zeros(*errors.shape[:-1], int(index.max()) + 1).index_add(-1, index, errors)

        return HeldOut(add_up(self.error), add_up(self.reference), self.sizes)

    def score(self, confidence: float = 0.95) -> Estimate:
        """1 - error / reference and its interval, of the kind of model that was fitted.

        It estimates how well a model fitted on as many examples as there are outside one fold does on average. The
        interval takes the errors summed over a fold as near normal. In simulations of ridge regression a nominal 95 %
        covered 95 to 99 % when examples outnumber units, and 87 % with 100 examples of 150 units. An end may lie
        above 1. A target without reference error, because it is constant, has no score: nan.
        """
        value, deviation = self._by_fold()
        return _interval(value, deviation, self.sizes, confidence)

    def _by_fold(self) -> tuple[Float[Tensor, "*batch target"], Float[Tensor, "*batch fold target"]]:
        """The score, and how far each fold's is from it, weighted by the fold's share of the reference error.

        The deviations of a ratio of sums (Cochran 1977, Sampling Techniques, section 6.4): they sum to 0.
        """
        reference = self.reference.sum(-2)
        defined = torch.where(reference > 0, reference, torch.nan)
        value = 1 - self.error.sum(-2) / defined
        mean = defined.unsqueeze(-2) / len(self.sizes)
        return value, ((1 - value.unsqueeze(-2)) * self.reference - self.error) / mean


def difference(result: HeldOut, control: HeldOut, confidence: float = 0.95) -> Estimate:
    """Score of ``result`` minus that of ``control``, with an interval from their differences fold by fold.

    The control has the same folds: it is the same probe on an untrained model (its step 0), or on shuffled targets,
    where the difference is the selectivity of Hewitt & Liang 2019 (arXiv 1909.03368). A control with one leading
    dimension more than ``result`` is several controls, and their mean is subtracted.

    Raises ValueError if the folds differ.
    """
    if not torch.equal(result.sizes.cpu(), control.sizes.cpu()):
        sizes = control.sizes.tolist(), result.sizes.tolist()
        raise ValueError(f"control: got folds of {sizes[0]} examples; expected those of the result, {sizes[1]}")
    if result.error.shape not in (control.error.shape, control.error.shape[1:]):
        shapes = tuple(control.error.shape), tuple(result.error.shape)
        raise ValueError(
            f"control: got errors of shape {shapes[0]}; expected {shapes[1]}, or that after one more dimension"
        )
    value, deviation = result._by_fold()
    control_value, control_deviation = control._by_fold()
    if control.error.ndim > result.error.ndim:
        control_value, control_deviation = control_value.mean(0), control_deviation.mean(0)
    return _interval(value - control_value, deviation - control_deviation, result.sizes, confidence)


def select_setting(
    error: Float[Tensor, "*batch setting fold target"], group: Int[Tensor, " target"]
) -> tuple[Int[Tensor, "*batch target"], Int[Tensor, "*batch fold target"]]:
    """The setting with the least held-out error for each group of targets: over all folds, and to judge each fold by.

    A setting chosen on the folds that also score it looks better than it is: noise gets an R2 above 0. So the setting
    that scores fold f is the best on the other folds. Those models were fitted on examples of f, among others, but no
    error on f takes part in the choice. In simulations of ridge regression, R2 was within 0.01 of that of choosing
    anew inside each training set (which takes K times as many fits) when examples outnumber units, and up to 0.03
    above it when they do not; noise had none (tests/measures/test_linear.py).
    """
    shared = error.new_zeros(*error.shape[:-1], int(group.max()) + 1).index_add(-1, group, error)
    total = shared.sum(-2)
    elsewhere = (total.unsqueeze(-2) - shared).argmin(-3)
    return total.argmin(-2)[..., group], elsewhere[..., group]


def at_setting(
    error: Float[Tensor, "*batch setting fold target"], setting: Int[Tensor, "*batch fold target"]
) -> Float[Tensor, "*batch fold target"]:
    """Each fold's error at the setting that it is judged by."""
    return error.gather(-3, setting.unsqueeze(-3)).squeeze(-3)


def label_index(labels: Sequence[Hashable], n: int, field: str) -> Int[Tensor, " target"]:
    """Each label as an integer: 0 for the first that occurs, and so on.

    Raises ValueError if there are not n labels.
    """
    if len(labels) != n:
        raise ValueError(f"{field}: got {len(labels)} labels; expected {n}, one per target")
    position = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([position[label] for label in labels])


def check_examples(X: Tensor, Y: Tensor, fold: Tensor, y_field: str = "Y") -> None:
    """Raise ValueError unless X is [*batch, example, unit], Y [example, target] and fold [example] 0, 1, ..., all used.

    And unless all values are finite.
    """
    check_shapes(X, Y, fold, y_field)
    used = fold.unique().tolist()
    if len(used) < 2 or used != list(range(len(used))):
        raise ValueError(f"fold: got folds {used}; expected 0, 1, ..., at least two, each with examples")
    for field, values in (("X", X), (y_field, Y)):
        if not values.isfinite().all():
            raise ValueError(f"{field}: got nan or infinite values; expected finite ones")


def check_shapes(X: Tensor, Y: Tensor, fold: Tensor, y_field: str = "Y") -> None:
    """Raise ValueError unless X is [*batch, example, unit], Y [example, target] and fold integers, [example]."""
    if X.ndim < 2:
        raise ValueError(f"X: got shape {tuple(X.shape)}; expected [*batch, example, unit]")
    n = X.shape[-2]
    if Y.ndim != 2 or len(Y) != n:
        raise ValueError(f"{y_field}: got shape {tuple(Y.shape)}; expected [{n}, target], a row per example of X")
    if fold.shape != (n,) or fold.is_floating_point():
        kind = f"{str(fold.dtype).removeprefix('torch.')} of shape {tuple(fold.shape)}"
        raise ValueError(f"fold: got {kind}; expected {n} integers, one per example of X")


def _interval(value: Tensor, deviation: Tensor, sizes: Tensor, confidence: float) -> Estimate:
    from scipy.stats import t

    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}; expected a number between 0 and 1, such as 0.95")
    n_folds = len(sizes)
    variance = deviation.square().sum(-2) / (n_folds - 1)
    n_test = sizes.double()
    test_by_train = (n_test / (n_test.sum() - n_test)).mean().item()
    quantile = float(t.ppf((1 + confidence) / 2, n_folds - 1))
    half_width = quantile * (variance * (1 / n_folds + test_by_train)).sqrt()
    return Estimate(value, value - half_width, value + half_width)
