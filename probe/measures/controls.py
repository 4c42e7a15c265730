"""What a probe's score is to be compared with: shuffled targets, an untrained model, and a probe that is not linear.

* Shuffled targets: how much of the score the probe owes to itself. `with_controls` adds them as more targets, so that
  they are fitted in the same pass; `Controls.split` and `probe.measures.folds.difference` give the selectivity.
* An untrained model: how much the architecture and the tokens give away. The same probe, on the same folds, on the
  activations of step 0; again `difference`.
* `kernel_ridge` and `mlp`: whether what a linear probe does not find is there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe.measures.folds import HeldOut, at_setting, check_examples, select_setting
from probe.measures.moments import accumulate, training_mean_error

KERNEL_ALPHAS = tuple(10.0**k for k in range(-4, 2))


@dataclass(frozen=True)
class Controls:
    """Targets followed by their shuffled copies: ``Y[:, :n]`` as they are, ``Y[:, n:2 * n]`` shuffled, and so on."""

    Y: Shaped[Tensor, "example column"]
    n_shuffles: int

    def labels(self, of_targets: Sequence[Hashable] | None = None) -> list[tuple[int, Hashable]]:
        """A label per column, (shuffle, label of the target), the targets as they are being shuffle 0.

        As the ``alpha_groups`` of `probe.measures.linear.ridge` they give each shuffle an alpha of its own, as if it
        had been fitted alone, and leave the fit of the targets themselves as it is without controls.
        """
        n_targets = self.Y.shape[1] // (1 + self.n_shuffles)
        each: Sequence[Hashable] = [0] * n_targets if of_targets is None else of_targets
        return [(shuffle, label) for shuffle in range(1 + self.n_shuffles) for label in each]

    def split(self, held_out: HeldOut) -> tuple[HeldOut, HeldOut]:
        """Errors of the targets themselves, and of the shuffled ones with a leading dimension, shuffle."""

        def parts(errors: Tensor) -> Tensor:
            return errors.unflatten(-1, (1 + self.n_shuffles, -1)).movedim(-2, 0)

        error, reference = parts(held_out.error), parts(held_out.reference)
        return HeldOut(error[0], reference[0], held_out.sizes), HeldOut(error[1:], reference[1:], held_out.sizes)


def with_controls(
    Y: Shaped[Tensor | np.ndarray, "example target"],
    n_shuffles: int = 5,
    seed: int = 0,
    types: Sequence[int] | Int[np.ndarray | Tensor, " example"] | None = None,
) -> Controls:
    """Y and shuffled copies of it, in which examples exchange their rows.

    Without ``types`` every example gets the row of another one, at random: what a probe scores there is chance, or a
    leak between folds. With ``types``, an integer per example, all examples of a type get the row of the first example
    of another type: the control task of Hewitt & Liang 2019 (arXiv 1909.03368, section 2), which a probe can learn
    from the training folds if it can tell the types apart. Types are what recurs: the word, the answer, the pair
    {a, b} whatever its order.

    Raises ValueError for shapes that do not fit, or no shuffle.
    """
    Y = torch.as_tensor(Y).detach()
    if Y.ndim != 2:
        raise ValueError(f"Y: got shape {tuple(Y.shape)}; expected [example, target]")
    if n_shuffles < 1:
        raise ValueError(f"n_shuffles: got {n_shuffles}; expected at least 1")
    each = np.arange(len(Y)) if types is None else np.asarray(types)
    if each.shape != (len(Y),):
        raise ValueError(f"types: got shape {each.shape}; expected ({len(Y)},), one per example")
    _, first, type_of = np.unique(each, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    rows = [torch.from_numpy(first[rng.permutation(len(first))][type_of]) for _ in range(n_shuffles)]
    return Controls(torch.cat([Y, *(Y[row.to(Y.device)] for row in rows)], dim=1), n_shuffles)


def kernel_ridge(
    X: Float[Tensor | np.ndarray, "*batch example unit"],
    Y: Float[Tensor | np.ndarray, "example target"],
    fold: Int[Tensor | np.ndarray, " example"],
    alphas: Sequence[float] = KERNEL_ALPHAS,
) -> HeldOut:
    """Held-out squared errors of scikit-learn's KernelRidge on standardized units; ``.score()`` is R2 as of `ridge`.

    Kernel exp(-|x - x'|^2 / (2 s^2)), s the median distance between training examples (of 1000 of them). Alpha is
    chosen as in `ridge`, one for each target. Memory and time are those of [example, example] matrices.

    Raises ValueError for shapes that do not fit, or nan or infinite values.
    """
    from scipy.spatial.distance import pdist
    from sklearn.kernel_ridge import KernelRidge

    def predictions(train: np.ndarray, known: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
        some = np.random.default_rng(0).permutation(len(train))[:1000]
        scale = np.median(pdist(train[some])) or 1.0  # units that are all constant are at no distance
        models = (KernelRidge(alpha=alpha, kernel="rbf", gamma=1 / (2 * scale**2)) for alpha in alphas)
        return [model.fit(train, known).predict(test) for model in models]

    return _held_out(X, Y, fold, predictions)


def mlp(
    X: Float[Tensor | np.ndarray, "*batch example unit"],
    Y: Float[Tensor | np.ndarray, "example target"],
    fold: Int[Tensor | np.ndarray, " example"],
    hidden: int = 64,
    seed: int = 0,
) -> HeldOut:
    """Held-out squared errors of scikit-learn's MLPRegressor, one hidden ReLU layer, all targets in one network.

    Units and targets are standardized on the training folds; a tenth of their examples decides when to stop.

    Raises ValueError for shapes that do not fit, or nan or infinite values.
    """
    from sklearn.neural_network import MLPRegressor

    def predictions(train: np.ndarray, known: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
        model = MLPRegressor(
            hidden_layer_sizes=(hidden,),
            learning_rate_init=1e-2,
            early_stopping=True,
            n_iter_no_change=20,
            max_iter=1000,
            random_state=seed,
        )
        return [model.fit(train, known if known.shape[1] > 1 else known[:, 0]).predict(test)]

    return _held_out(X, Y, fold, predictions)


def _held_out(
    X: Tensor | np.ndarray,
    Y: Tensor | np.ndarray,
    fold: Tensor | np.ndarray,
    predictions: Callable[[np.ndarray, np.ndarray, np.ndarray], list[np.ndarray]],
) -> HeldOut:
    """Squared errors of predictions, given by setting, from units and targets standardized on the training folds."""
    from sklearn.preprocessing import StandardScaler

    X, Y, fold = (torch.as_tensor(x).detach().cpu() for x in (X, Y, fold))
    check_examples(X, Y, fold)
    y, fold_of = Y.double().numpy(), fold.numpy()
    moments = accumulate([(torch.empty(len(Y), 0), Y, fold)], int(fold.max()) + 1)
    each = torch.arange(Y.shape[1])
    chosen = []
    for x in X.reshape(-1, *X.shape[-2:]).double().numpy():
        by_fold = []
        for f in range(len(moments.count)):
            out = fold_of == f
            units, targets = StandardScaler().fit(x[~out]), StandardScaler().fit(y[~out])
            scaled = predictions(units.transform(x[~out]), targets.transform(y[~out]), units.transform(x[out]))
            by_fold.append(
                [((targets.inverse_transform(z.reshape(-1, y.shape[1])) - y[out]) ** 2).sum(0) for z in scaled]
            )
        error = torch.tensor(np.array(by_fold)).movedim(0, 1)
        chosen.append(at_setting(error, select_setting(error, each)[1]))
    error = torch.stack(chosen).reshape(*X.shape[:-2], *chosen[0].shape)
    return HeldOut(error, training_mean_error(moments).expand_as(error), moments.count)
