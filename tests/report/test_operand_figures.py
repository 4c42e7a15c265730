"""Figures of accuracy by operand show the table that they are given."""

import pandas as pd
import pytest

from probe.report.operands import contrast_figure, operand_accuracy_figure
from probe.scaling.operands import neighbour_contrasts, operand_contrasts
from tests.report.figure_reading import close, in_legend, titles
from tests.scaling.test_operands import table

TABLE = pd.concat(
    [
        table(lambda n: 0.3, step=10),
        table(lambda n: 0.9 if n % 12 == 0 else 0.4, step=20),
        table(lambda n: 0.1, step=20, model="big", n_params=50_000),
    ]
)


def test_accuracy_by_operand_is_that_of_the_last_step_with_multiples_marked():
    figure = operand_accuracy_figure(TABLE)
    assert [trace.name for trace in figure.data] == ["m · 5", "big · 50k"]
    close(figure.data[0].y, [0.9 if n % 12 == 0 else 0.4 for n in range(100)])
    assert [n for n, size in zip(figure.data[0].x, figure.data[0].marker.size, strict=True) if size] == list(
        range(0, 100, 12)
    )
    assert [shape.x0 for shape in figure.layout.shapes] == list(range(0, 100, 12))
    assert "multiplication, 0 shots" in figure.layout.xaxis.title.text


def test_contrasts_over_steps_have_their_interval_and_a_panel_per_operation():
    both = pd.concat([TABLE, TABLE.assign(operation="addition")])
    contrasts = neighbour_contrasts(both)
    figure = contrast_figure(contrasts, "multiples of 12 minus neighbours")
    assert titles(figure) == ["addition", "multiplication"]
    assert in_legend(figure) == ["m · 5", "big · 50k"]
    lines = {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}
    mine = contrasts[(contrasts["model"] == "m") & (contrasts["operation"] == "multiplication")]
    close(lines["m", "y2"].y, mine["difference"])
    assert lines["m", "y2"].customdata.tolist() == [10, 20]
    bands = [trace for trace in figure.data if trace.fill == "toself" and trace.yaxis == "y2"]
    close(bands[0].y, [*mine["low"], *mine["high"][::-1]])
    assert figure.layout.yaxis.title.text == "accuracy, multiples of 12 minus neighbours"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: operand_accuracy_figure(TABLE.iloc[:0]), "table: no rows"),
        (lambda: operand_accuracy_figure(pd.concat([TABLE, TABLE.assign(n_shot=2)])), "table: n_shot is"),
        (lambda: operand_accuracy_figure(pd.concat([TABLE, TABLE.assign(operation="a")])), "table: operation is"),
        (lambda: contrast_figure(operand_contrasts(TABLE).iloc[:0], ""), "contrasts: no rows"),
        (
            lambda: contrast_figure(operand_contrasts(pd.concat([TABLE, TABLE.assign(n_shot=2)])), ""),
            "contrasts: n_shot is",
        ),
    ],
)
def test_a_table_that_is_not_one_evaluation_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
