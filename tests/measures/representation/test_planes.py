"""Principal components, and planes aligned along a trajectory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from probe.measures.representation import aligned_planes, compared_with_null, principal_components


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "d"), [(20, 6), (5, 9)])
def test_components_are_those_of_scikit_learn(n, d):
    X = normal(n, d) * torch.arange(1, d + 1) + 3
    found, expected = principal_components(X, 3), PCA(3).fit(X.numpy())
    torch.testing.assert_close(found.explained, torch.tensor(expected.explained_variance_ratio_))
    sign = torch.tensor((expected.components_ * found.axes.numpy()).sum(1)).sign()
    torch.testing.assert_close(found.axes, torch.tensor(expected.components_) * sign[:, None])
    torch.testing.assert_close(found.coordinates, torch.tensor(expected.transform(X.numpy())) * sign)
    torch.testing.assert_close(found.mean, X.mean(0))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_all_components_are_the_representation_and_signs_are_fixed(seed):
    X = normal(7, 4, seed=seed)
    found = principal_components(X, 4)
    torch.testing.assert_close(found.mean + found.coordinates @ found.axes, X)
    assert found.explained.sum().item() == pytest.approx(1)
    assert (found.axes.gather(1, found.axes.abs().argmax(1, keepdim=True)) > 0).all()
    # the same tokens in another order, and mirrored through the mean
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(principal_components(X[order], 4).coordinates, found.coordinates[order])
    torch.testing.assert_close(principal_components(-X, 4).coordinates, -found.coordinates)


def test_batches_and_float32():
    X = normal(2, 3, 8, 5)
    found = principal_components(X.float().numpy(), 2)
    for i in range(2):
        for j in range(3):
            one = principal_components(X[i, j], 2)
            torch.testing.assert_close(found.coordinates[i, j], one.coordinates, rtol=0, atol=1e-5)
            torch.testing.assert_close(found.axes[i, j], one.axes, rtol=0, atol=1e-5)
            torch.testing.assert_close(found.explained[i, j], one.explained, rtol=0, atol=1e-5)


def test_explained_variance_beside_its_null():
    circle = torch.stack([torch.cos(torch.arange(50.0)), torch.sin(torch.arange(50.0))], dim=1)
    X = circle.double() @ normal(2, 12) + 0.1 * normal(50, 12, seed=1)
    compared = compared_with_null(lambda x: principal_components(x).explained.sum(-1), X, "units", 40)
    assert compared.value > 0.95 > 0.6 > compared.null_high


def test_a_plane_that_turns_is_held_still():
    shape = normal(9, 2) * torch.tensor([3.0, 1.0])
    angles = [0.0, 0.4, 2.0, 4.0, 0.1]
    turned = []
    for step, angle in enumerate(angles):
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
        turned.append((1 + step) * shape @ turn * torch.tensor([1.0, (-1.0) ** step]))
    steps = torch.stack(turned)
    found = aligned_planes(steps)
    torch.testing.assert_close(found, torch.stack([(1 + step) * shape for step in range(5)]))
    assert not torch.equal(steps, found)  # and the argument is left as it was
    torch.testing.assert_close(steps, torch.stack(turned))
    torch.testing.assert_close(aligned_planes(torch.stack([steps, steps.flip(-2)]))[1], found.flip(-2))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_other_rotation_is_nearer_to_the_step_before(seed):
    steps = normal(3, 6, 3, seed=seed)
    found = aligned_planes(steps)
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(steps, steps))
    for i in (1, 2):
        for other in range(5):
            turn = torch.linalg.qr(normal(3, 3, seed=other)).Q
            assert (found[i] @ turn - found[i - 1]).norm() >= (found[i] - found[i - 1]).norm() - 1e-9


def test_wrong_arguments_are_refused():
    for n in (0, 4, 6):
        with pytest.raises(ValueError, match=f"n_components: {n} given, expected 1 to 3"):
            principal_components(normal(5, 3), n)
    with pytest.raises(ValueError, match="representation: the same row for every token"):
        principal_components(torch.tensor([0.1, 0.7, 1 / 3], dtype=torch.float64).expand(13, 3))
    with pytest.raises(ValueError, match="coordinates: "):
        aligned_planes(normal(5, 3))
