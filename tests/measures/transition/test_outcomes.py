import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.transition.outcomes import LEARNING_PHASES, learning_phase, learning_phase_of_curves

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("train", "test", "phase"),
    [
        (100, 200, "comprehension"),
        (100, 1099, "comprehension"),
        (100, 1100, "grokking"),
        (0, 90_000, "grokking"),
        (100, 100, "comprehension"),
        (500, 100, "comprehension"),
        (100, None, "memorization"),
        (0, INF, "memorization"),
        (100, NAN, "memorization"),
        (None, None, "confusion"),
        (INF, NAN, "confusion"),
        (None, 100, "comprehension"),
        (INF, 0, "comprehension"),
    ],
)
def test_one_run(train, test, phase):
    found = learning_phase(train, test)
    assert found == phase
    assert type(found) is str


def test_the_gap_is_in_steps():
    assert learning_phase(100, 150, gap=50) == "grokking"
    assert learning_phase(100, 150, gap=51) == "comprehension"


def test_a_phase_diagram_is_one_call():
    train = torch.tensor([[100.0, 100.0], [100.0, INF]])
    test = np.array([[200.0, 5000.0], [NAN, INF]])
    found = learning_phase(train, test)
    assert found.tolist() == [["comprehension", "grokking"], ["memorization", "confusion"]]
    assert learning_phase([0, None], [None, None]).tolist() == ["memorization", "confusion"]
    assert learning_phase(0, [10, 2000, None]).tolist() == ["comprehension", "grokking", "memorization"]


dates = st.one_of(st.none(), st.just(INF), st.integers(0, 3000))


@given(st.lists(st.tuples(dates, dates), min_size=1, max_size=8), st.integers(1, 2000))
def test_arrays_are_as_single_runs(runs, gap):
    found = learning_phase([a for a, _ in runs], [b for _, b in runs], gap=gap)
    assert found.tolist() == [learning_phase(a, b, gap=gap) for a, b in runs]
    assert set(found) <= set(LEARNING_PHASES)


STEPS = [0, 100, 1000, 1100, 5000]


def test_of_curves():
    train = np.array([[0, 0.9, 1, 1, 1], [0, 0.9, 1, 1, 1], [0, 0.95, 0.5, 1, 1], [0.1, 0.2, 0.89, 0.3, 0.2]])
    test = np.array([[0, 0.5, 0.9, 1, 1], [0, 0.2, 0.89, 0.9, 0.1], [0, 0, 0, 0, 0.89], [0, 0, 0, 0, 0]])
    found = learning_phase_of_curves(STEPS, train, torch.from_numpy(test))
    assert found.tolist() == ["comprehension", "grokking", "memorization", "confusion"]
    assert [learning_phase_of_curves(STEPS, a, b) for a, b in zip(train, test, strict=True)] == found.tolist()
    assert learning_phase_of_curves(STEPS, train.reshape(2, 2, 5), test.reshape(2, 2, 5)).shape == (2, 2)
    assert learning_phase_of_curves(STEPS, train[0], test[0], gap=900) == "grokking"
    assert learning_phase_of_curves(STEPS, train[2], test[2], threshold=0.89) == "grokking"
    assert learning_phase_of_curves(STEPS, train[3], test[3], threshold=0.89) == "memorization"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.9, 0.95, 0.99])
def test_accuracies_at_the_threshold_in_any_type(dtype, threshold):
    curve = torch.tensor([threshold, threshold], dtype=dtype)
    assert learning_phase_of_curves([0, 1], curve, curve, threshold) == "comprehension"
    assert learning_phase_of_curves([0, 1], curve, 0 * curve, threshold) == "memorization"
    assert learning_phase_of_curves([0, 1], torch.stack([curve, 0 * curve]), torch.zeros(2, 2), threshold).tolist() == [
        "memorization",
        "confusion",
    ]


def test_a_label_is_final_only_where_both_were_reached():
    train, test = [0, 0.9, 1, 1, 1], [0, 0, 0, 0.1, 0.95]
    seen = [learning_phase_of_curves(STEPS[:n], train[:n], test[:n]) for n in range(1, 6)]
    assert seen == ["confusion", "memorization", "memorization", "memorization", "grokking"]


@pytest.mark.parametrize("gap", [0, -1, NAN, INF])
def test_gap_refused(gap):
    with pytest.raises(ValueError, match=r"^gap: "):
        learning_phase(1, 2, gap=gap)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"^train_step: -1 given"):
        learning_phase([5, -1], [5, 5])
    with pytest.raises(ValueError, match=r"^test_step: -inf given"):
        learning_phase(5, -INF)
    with pytest.raises(ValueError, match=r"^train_step: .*truth"):
        learning_phase([True, False], [5, 5])
    with pytest.raises(ValueError, match=r"^test_step: "):
        learning_phase(5, "soon")
    with pytest.raises(ValueError, match=r"^test_step: shape \(3,\)"):
        learning_phase([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"^test_accuracy: shape"):
        learning_phase_of_curves(STEPS, np.zeros((2, 5)), np.zeros(5))
    with pytest.raises(ValueError, match=r"^test_accuracy: "):
        learning_phase_of_curves(STEPS, np.zeros(5), [0, 0, 0, 0, 90])
    with pytest.raises(ValueError, match=r"^train_accuracy: "):
        learning_phase_of_curves(STEPS, np.zeros(4), np.zeros(5))
    with pytest.raises(ValueError, match=r"^threshold: 90"):
        learning_phase_of_curves(STEPS, np.zeros(5), np.zeros(5), threshold=90)
