"""Size against data: laws of loss, equal compute, equal loss, and whether smaller models on more data get there."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from probe.scaling.tidy import COLUMNS

FLOPS_PER_TOKEN = 6.0
"""Per parameter, of training (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
_LAW = ("limit", "size_factor", "size_exponent", "data_factor", "data_exponent", "optimal_share")


def loss_law_table(table: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """The law E + A / N^alpha + B / D^beta of each loss: a row per task, metric and number of shots.

    Columns: those, ``n`` evaluations, ``misfit``, and of each coefficient of ``LossLaw`` its estimate and its interval,
    as ``size_exponent``, ``size_exponent_low`` and ``size_exponent_high``. Models are resampled, not their evaluations.

    Args:
        table: what ``read`` returns, with ``n_params`` and ``tokens``; losses only.
        confidence: of the intervals.

    Raises:
        ValueError: no row has both, or the evaluations are too few for five coefficients; the message names the curve.
    """
    from probe.measures.scale.loss_law import fit_loss_law

    rows = []
    for of_curve, curve in _curves(table, ("n_params", "tokens")):
        try:
            columns = (curve["n_params"], curve["tokens"], curve["value"])
            found = fit_loss_law(*columns, run=curve["model"].to_numpy(), confidence=confidence)
        except ValueError as error:
            raise ValueError(f"{of_curve}: {error}") from error
        row: dict[str, Any] = of_curve | {"n": found.n, "misfit": found.misfit}
        for name in _LAW:
            interval = getattr(found, name)
            row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def catch_up_table(table: pd.DataFrame, rising: bool = True, confidence: float = 0.95) -> pd.DataFrame:
    """Does a smaller model on more data get to where a larger one ended?

    A row per task, metric, number of shots, and pair of a model that was evaluated along its data and a larger one.
    Columns: those; ``model``, ``n_params``, ``target_model``, ``target_n_params``, ``target_tokens``, ``target`` (where
    that ended); ``tokens`` with which the smaller one got there, with ``low`` and ``high``; ``data_ratio`` and
    ``flops_ratio`` to the larger one's (6 N D); ``last`` (where it ended itself) and ``reason`` (if it did not get
    there: more data may do it). See ``reached_at``.

    Args:
        table: what ``read`` returns, with ``n_params`` and ``tokens``.
        rising: whether more is better; False for losses.
        confidence: of the intervals.

    Raises:
        ValueError: no row has both.
    """
    from probe.measures.scale.catching_up import reached_at

    rows = []
    for of_curve, curve in _curves(table, ("n_params", "tokens")):
        models = [of_model.sort_values("tokens") for _, of_model in curve.groupby("model")]
        for smaller in models:
            for larger in models:
                end = larger.iloc[-1]
                if len(smaller) < 2 or end["n_params"] <= smaller["n_params"].iloc[0]:
                    continue
                errors = smaller["stderr"] if smaller["stderr"].notna().all() else None
                error = 0.0 if np.isnan(end["stderr"]) else float(end["stderr"])
                columns = (smaller["tokens"], smaller["value"])
                found = reached_at(*columns, float(end["value"]), errors, error, rising, confidence)
                n_params = float(smaller["n_params"].iloc[0])
                data_ratio = found.tokens / end["tokens"]
                rows.append(
                    of_curve
                    | {"model": smaller["model"].iloc[0], "n_params": n_params, "target_model": end["model"]}
                    | {"target_n_params": end["n_params"], "target_tokens": end["tokens"], "target": end["value"]}
                    | {"tokens": found.tokens, "low": found.low, "high": found.high, "data_ratio": data_ratio}
                    | {"flops_ratio": data_ratio * n_params / end["n_params"], "last": found.last}
                    | {"reason": found.reason}
                )
    return pd.DataFrame(rows)


def equal_compute_table(table: pd.DataFrame, flops: Sequence[float], confidence: float = 0.95) -> pd.DataFrame:
    """The best size for equal compute: a row per loss and number of FLOPs.

    At C FLOPs a model of N parameters has seen C / (6 N) data; its loss there lies between those of its evaluations
    (linear in log data). Models that were not evaluated on both sides of it are left out.

    Columns: ``task``, ``metric``, ``n_shot``, ``flops``, ``n`` models, ``best_size`` with ``low`` and ``high``. See
    ``best_size``.

    Args:
        table: what ``read`` returns, with ``n_params`` and ``tokens``; losses only.
        flops: at which to compare.
        confidence: of the intervals.

    Raises:
        ValueError: no row has both.
    """
    from probe.measures.scale.catching_up import best_size

    rows = []
    for of_curve, curve in _curves(table, ("n_params", "tokens")):
        for compute in flops:
            sizes, losses = [], []
            for _, of_model in curve.sort_values("tokens").groupby("n_params"):
                n_params = float(of_model["n_params"].iloc[0])
                at = compute / FLOPS_PER_TOKEN / n_params
                if of_model["tokens"].min() <= at <= of_model["tokens"].max():
                    sizes.append(n_params)
                    losses.append(np.interp(np.log(at), np.log(of_model["tokens"]), of_model["value"]))
            best = [np.nan, 0.0, np.inf]
            if len(sizes) >= 4:
                found = best_size(sizes, losses, confidence)
                best = [found.estimate, found.low, found.high]
            names = ("flops", "n", "best_size", "low", "high")
            rows.append(of_curve | dict(zip(names, (compute, len(sizes), *best), strict=True)))
    return pd.DataFrame(rows)


def beyond_loss_table(table: pd.DataFrame, loss: tuple[str, str], confidence: float = 0.95) -> pd.DataFrame:
    """At equal pre-training loss, does size still matter? A row per task, metric and number of shots.

    Columns: those, ``n`` checkpoints, and what ``beyond_loss`` gives: ``correlation`` with ``low``, ``high`` and ``p``,
    and ``with_loss``.

    Args:
        table: what ``read`` returns, with ``n_params``.
        loss: task and metric of the loss, such as ``("lambada_openai", "ppl")``: one number per model and step.
        confidence: of the intervals.

    Raises:
        ValueError: the table has no such loss, or it has several of one model and step.
    """
    from probe.measures.scale.equal_loss import MIN_MODELS, beyond_loss

    keys = ["model", "step"]
    is_loss = (table["task"] == loss[0]) & (table["metric"] == loss[1])
    losses = table[is_loss][[*keys, "value"]].rename(columns={"value": "loss"})
    if losses.empty:
        raise ValueError(f"loss: {loss} given, which no row has")
    if losses.duplicated(keys).any():
        again = losses[losses.duplicated(keys)].iloc[0]
        raise ValueError(f"loss: {loss} is there more than once for {again['model']} at step {again['step']:g}")
    rows = []
    for of_curve, curve in _curves(table[~is_loss].merge(losses, on=keys), ("n_params",), ("loss",)):
        if len(curve) >= MIN_MODELS:
            found = beyond_loss(curve["loss"], curve["n_params"], curve["value"], confidence)
            rows.append(of_curve | vars(found))
    return pd.DataFrame(rows)


def _curves(
    table: pd.DataFrame, needed: tuple[str, ...], besides: tuple[str, ...] = ()
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """What tells curves apart, and the rows of each that have what is needed."""
    used = table[(table[list(needed)] > 0).all(axis=1)]
    if used.empty:
        raise ValueError(f"table: no row has {' and '.join(needed)}")
    others = [str(column) for column in table if column not in (*COLUMNS, *besides)]
    keys = ["task", "metric", "n_shot", *others]
    for names, curve in used.groupby(keys, dropna=False, sort=True):
        yield dict(zip(keys, names, strict=True)), curve
