"""The curvature of a loss at given weights: largest eigenvalues and trace of its Hessian, by products with vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.complexity.flat_weights import FlatWeights, Weights, checked_loss, flatten
from probe.measures.intervals import Interval, t_interval

# up to this many weights the whole matrix costs no more than Lanczos
DENSE = 64


def hessian_top_eigenvalues(
    loss_fn: Callable[..., Tensor], weights: Weights, k: int = 1, *, tolerance: float | None = None, seed: int = 0
) -> Float[Tensor, " k"]:
    """The k largest eigenvalues (with sign, descending) of the Hessian of ``loss_fn(weights)``, a mean loss.

    Lanczos (ARPACK) with products of the Hessian and a vector by double backward; above 64 weights the matrix is
    never formed. ``tolerance`` is relative to each eigenvalue, by default 1e-10 for float64 and 1e-4 for float32
    weights, in whose precision the products are.

    Raises ValueError for bad weights or losses, a loss that does not depend on the weights, a Hessian that is not
    finite, k outside 1 to the number of weights, or Lanczos not converging.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    flat = flatten(weights)
    d = len(flat.vector)
    if not 1 <= k <= d:
        raise ValueError(f"k: {k} given, expected 1 to {d}, the number of weights")
    product = _hessian_product(loss_fn, flat)
    if d <= DENSE or k > d // 2:
        H = torch.stack([product(row) for row in torch.eye(d, dtype=flat.vector.dtype, device=flat.vector.device)])
        return torch.linalg.eigvalsh((H + H.T).double() / 2).flip(0)[:k].cpu()

    def on_arrays(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(v.ravel()).to(flat.vector)).double().cpu().numpy()

    start = np.random.default_rng(seed).standard_normal(d)
    if not on_arrays(start).any():  # a random vector is in the kernel of the zero matrix only
        return torch.zeros(k, dtype=torch.float64)
    if tolerance is None:
        tolerance = 1e-10 if flat.vector.dtype == torch.float64 else 1e-4
    operator = LinearOperator((d, d), matvec=on_arrays, dtype=np.float64)
    try:
        values = eigsh(operator, k, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)
    except ArpackNoConvergence as error:
        raise ValueError(f"tolerance: {tolerance} given, not reached ({error}); expected a larger one") from error
    return torch.from_numpy(np.sort(values)[::-1].copy())


def hessian_trace(
    loss_fn: Callable[..., Tensor],
    weights: Weights,
    *,
    n_probes: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Trace of the Hessian of ``loss_fn(weights)``: mean of v^T H v over random signs v, Student's interval over them.

    Its variance is 2 (|H|^2 - |diag H|^2), so that a diagonal Hessian gives the trace itself.

    Raises ValueError as `hessian_top_eigenvalues`, and for less than 2 probes.
    Source: Hutchinson 1989.
    """
    if n_probes < 2:
        raise ValueError(f"n_probes: {n_probes} given, expected at least 2, for an interval")
    flat = flatten(weights)
    product = _hessian_product(loss_fn, flat)
    generator = torch.Generator(device=flat.vector.device).manual_seed(seed)
    estimates = []
    for _ in range(n_probes):  # one at a time: each product holds the activations of all examples
        bits = torch.randint(2, flat.vector.shape, generator=generator, device=flat.vector.device)
        signs = (2 * bits - 1).to(flat.vector.dtype)
        estimates.append((signs * product(signs)).sum(dtype=torch.float64))
    return t_interval(torch.stack(estimates), confidence)


def _hessian_product(loss_fn: Callable[..., Tensor], flat: FlatWeights) -> Callable[[Tensor], Tensor]:
    """v -> H v; the forward pass and its gradient are computed once, and refused where they are not finite."""

    def loss(vector: Float[Tensor, " weight"]) -> Tensor:
        return loss_fn(flat.restore(vector))

    checked_loss(loss, flat.vector)
    pull_back = torch.func.vjp(torch.func.grad(loss), flat.vector)[1]

    def product(v: Float[Tensor, " weight"]) -> Float[Tensor, " weight"]:
        result = pull_back(v)[0].detach()
        if not result.isfinite().all():
            raise ValueError(
                "loss_fn: a Hessian with nan or infinity given, expected second derivatives at the weights"
            )
        return result

    return product
