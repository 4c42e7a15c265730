"""What of a run is shown: the part of the page's address after the #, and how the notebook says the same.

``model=d64-s0&step=400&top=100&selected=L1.H0`` and so on: each part may be left out. ``compare`` is a model and a
step, ``<model>@<step>``, shown beside.
"""

from urllib.parse import urlencode

from circuits.viewer.messages import ModelEntry, Run


def state_of(
    run: Run,
    *,
    model: str | None = None,
    step: int | None = None,
    top: int | None = None,
    threshold: float | None = None,
    selected: str | None = None,
    compare: tuple[str, int] | None = None,
) -> str:
    """
    Args:
        run: what there is.
        model: which is shown; the last of the run, if a step is given without one.
        step: training step; one of the model's.
        top: how many edges, those of the largest scores.
        threshold: the least size of a score; instead of ``top``.
        selected: a node or an edge, by name.
        compare: model and step beside which it is shown.

    Raises:
        ValueError: there is no such model or step, or a number cannot be.
    """
    if top is not None and threshold is not None:
        raise ValueError(f"threshold: got {threshold} beside top {top}; expected one of the two")
    if top is not None and top < 1:
        raise ValueError(f"top: got {top}; expected at least 1")
    if threshold is not None and threshold < 0:
        raise ValueError(f"threshold: got {threshold}; expected at least 0")
    if model is not None or step is not None:
        of = _entry(run, "model", model) if model is not None else run.models[-1]
        model = of.name
        _check_step(of, "step", step)
    if compare is not None:
        _check_step(_entry(run, "compare", compare[0]), "compare", compare[1])
    parts = {"model": model, "step": step, "top": top, "threshold": threshold, "selected": selected}
    said = {name: value for name, value in parts.items() if value is not None}
    return urlencode(said if compare is None else said | {"compare": f"{compare[0]}@{compare[1]}"})


def _entry(run: Run, field: str, name: str) -> ModelEntry:
    for entry in run.models:
        if entry.name == name:
            return entry
    raise ValueError(f"{field}: got {name!r}; expected one of {', '.join(entry.name for entry in run.models)}")


def _check_step(of: ModelEntry, field: str, step: int | None) -> None:
    there = sorted({*of.steps, *of.scored})
    if step is not None and step not in there:
        nearest = min(there, key=lambda one: abs(one - step), default=None)
        raise ValueError(f"{field}: got {step} of {of.name}; expected one of its steps, such as {nearest}")
