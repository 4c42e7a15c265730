"""The figure of a sweep shows its numbers, its controls and its intervals, and does not rest on hue."""

import itertools

import numpy as np
import pandas as pd
import pytest

from probe.report import probe_figure

SIZES = {"small": 1000, "large": 9000}
SITES = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


def table(targets=(7,), heads=(np.nan,)):
    rows = []
    for (model, n), site, step, target, head in itertools.product(SIZES.items(), SITES, (0, 10, 100), targets, heads):
        value = 0.1 + (n / 20000) * (step > 0) + 0.01 * target
        rows.append(
            {"model": model, "n_params": n, "step": step, "site": site, "position": np.nan, "head": head}
            | {"target": target, "score": "r2", "value": value, "low": value - 0.1, "high": value + 0.1}
            | {"shuffled": -0.02, "selectivity": value + 0.02}
        )
    return pd.DataFrame(rows)


def traces(figure, **wanted):
    return [trace for trace in figure.data if all(trace[name] == value for name, value in wanted.items())]


def test_a_line_an_interval_and_a_control_for_each_model_and_site():
    figure = probe_figure(table())
    assert [annotation.text for annotation in figure.layout.annotations] == list(SITES)
    for model in SIZES:
        lines = traces(figure, name=model)
        assert [line.xaxis for line in lines] == ["x", "x2"]
        chosen = table().query("model == @model and site == @SITES[0]")
        np.testing.assert_allclose(lines[0].y, chosen["value"], rtol=1e-6)
        assert lines[0].customdata.tolist() == [0, 10, 100]
        assert len(traces(figure, name=f"{model}, the same on shuffled targets")) == 2
    bands = traces(figure, fill="toself")
    assert len(bands) == 4
    np.testing.assert_allclose(bands[0].y[:3] - bands[0].y[::-1][:3], -0.2)
    styles = {(line.line.dash, line.marker.symbol) for model in SIZES for line in traces(figure, name=model)}
    assert len(styles) == 2
    assert "held-out R²" in figure.layout.yaxis.title.text
    assert "training step" in figure.layout.xaxis.title.text


def test_one_of_several_targets_or_their_mean():
    several = table(targets=(3, 7, 20))
    (line, _) = traces(probe_figure(several, target=20), name="small")
    np.testing.assert_allclose(line.y, several.query("model == 'small' and target == 20")["value"][:3], rtol=1e-6)
    mean = probe_figure(several)
    (line, _) = traces(mean, name="small")
    np.testing.assert_allclose(line.y, [0.2, 0.25, 0.25], rtol=1e-6)
    assert not traces(mean, fill="toself")
    assert "mean of 3 targets" in mean.layout.yaxis.title.text


@pytest.mark.parametrize(
    ("sweep", "target", "says"),
    [
        (table().iloc[:0], None, "sweep: the table has no rows"),
        (table(targets=(3, 7)), 5, "target: got 5; the table has 3, 7"),
        (table(heads=(0, 1)), None, "sweep: blocks.0.hook_resid_post has several positions or heads; choose one"),
    ],
)
def test_a_table_that_cannot_be_drawn(sweep, target, says):
    with pytest.raises(ValueError, match=says):
        probe_figure(sweep, target)
