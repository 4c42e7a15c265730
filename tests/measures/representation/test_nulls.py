"""Any measure beside itself on shuffled copies."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.representation import compared_with_null


def recorded(X, shuffle, n_shuffles=40, seed=0):
    seen = []

    def measure(copy):
        seen.append(copy)
        return copy[..., 0, 0]

    return compared_with_null(measure, X, shuffle, n_shuffles, seed), seen


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 9), d=st.integers(1, 4), seed=st.integers(0, 100))
def test_tokens_exchange_rows_and_units_exchange_values(n, d, seed):
    X = torch.arange(2 * n * d).reshape(2, n, d)
    for shuffle in ("tokens", "units"):
        _, copies = recorded(X, shuffle, seed=seed)
        assert torch.equal(copies[0], X.double())
        assert len(copies) == 41
        for copy in copies[1:]:
            assert torch.equal(copy.sort(1).values, X.double())
            assert torch.equal(copy[1] - copy[0], torch.full((n, d), float(n * d)).double())  # alike in the batch
            if shuffle == "tokens":
                assert sorted(copy[0].tolist()) == X[0].double().tolist()  # whole rows


def test_units_are_shuffled_apart_and_copies_differ():
    X = torch.arange(30.0).repeat(3, 1).T
    _, copies = recorded(X, "units")
    assert all(not torch.equal(copy[:, 0], copy[:, 1]) for copy in copies[1:])
    assert len({tuple(copy[:, 0].tolist()) for copy in copies}) == 41
    _, again = recorded(X, "units")
    assert all(map(torch.equal, copies, again))
    assert not torch.equal(copies[1], recorded(X, "units", seed=1)[1][1])


def test_mean_and_quantiles_of_the_copies():
    X = torch.randn(20, 3, dtype=torch.float64)
    found, copies = recorded(X, "tokens", 100)
    null = torch.stack([copy[0, 0] for copy in copies[1:]])
    assert found.value == X[0, 0].item()
    assert found.null_mean == pytest.approx(null.mean().item())
    assert found.null_low == pytest.approx(null.quantile(0.025).item())
    assert found.null_high == pytest.approx(null.quantile(0.975).item())
    batch, _ = recorded(X.expand(2, 4, -1, -1), "tokens", 100)
    assert batch.null_high.shape == (2, 4)
    torch.testing.assert_close(batch.null_high[1, 2].item(), found.null_high)


def test_wrong_arguments_are_refused():
    for arguments in (([[1.0], [2.0]], "rows"), ([[1.0], [2.0]], "tokens", 39), ([1.0, 2.0],), ([[float("nan")]],)):
        with pytest.raises(ValueError, match=r"^(shuffle|n_shuffles|representation): "):
            compared_with_null(lambda X: X.sum(), *arguments)
