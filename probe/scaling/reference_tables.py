"""Tables that others published, shipped with the package to compare one's own with."""

from importlib.resources import files

import pandas as pd

EMERGENCE_SOURCE = "Wei et al. 2022, Emergent abilities of large language models, arXiv 2206.07682, table 1"
MMLU_SOURCE = "Touvron et al. 2023, LLaMA, arXiv 2302.13971, table 9"
MMLU_ITEMS = 14_042
"""Questions of its test set (Hendrycks et al. 2021, arXiv 2009.03300)."""


def published_emergence() -> pd.DataFrame:
    """Scale at which abilities were first reported (Wei et al. 2022, arXiv 2206.07682, table 1).

    Columns: ``prompting`` ("few-shot" or "augmented"), ``task``, ``flops`` (of training), ``n_params``, ``model``,
    ``source``. It is the smallest model of a family that was seen above chance: sizes in between were not tried, and
    there is no interval. ``emergence_table`` gives the same of a suite of one's own, with one.
    """
    return _table("emergence").assign(source=EMERGENCE_SOURCE)


def published_mmlu() -> pd.DataFrame:
    """MMLU with five shots, averages by model (Touvron et al. 2023, arXiv 2302.13971, table 9), as ``read`` has them.

    Columns: those of a tidy table, and ``family`` and ``source``; ``value`` is a share, chance .25. Smaller models on
    more data (Chinchilla, LLaMA) are beside larger ones on less, so size alone orders them only within a family.
    """
    from probe.scaling.tidy import tidy_table

    table = _table("mmlu").assign(task="MMLU", metric="accuracy", n_shot=5, n_items=MMLU_ITEMS, chance=0.25)
    return tidy_table(table.assign(source=MMLU_SOURCE))


def _table(name: str) -> pd.DataFrame:
    with (files("probe.scaling") / "published_tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
