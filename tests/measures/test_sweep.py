"""One probe at every place of a capture, against the same probe fitted there by itself."""

import numpy as np
import pytest
import xarray as xr

from probe.measures import sweep
from probe.measures.controls import with_controls
from probe.measures.folds import assign_folds
from probe.measures.linear import ridge
from probe.measures.moments import accumulate
from probe.measures.sweep import COLUMNS, logistic_sweep, ridge_sweep

N, RESID, Z, POST = 120, "blocks.0.hook_resid_post", "blocks.0.attn.hook_z", "blocks.1.hook_resid_post"
SIZES = {"small": (1000, 4, 1), "large": (9000, 6, 2)}
STEPS = (0, 10, 30)


@pytest.fixture(scope="module")
def targets():
    return np.random.default_rng(0).normal(size=(N, 3))


@pytest.fixture(scope="module")
def captured(targets):
    """As a capture has it: the smaller model's units, heads, sites and steps that there are not are nan.

    Target 0 comes in with the steps, target 1 is there from the start, target 2 never.
    """
    rng = np.random.default_rng(1)
    shape = (2, len(STEPS), N, 2)
    resid, z, post = (np.full((*shape, *rest), np.nan, np.float32) for rest in ((6,), (2, 3), (6,)))
    for m, (_, units, heads) in enumerate(SIZES.values()):
        for s, step in enumerate(STEPS):
            x = rng.normal(size=(N, 2, units))
            x[..., 0] += 0.2 * step * targets[:, :1]
            x[..., 1] += 5 * targets[:, 1:2]
            resid[m, s, ..., :units] = x
            z[m, s, :, :, :heads] = rng.normal(size=(N, 2, heads, 3)) + step * targets[:, None, None, :1]
            if m == 1:
                post[m, s] = x[..., ::-1]
    resid[0, 1] = np.nan  # the small model has no step 10
    z[0, 1] = np.nan
    dims = ("model", "step", "example", "position")
    return xr.Dataset(
        {RESID: ((*dims, "unit"), resid), Z: ((*dims, "head", "head_unit"), z), POST: ((*dims, "unit"), post)},
        {
            "model": ["small", "large"],
            "step": list(STEPS),
            "n_params": ("model", [n for n, *_ in SIZES.values()]),
            "token_position": (("example", "position"), np.tile([0, 1], (N, 1))),
        },
    )


def one(table, **place):
    for column, value in place.items():
        table = table[table[column] == value]
    (row,) = table.to_dict("records")
    return row


def test_every_place_has_a_row_and_no_other(captured, targets):
    table = ridge_sweep(captured, targets)
    assert list(table) == list(COLUMNS)
    found = set(zip(*(table[c] for c in ("model", "step", "site", "position", "target")), strict=True))
    per_site = {
        (model, step, site, position, target)
        for model, site in [("small", RESID), ("large", RESID), ("small", Z), ("large", Z), ("large", POST)]
        for step in (STEPS if model == "large" else (0, 30))
        for position in (0, 1)
        for target in (0, 1, 2)
    }
    assert found == per_site
    heads = table[table["site"] == Z].groupby("model")["head"].agg(lambda h: sorted(set(h))).to_dict()
    assert heads == {"small": [0], "large": [0, 1]}
    assert table[table["site"] != Z]["head"].isna().all()
    assert set(zip(table["model"], table["n_params"], strict=True)) == {("small", 1000), ("large", 9000)}
    assert set(table["score"]) == {"r2"}


@pytest.mark.parametrize("at_once", [7, 64, 1000])
def test_it_is_the_probe_fitted_there_by_itself(captured, targets, monkeypatch, at_once):
    monkeypatch.setattr(sweep, "EXAMPLES_AT_ONCE", at_once)
    table = ridge_sweep(captured, targets, n_shuffles=3, seed=4)
    controls, fold = with_controls(targets, 3, seed=4), assign_folds(N, seed=4)
    x = captured[RESID].sel(model="small", step=30).values[:, 1, :4]
    alone = ridge(accumulate([(x, controls.Y, fold)]), alpha_groups=controls.labels()).held_out
    mine, shuffled = controls.split(alone)
    for target in range(3):
        row = one(table, model="small", step=30, site=RESID, position=1, target=target)
        score = mine.score()
        assert (row["value"], row["low"], row["high"]) == pytest.approx(
            tuple(float(part[target]) for part in (score.value, score.low, score.high)), abs=1e-9
        )
        assert row["shuffled"] == pytest.approx(float(shuffled.score().value[:, target].mean()), abs=1e-9)
        assert row["selectivity"] == pytest.approx(row["value"] - row["shuffled"], abs=1e-9)
        assert row["selectivity_low"] < row["selectivity"] < row["selectivity_high"]


def test_what_is_planted_is_found_when_it_comes_in(captured, targets):
    table = ridge_sweep(captured, targets)
    at = {"model": "large", "site": RESID, "position": 0}
    values = {step: [one(table, step=step, target=t, **at)["value"] for t in range(3)] for step in STEPS}
    # share of variance that the signal has in its unit: 4 of 5, 36 of 37, 25 of 26
    assert values[10][0] == pytest.approx(0.8, abs=0.08)
    assert values[30][0] == pytest.approx(36 / 37, abs=0.02)
    assert values[0][1] == pytest.approx(25 / 26, abs=0.04)
    assert values[0][0] < 0.1
    late = one(table, step=30, target=0, **at)
    assert late["over_untrained_low"] > 0.7
    assert late["selectivity_low"] > 0.7
    same = one(table, step=30, target=1, **at)
    assert same["over_untrained_low"] < 0 < same["over_untrained_high"]
    nothing = one(table, step=30, target=2, **at)
    assert nothing["selectivity_low"] < 0 < nothing["selectivity_high"]
    assert np.isnan(one(table, step=0, target=0, **at)["over_untrained"])


def test_columns_of_one_label_get_one_score(captured, targets):
    table = ridge_sweep(captured, targets, targets=["plane", "plane", "noise"])
    assert set(table["target"]) == {"plane", "noise"}
    each = ridge_sweep(captured, targets)
    at = {"model": "large", "step": 10, "site": RESID, "position": 0}
    first, second = (one(each, target=t, **at)["value"] for t in (0, 1))
    assert min(first, second) < one(table, target="plane", **at)["value"] < max(first, second)


def test_classes(captured, targets):
    y = (targets[:, 1] > 0).astype(int)
    table = logistic_sweep(captured[[RESID]], y, target="sign", n_shuffles=2)
    assert set(table["score"]) == {"accuracy"}
    assert set(table["target"]) == {"sign"}
    row = one(table, model="large", step=0, site=RESID, position=1)
    assert row["value"] > 0.85
    assert row["low"] < row["value"] < row["high"]
    assert row["shuffled"] == pytest.approx(0.5, abs=0.15)
    assert row["selectivity_low"] > 0.2


def test_groups_are_held_out_together():
    """Each example is there twice: without groups, its twin gives it away."""
    twins = np.repeat(np.arange(N // 2), 2)
    rng = np.random.default_rng(3)
    labels, x = rng.integers(0, 2, N // 2)[twins], rng.normal(size=(1, 1, N // 2, 120))[:, :, twins]
    wide = xr.Dataset(
        {RESID: (("model", "step", "example", "unit"), x)},
        {"model": ["large"], "step": [30], "n_params": ("model", [9000])},
    )
    apart = logistic_sweep(wide, labels, n_shuffles=1)
    together = logistic_sweep(wide, labels, n_shuffles=1, groups=twins)
    assert apart["value"].min() > 0.85
    assert together["value"].max() < 0.75


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.isel(example=slice(10)), "Y: got 120 examples; the capture has 10"),
        (lambda c: c.mean("example"), "Y: got 120 examples; the capture has only reductions of them"),
        (
            lambda c: c.assign_coords(token_position=c["token_position"].where(c["token_position"] < 1, -1)),
            "captured: some examples have no activation at all positions of blocks.0.hook_resid_post",
        ),
    ],
)
def test_what_does_not_fit(captured, targets, change, says):
    with pytest.raises(ValueError, match=says):
        ridge_sweep(change(captured), targets)


def test_at_one_model_or_step_as_sel_leaves_it(captured, targets):
    whole = ridge_sweep(captured, targets)
    for kept in ({"model": "large"}, {"step": 30}, {"model": "large", "step": 30}):
        part = ridge_sweep(captured.sel(**kept), targets)
        wanted = whole
        for column, value in kept.items():
            wanted = wanted[wanted[column] == value]
        np.testing.assert_allclose(part["value"], wanted["value"])
        assert (part["n_params"].to_numpy() == wanted["n_params"].to_numpy()).all()


def test_keys_that_some_examples_lack_are_not_dropped(captured, targets):
    x = captured[RESID].sel(model=["large"], step=[30]).values.copy()
    x[:, :, 0, :, 3:] = np.nan  # the first example is shorter
    found = captured.sel(model=["large"], step=[30])[[RESID]].rename(unit="key")
    found = found.assign({RESID: (found[RESID].dims, x)})
    with pytest.raises(ValueError, match="nan or infinite"):
        ridge_sweep(found, targets)


def test_a_capture_of_nothing_has_no_rows(captured, targets):
    assert ridge_sweep(captured.isel(step=[]), targets).empty
