"""Recital against knowledge: the panels show the subsets they name, of the models that have them."""

import pandas as pd
import pytest

from probe.report import ReportData
from probe.report.telling import telling_figure, telling_section
from tests.report.figure_reading import close, in_legend, titles

STEPS = [0, 10, 100]


def rows(model, keys, metric="accuracy", n_params=100):
    """Performance whose value says key and step."""
    return pd.DataFrame(
        [
            (model, 0, n_params, step, "performance", metric, key, (i + 1) / 10 + step / 1000)
            for i, key in enumerate(keys)
            for step in STEPS
        ],
        columns=["model", "seed", "n_params", "step", "probe", "metric", "key", "value"],
    )


BIOGRAPHIES = ["train", "recited", "retold", "asked", "extracted", "test", "test_biographies", "test_questions"]
FACTS = ["train", "rephrased", "test"]


def data_of(results):
    return ReportData(results=results, suite="s", batch_yaml="", command="")


@pytest.mark.parametrize(
    ("kind", "keys", "shown", "metric"),
    [
        ("biographies", BIOGRAPHIES, ["recited", "retold", "extracted", "test_questions"], "token_accuracy"),
        ("biographies", BIOGRAPHIES, ["recited", "retold", "extracted", "test_questions"], "accuracy"),
        ("facts", FACTS, FACTS, "accuracy"),
    ],
)
def test_each_panel_is_the_subset_it_names(kind, keys, shown, metric):
    other = rows("d4-s0", ["train", "test"])  # was told in one way only
    results = pd.concat([rows("d16-s0", keys, metric, 400), rows("d8-s0", keys, metric), other])
    if metric == "token_accuracy":  # what is right of whole biographies is no share of values
        results = pd.concat([results, rows("d8-s0", keys).assign(value=0.99)])
    figure = telling_figure(results, kind)
    assert len(titles(figure)) == len(shown)
    assert titles(figure)[-1].endswith("(control)")
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    for place, key in enumerate(shown):
        (curve,) = (t for t in figure.data if t.name == "d8-s0" and t.yaxis == f"y{place + 1 if place else ''}")
        close(curve.y, [(keys.index(key) + 1) / 10 + step / 1000 for step in STEPS])


def test_the_section_has_a_figure_per_kind_that_was_told_in_several_ways():
    both = pd.concat([rows("d8-s0", BIOGRAPHIES, "token_accuracy"), rows("d16-s0", FACTS)])
    assert [panel.id for panel in telling_section(data_of(both)).panels] == ["telling-biographies", "telling-facts"]
    none = telling_section(data_of(rows("d8-s0", ["train", "test"])))
    assert (none.panels, none.missing) == ((), ("Recited or known: no fact was shown in some of several phrasings.",))
