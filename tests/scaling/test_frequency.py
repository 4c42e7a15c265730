"""The effect of frequency in models that learn as planted."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from probe.scaling.frequency import (
    FactTable,
    by_exposure,
    fact_tables,
    frequency_effects,
    log_prob_by_exposure,
    operand_pairs,
)
from probe.scaling.memorization import memorization_curves
from probe.tasks import Biographies, Facts, Multiplication, OperandWeights, Zipf
from tests.synthetic_memory import arrays_of, learner

STEPS = [0, 1, 2, 4, 8, 16, 32]
TASK = Multiplication("1-30", frequency=Zipf(total=9000, over="operands", exponent=0.7), held_out=0.2)


def planted(task, slope=1.5, half=20.0, seed=0, model="d8-s0"):
    """Facts are known with log odds that rise by ``slope`` with each doubling of exposures; half at ``half``."""
    rng = np.random.default_rng(seed)
    exposures = np.array([step * task.exposures for step in STEPS])
    odds = slope * (np.log2(1 + exposures) - np.log2(1 + half))
    right = (rng.random(len(task.answers)) < 1 / (1 + np.exp(-odds))) & (exposures > 0)
    on = {"step": STEPS}
    dims = ("step", "example")
    return FactTable(
        model,
        model.split("-")[0],
        100,
        task,
        xr.DataArray(right.astype(np.int8), dims=dims, coords=on),
        xr.DataArray(exposures, dims=dims, coords=on),
    )


def test_the_step_at_which_half_is_known():
    table = planted(TASK)
    known = {step: table.exact.sel(step=step).values[TASK.train_mask].mean() for step in STEPS}
    assert table.half_known() == min(step for step, share in known.items() if share >= 0.5)
    assert planted(TASK, half=1e9).half_known() == 32


def test_bins_are_those_of_all_seeds_together():
    tables = [planted(TASK, seed=seed) for seed in range(3)]
    found = by_exposure(tables, 8)
    assert int(found.n_facts.sum()) == 3 * len(TASK.answers)
    never = np.concatenate([table.exact.sel(step=8).values[~TASK.train_mask] for table in tables])
    assert (found.most[0], found.value[0]) == (0, never.mean())
    exposures = np.concatenate([table.exposures.sel(step=8).values for table in tables])
    exact = np.concatenate([table.exact.sel(step=8).values for table in tables])
    for low, high, n, value in zip(found.least, found.most, found.n_facts, found.value, strict=True):
        inside = (exposures >= float(low)) & (exposures <= float(high))
        assert inside.sum() == int(n)
        assert float(value) == pytest.approx(exact[inside].mean())


def test_log_probabilities_have_the_same_bins():
    tables = [planted(TASK, seed=seed) for seed in range(2)]
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=tables[0].exact.shape)
    with_them = [replace(table, log_prob=table.exact - 3.0 + noise) for table in tables]
    found, right = log_prob_by_exposure([*with_them, planted(TASK, seed=9)], 8), by_exposure(tables, 8)
    for field in ("least", "most", "n_facts", "mean_exposures"):
        assert (getattr(found, field) == getattr(right, field)).all(), field
    assert found.value.numpy() == pytest.approx(right.value.numpy() - 3, abs=0.05)
    assert (found.low < found.value)[:-1].all()  # the last bin is of one fact, twice


def test_facts_known_in_other_words_are_neither_shown_nor_the_control():
    """Of biographies, questions are another kind as well."""
    for task, shown, unseen in (
        (Biographies(60, biographies=2), "recited", "test_biographies"),
        (Facts(60, phrasings=3, trained_phrasings=2), "train", "test"),
        (Facts(60), "train", "test"),
    ):
        found = by_exposure([planted(task, half=0.0, slope=1e3)], 8)
        in_bins = dict(zip(found.most.tolist(), found.n_facts.tolist(), strict=True))
        assert in_bins[0] == task.subsets[unseen].sum()
        assert sum(in_bins.values()) == task.subsets[unseen].sum() + task.subsets[shown].sum()


def test_a_planted_slope_is_recovered_alone_and_at_equal_difficulty():
    effects = frequency_effects([planted(TASK, seed=seed, model=f"d8-s{seed}") for seed in range(8)])
    assert len(effects) == 8
    for slope in ("slope", "adjusted"):
        covered = (effects[f"{slope}_low"] < 1.5) & (effects[f"{slope}_high"] > 1.5)
        assert covered.sum() >= 7, slope
        assert (effects[f"{slope}_low"] > 0).all()
    assert (effects["gap_low"] > 0).all()
    assert (effects["rho_low"] > 0).all()


def test_phrasings_of_one_fact_are_no_facts_of_their_own():
    """The same fact asked in four phrasings, all known or none: the interval is that of the facts."""
    once = Facts(150, relations=1, frequency=Zipf(total=9000), seed=1)
    four = replace(once, phrasings=4, trained_phrasings=4)
    table = planted(once, half=40.0)
    repeat = {name: getattr(table, name).isel(example=np.repeat(np.arange(150), 4)) for name in ("exact", "exposures")}
    repeated = replace(table, task=four, **repeat)
    one, several = (frequency_effects([t]).iloc[0] for t in (table, repeated))
    for name in ("gap", "rho", "slope"):
        width, wider = (row[f"{name}_high"] - row[f"{name}_low"] for row in (one, several))
        assert wider == pytest.approx(width, rel=0.3), name


def test_where_exposures_do_nothing_no_effect_is_found():
    effects = frequency_effects([planted(TASK, slope=0.0, seed=seed, model=f"d8-s{seed}") for seed in range(8)])
    for name in ("gap", "rho", "slope", "adjusted"):
        assert ((effects[f"{name}_low"] < 0) & (effects[f"{name}_high"] > 0)).sum() >= 6, name


def test_what_the_data_do_not_say_is_left_open():
    facts = frequency_effects([planted(Facts(200, frequency=Zipf(total=20_000)))])
    assert facts["slope"].notna().all()
    assert facts["adjusted"].isna().all()  # difficulty is that of arithmetic
    known = frequency_effects([planted(TASK, half=0.0, slope=1e3)])
    assert known["slope"].isna().all()  # all right
    assert frequency_effects([planted(Facts(200))]).empty  # all shown equally often
    broken_off = planted(Facts(200))  # in the midst of a pass
    broken_off.exposures[:, ::2] += 1
    assert frequency_effects([broken_off]).empty


def test_two_operands_are_compared_at_every_step():
    weights = OperandWeights(total=20_000, weights={24: 20.0})
    table = planted(Multiplication("1-30", frequency=weights, held_out=0.1), half=60)
    found = operand_pairs([table], 24, 23)
    assert found["step"].tolist() == STEPS
    middle = found.set_index("step").loc[table.half_known()]
    assert middle["low"] > 0
    assert found.iloc[0]["difference"] == 0
    assert operand_pairs([planted(Facts(200))], 24, 23).empty
    assert operand_pairs([planted(Multiplication("1-20"))], 24, 23).empty


def test_tables_are_those_of_models_with_stored_facts():
    curves = memorization_curves(learner("d8-s0", 100, 30))
    stored = arrays_of(TASK, STEPS)
    (table,) = fact_tables(curves, lambda model, name: stored.get(name), {"d8-s0": TASK})
    assert (table.model, table.size, table.n_params) == ("d8-s0", "d8", 100)
    assert (table.exact == stored["recall_exact"]).all()
    assert not fact_tables(curves, lambda model, name: None, {"d8-s0": TASK})
    assert not fact_tables(curves, lambda model, name: stored.get(name), {})
