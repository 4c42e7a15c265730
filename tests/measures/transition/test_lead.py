import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sklearn.isotonic import isotonic_regression

from probe.measures.intervals import Interval
from probe.measures.transition import Lead, LeadTimes, lead_times, leads_over_seeds
from probe.measures.transition.lead import _date, _share_dates
from probe.measures.transition.noise import Noise

NAN, INF = float("nan"), float("inf")
STEPS = np.unique(np.geomspace(100, 20_000, 60).round())
X = np.log1p(STEPS)


def moves(step, width=0.15, before=0.0, after=1.0, steps=STEPS):
    return before + (after - before) * expit((np.log1p(steps) - np.log1p(step)) / width)


ACCURACY = moves(5000)


def spacing(step, steps=STEPS):
    i = np.searchsorted(steps, step)
    return steps[i] - steps[i - 1]


def test_a_measure_that_moves_first_leads():
    run = lead_times(STEPS, ACCURACY, {"fve": moves(2000, before=0.01, after=0.8), "late": moves(9000)})
    fve, late = run.measures["fve"], run.measures["late"]
    assert (run.start, run.last_step, run.share) == (100, 20_000, 0.5)
    assert run.accuracy.estimate == pytest.approx(5000, rel=0.01)
    assert fve.direction == "rising"
    assert fve.date.estimate == pytest.approx(2000, rel=0.01)
    assert fve.lead.estimate == pytest.approx(run.accuracy.estimate - fve.date.estimate)
    assert fve.lead.low > 2000
    assert fve.lead.low < 3000 < fve.lead.high
    assert late.lead.estimate == pytest.approx(-4000, rel=0.02)
    assert late.lead.high < 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dates_are_for_the_share(share):
    run = lead_times(STEPS, ACCURACY, {"m": moves(2000)}, share=share)
    factor = np.exp(0.15 * np.log(share / (1 - share)))
    # curves start and end a little off 0 and 1, and are linear between evaluations
    assert run.measures["m"].date.estimate == pytest.approx(2001 * factor - 1, rel=0.02)
    assert run.accuracy.estimate == pytest.approx(5001 * factor - 1, rel=0.02)


def test_the_share_is_of_the_way_from_memorization_to_the_last_tenth_of_steps():
    steps = np.arange(201) * 10
    train = np.where(steps >= 500, 1.0, 0.2)
    # before memorization it lies elsewhere; then at 1, from 800 to 1200 up to 5
    curve = np.where(steps < 500, -30.0, np.clip(1 + (steps - 800) / 100, 1, 5))
    # the last tenth of 500 to 2000 begins at 1850: 16 evaluations with a mean of 4.9
    curve[(steps >= 1800) & (steps < 1850)] = 5.1
    curve[steps >= 1850], curve[-1] = (16 * 4.9 - 5) / 15, 5.0
    run = lead_times(steps, np.where(steps < 900, 0.1, 1.0), {"m": curve}, train)
    assert run.start == 500
    assert run.measures["m"].date.estimate == pytest.approx(800 + 100 * (0.5 * 3.9))
    assert run.accuracy.estimate == pytest.approx(890 + 10 * 0.5)


def test_a_falling_measure_is_dated_as_a_rising_one():
    rises = lead_times(STEPS, ACCURACY, {"m": moves(2000)}).measures["m"]
    falls = lead_times(STEPS, ACCURACY, {"m": moves(2000, before=17.0, after=3.0)}).measures["m"]
    assert falls.direction == "falling"
    assert falls.date.estimate == pytest.approx(rises.date.estimate, rel=1e-6)
    assert falls.lead.estimate == pytest.approx(rises.lead.estimate, rel=1e-6)


def test_over_itself_test_accuracy_leads_by_nothing():
    for share in (0.1, 0.5):
        run = lead_times(STEPS, ACCURACY, {"itself": ACCURACY, "upside down": 4 - 3 * ACCURACY}, share=share)
        itself = run.measures["itself"]
        assert itself.lead.estimate == 0
        assert itself.date.estimate == run.accuracy.estimate
        width = spacing(itself.date.estimate)
        assert (itself.lead.low, itself.lead.high) == pytest.approx((-width, width))
        assert run.measures["upside down"].lead.estimate == pytest.approx(0, abs=1e-6)


def test_noise_in_common_cancels_in_the_lead():
    rng = np.random.default_rng(0)
    scale = 0.2 * 4 * ACCURACY * (1 - ACCURACY)
    accuracy = np.clip(ACCURACY + scale * rng.normal(size=60), 0, 1)
    run = lead_times(STEPS, accuracy, {"same": 2 * accuracy, "own": ACCURACY + scale * rng.normal(size=60)})
    after = np.searchsorted(STEPS, run.accuracy.estimate)
    width = STEPS[after] - STEPS[after - 1]
    assert run.accuracy.high - run.accuracy.low > 1.5 * width
    same, own = run.measures["same"].lead, run.measures["own"].lead
    assert (same.estimate, same.low, same.high) == pytest.approx((0, -width, width))
    assert own.high - own.low > 2.5 * width


def test_the_lead_is_no_better_known_than_the_date_it_rests_on():
    rng = np.random.default_rng(5)
    noise = Noise(0.9, np.ones(60), 1.0).color(np.sqrt(1 - 0.9**2) * rng.normal(size=60))
    accuracy = np.clip(ACCURACY + 0.003 * rng.normal(size=60), 0, 1)
    run = lead_times(STEPS, accuracy, {"m": moves(2000) + 0.06 * noise}).measures["m"]
    assert run.date.high - run.date.low > 500
    assert run.lead.high - run.lead.low > 0.98 * (run.date.high - run.date.low)


def test_a_lead_shorter_than_the_spacing_is_not_told_from_none():
    step, width = STEPS[40:42].mean(), STEPS[41] - STEPS[40]
    lead = lead_times(STEPS, moves(step + 10), {"m": moves(step - 10)}).measures["m"].lead
    assert lead.estimate == pytest.approx(20, abs=15)
    assert (lead.low, lead.high) == pytest.approx((-width, width))


@pytest.mark.parametrize("curve", ["shuffled", "noise", "flat", "line", "untrained", "bump", "under way"])
def test_a_measure_without_transition_has_no_date(curve):
    rng = np.random.default_rng(1)
    n = len(STEPS)
    curves = {
        "shuffled": rng.permutation(moves(2000)),
        "noise": rng.normal(size=n),
        "flat": np.full(n, 0.3),
        "line": X + 0.01 * rng.normal(size=n),
        "untrained": 0.02 + 1e-3 * rng.normal(size=n),
        # goes and comes back: there is no way from its first value to its last
        "bump": moves(1000) - moves(8000),
        "under way": moves(40_000, 0.5),
    }
    found = lead_times(STEPS, ACCURACY, {"m": curves[curve]}).measures["m"]
    assert (found.date, found.lead) == (None, None)
    if curve == "flat":
        assert found.direction is None


def test_time_reversed_accuracy_is_no_generalization():
    run = lead_times(STEPS, ACCURACY[::-1], {"m": moves(2000)})
    assert run.accuracy is None
    assert run.measures["m"].lead is None


def test_a_run_that_does_not_generalize_is_censored():
    rng = np.random.default_rng(2)
    for accuracy in (0.1 + 0.01 * rng.normal(size=len(STEPS)), moves(30_000), 0.9 * ACCURACY):
        run = lead_times(STEPS, np.clip(accuracy, 0, 1), {"m": moves(2000)})
        assert run.accuracy is None
        assert run.measures["m"].lead is None
        assert run.measures["m"].date.estimate == pytest.approx(2000, rel=0.01)


def test_a_run_that_does_not_memorize_has_no_start():
    run = lead_times(STEPS, ACCURACY, {"a": moves(2000), "b": moves(3000)}, np.full(len(STEPS), 0.5))
    nothing = Lead(None, None, None)
    assert run == LeadTimes(0.5, None, 20_000, None, {"a": nothing, "b": nothing})


def test_generalization_at_memorization_is_no_transition():
    accuracy = np.where(STEPS < 1000, 0.1, 1.0)
    train = np.where(STEPS < 1000, 0.2, 1.0)
    assert lead_times(STEPS, accuracy, {"m": moves(5000)}, train).accuracy is None
    # nor is what is left from .995 to 1
    assert lead_times(STEPS, 0.995 + 0.005 * ACCURACY, {"m": moves(5000)}).accuracy is None


def test_accuracy_that_was_lost_and_comes_back_has_no_way():
    accuracy = np.where((np.arange(len(STEPS)) > 1) & (STEPS < 5000), 0.1, 1.0)
    assert lead_times(STEPS, accuracy, {"m": moves(2000)}).accuracy is None


def test_any_kind_of_array_and_the_same_again():
    run = lead_times(STEPS, ACCURACY, {"m": moves(2000)})
    again = lead_times(torch.tensor(STEPS), torch.tensor(ACCURACY), {"m": moves(2000).tolist()})
    assert run == again
    assert type(run.measures["m"].lead.estimate) is float


def test_the_closest_monotone_curve():
    """Against the min-max formula of isotonic regression."""
    rng = np.random.default_rng(3)
    at = np.arange(0.0, 300, 10)
    for share, sign in itertools.product((0.1, 0.5, 0.8), (1, -1)):
        curve = sign * (np.linspace(0, 1, 30) ** 2 + 0.1 * rng.normal(size=30))
        q = (curve - curve[0]) / (curve[-3:].mean() - curve[0])
        fit = [max(min(q[i : k + 1].mean() for k in range(j, 30)) for i in range(j + 1)) for j in range(30)]
        after = next(j for j in range(30) if fit[j] >= share)
        expected = at[after - 1] + 10 * (share - fit[after - 1]) / (fit[after] - fit[after - 1])
        assert _share_dates(at, curve[None], share)[0] == pytest.approx(expected)


@given(
    arrays(np.float64, (4, 12), elements=st.integers(-3, 8).map(float)),
    st.lists(st.integers(1, 900), min_size=12, max_size=12, unique=True),
    st.sampled_from([0.11, 0.47, 0.5, 0.93]),
)
def test_dates_are_those_of_isotonic_regression(curves, at, share):
    at = np.sort(at).astype(float)
    found = _share_dates(at, curves, share)
    for curve, date in zip(curves, found, strict=True):
        way = curve[at >= at[-1] - (at[-1] - at[0]) / 10].mean() - curve[0]
        covered = isotonic_regression((curve - curve[0]) / way) if way else np.zeros(12)
        if (np.abs(covered - share) < 1e-9).any():
            continue  # any step of a plateau at the share
        after = int(np.searchsorted(covered, share))
        expected = (
            at[-1] if after == 12 else np.interp(share, covered[after - 1 : after + 1], at[after - 1 : after + 1])
        )
        assert date == pytest.approx(expected)


def test_measures_without_transition_change_nothing_for_others():
    rng = np.random.default_rng(8)
    one = {"m": moves(2000) + 0.02 * rng.normal(size=len(STEPS))}
    alone = lead_times(STEPS, ACCURACY, one)
    among = lead_times(STEPS, ACCURACY, {"noise": rng.normal(size=len(STEPS)), **one, "flat": np.zeros(len(STEPS))})
    assert among.measures["m"] == alone.measures["m"]
    assert among.accuracy == alone.accuracy
    assert [among.measures[name].date for name in ("noise", "flat")] == [None, None]


def test_the_interval_of_a_measures_date_is_the_same_whether_the_run_generalizes():
    rng = np.random.default_rng(9)
    measure = moves(2000) + 0.05 * rng.normal(size=len(STEPS))
    dates = [lead_times(STEPS, accuracy, {"m": measure}).measures["m"].date for accuracy in (ACCURACY, 0.9 * ACCURACY)]
    assert dates[1].estimate == dates[0].estimate
    widths = [date.high - date.low for date in dates]  # of other draws
    assert widths[1] == pytest.approx(widths[0], rel=0.3)
    assert min(widths) > spacing(2000)


def test_a_curve_that_never_covers_the_share_is_dated_last():
    at = np.arange(0.0, 100, 10)
    assert _share_dates(at, np.zeros((1, 10)), 0.5).tolist() == [90]


def test_an_interval_of_a_date_ends_within_training_or_not_at_all():
    at = np.arange(0.0, 1000, 100)
    one = SimpleNamespace(date=450.0, around=(400.0, 500.0))
    for moved, expected in ((0, (400, 500)), (100, (250, 650)), (300, (0, INF))):
        found = _date(at, one, np.array([moved, -moved]), 2.0)
        assert (found.estimate, found.low, found.high, found.n) == (450, *expected, 10)


@pytest.mark.parametrize(("rho", "share"), [(0.5, 0.1), (0.8, 0.5)])
def test_intervals_of_the_lead_cover(rho, share):
    """Nominal 95 %; 200 runs showed 96 and 95 %, of which 30 runs may be 3.5 standard errors off."""
    rng = np.random.default_rng(4)
    steps = np.round(np.geomspace(100, 20_000, 100))
    fine = np.geomspace(100, 20_000, 5000)
    covered = []
    for _ in range(30):
        at = rng.uniform(1500, 3500), rng.uniform(4000, 6500)
        curves, dates = [], []
        for step in at:
            level = moves(step, 0.2, steps=steps)
            noise = Noise(rho, np.ones(100), 1.0).color(np.sqrt(1 - rho**2) * rng.normal(size=100))
            curves.append(level + (0.005 + 0.04 * 4 * level * (1 - level)) * noise)
            dates.append(_share_dates(fine, moves(step, 0.2, steps=fine)[None], share)[0])
        lead = lead_times(steps, np.clip(curves[1], 0, 1), {"m": curves[0]}, share=share).measures["m"].lead
        covered.append(lead is not None and lead.low <= dates[1] - dates[0] <= lead.high)
    assert np.mean(covered) >= 0.82


def run_of(lead, generalized=True, share=0.5, name="m"):
    one = Interval(5000.0, 4900.0, 5100.0, 60)
    found = None if lead is None else Interval(lead, lead - 1, lead + 1, 60)
    return LeadTimes(share, 100, 20_000, one if generalized else None, {name: Lead("rising", one, found)})


def test_over_seeds():
    found = leads_over_seeds([run_of(lead) for lead in (1000.0, 1500.0, 2000.0, 1200.0, 1700.0)])["m"]
    assert found.lead.estimate == 1500
    assert found.lead.low == 1000
    assert found.lead.high == 2000
    assert (found.lead.n, found.n_censored, found.n_without_transition) == (5, 0, 0)


def test_over_seeds_runs_that_do_not_generalize_are_counted_and_left_out():
    runs = [run_of(1000.0), run_of(2000.0), run_of(1500.0), run_of(None, generalized=False)]
    found = leads_over_seeds(runs)["m"]
    assert (found.lead.estimate, found.lead.n, found.n_censored, found.n_without_transition) == (1500, 3, 1, 0)
    none = leads_over_seeds([run_of(None, generalized=False)] * 2)["m"]
    assert (none.lead, none.n_censored) == (None, 2)


def test_over_seeds_a_measure_that_did_not_move_is_behind_all():
    found = leads_over_seeds([run_of(1000.0), run_of(None), run_of(800.0), run_of(1200.0)])["m"]
    assert found.lead.estimate == 900
    assert found.lead.low == -INF
    assert found.n_without_transition == 1
    assert leads_over_seeds([run_of(None), run_of(None), run_of(800.0)])["m"].lead.estimate == -INF


def test_over_seeds_only_alike():
    with pytest.raises(ValueError, match="runs: none given"):
        leads_over_seeds([])
    for other in (run_of(1.0, share=0.1), run_of(1.0, name="k")):
        with pytest.raises(ValueError, match="runs: share"):
            leads_over_seeds([run_of(1.0), other])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_accuracies_at_the_threshold_in_any_type(dtype):
    train = torch.where(torch.tensor(STEPS >= 500), 0.99, 0.2).to(dtype)
    test = torch.tensor(0.99 * ACCURACY / ACCURACY.max())
    test = torch.where(test > 0.98, 0.99, test).to(dtype)  # never above .99
    run = lead_times(STEPS, test, {"m": moves(2000)}, train)
    assert run.start == STEPS[STEPS >= 500][0]
    assert run.accuracy is not None


GOOD = {"steps": STEPS, "test_accuracy": ACCURACY, "measures": {"m": moves(2000)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": STEPS[::-1]}, "steps: "),
        ({"steps": STEPS[:9]}, "steps: 9 given, expected at least 10"),
        ({"test_accuracy": ACCURACY[1:]}, "test_accuracy: shape"),
        ({"test_accuracy": 100 * ACCURACY}, "test_accuracy: .* expected accuracies"),
        ({"test_accuracy": np.stack([ACCURACY] * 2)}, "test_accuracy: shape"),
        ({"measures": {}}, "measures: none given"),
        ({"measures": moves(2000)}, "measures: ndarray given, expected one or more by name"),
        ({"measures": [moves(2000)]}, "measures: list given, expected one or more by name"),
        ({"measures": {"m": ACCURACY[1:]}}, r"measures\['m'\]: shape"),
        ({"measures": {"m": np.where(STEPS > 500, NAN, 0)}}, r"measures\['m'\]: nan given"),
        ({"train_accuracy": ACCURACY[1:]}, "train_accuracy: shape"),
        ({"train_accuracy": np.where(STEPS < 15_000, 0.0, 1.0)}, "steps: 4 from memorization on given, expected at"),
        ({"share": 1.0}, "share: 1.0 given"),
        ({"share": 0.0}, "share: 0.0 given"),
        ({"confidence": 1.0}, "confidence: 1.0 given"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        lead_times(**(GOOD | change))
