"""What a model's page holds and says, and that it degrades in words instead of failing."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probe.report import (
    neuron_clusters_figure,
    render_structure,
    report_pages,
)
from probe.report.meanings import MEASURES, meaning_of
from tests.report.synthetic_structure import CYCLIC, GROUP, POLYNOMIAL, arrays, structure_data
from tests.report.test_html import Page, figures

PANELS = {
    CYCLIC: [
        "embedding-spectrum",
        "neuron-logit-spectrum",
        "circles",
        "key-frequencies",
        "neuron-clusters",
        "neuron-fits",
        "heads-frequency",
        "logit-spectrum",
        "diagonal",
        "logit-cosines",
        "progress",
        "component-loss",
        "other-measures",
    ],
    GROUP: [
        "embedding-spectrum",
        "neuron-logit-spectrum",
        "irrep-logits",
        "irrep-shares",
        "irrep-clusters",
        "progress",
        "component-loss",
    ],
    POLYNOMIAL: ["embedding-spectrum", "neuron-logit-spectrum", "logit-spectrum", "diagonal", "progress"],
}


@pytest.fixture(scope="module")
def data():
    return structure_data()


@pytest.fixture(scope="module")
def pages(data):
    return dict(report_pages(data))


def page_of(pages, model: str) -> str:
    return pages[f"structure-{model}.html"]


def without(data, *probes):
    return replace(data, results=data.results[~data.results["probe"].isin(probes)])


def facts(html: str) -> dict[str, str]:
    numbers = re.search(r'<section id="numbers">(.*?)</section>', html, re.DOTALL)[1]
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", numbers)
    return {unescape(name): unescape(text) for name, text in pairs}


def headline(html: str) -> str:
    return unescape(re.search(r'<p class="headline">(.*?)</p>', html)[1])


def missing(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'<p class="missing">(.*?)</p>', html)]


@pytest.mark.parametrize("model", [CYCLIC, GROUP, POLYNOMIAL])
def test_panels_are_there_in_order_with_captions_that_name_their_source(pages, model):
    html = page_of(pages, model)
    assert list(figures(html)) == PANELS[model]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert len(captions) == len(PANELS[model])
    assert all(f"odel {model}" in caption for caption in captions)
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)", html)] == list(range(1, len(captions) + 1))
    assert not re.search(r"\b(nan|inf|None)\b", Page(html).text)


def test_figures_on_the_page_are_those_of_the_public_calls(data, pages):
    (drawn,) = figures(page_of(pages, CYCLIC))["neuron-clusters"].values()
    alone = neuron_clusters_figure(data.results, CYCLIC)
    assert [trace["name"] for trace in drawn["data"]] == [trace.name for trace in alone.data]
    for panel in ("neuron-fits", "logit-spectrum"):
        (drawn,) = figures(page_of(pages, CYCLIC))[panel].values()
        assert [mark["x"] for mark in drawn["layout"]["annotations"]] == [3, 7, 12]


def test_sliders_are_the_pages_own(pages):
    html = page_of(pages, CYCLIC)
    assert re.findall(r'<input type="range" id="([^"]*)"', html) == [
        "circles-step",
        "neuron-fits-step",
        "logit-spectrum-step",
    ]
    specs = [spec for choices in figures(html).values() for spec in choices.values()]
    assert not any("sliders" in spec["layout"] for spec in specs)


def test_key_numbers_of_a_model_that_adds(pages):
    html = page_of(pages, CYCLIC)
    end = 1 / (1 + (150 / 500) ** 3)
    assert headline(html) == (
        f"Memorized at step 75, generalized at step 300; 3 key frequencies explain {95 * end:.1f} % of the logits at"
        " the end."
    )
    assert facts(html) == {
        "Task": "a+b mod 31, 70 % of the pairs trained on",
        "Size": "1,000 parameters, seed 0",
        "Evaluated": "steps 0 to 500 (13 evaluations)",
        "Plateau": "225 steps between memorizing and generalizing",
        "Final accuracy": "train 1.0000, test 1.0000",
        "Key frequencies": "3 (logit cosine 0.300), 7 (logit cosine 0.700), 12 (logit cosine 1.200)",
        "Logit variance explained": f"{95 * end:.1f} % by the keys, {97 * end:.1f} % by all functions of the sum",
        "Neurons of one frequency": f"{80 * end:.1f} % of them, by more than .85 of their variance",
        "Heads": ", ".join(f"head {i} k={(3, 7, 12, 3)[i]} ({(0.9 - 0.2 * i) * end:.2f})" for i in range(4))
        + ", best frequency (share of the attention's variance)",
    }


def test_key_numbers_of_a_model_of_a_group(pages):
    html = page_of(pages, GROUP)
    end = 1 / (1 + (150 / 500) ** 3)
    assert headline(html).endswith(f"2 key irreps explain {90 * end:.1f} % of the logits at the end.")
    assert facts(html)["Key irreps"] == f"standard (logit cosine {0.2 * end:.3f}), sign (logit cosine {0.5 * end:.3f})"
    assert facts(html)["Logit variance explained"] == (
        f"{90 * end:.1f} % by the keys, {93 * end:.1f} % by all class functions"
    )
    assert facts(html)["Neurons of one irrep"].startswith(f"{50 * end:.1f} %")


def test_only_what_was_measured_is_said(data, pages):
    said = facts(page_of(pages, POLYNOMIAL))
    assert set(said) == {"Size", "Evaluated", "Plateau", "Final accuracy", "Training"}
    assert said["Training"] == "stopped: the disk was full"
    silent = facts(render_structure(without(data, "performance"), CYCLIC))
    assert "Plateau" not in silent
    assert "Final accuracy" not in silent
    assert headline(render_structure(without(data, "performance", "fourier_progress"), CYCLIC)) == (
        "What was measured inside the model."
    )


def test_what_was_not_reached_is_said_with_the_budget(data):
    early = replace(data, results=data.results[data.results["step"] < 100])
    assert headline(render_structure(early, CYCLIC)).startswith("Memorized at step 75, not generalized within 75 steps")
    earlier = replace(data, results=data.results[data.results["step"] < 60])
    assert headline(render_structure(earlier, CYCLIC)).startswith("Not memorized within 50 steps")


@pytest.mark.parametrize(("steps", "said"), [((500,), "only"), ((100, 500), "first")])
def test_what_was_there_at_the_first_evaluation_was_reached_by_then(data, steps, said):
    few = replace(data, results=data.results[data.results["step"].isin(steps)])
    html = render_structure(few, CYCLIC)
    assert headline(html).startswith(f"Memorized by its {said} evaluation, step {steps[0]}")
    evaluated = "step 500 (1 evaluation)" if len(steps) == 1 else "steps 100 to 500 (2 evaluations)"
    assert facts(html)["Evaluated"] == evaluated
    for panel in ("neuron-clusters", "heads-frequency", "other-measures"):
        (spec,) = figures(html)[panel].values()
        assert bool(spec["layout"].get("shapes")) == (len(steps) > 1)


def test_a_model_that_diverged_is_said_to_have(data):
    results = data.results.copy()
    late = (results["model"] == CYCLIC) & (results["step"] >= 200)
    results.loc[late, "value"] = np.nan
    html = render_structure(replace(data, results=results), CYCLIC)
    assert facts(html)["Diverged"] == "the loss is not finite from step 200"
    assert not re.search(r"\b(nan|inf|None)\b", Page(html).text)
    assert "neuron-clusters" in figures(html)


@pytest.mark.parametrize(
    ("probe", "panels"),
    [
        ("embedding_spectrum", ["embedding-spectrum"]),
        ("neuron_logit_spectrum", ["neuron-logit-spectrum"]),
        ("neuron_frequencies", ["neuron-clusters", "neuron-fits"]),
        ("attention_frequencies", ["heads-frequency"]),
        ("key_frequencies", ["logit-cosines", "circles"]),
        ("fourier_progress", ["component-loss"]),
    ],
)
def test_without_a_probe_its_panels_are_left_out_and_it_is_named(data, probe, panels):
    html = render_structure(without(data, probe), CYCLIC)
    assert list(figures(html)) == [panel for panel in PANELS[CYCLIC] if panel not in panels]
    assert any(probe in text for text in missing(html))


@pytest.mark.parametrize(
    ("array", "panel", "says"),
    [
        ("embedding_circle", "circles", "embedding_circle"),
        ("neuron_share", "neuron-fits", "neuron_share"),
        ("logit_spectrum_group", "logit-spectrum", "logit_spectrum"),
    ],
)
def test_without_an_array_its_panel_is_left_out_and_said(data, array, panel, says):
    def read(model: str, name: str) -> xr.DataArray | None:
        return None if name == array else arrays().get((model, name))

    html = render_structure(replace(data, arrays=read), CYCLIC)
    assert list(figures(html)) == [name for name in PANELS[CYCLIC] if name != panel]
    assert any(says in text for text in missing(html))


def test_what_is_not_about_a_model_is_said_once(pages):
    notes = missing(page_of(pages, GROUP))
    assert [text for text in notes if text.startswith("Frequencies:")] == [
        "Frequencies: probes key_frequencies, fourier_progress, embedding_circle, neuron_frequencies,"
        " attention_frequencies, logit_spectrum found nothing."
    ]
    assert any("irrep_power" in text for text in missing(page_of(pages, CYCLIC)))
    others = "probes algorithm, representation found nothing; probes complexity, fourier_probe not asked for"
    assert f"Other measures: {others}." in notes


@pytest.mark.parametrize(("probe", "panel"), [("irrep_progress", "irrep-logits"), ("irrep_power", "irrep-shares")])
def test_without_a_probe_of_irreps(data, probe, panel):
    html = render_structure(without(data, probe), GROUP)
    assert panel not in figures(html)
    assert any(probe in text for text in missing(html))


def test_every_measure_without_a_figure_of_its_own_is_drawn(data, pages):
    (spec,) = figures(page_of(pages, CYCLIC))["other-measures"].values()
    titles = [annotation["text"] for annotation in spec["layout"]["annotations"]]
    known = ["gradient symmetricity", "effective rank of W_E", "neighbours round the circle of k"]
    assert titles == [
        *known,
        "circularity",
        "energy low",
    ]  # intervals and nulls are no measures; energy_low is the interval of nothing
    mine = data.results[data.results["metric"] == "effective_rank"]
    more = [mine.assign(probe="mine", metric=f"number_{i:02}") for i in range(30)]
    html = render_structure(replace(data, results=pd.concat([data.results, *more], ignore_index=True)), CYCLIC)
    (spec,) = figures(html)["other-measures"].values()
    assert len(spec["layout"]["annotations"]) == 24
    assert "Not drawn: number_19, number_20" in html


def test_other_measures_are_defined_and_short_chains_are_warned_of(data):
    def caption(r_hat):
        mine = data.results[data.results["metric"] == "effective_rank"]
        wandering = mine.assign(probe="complexity", metric="llc_r_hat", value=r_hat)
        mappings = mine.assign(probe="complexity", metric="linear_mapping_number")
        html = render_structure(replace(data, results=pd.concat([data.results, wandering, mappings])), CYCLIC)
        (spec,) = figures(html)["other-measures"].values()
        assert "linear mapping number" in [title["text"] for title in spec["layout"]["annotations"]]
        axes = [axis["title"]["text"] for name, axis in spec["layout"].items() if name.startswith("yaxis")]
        assert "linear mappings" in axes
        assert not any("_" in text for text in axes)
        return unescape(re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)[-1])

    n = (data.results["metric"] == "effective_rank").sum()
    said = caption([1.5, 1.2, *[1.0] * (n - 2)])
    for clause in ("Gradient symmetricity: cosine", "; effective rank of W_E: exp", "; linear mapping number: 2^"):
        assert clause in said
    assert "R-hat is above 1.1 at 2 of 13 steps (steps 0, 1): the chains are too short there" in said
    assert "at every step" in caption([1.2] * n)
    assert "R-hat is above" not in caption([1.1] * n)
    for metric in ("clock_fve", "pizza_fve"):
        assert "negative" in meaning_of("algorithm", metric).unit
    assert all(meaning.clause for meaning in MEASURES.values())


def test_the_orders_of_a_polynomial_are_a_choice(pages):
    html = page_of(pages, POLYNOMIAL)
    assert list(figures(html)["logit-spectrum"]) == [
        "residues (additive)",
        "discrete logarithms (multiplicative)",
    ]
    assert re.findall(r"<option selected>([^<]*)", html) == ["residues (additive)"]


def test_circles_that_are_not_numbers_are_drawn_without_error(data):
    def read(model: str, name: str) -> xr.DataArray | None:
        found = arrays().get((model, name))
        return found * np.nan if name == "embedding_circle" and found is not None else found

    assert "circles" in figures(render_structure(replace(data, arrays=read), CYCLIC))
