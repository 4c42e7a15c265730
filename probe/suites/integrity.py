"""Are the checkpoints of a suite what they claim to be?

Published checkpoints have been wrong: branches that all held the final weights, a step 0 equal to step 1, files that
were cut short.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import pandas as pd
import torch
from torch import Tensor

from probe.suites import format as suite_format
from probe.suites.spacing import missing_steps
from probe.suites.suite import Checkpoint, Model, Suite
from probe.suites.trained import TrainedModel

JUMP = 10.0
"""A norm this many times that of the step before, or less than its inverse, is no step of training."""
SPIKE = 2.0
"""A norm this many times those of both neighbours is not where training went, unless norms change as much anyway."""
_CHUNK = 2**24


def check(
    suite: Suite,
    models: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Read every checkpoint, and say what is wrong with it.

    One checkpoint is in memory at a time, and is given back (``Model.release``) before the next is read.

    Args:
        suite: whose checkpoints.
        models: of these models; all, if not given.
        steps: at these steps; all, if not given.
        progress: called with how many checkpoints have been read and how many there are, before the first and after
            each.

    Returns:
        A row a checkpoint, in order of the suite: ``model``; ``step``; ``digest`` of the tensors, empty where they
        cannot be read; ``norm``, the root of the sum of squares of all of them; ``non_finite``, how many values are
        infinite or nan; and ``problems``, empty where there are none, else one or several of these, after each other:

        - it cannot be read, or is not the model's weights, and why;
        - other checkpoints, of this model or another, have the same weights (but steps 0 and 1 of a model that was
          trained here with a warm-up, whose first step is taken at learning rate 0);
        - values are not finite, and the first tensor with any;
        - a matrix is zero throughout, but at step 0, where some are made so; or all weights are zero;
        - parameters or shapes are other than at most steps of the model;
        - the norm is more than ``JUMP`` times that of the step before, or less than its inverse; or it is more than
          ``SPIKE`` times those of both the step before and the step after, or less than the inverse of both, and
          farther from them than ten times the median change from a step to the next (of its logarithm);
        - steps are missing before it, where the others are evenly spaced, as ``missing_steps`` says. This is looked at
          only if the steps are all that there are, and were not chosen.

    Raises:
        ValueError: there is no such model or step.
    """
    checkpoints = list(suite.checkpoints(models, steps))
    found: list[_Found] = []
    for checkpoint in checkpoints:
        if progress:
            progress(len(found), len(checkpoints))
        found.append(_look_at(checkpoint))
    if progress:
        progress(len(found), len(checkpoints))

    by_model: dict[str, list[_Found]] = defaultdict(list)
    for one in found:
        by_model[one.model].append(one)
    _compare_digests(found)
    for of_model in by_model.values():
        _compare_shapes(of_model)
        _compare_norms(of_model)
        if steps is None and suite.chosen_steps is None:
            missing = missing_steps([one.step for one in of_model])
            for one in of_model:
                if one.step in missing:
                    one.problems.append(f"missing before it: {_some([f'step {step}' for step in missing[one.step]])}")
    rows = [(one.model, one.step, one.digest, one.norm, one.non_finite, "; ".join(one.problems)) for one in found]
    table = pd.DataFrame(rows, columns=["model", "step", "digest", "norm", "non_finite", "problems"])
    return table.astype({"non_finite": "Int64"})


def duplicates(suite: Suite, model: str, steps: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Steps of a model at which it has the weights of an earlier step, by the digests alone, which is quick.

    As in ``check``, those that have the same weights because they were trained so are not among them.

    Returns:
        Each such step, ascending, with the first of the steps that have its weights.

    Raises:
        ValueError: there is no such model or step.
        DamagedCheckpointError: a digest cannot be read.
    """
    seen: dict[str, int] = {}
    twins = ((checkpoint.step, earlier_twin(checkpoint, seen)) for checkpoint in suite.checkpoints([model], steps))
    return [(step, twin) for step, twin in twins if twin is not None]


def earlier_twin(checkpoint: Checkpoint, seen: MutableMapping[str, int]) -> int | None:
    """The step at which the same model had the same weights, though it should not; None if there is none.

    Args:
        checkpoint: of the model.
        seen: the model's steps so far, each by its digest, to which this one is added if its digest is new.
    """
    first = seen.setdefault(checkpoint.digest, checkpoint.step)
    return None if first == checkpoint.step or _is_meant(checkpoint.model, checkpoint.step, first) else first


def twin_warning(model: str, step: int, same_as: int) -> str:
    """What is said before such a checkpoint is used."""
    return (
        f"{model} at step {step} has the weights of step {same_as}, so one of them is not what it claims to be;"
        " `probe suite check` looks at all of them"
    )


@dataclass
class _Found:
    """What was found of a checkpoint."""

    checkpoint: Checkpoint
    digest: str = ""
    norm: float = math.nan
    non_finite: int | None = None
    shapes: Mapping[str, tuple[int, ...]] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        return self.checkpoint.model.name

    @property
    def step(self) -> int:
        return self.checkpoint.step


def _look_at(checkpoint: Checkpoint) -> _Found:
    found = _Found(checkpoint)
    try:
        _describe(checkpoint.weights(), found)
    except (ValueError, OSError, RuntimeError) as error:
        found.problems.append(f"cannot be read: {' '.join(str(error).split())}")
    finally:
        checkpoint.model.release(checkpoint.step)
    return found


def _describe(weights: Mapping[str, Tensor], found: _Found) -> None:
    found.digest = suite_format.digest(weights)
    found.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    squares = {name: _sum_of_squares(weight) for name, weight in weights.items()}
    found.norm = math.sqrt(sum(squares.values()))
    counts = {name: int((~weight.isfinite()).sum()) for name, weight in weights.items()}
    found.non_finite = sum(counts.values())
    if found.non_finite:
        first = next(name for name, count in counts.items() if count)
        found.problems.append(f"{found.non_finite:,} values are not finite, the first of them in {first}")
    zero = [name for name, square in squares.items() if square == 0 and _is_matrix(name, weights[name])]
    if found.norm == 0:
        found.problems.append("all weights are zero")
    elif zero and found.step > 0:
        found.problems.append(f"zero throughout: {_some(zero)}")


def _sum_of_squares(weight: Tensor) -> float:
    """In float64, without a copy of the whole in it."""
    parts = weight.flatten().split(_CHUNK)
    return sum(float(torch.linalg.vector_norm(part.double()).square()) for part in parts)


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Whether a weight is a matrix, or several, and not biases of several heads."""
    return weight.ndim >= 2 and not name.rsplit(".", 1)[-1].startswith("b")


def _compare_digests(found: Sequence[_Found]) -> None:
    same: dict[str, list[_Found]] = defaultdict(list)
    for one in found:
        if one.digest:
            same[one.digest].append(one)
    for group in same.values():
        for one in group:
            others = [
                f"step {other.step}" if other.model == one.model else f"{other.model} at step {other.step}"
                for other in group
                if other is not one
                and (other.model != one.model or not _is_meant(one.checkpoint.model, one.step, other.step))
            ]
            if others:
                one.problems.append(f"the same weights as {_some(others)}")


def _is_meant(model: Model, step: int, other: int) -> bool:
    """Whether two steps of a model have the same weights because of how it was trained."""
    warmup = model.config.get("training", {}).get("warmup") if isinstance(model, TrainedModel) else 0
    return {step, other} == {0, 1} and bool(warmup)


def _compare_shapes(of_model: Sequence[_Found]) -> None:
    known = [one for one in of_model if one.shapes is not None]
    if not known:
        return
    usual = dict(
        Counter(tuple(sorted(one.shapes.items())) for one in known if one.shapes is not None).most_common(1)[0][0]
    )
    for one in known:
        assert one.shapes is not None
        shapes = one.shapes
        differ = [
            f"{name} is {_shape_text(shapes.get(name))}, not {_shape_text(usual.get(name))}"
            for name in sorted({*shapes, *usual})
            if shapes.get(name) != usual.get(name)
        ]
        if differ:
            one.problems.append(f"other shapes than at most steps: {_some(differ)}")


def _compare_norms(of_model: Sequence[_Found]) -> None:
    known = [one for one in of_model if one.norm > 0 and math.isfinite(one.norm)]
    logs = [math.log(one.norm) for one in known]
    changes = [abs(later - earlier) for earlier, later in pairwise(logs)]
    far = max(math.log(SPIKE), 10 * median(changes)) if changes else math.inf
    steady = list(known)
    for before, one, after in zip(known, known[1:], known[2:], strict=False):
        up, down = math.log(one.norm / before.norm), math.log(one.norm / after.norm)
        if up * down > 0 and min(abs(up), abs(down)) > far:
            steady.remove(one)
            one.problems.append(
                f"implausible norm {one.norm:.4g}, with {before.norm:.4g} at step {before.step}"
                f" and {after.norm:.4g} at step {after.step}"
            )
    for before, one in pairwise(steady):
        if abs(math.log(one.norm / before.norm)) > math.log(JUMP):
            one.problems.append(f"implausible norm {one.norm:.4g}, with {before.norm:.4g} at step {before.step}")


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _some(texts: Sequence[str]) -> str:
    few = ", ".join(texts[:3])
    return few if len(texts) <= 3 else f"{few} and {len(texts) - 3} more"
