import math

import numpy as np
import pytest
import torch

from probe.measures.fourier import by_embedding, by_logits, by_neurons, degree2_fit, key_frequencies, logit_cosines


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def angles(n: int, k: int) -> torch.Tensor:
    return 2 * math.pi * k * torch.arange(n, dtype=torch.float64) / n


def waves(n: int, k: int) -> torch.Tensor:
    a = angles(n, k)
    return torch.cos(a[:, None, None] + a[:, None] - a)


class TestLogits:
    def test_planted_frequencies_are_found(self):
        cube = 3 * waves(29, 4) + waves(29, 11) + randn(29, 29, 29)
        found = by_logits(cube)
        assert found.rule == "logits"
        assert found.frequencies == (4, 11)
        torch.testing.assert_close(found.scores, logit_cosines(cube)[1:])

    def test_noise_has_none_although_it_passes_the_threshold(self):
        found = by_logits(randn(13, 13, 13, seed=3))
        assert found.scores.max() > found.threshold  # 0.005 alone would call noise structured
        assert found.null_quantile > found.scores.max()
        assert found.frequencies == ()

    def test_the_threshold_binds_where_noise_is_small(self):
        n = 61  # null quantile about .0075
        weak = 0.02 * math.sqrt(2) * waves(n, 5) + randn(n, n, n)
        assert by_logits(weak).frequencies == (5,)
        assert by_logits(weak, threshold=0.5).frequencies == ()

    def test_an_inverted_frequency_is_not_key(self):
        assert by_logits(-waves(11, 2)).frequencies == ()

    def test_null_quantile_is_that_of_noise(self):
        cubes = randn(4000, 7, 7, 7)
        null = by_logits(cubes[0]).null_quantile
        exceeding = (logit_cosines(cubes).amax(-1) > null).double().mean().item()
        assert exceeding == pytest.approx(0.01, abs=0.005)  # 40 of 4000 expected, sd 6


class TestEmbedding:
    def test_planted_frequencies_are_found(self):
        t, plane = torch.arange(31), randn(4, 40)
        circles = torch.stack([f(angles(31, k))[t] for k in (2, 9) for f in (torch.cos, torch.sin)], dim=1)
        found = by_embedding(circles @ plane + 0.05 * randn(31, 40, seed=1))
        assert found.rule == "embedding"
        assert found.frequencies == (2, 9)

    def test_a_quarter_of_the_largest_norm_is_the_threshold(self):
        t = angles(101, 1)
        amplitudes = {1: 4.0, 2: 1.1, 3: 0.9}
        columns = [a * f(k * t) for k, a in amplitudes.items() for f in (torch.cos, torch.sin)]
        # padded with empty dimensions and many frequencies, so that the null is low
        W = torch.cat([torch.stack(columns, dim=1), torch.zeros(101, 600)], dim=1)
        found = by_embedding(W)
        assert found.null_quantile < 0.04
        assert found.threshold == pytest.approx(16 / (16 + 1.21 + 0.81) / 16)
        assert found.scores.sum().item() == pytest.approx(1.0)
        assert found.scores[2] > found.null_quantile
        assert found.frequencies == (1, 2)

    def test_noise_has_none_although_all_norms_are_alike(self):
        found = by_embedding(randn(31, 64, seed=4))
        assert (found.scores > found.threshold).all()
        assert found.frequencies == ()

    def test_the_constant_is_no_frequency(self):
        W = randn(31, 64, seed=4) + 100
        assert by_embedding(W).frequencies == ()

    @pytest.mark.parametrize("p", [11, 12])
    def test_null_quantile_is_that_of_noise(self, p):
        exceeding = [(found := by_embedding(W)).scores.max().item() > found.null_quantile for W in randn(2000, p, 5)]
        assert np.mean(exceeding) == pytest.approx(0.01, abs=0.007)


class TestNeurons:
    n = 13

    def neuron(self, k: int) -> torch.Tensor:
        """Every degree-2 product of frequency k, plus a constant."""
        a = angles(self.n, k)
        of_a = 1.0 + 2 * a.cos() - a.sin()
        of_b = 0.5 - a.cos() + 3 * a.sin()
        return of_a[:, None] * of_b + 7

    def test_key_frequencies_need_a_neuron_above_the_threshold(self):
        noisy = 0.5 * self.neuron(5) + 2 * randn(self.n, self.n)
        found = by_neurons(torch.stack([self.neuron(2), self.neuron(2), noisy], dim=-1))
        assert found.rule == "neurons"
        assert found.frequencies == (2,)
        assert 0 < found.scores[4] < found.threshold == 0.85
        assert found.scores[1].item() == pytest.approx(1.0)

    def test_where_the_polynomials_span_everything_no_frequency_is_key(self):
        found = by_neurons(randn(3, 3, 4))
        assert found.scores.tolist() == pytest.approx([1.0])
        assert found.null_quantile == 1.0
        assert found.frequencies == ()

    def test_null_quantile_is_that_of_noise(self):
        models = randn(20_000, 7, 7, 3)
        null = by_neurons(models[0]).null_quantile
        exceeding = (degree2_fit(models)[1].amax(-1) > null).double().mean().item()
        assert exceeding == pytest.approx(0.01, abs=0.0025)  # sd .0007


def test_one_model_at_a_time():
    with pytest.raises(ValueError, match="logits: shape"):
        by_logits(torch.zeros(2, 5, 5, 5))
    with pytest.raises(ValueError, match="embedding: shape"):
        by_embedding(torch.zeros(2, 5, 5))
    with pytest.raises(ValueError, match="neurons: shape"):
        by_neurons(torch.zeros(5, 5))


def test_key_frequencies_are_those_of_the_rule_that_goes_with_the_array():
    cube = 3 * waves(29, 4) + waves(29, 11) + randn(29, 29, 29)
    W = torch.stack([f(angles(29, k)) for k in (2, 9) for f in (torch.cos, torch.sin)], dim=1) @ randn(4, 40)
    neurons = torch.stack([f(angles(29, 5))[:, None] * angles(29, 5).cos() for f in (torch.cos, torch.sin)], dim=-1)
    assert key_frequencies(cube.numpy()) == key_frequencies(logits=cube) == [4, 11]
    assert key_frequencies(embedding=W) == key_frequencies(neuron_logit_map=W.T) == [2, 9]
    assert key_frequencies(neurons=neurons) == [5]
    for arguments, said in (({}, "nothing"), ({"logits": cube, "embedding": W}, "logits, embedding")):
        with pytest.raises(ValueError, match=f"logits: {said} given, expected exactly one of logits, embedding"):
            key_frequencies(**arguments)
    with pytest.raises(ValueError, match=r"neuron_logit_map: shape \(3,\)"):
        key_frequencies(neuron_logit_map=torch.ones(3))
    assert key_frequencies(neurons=neurons.tolist()) == [5]
    assert key_frequencies(logits=cube.tolist()) == [4, 11]


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_what_has_no_frequencies_is_refused_under_its_own_name(value):
    for name in ("embedding", "neuron_logit_map"):
        with pytest.raises(ValueError, match=f"{name}: the same row for every token"):
            key_frequencies(**{name: torch.full((5, 3), value)})
    assert key_frequencies(neurons=torch.full((5, 5, 3), value)) == []  # a neuron that never fires is nothing wrong


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("neurons", torch.full((5, 5, 2), math.nan), "nan given"),
        ("neurons", torch.ones(5, 4, 2), "shape"),
        ("neurons", torch.ones(1, 1, 2), r"shape \(1, 1, 2\) given, expected \[n, n, neuron\], n at least 2"),
        ("neurons", "some", "str given"),
        ("embedding", torch.ones(1, 3), r"shape \(1, 3\) given, expected \[p, d\], p at least 2"),
        ("neuron_logit_map", torch.ones(3, 1), "shape"),
        ("neuron_logit_map", torch.full((3, 5), math.inf), "inf given"),
        ("logits", [[1.0]], "shape"),
    ],
)
def test_wrong_arrays_are_refused_under_their_own_name(name, array, message):
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        key_frequencies(**{name: array})


@pytest.mark.parametrize("p", [2, 3])
def test_of_two_and_three_tokens_nothing_but_logits_has_a_key_frequency(p):
    t = torch.arange(p, dtype=torch.float64)
    wave = torch.stack([f(2 * math.pi * t / p) for f in (torch.cos, torch.sin)], dim=1)
    assert key_frequencies(embedding=wave) == []
    assert key_frequencies(neuron_logit_map=wave.T) == []
    assert key_frequencies(neurons=(wave[:, None] * wave[None, :, :1])) == []
    assert key_frequencies(logits=waves(p, 1)) == [1]


def test_an_embedding_of_extreme_scale():
    W = torch.stack([f(angles(29, k)) for k in (2, 9) for f in (torch.cos, torch.sin)], dim=1) @ randn(4, 40)
    assert key_frequencies(embedding=1e160 * W) == key_frequencies(embedding=1e-170 * W) == [2, 9]
