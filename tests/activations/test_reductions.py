"""Sums over examples against numpy, on what a capture without a reduction gives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import probe
from probe.activations.layout import Layout
from probe.activations.reductions import reduction
from tests.activations.small_suite import TASK

RAGGED = [[1, 2, 3], [4], [5, 6], [7, 0, 1], [2, 2], [6], [0, 0, 0]]
SITES = ["blocks.*.hook_resid_post", "blocks.0.attn.hook_z"]
UNIT = Layout(("unit",), (3,), torch.float32)


def capture(suite, inputs, **asked):
    return probe.capture(suite, inputs, SITES, models=["large"], steps=[10], progress=False, **asked)


def samples(whole, site, over):
    """[place, sample, ...] of one site, without those that are not there."""
    values = whole[site].values[0, 0].astype(np.float64)
    places = [values.reshape(-1, *values.shape[2:])] if over == "position" else np.moveaxis(values, 1, 0)
    return [place[~np.isnan(place.reshape(len(place), -1)[:, 0])] for place in places]


@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("over", ["example", "position"])
@pytest.mark.parametrize("name", ["mean", "covariance", "gram"])
def test_moments(suite, name, over, batch_size):
    whole = capture(suite, RAGGED)
    found = capture(suite, RAGGED, reduce=name, over=over, batch_size=batch_size).isel(model=0, step=0)
    for site in whole:
        assert found[site].dtype == np.float64
        for place, x in enumerate(samples(whole, site, over)):
            at = found if over == "position" else found.isel(position=place)
            assert at[f"{site}.count"] == len(x)
            if name == "mean":
                wanted = x.mean(0)
            else:
                np.testing.assert_allclose(at[f"{site}.mean"], x.mean(0), rtol=1e-5, atol=1e-6)
                y = x - x.mean(0) if name == "covariance" else x
                wanted = np.einsum("s...u,s...v->...uv", y, y) / (len(x) if name == "covariance" else 1)
            np.testing.assert_allclose(at[site], wanted, rtol=1e-4, atol=1e-4)  # batches of another size
    dims = ("head", "head_unit") if name == "mean" else ("head", "head_unit", "head_unit_2")
    assert found["blocks.0.attn.hook_z"].dims == (dims if over == "position" else ("position", *dims))


@pytest.mark.parametrize("over", ["example", "position"])
def test_top(suite, over):
    whole = capture(suite, RAGGED)
    found = capture(suite, RAGGED, reduce="top-4", over=over, batch_size=2).isel(model=0, step=0)
    for site in whole:
        values = whole[site].values[0, 0]
        for unit in [(0, 0), (2, 1)] if site.endswith("z") else [(0,), (11,)]:
            if over == "position":
                at = found
                order = sorted(
                    ((-values[(e, p, *unit)], e, p) for e, row in enumerate(RAGGED) for p in range(len(row))),
                )[:4]
                place = (slice(None), *unit)
                assert at[f"{site}.position"].values[place].tolist() == [p for _, _, p in order]
                assert at[f"{site}.example"].values[place].tolist() == [e for _, e, _ in order]
                np.testing.assert_allclose(at[site].values[place], [-v for v, _, _ in order], rtol=1e-4, atol=1e-6)
            else:
                for p in range(3):
                    order = sorted((-values[(e, p, *unit)], e) for e, row in enumerate(RAGGED) if p < len(row))[:4]
                    wanted = [e for _, e in order] + [-1] * (4 - len(order))
                    assert found[f"{site}.example"].values[(p, slice(None), *unit)].tolist() == wanted
                    assert np.isnan(found[site].values[(p, slice(None), *unit)]).sum() == 4 - len(order)


def test_the_position_of_the_top_is_that_in_its_example(suite):
    asked = {"positions": slice(-2, None)}
    whole = capture(suite, RAGGED, **asked)
    found = capture(suite, RAGGED, reduce="top-1", over="position", **asked).isel(model=0, step=0, rank=0)
    told = set()
    for unit in range(12):
        values = whole["blocks.0.hook_resid_post"].values[0, 0, ..., unit]
        example, kept = np.unravel_index(np.nanargmax(values), values.shape)
        assert found["blocks.0.hook_resid_post.example"].values[unit] == example
        position = whole["token_position"].values[example, kept]
        assert found["blocks.0.hook_resid_post.position"].values[unit] == position
        told.add(position != kept)
    assert told == {True, False}


@pytest.mark.parametrize("name", ["mean", "covariance", "gram", "top-2"])
def test_numbers_that_are_no_numbers_are_not_taken_for_absent(name):
    """Of a model that diverged in part, not of a position that there is not."""
    x = torch.tensor([[1.0, 2.0, 3.0], [torch.nan, 5.0, 6.0], [7.0, 8.0, 9.0]])[:, None]
    sums = reduction(name)
    sums.add(x, torch.tensor([True, True, False])[:, None, None], 0)
    found = sums.result(UNIT)
    if name == "top-2":
        assert found[".sample"][1][0, :, 0].tolist() == [1, 0]
        assert found[".sample"][1][0, :, 1].tolist() == [1, 0]
    else:
        assert found[".count"][1].tolist() == [2]
        mean = found[".mean" if name != "mean" else ""][1][0]
        assert np.isnan(mean[0])
        assert mean[1:].tolist() == [3.5, 4.5]


def test_a_single_position_has_no_dimension(suite):
    assert capture(suite, TASK, reduce="mean", positions="answer")[SITES[0].replace("*", "0")].dims == (
        "model",
        "step",
        "unit",
    )


def test_the_mean_pattern_leaves_out_what_is_padding(suite):
    site = "blocks.0.attn.hook_pattern"
    asked = {"models": ["large"], "steps": [10], "progress": False}
    whole = probe.capture(suite, RAGGED, [site], **asked)[site].values[0, 0]
    found = probe.capture(suite, RAGGED, [site], reduce="mean", **asked).isel(model=0, step=0)
    np.testing.assert_allclose(found[site], np.nanmean(whole, 0), rtol=1e-5)
    assert found[f"{site}.count"].dims == ("position", "key")
    assert found[f"{site}.count"].values[2].tolist() == [3, 3, 3]
    assert found[f"{site}.count"].values[0].tolist() == [7, 5, 3]
    with pytest.raises(ValueError, match=r"reduce: 'gram' of .*hook_pattern has no meaning: its keys are pos"):
        probe.capture(suite, RAGGED, [site], reduce="gram", **asked)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.sampled_from([0.0, 1e4]))
def test_moments_do_not_depend_on_the_batches(sizes, offset):
    """Also where the mean is large beside the spread, where a sum of squares would lose it all in float32."""
    n = sum(sizes)
    x = torch.as_tensor(np.random.default_rng(n).normal(offset, 1, (n, 1, 3)).astype(np.float32))
    x[0] = torch.nan
    sums = reduction("covariance")
    for part, start in zip(x.split(sizes), np.cumsum([0, *sizes]), strict=False):
        sums.add(part, ~part.isnan()[..., :1], int(start))
    found = sums.result(UNIT)
    present = x[1:, 0].double().numpy()
    assert found[".count"][1].tolist() == [n - 1]
    if n == 1:
        assert np.isnan(found[""][1]).all()
        assert np.isnan(found[".mean"][1]).all()
    else:
        np.testing.assert_allclose(found[".mean"][1][0], present.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found[""][1][0], np.cov(present.T, bias=True), rtol=1e-7, atol=1e-9)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 12))
def test_the_top_does_not_depend_on_the_batches_and_of_equals_takes_the_first(sizes, k):
    n = sum(sizes)
    x = torch.as_tensor(np.random.default_rng(n).integers(0, 4, (n, 1, 3)).astype(np.float32))
    sums = reduction(f"top-{k}")
    for part, start in zip(x.split(sizes), np.cumsum([0, *sizes]), strict=False):
        sums.add(part, torch.ones(len(part), 1, 1, dtype=torch.bool), int(start))
    numbers = sums.result(UNIT)[".sample"][1][0]
    for unit in range(3):
        assert numbers[:, unit].tolist() == sorted(range(n), key=lambda i: (-x[i, 0, unit], i))[:k]


@pytest.mark.parametrize("name", ["top-0", "top", "top-", "top-x", "", "Mean"])
def test_a_reduction_that_there_is_not(name):
    with pytest.raises(ValueError, match=f"reduce: got '{name}'; expected one of mean, covariance, gram, top-K"):
        reduction(name)
