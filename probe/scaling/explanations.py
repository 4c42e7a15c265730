"""What explains a jump: the metric, too few items, or the steps of a task. Tables of items in, tables out."""

from typing import Any

import numpy as np
import pandas as pd

from probe.scaling.verdicts import shape_table

_SIZE = ["model", "n_params"]


def metric_table(items: pd.DataFrame, along: str = "n_params", confidence: float = 0.95) -> pd.DataFrame:
    """Does the jump survive a smooth metric? The shape of the same items by each metric: a row per task and metric.

    The columns are those of ``shape_table``, and ``linearity``. Standard errors are those of the mean over items.

    Args:
        items: a row per model, item and metric: ``model``, ``n_params`` (or ``flops``, ``tokens``), ``task``, ``item``,
            ``metric``, ``score``; ``chance`` where it is known. All models and metrics have the same items.
        along: ``"n_params"``, ``"flops"`` or ``"tokens"``.
        confidence: of the intervals.

    Raises:
        ValueError: a column is missing, or a metric was measured on other items than another.
    """
    from probe.measures.scale import linearity
    from probe.scaling.tidy import tidy_table

    _check(items, ("model", along, "task", "item", "metric", "score"))
    for (task, model), of_model in items.groupby(["task", "model"]):
        if len({frozenset(asked) for _, asked in of_model.groupby("metric")["item"]}) > 1:
            raise ValueError(
                f"items: metrics of {task} were measured on different items for {model}; expected the same"
            )
    keys = ["model", along, "task", "metric"]
    scores = items.groupby(keys)["score"]
    means = pd.DataFrame(
        {"value": scores.mean(), "stderr": scores.std(ddof=1) / np.sqrt(scores.size()), "n_items": scores.size()}
    )
    if "chance" in items:
        means["chance"] = items.groupby(keys)["chance"].first()
    table = tidy_table(means.reset_index())
    found = shape_table(table, along, confidence, progress=False)
    ordered = table.sort_values(along).groupby(["task", "metric"])["value"]
    even = {names: float(linearity(values.to_numpy())) for names, values in ordered}
    found["linearity"] = [even[names] for names in zip(found["task"], found["metric"], strict=True)]
    return found


def resolution_table(items: pd.DataFrame, chance: float = 0.0, confidence: float = 0.95) -> pd.DataFrame:
    """Were there enough items to see a share that is not 0? A row per task and model, smallest first.

    Columns: ``task``, ``model``, ``n_params``, ``n_items``, ``n_right``, ``expected`` (share right if every token of an
    answer is with the geometric mean of its probabilities), and those of ``Resolution``: ``seen``, ``at_most``,
    ``needed``, ``enough``, ``compatible``.

    Args:
        items: a row per model and item: ``model``, ``n_params``, ``task``, ``item``, ``correct`` (0 or 1),
            ``log_likelihood`` (mean over the answer's tokens, in nats) and ``n_tokens``.
        chance: level of guessing.
        confidence: of the bounds and tests.

    Raises:
        ValueError: a column is missing, or something is no count or no log probability.
    """
    from probe.measures.scale.item_counts import expected_exact_match, resolution

    _check(items, (*_SIZE, "task", "item", "correct", "log_likelihood", "n_tokens"))
    rows = []
    for (task, n_params, model), of_model in items.groupby(["task", "n_params", "model"]):
        expected = expected_exact_match(of_model["log_likelihood"].to_numpy(), of_model["n_tokens"].to_numpy()).mean()
        n_right, n_items = int(of_model["correct"].sum()), len(of_model)
        found = resolution(n_right, n_items, expected, chance, confidence)
        row: dict[str, Any] = {"task": task, "model": model, "n_params": n_params, "n_items": n_items}
        row |= {"n_right": n_right, "expected": expected}
        rows.append(row | {name: values[0] for name, values in vars(found).items()})
    return pd.DataFrame(rows)


def product_law_table(items: pd.DataFrame, whole: str, confidence: float = 0.95) -> pd.DataFrame:
    """Is a task the product of its steps? A row per task and model, smallest first.

    Columns: ``task``, ``model``, ``n_params``, ``n_items``, ``n_steps``, the accuracy of each step as ``step:NAME``,
    and those of ``ProductLaw``: ``predicted``, ``measured``, ``difference`` with ``low`` and ``high``,
    ``effective_steps``, ``joint``, ``dependence`` with ``dependence_low`` and ``dependence_high``.

    Args:
        items: a row per model, item and step: ``model``, ``n_params``, ``task``, ``item``, ``step``, ``correct``.
        whole: the name among steps of the task as a whole, such as ``"answer"``.
        confidence: of the intervals.

    Raises:
        ValueError: a column is missing, no row is of the whole, or a step is missing for an item.
    """
    from probe.measures.scale import product_law

    _check(items, (*_SIZE, "task", "item", "step", "correct"))
    if not (items["step"] == whole).any():
        raise ValueError(
            f"whole: {whole!r} given, which no row has; steps are {', '.join(map(str, set(items['step'])))}"
        )
    rows = []
    for (task, n_params, model), of_model in items.groupby(["task", "n_params", "model"]):
        wide = of_model.pivot(index="item", columns="step", values="correct")
        if whole not in wide or wide.isna().any(axis=None) or wide.shape[1] < 2:
            raise ValueError(
                f"items: {model} in {task} lacks a step of an item; expected all steps and {whole!r} of each"
            )
        steps = wide.drop(columns=whole)
        right = steps.to_numpy(dtype=float)
        found = product_law(right.mean(0), wide[whole].mean(), len(wide), right, confidence)
        row: dict[str, Any] = {"task": task, "model": model, "n_params": n_params, "n_items": len(wide)}
        row |= {"n_steps": steps.shape[1]} | {f"step:{name}": steps[name].mean() for name in steps}
        rows.append(row | vars(found))
    return pd.DataFrame(rows)


def errors_fixed_table(items: pd.DataFrame, before: str, after: str, confidence: float = 0.95) -> pd.DataFrame:
    """Which errors of one model another does not make: a row per kind of error, then one for all ("all").

    Columns: ``kind``, ``fixed``, ``total``, ``share`` with ``low`` and ``high`` (exact); in the last row ``p``, that
    all kinds have one share (exact), and ``broken``, items that only the first model has right, with ``p_change``, that
    as many are fixed as broken (exact).

    Args:
        items: a row per model and item: ``model``, ``item``, ``correct`` (0 or 1), and ``kind`` of the error that the
            first model makes (of what it has right, anything).
        before: the smaller model.
        after: the larger one, asked the same items.
        confidence: of the intervals.

    Raises:
        ValueError: a column is missing, a model is not in the table, or the two have not the same items.
    """
    from probe.measures.scale.corrections import changed_answers, errors_fixed

    _check(items, ("model", "item", "correct", "kind"))
    for field, model in (("before", before), ("after", after)):
        if model not in set(items["model"]):
            raise ValueError(f"{field}: {model!r} given; there are {', '.join(sorted(set(items['model'])))}")
    first, second = (items[items["model"] == model].set_index("item").sort_index() for model in (before, after))
    if not first.index.equals(second.index) or first.index.has_duplicates:
        raise ValueError(f"items: {before} and {after} were asked different items; expected the same, each once")
    wrong = first["correct"] == 0
    groups = second["correct"][wrong].groupby(first["kind"][wrong])
    counts = pd.DataFrame({"fixed": groups.sum(), "total": groups.size()}).reset_index()
    found = errors_fixed(counts["fixed"], counts["total"], confidence)
    overall = errors_fixed([counts["fixed"].sum()], [counts["total"].sum()], confidence)
    _, broken, p_change = changed_answers(first["correct"], second["correct"])
    counts = counts.assign(share=found.share, low=found.low, high=found.high)
    last = {"kind": "all", "fixed": counts["fixed"].sum(), "total": counts["total"].sum(), "share": found.overall}
    last |= {"low": overall.low[0], "high": overall.high[0], "p": found.p, "broken": broken, "p_change": p_change}
    return pd.concat([counts, pd.DataFrame([last])], ignore_index=True)


def _check(items: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in items:
            raise ValueError(f"items: column {column!r} is missing; the table has {', '.join(map(str, items.columns))}")
