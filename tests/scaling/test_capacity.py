"""Bits held against bits shown: read off a results table, and where they saturate."""

import numpy as np
import pandas as pd
import pytest

from probe.report import ReportData
from probe.report.capacity import bits_section, capacity_figure
from probe.scaling.capacity import capacity_table, saturation_table
from tests.report.figure_reading import close

AMOUNTS = [500, 1000, 2000, 4000, 8000, 16_000]
PER_PARAMETER = 2.0
N_PARAMS = {"d8": 1000, "d16": 3000}


def rows_of(model, n_params, total, held, control=-5.0):
    """What the probe ``capacity`` yields of a model at two steps, at the first of which nothing is held."""
    rows = [
        (step, metric, key, value * share)
        for step, share in ((0, 0.0), (10, 1.0))
        for metric, key, value in (
            ("bits", "train", held),
            ("bits_low", "train", 0.95 * held),
            ("bits_high", "train", 1.05 * held),
            ("bits_total", "train", total),
            ("bits", "test", control),
        )
    ]
    frame = pd.DataFrame(rows, columns=["step", "metric", "key", "value"])
    return frame.assign(model=model, n_params=n_params, seed=int(model[-1]), site="logits", probe="capacity")


def suite(scatter=0.02, amounts=AMOUNTS, capacity=PER_PARAMETER, seed=0):
    """Models that hold all they were shown up to a number of bits per parameter."""
    rng = np.random.default_rng(seed)
    return pd.concat(
        rows_of(f"{shape}-{amount}-s{s}", n, n * amount / 1000, min(amount / 1000, capacity * np.exp(noise)) * n)
        for shape, n in N_PARAMS.items()
        for amount in amounts
        for s in (0, 1)
        if (noise := scatter * rng.normal()) is not None
    )


def test_the_table_is_of_the_last_step():
    table = capacity_table(pd.concat([suite(), rows_of("d8-1-s3", 1000, 400.0, 100.0)[lambda t: t["key"] == "train"]]))
    assert (table["step"] == 10).all()
    assert list(table["n_params"]) == sorted(table["n_params"])
    row = table.set_index("model").loc["d16-4000-s1"]
    assert (row["shape"], row["size"], row["data_bits"], row["unseen"]) == ("d16", "d16-4000", 12_000, -5)
    assert (row["low"], row["high"]) == pytest.approx((0.95 * row["bits"], 1.05 * row["bits"]))
    assert table.set_index("model").loc["d8-1-s3", ["data_bits", "bits"]].tolist() == [400, 100]
    assert np.isnan(table.set_index("model").loc["d8-1-s3", "unseen"])
    assert capacity_table(suite().query("probe == 'recall'")).empty


def test_a_planted_capacity_is_found_for_every_shape():
    covered = []
    for seed in range(20):
        found = saturation_table(capacity_table(suite(seed=seed, scatter=0.03))).set_index("shape")
        assert list(found.index) == ["d8", "d16"]
        assert found["capacity"].to_numpy() == pytest.approx(PER_PARAMETER, rel=0.06)
        covered += ((found["low"] < PER_PARAMETER) & (found["high"] > PER_PARAMETER)).tolist()
    assert np.mean(covered) >= 0.85


def test_where_nothing_saturates_no_capacity_is_said():
    found = saturation_table(capacity_table(suite(amounts=AMOUNTS[:3], capacity=99, scatter=0))).set_index("shape")
    assert found["capacity"].isna().all()
    assert found.loc["d8", "at_least"] == pytest.approx(2)
    assert (found["reason"] == "bits grow with the data all along").all()
    few = saturation_table(capacity_table(suite(amounts=AMOUNTS[:2]))).set_index("shape")
    assert few["reason"].str.startswith("data_bits: ").all()
    assert saturation_table(capacity_table(suite(amounts=AMOUNTS[:1]))).empty
    nothing = suite().assign(value=lambda t: t["value"].where(t["metric"] != "bits", -1.0))
    assert saturation_table(capacity_table(nothing)).empty
    assert [panel.id for panel in bits_section(ReportData(nothing, "s", "", "")).panels] == ["bits"]


def test_the_figure_shows_every_model_per_parameter_and_the_capacity():
    table = capacity_table(pd.concat([suite(), rows_of("d8-9-s0", 1000, 900.0, -3.0)]))
    found = saturation_table(table)
    traces = {trace.name: trace for trace in capacity_figure(table, found).data}
    assert list(traces) == ["d8", "d16", "capacity of d8", "capacity of d16", "all that was shown"]
    held = table[(table["shape"] == "d8") & (table["bits"] > 0)]
    close(traces["d8"].x, held["data_bits"] / 1000)
    close(traces["d8"].y, held["bits"] / 1000)
    close(traces["d8"].error_y.array, (held["high"] - held["bits"]) / 1000)
    close(traces["capacity of d16"].y, found.set_index("shape").loc["d16", "capacity"])
    close(traces["all that was shown"].x, traces["all that was shown"].y)


def test_the_section_has_a_second_figure_where_amounts_of_data_differ():
    data = ReportData(results=suite(), suite="s", batch_yaml="", command="")
    section = bits_section(data)
    assert [panel.id for panel in section.panels] == ["bits", "capacity"]
    capacity = saturation_table(capacity_table(suite())).set_index("shape").loc["d8"]
    assert f"{capacity['capacity']:.3f} [{capacity['low']:.3f}, {capacity['high']:.3f}]" in section.body
    one = ReportData(results=suite(amounts=AMOUNTS[:1]), suite="s", batch_yaml="", command="")
    assert [panel.id for panel in bits_section(one).panels] == ["bits"]
