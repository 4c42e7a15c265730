"""Figures of performance over scale say what their tables do."""

import numpy as np
import pandas as pd
import pytest

from probe.report.scale_curves import emergence_figure, forecast_figure, verdict_figure
from probe.scaling import emergence_table, forecast, published_emergence, shape
from probe.scaling.tidy import tidy_table

SIZES = np.geomspace(1e7, 1e11, 8)
JUMP = np.array([0, 0, 0, 0, 0.5, 0.52, 0.49, 0.5])
LINE = np.linspace(0.1, 0.6, 8)


def curve(value, task="sums"):
    models = [f"m{i}" for i in range(8)]
    frame = pd.DataFrame({"model": models, "n_params": SIZES, "task": task, "metric": "accuracy", "value": value})
    return tidy_table(frame.assign(n_items=400, chance=0.0))


@pytest.fixture(scope="module")
def verdicts():
    curves = {"direct": curve(JUMP), "with steps": curve(LINE)[::-1]}
    shapes = {
        name: shape(rows["n_params"], rows["value"], np.sqrt(rows["value"] * (1 - rows["value"]) / 400))
        for name, rows in curves.items()
    }
    return curves, shapes


def test_curves_with_their_verdicts(verdicts):
    plot = verdict_figure(*verdicts, "accuracy (share right)")
    names = [trace.name for trace in plot.data if trace.mode == "markers"]
    assert names == ["direct: jump", "with steps: power law"]
    np.testing.assert_allclose(plot.data[0].y, JUMP)
    np.testing.assert_allclose(plot.data[0].error_y.array, 1.96 * np.sqrt(JUMP * (1 - JUMP) / 400))
    np.testing.assert_allclose(plot.data[3].y, LINE, atol=0.01)  # the form, in order of size
    assert len({trace.marker.symbol for trace in plot.data if trace.mode == "markers"}) == 2
    shaded = plot.layout.shapes[0]
    assert (shaded.x0, shaded.x1) == (SIZES[3], SIZES[4])
    assert plot.layout.xaxis.title.text == "parameters (log)"
    assert plot.layout.yaxis.title.text == "accuracy (share right)"
    assert plot.layout.annotations[0].text == "chance"
    with pytest.raises(ValueError, match="shapes: no verdict on 'direct' given"):
        verdict_figure(verdicts[0], {}, "accuracy")
    with pytest.raises(ValueError, match="along: 'size' given"):
        verdict_figure(*verdicts, "accuracy", along="size")


def test_where_abilities_emerge():
    table = emergence_table(pd.concat([curve(JUMP), curve(np.zeros(8), "riddles"), curve(LINE, "reading")]))
    plot = emergence_figure(table)
    models = next(trace for trace in plot.data if trace.name)
    assert list(models.x) == [SIZES[4]]
    assert plot.layout.yaxis.ticktext[0] == "sums"
    symbols = [trace.marker.symbol for trace in plot.data if not trace.name]
    assert ("line-ns-open", "arrow-right") in symbols  # not up to the largest
    assert ("arrow-left", "line-ns-open") in symbols  # from the smallest on
    published = emergence_figure(published_emergence(), along="flops")
    assert len(published.data) == 1
    assert len(published.data[0].x) == 22
    assert "1e23" in published.layout.xaxis.ticktext
    with pytest.raises(ValueError, match="along: 'step' given"):
        emergence_figure(table, along="step")
    with pytest.raises(ValueError, match="no row has a place along tokens"):
        emergence_figure(published_emergence().assign(tokens=np.nan), along="tokens")


def test_what_was_foretold_beside_what_was_measured():
    found = forecast(SIZES, LINE, 2, 0.02)
    plot = forecast_figure(SIZES[::-1], LINE[::-1], found, "accuracy")
    measured, foretold, baseline = plot.data
    np.testing.assert_allclose(measured.y, LINE)
    np.testing.assert_allclose(foretold.x, SIZES[-2:])
    np.testing.assert_allclose(foretold.error_y.array, found.high - found.predicted)
    assert list(baseline.y) == [LINE[5], LINE[5]]
    assert list(baseline.x) == [SIZES[5], SIZES[7]]
    assert foretold.name == "foretold from 6 sizes"
