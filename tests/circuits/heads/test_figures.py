"""What a reader finds in the figures: numbers in their places, labels, and what they are compared with."""

import numpy as np
import pytest

from circuits import heads, repeated_tokens
from circuits.heads import (
    attribution_figure,
    composition_figure,
    composition_scores,
    direct_logit_attribution,
    head_scores,
    heads_figure,
    lens_figure,
    logit_lens,
    ov_copying,
    scores_on_repeats,
)
from probe.report.style import SEQUENTIAL, figure
from tests.circuits.heads.known_heads import BOS, D_VOCAB, GAIN, known_heads
from tests.circuits.models import ours, random_pairs

PAIRS = repeated_tokens(5, 5, D_VOCAB, bos=BOS)


def drawn(plot):
    (trace,) = plot.data
    return trace


def labels(plot):
    return plot.layout.xaxis.title.text, plot.layout.yaxis.title.text


def is_sequential(trace):
    expected = drawn(figure(100, [type(trace)(z=[[0]], colorscale=SEQUENTIAL)])).colorscale
    return trace.colorscale == expected


@pytest.fixture(scope="module")
def model():
    return known_heads()


def test_heads(model):
    scores = scores_on_repeats(model, PAIRS)
    plot = heads_figure(scores, "induction")
    trace = drawn(plot)
    assert is_sequential(trace)
    assert (trace.zmin, trace.zmax) == (0, 1)
    assert (list(trace.y), list(trace.x)) == (["0", "1"], ["0", "1"])
    mean = scores.means()["mean"].sel(score="induction").transpose("layer", "head")
    np.testing.assert_array_equal(trace.z, mean)
    assert trace.z[1, 1] > 0.99
    assert labels(plot) == ("head", "layer")
    assert trace.colorbar.title.text == "share of attention"
    uniform = float(scores.uniform.sel(score="induction").mean())
    assert f"uniform attention: {uniform:.3f}; without repeats at most" in plot.layout.title.text
    assert "induction: attention of each head, mean of 5 examples" in plot.layout.title.text
    assert trace.customdata[1, 1].startswith("1.000 to 1.000, uniform ")
    assert "without repeats" in trace.customdata[1, 1]
    alone = heads_figure(head_scores(model, PAIRS), "first_token")
    assert "repeats" not in alone.layout.title.text + drawn(alone).customdata[0, 0]
    with pytest.raises(ValueError, match="score: got 'copying'; expected one of previous_token"):
        heads_figure(scores, "copying")


def test_intervals_are_those_of_the_means():
    random = ours(n_layers=1)[0]
    scores = head_scores(random, [[1, 2, 3], [4, 5], [6, 7, 8, 9]])
    mean = scores.means(0.5).sel(score="first_token", layer=0, head=1)
    text = drawn(heads_figure(scores, "first_token", 0.5)).customdata[0, 1]
    assert text == f"{mean['low']:.3f} to {mean['high']:.3f}, uniform {mean['uniform']:.3f}"
    pairs = random_pairs(6)
    attribution, lens = direct_logit_attribution(random, pairs), logit_lens(random, pairs)
    for trace, found in (
        (drawn(attribution_figure(attribution, confidence=0.5)), attribution.means(0.5)),
        (drawn(lens_figure(lens, "log_prob", 0.5)), lens.means("log_prob", 0.5)),
    ):
        np.testing.assert_allclose(trace.y, found["mean"])
        np.testing.assert_allclose(trace.y + trace.error_y.array, found["high"])
        np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, found["low"])
        np.testing.assert_allclose(trace.customdata, np.stack([found["low"], found["high"]], -1))


def test_copying(model):
    found = ov_copying(model)
    plot = heads_figure(found, "copying")
    trace = drawn(plot)
    assert (trace.zmin, trace.zmax) == (-1, 1)
    np.testing.assert_array_equal(trace.z, found["score"])
    assert "copying score of each head, eigenvalues of its OV circuit<br>random heads: -0." in plot.layout.title.text
    assert "random" in trace.customdata[0, 0]


def test_composition(model):
    found = composition_scores(model)
    plot = composition_figure(found, "k")
    trace = drawn(plot)
    assert is_sequential(trace)
    # heads that no later one reads, and that read none, are not drawn
    assert (list(trace.y), list(trace.x)) == (["L0.H0", "L0.H1"], ["L1.H0", "L1.H1"])
    np.testing.assert_array_equal(trace.z, found["above"].sel(input="k").to_numpy()[:2, 2:])
    assert np.unravel_index(np.argmax(trace.z), trace.z.shape) == (0, 1)
    assert labels(plot) == ("head that reads, by its k", "head that writes")
    assert f"random: {float(found['baseline']):.3f} (" in plot.layout.title.text
    assert "95 % of 200 draws" in plot.layout.title.text
    assert trace.customdata[0, 1].startswith(f"score {D_VOCAB**-0.5:.3f}, z ")
    with pytest.raises(ValueError, match="read_by: got 'mlp'"):
        composition_figure(found, "mlp")


def test_attribution(model):
    found = direct_logit_attribution(model, PAIRS)
    whole = drawn(attribution_figure(found))
    assert list(whole.x) == found.values["component"].to_numpy().tolist()
    np.testing.assert_allclose(whole.y, found.values.mean("pair"))
    plot = attribution_figure(found, n=1)
    trace = drawn(plot)
    assert list(trace.x) == ["L1.H1", "7 others"]
    np.testing.assert_allclose(trace.y, [GAIN, 0], atol=1e-5)
    assert labels(plot) == ("part of the model", "logit difference (logits)")
    assert "mean of 5 pairs, 95% interval; all parts sum to 8.000" in plot.layout.title.text
    with pytest.raises(ValueError, match="n: got 0"):
        attribution_figure(found, n=0)


def test_lens(model):
    found = logit_lens(model, PAIRS)
    for what, label, chance in (
        ("log_prob", "log-probability of the answer (nats)", -np.log(D_VOCAB)),
        ("rank", "rank of the answer (1 = first)", 7.5),
        ("logit_difference", "logit difference (logits)", 0),
    ):
        plot = lens_figure(found, what)
        trace = drawn(plot)
        assert list(trace.x) == ["embed", "L0", "L1"]
        np.testing.assert_allclose(trace.y, found.values[what].mean("pair"))
        assert labels(plot) == ("residual stream after", label)
        (line,) = plot.layout.shapes
        assert np.isclose(line.y0, chance)
        assert "mean of 5 pairs" in plot.layout.title.text


def test_the_package_offers_what_it_says():
    assert heads.__all__ == sorted(heads.__all__)
    for name in heads.__all__:
        assert getattr(heads, name).__name__ == name
