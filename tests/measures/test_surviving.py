"""What is still known when part of a network is taken away."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from probe.measures.surviving import surviving_share

ONE_MODEL = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12)


@given(st.lists(ONE_MODEL, min_size=1, max_size=3).filter(lambda models: len({len(model) for model in models}) == 1))
def test_it_is_the_share_of_what_was_right_with_the_exact_interval(models):
    given_ = torch.tensor(models, dtype=torch.float64)
    share, low, high = surviving_share(given_[..., 0], given_[..., 1], 0.3)
    for i, model in enumerate(models):
        n, k = sum(right for right, _ in model), sum(right and still for right, still in model)
        if binomtest(n, len(model)).proportion_ci(method="exact").low <= 0.3:  # no better than chance
            assert all(part[i].isnan() for part in (share, low, high))
            continue
        expected = binomtest(k, n).proportion_ci(method="exact")
        torch.testing.assert_close(share[i].item(), k / n)
        torch.testing.assert_close((low[i].item(), high[i].item()), (expected.low, expected.high))
