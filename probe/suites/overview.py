"""What there is in a suite, as a table."""

import math
from collections.abc import Sequence

import pandas as pd

from probe.suites.suite import Model, Suite


def table(suite: Suite) -> pd.DataFrame:
    """What there is in a suite, without reading weights.

    Returns:
        A row a model: ``model``; ``parameters`` and ``parameters_without_embeddings``; ``steps``, how many, and
        ``first_step`` and ``last_step``; ``tokens`` and ``flops`` of training at the last step, nan where nothing says;
        ``bytes`` of all checkpoints, missing where it cannot be told, and where those that are not at hand are taken to
        be as large as the last of them; and ``task``, as a text, empty where there is none.
    """
    rows = []
    for name, model in suite.by_name.items():
        steps = suite.steps(name)
        last = suite[name, steps[-1]] if steps else None
        rows.append(
            {
                "model": name,
                "parameters": model.n_params,
                "parameters_without_embeddings": model.n_params_without_embeddings,
                "steps": len(steps),
                "first_step": steps[0] if steps else None,
                "last_step": steps[-1] if steps else None,
                "tokens": last.tokens_seen if last else math.nan,
                "flops": last.flops if last else math.nan,
                "bytes": _bytes_of(model, steps),
                "task": "" if model.task is None else str(model.task),
            }
        )
    return pd.DataFrame(rows).astype({"first_step": "Int64", "last_step": "Int64", "bytes": "Int64"})


def _bytes_of(model: Model, steps: Sequence[int]) -> int | None:
    """Bytes of the checkpoints of a model; the hub is asked for the size of one of those that are not at hand."""
    away = [step for step in steps if not model.at_hand(step)]
    sizes = [model.size(step) for step in steps if step not in away]
    sizes += [model.size(away[-1])] * len(away) if away else []
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
