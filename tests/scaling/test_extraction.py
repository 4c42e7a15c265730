"""What is extracted of texts by how often they were shown, in models that recite as planted."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probe.scaling.extraction import (
    TextTable,
    extractable_by_exposure,
    extraction_curves,
    score_lines,
    text_tables,
)

STEPS, PROMPTS = [0, 5, 10], [4, 16]
N_TOKENS = 32


def texts(times=(1, 4, 16, 64), n=400, held_out=0.2, seed=0):
    """What a corpus says of its texts."""
    rng = np.random.default_rng(seed)
    exposures = np.where(rng.random(n) < held_out, 0, rng.choice(times, n))
    subsets = {"train": exposures > 0, "test": exposures == 0}
    return SimpleNamespace(exposures=exposures, train_mask=exposures > 0, subsets=subsets)


def planted(task, model="d8-s0", slope=0.08, n_params=100, seed=0):
    """Scores rise by ``slope`` with each doubling of exposures, from .1; with the longer prompt by half as much again.

    A text is extractable with a chance that rises alike.
    """
    rng = np.random.default_rng(seed)
    exposures = np.array([step * task.exposures for step in STEPS])
    rise = slope * np.log2(np.maximum(exposures, 1))[..., None] * np.array([1.0, 1.5])
    exact = rng.random(rise.shape) < np.where(exposures[..., None] > 0, rise, 0.02)
    drawn = np.sort(rng.permutation(len(task.exposures))[:200])
    score = rng.binomial(N_TOKENS, np.minimum(0.1 + rise[:, drawn], 1)) / N_TOKENS
    on = {"step": STEPS, "prompt": PROMPTS}
    return TextTable(
        model,
        model.split("-")[0],
        n_params,
        task,
        xr.DataArray(exact.astype(np.int8), dims=("step", "example", "prompt"), coords=on),
        xr.DataArray(score.astype(np.float32), dims=("step", "text", "prompt"), coords={**on, "text": drawn}),
        xr.DataArray(exposures, dims=("step", "example"), coords={"step": STEPS}),
    )


def stored(table):
    return {
        "extraction_exact": table.exact,
        "extraction_score": table.score,
        "recall_exposures": table.exposures,
    }


def results_of(table, seed=0):
    """Rows of the probe; ends of intervals are .01 and .02 off."""
    rows = []
    for step in STEPS:
        for name, mask in (("train", table.task.train_mask), ("test", ~table.task.train_mask)):
            for k in PROMPTS:
                exact = table.exact.sel(step=step, prompt=k).values[mask].mean()
                drawn = table.score["text"].values
                score = table.score.sel(step=step, prompt=k).values[mask[drawn]].mean()
                for metric, value in (("extractable", exact), ("memorization_score", score)):
                    for end, off in (("", 0), ("_low", -0.01), ("_high", 0.02)):
                        rows.append((step, f"{metric}{end}", f"{name}/{k}", value + off))
    frame = pd.DataFrame(rows, columns=["step", "metric", "key", "value"])
    return frame.assign(model=table.model, n_params=table.n_params, seed=seed, site="unembed", probe="extraction")


def test_curves_have_a_row_per_model_step_prompt_and_subset():
    large, small = planted(texts(), "d16-s0", n_params=400), planted(texts(), "d8-s0", seed=1)
    other = results_of(small).assign(probe="mine", value=9.0)
    curves = extraction_curves(pd.concat([results_of(large), other, results_of(small, seed=3)]))
    assert len(curves) == 2 * len(STEPS) * len(PROMPTS) * 2
    assert curves["model"].drop_duplicates().tolist() == ["d8-s0", "d16-s0"]
    assert set(curves["size"]) == {"d8", "d16"}
    assert set(curves["prompt"]) == set(PROMPTS)
    row = curves.set_index(["model", "step", "prompt", "subset"]).loc["d8-s0", 10, 16, "train"]
    exact = small.exact.sel(step=10, prompt=16).values[small.task.train_mask].mean()
    assert (row["extractable"], row["extractable_low"], row["extractable_high"]) == pytest.approx(
        (exact, exact - 0.01, exact + 0.02)
    )
    assert row["seed"] == 3
    unknown = extraction_curves(pd.concat([results_of(large), results_of(small).assign(seed=np.nan)]))
    assert len(unknown) == len(curves)
    score = small.score.sel(step=10, prompt=16).values[small.task.train_mask[small.score["text"].values]]
    assert row["memorization_score"] == pytest.approx(score.mean())
    assert extraction_curves(other).empty


def test_tables_are_those_of_models_with_stored_texts():
    table = planted(texts())
    curves, arrays = extraction_curves(results_of(table)), stored(table)
    (found,) = text_tables(curves, lambda model, name: arrays.get(name), {"d8-s0": table.task})
    assert (found.model, found.size, found.n_params, found.prompts) == ("d8-s0", "d8", 100, PROMPTS)
    assert (found.exact == table.exact).all()
    assert found.after(16).exact.equals(table.exact.sel(prompt=16))
    for missing in arrays:
        less = {name: array for name, array in arrays.items() if name != missing}
        assert not text_tables(curves, lambda model, name, less=less: less.get(name), {"d8-s0": table.task})
    assert not text_tables(curves, lambda model, name: arrays.get(name), {})


def test_shares_are_those_of_the_texts_in_each_bin():
    task = texts()
    table = planted(task)
    found = extractable_by_exposure([table]).set_index(["step", "prompt"])
    rows = found.loc[(10, 16)]
    assert rows["least"].tolist() == [0, 10, 40, 160, 640]
    for times, row in zip((0, 1, 4, 16, 64), rows.to_dict("records"), strict=True):
        here = table.exact.sel(step=10, prompt=16).values[task.exposures == times]
        assert (row["n_texts"], row["value"]) == (len(here), pytest.approx(here.mean()))
        assert row["low"] <= row["value"] <= row["high"]
        assert row["high"] - row["low"] > 0.02
    assert rows["value"].is_monotonic_increasing
    assert rows["low"].iloc[-1] > rows["high"].iloc[0]
    assert found.loc[[(0, 4)]]["least"].tolist() == [0]  # nothing was shown yet


def test_a_planted_slope_is_recovered_beside_the_control():
    tables = [planted(texts(seed=i), f"d8-s{i}", seed=i) for i in range(8)]
    lines = score_lines(tables)
    assert len(lines) == 8 * len(STEPS) * len(PROMPTS)
    assert lines[lines["step"] == 0]["slope"].isna().all()
    for k, slope in ((4, 0.08), (16, 0.12)):
        at = lines[(lines["step"] == 10) & (lines["prompt"] == k)]
        if k == 4:  # with the longer prompt some have all right, where no line goes on
            for name, true in (("slope", slope), ("at_one", 0.1)):
                assert ((at[f"{name}_low"] < true) & (at[f"{name}_high"] > true)).sum() >= 7
        assert ((at["unseen_low"] < 0.1) & (at["unseen_high"] > 0.1)).sum() >= 7
    assert lines[lines["prompt"] == 16]["slope"].mean() > lines[lines["prompt"] == 4]["slope"].mean()
    flat = score_lines([planted(texts(seed=i), f"d8-s{i}", slope=0.0, seed=i) for i in range(8)])
    assert ((flat["slope_low"] < 0) & (flat["slope_high"] > 0)).sum() >= 0.85 * flat["slope"].notna().sum()


def test_texts_that_are_all_shown_equally_often_have_no_line():
    assert score_lines([planted(texts(times=(4,)))]).empty
    assert score_lines([]).empty
    assert extractable_by_exposure([]).empty
