"""What is kept of the activations at a site: positions, heads, a projection."""

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.activations.forward import GRADIENT, Batch
from probe.activations.layout import Layout
from probe.activations.positions import Positions
from probe.activations.sites import by_query

Project = Float[np.ndarray | Tensor, "unit k"] | Mapping[str, Any] | Callable[[str, str], Any]
"""A matrix for all sites; matrices by site or pattern over sites; or a function of model and site (None: as it is)."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What is kept of one model's activations, resolved against its sites.

    Attributes:
        layouts: of what is kept, by site, beyond [example, position].
        positions: kept of each example.
        heads: kept, where a site has heads; None for all.
        matrices: [unit, k] float32, by site, of those that are projected.
    """

    layouts: Mapping[str, Layout]
    positions: Positions
    heads: tuple[int, ...] | None
    matrices: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        layouts: Mapping[str, Layout],
        positions: Positions,
        heads: Sequence[int] | None,
        project: Project | None,
        model: str,
    ) -> "Selection":
        """
        Raises:
            ValueError: no site has heads, or not so many; a matrix does not fit its site or fits none.
        """
        chosen = None if heads is None else _whole_numbers(heads)
        if chosen is not None:
            _check_heads(chosen, layouts, model)
        matrices = _matrices(project, layouts, model)
        kept = {}
        for site, layout in layouts.items():
            if chosen is not None and layout.has_heads:
                layout = replace(layout, shape=(len(chosen), *layout.shape[1:]))
            if site in matrices:
                k = matrices[site].shape[1]
                layout = replace(layout, dims=(*layout.dims[:-1], "component"), shape=(*layout.shape[:-1], k))
            kept[site] = layout
        if len(counts := {matrix.shape[1] for matrix in matrices.values()}) > 1:
            raise ValueError(f"project: got matrices of {sorted(counts)} columns; expected one number for all sites")
        return cls(kept, positions, chosen, matrices)

    @property
    def projection(self) -> str | None:
        """What tells the matrices from others; None if nothing is projected."""
        if not self.matrices:
            return None
        total = hashlib.sha256()
        for site, matrix in sorted(self.matrices.items()):
            total.update(f"{site} {tuple(matrix.shape)}\n".encode())
            total.update(np.ascontiguousarray(matrix.numpy()).tobytes())
        return total.hexdigest()[:16]

    @property
    def sites(self) -> tuple[str, ...]:
        """Hook names to be read; gradients are read at the same."""
        return tuple(site for site in self.layouts if not site.endswith(GRADIENT))

    def kept(self, site: str, activation: Float[Tensor, "example position ..."], batch: Batch) -> Tensor:
        """What is kept of a batch: [example, kept, ...], or [example, ...] if a single position is kept of each.

        Where an example has no such position, and at keys that are padding, it is ``nan``.
        """
        name, layout = site.removesuffix(GRADIENT), self.layouts[site]
        x = self._at_positions(activation, batch)
        if self.heads is not None and layout.has_heads:
            x = x[..., list(self.heads), :]
        if name.endswith("hook_attn_scores"):
            # What is not seen has a score of -inf in our models, and the least there is in those of transformers.
            x = x.masked_fill(x <= torch.finfo(x.dtype).min, -torch.inf)
        if by_query(name) and "key" in layout.dims:
            x = _without_padded_keys(x, batch, layout.shape[-1])
        if site in self.matrices:
            x = x @ self.matrices[site].to(x)
        return x[:, 0] if self.positions.single else x

    def _at_positions(self, activation: Tensor, batch: Batch) -> Tensor:
        n_positions = activation.shape[1]
        chosen = self.positions.index[batch.examples]
        if not batch.padded and chosen.shape[1] == n_positions and (chosen == np.arange(n_positions)).all():
            return activation
        index = torch.as_tensor(chosen, device=activation.device)
        absent = (index < 0).reshape(*index.shape, *[1] * (activation.ndim - 2))
        rows = torch.arange(len(index), device=activation.device)[:, None]
        kept = activation[rows, index.clamp(min=0)]
        return kept.masked_fill(absent, torch.nan) if (chosen < 0).any() else kept


def _whole_numbers(heads: Any) -> tuple[int, ...]:
    try:
        if any(isinstance(head, bool) for head in heads):
            raise TypeError
        return tuple(operator.index(head) for head in heads)
    except TypeError as error:
        raise ValueError(f"heads: got {heads!r}; expected whole numbers, such as [0, 3]") from error


def _check_heads(heads: tuple[int, ...], layouts: Mapping[str, Layout], model: str) -> None:
    with_heads = {site: layout.shape[0] for site, layout in layouts.items() if layout.has_heads}
    if not with_heads:
        raise ValueError(f"heads: got {list(heads)}; none of the sites of {model} has heads")
    if not heads or len(set(heads)) < len(heads):
        raise ValueError(f"heads: got {list(heads)}; expected one or more, each once")
    for site, n_heads in with_heads.items():
        if not all(0 <= head < n_heads for head in heads):
            raise ValueError(f"heads: got {list(heads)}; {site} of {model} has heads 0 to {n_heads - 1}")


def _matrices(project: Project | None, layouts: Mapping[str, Layout], model: str) -> dict[str, Tensor]:
    if project is None:
        return {}
    matrices = {}
    by_pattern = {"*": project} if not isinstance(project, Mapping) else dict(project)
    for pattern, matrix in by_pattern.items():
        fitting = [site for site in layouts if fnmatchcase(site.removesuffix(GRADIENT), pattern)]
        if not fitting:
            raise ValueError(f"project: {pattern!r} is none of the sites captured of {model}: {', '.join(layouts)}")
        for site in fitting:
            chosen = matrix(model, site) if callable(matrix) else matrix
            if chosen is None:
                continue
            matrices[site] = _as_matrix(pattern, chosen)
            width = layouts[site].shape[-1]
            if matrices[site].shape[0] != width:
                raise ValueError(
                    f"project: got a matrix of shape {tuple(matrices[site].shape)} for {site} of {model}, which has"
                    f" {width} units; expected [{width}, k]"
                )
    return matrices


def _as_matrix(pattern: str, matrix: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(matrix, dtype=torch.float32).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"project: got {matrix!r} for {pattern!r}; expected a matrix [unit, k] of numbers") from error
    if tensor.ndim != 2 or not tensor.shape[1]:
        raise ValueError(f"project: got an array of shape {tuple(tensor.shape)} for {pattern!r}; expected [unit, k]")
    return tensor


def _without_padded_keys(x: Tensor, batch: Batch, n_keys: int) -> Tensor:
    """Keys up to those of the longest of all examples, and nothing at those that are padding."""
    if not batch.padded and x.shape[-1] == n_keys:
        return x
    x = torch.nn.functional.pad(x, (0, n_keys - x.shape[-1]), value=torch.nan)
    padded = torch.arange(n_keys, device=x.device) >= batch.lengths[:, None]
    return x.masked_fill(padded.reshape(len(x), *[1] * (x.ndim - 2), n_keys), torch.nan)
