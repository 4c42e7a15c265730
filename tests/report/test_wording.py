"""Captions speak of the task at hand, and what is left out is left out for the reason that is given."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from probe.algebra import group
from probe.measures.fourier import circle_circularity
from probe.report import Section, spectrum_figure
from probe.report.left_out import with_meaning
from probe.report.numbers import key_numbers
from probe.report.one_model import OneModel
from probe.report.sections import sections
from probe.report.structure import structure_sections
from probe.report.transition import transition_sections
from probe.report.wording import irrep_names, progress_definitions, wording
from probe.scaling import transitions
from probe.tasks import Facts, GroupComposition, ModularArithmetic
from tests.report.synthetic_structure import CYCLIC, GROUP, POLYNOMIAL, structure_data

S4, C31, A4 = (GroupComposition(name, 0.5) for name in ("S4", "C31", "A4"))
SUM, DIFFERENCE, PRODUCT, QUOTIENT, SQUARES = (
    ModularArithmetic(31, operation, 0.7) for operation in ("a+b", "a-b", "a*b", "a/b", "a^2+b^2")
)
REQUEST = "probes: [{name: key_frequencies}, {name: fourier_progress}, {name: embedding_circle}, {name: mine}]"


@pytest.fixture(scope="module")
def data():
    return structure_data()


def page_of(data, model, task=None, without=(), request="suite: {}") -> list[Section]:
    kept = data.results[~data.results["probe"].isin(without)]
    questions = {} if task is None else {model: task}
    return structure_sections(OneModel.of(replace(data, results=kept, questions=questions, batch_yaml=request), model))


def overview_of(data) -> list[Section]:
    data = with_meaning(data)
    return sections(data, transitions(data.results))


def captions(page: list[Section]) -> str:
    return " ".join(panel.caption for section in page for panel in section.panels)


def missing(page: list[Section]) -> list[str]:
    return [text for section in page for text in section.missing]


def figures(page: list[Section]) -> dict:
    return {panel.id: panel.choices for section in page for panel in section.panels}


def titles(page: list[Section], panel: str) -> list[str]:
    first = next(iter(figures(page)[panel].values()))
    return [annotation.text for annotation in first.layout.annotations]


# --- the words of a task ---

LOG = "cos w(log a + log b - log c) (log: discrete logarithm)"


@pytest.mark.parametrize(
    ("task", "sum", "cosine", "order", "element"),
    [
        (None, "a + b", "cos w(a + b - c)", "tokens", "a b c⁻¹"),
        (SUM, "a + b", "cos w(a + b - c)", "residues", "a + b - c"),
        (DIFFERENCE, "a - b", "cos w(a - b - c)", "residues", "a - b - c"),
        (PRODUCT, "a * b", LOG, "discrete logarithms", "a b c⁻¹"),
        (QUOTIENT, "a / b", LOG.replace("+", "-"), "discrete logarithms", "a b⁻¹ c⁻¹"),
        (C31, "a b", "cos w(a + b - c)", "elements", "a b c⁻¹"),
        (GroupComposition("C2xC3", 0.5), "a b", LOG, "powers of a generator", "a b c⁻¹"),
    ],
)
def test_each_task_has_its_words(task, sum, cosine, order, element):
    words = wording(task)
    assert (words.sum, words.cosine, words.order, words.element) == (sum, cosine, order, element)


@pytest.mark.parametrize("task", [DIFFERENCE, PRODUCT, QUOTIENT])
def test_no_caption_of_another_operation_speaks_of_sums(data, task):
    page = page_of(data, CYCLIC, task)
    words, said = wording(task), captions(page)
    assert "a + b" not in said
    assert "a+b" not in said
    assert f"Between the dotted lines lies the diagonal: functions of {words.sum}." in said
    assert f"with {words.cosine}" in said
    assert f"x = {words.phase}" in said
    assert f"loss: only the {words.cosine}" in said
    numbers = key_numbers(OneModel.of(replace(data, questions={CYCLIC: task}), CYCLIC))
    assert f"by all functions of {words.sum}" in numbers
    for panel in ("embedding-spectrum", "neuron-logit-spectrum"):
        (plot,) = figures(page)[panel].values()
        assert plot.layout.yaxis.title.text == f"frequency k (cycles over the {words.order})"
    assert ("sin w_k b} explains, a and b in their discrete logarithms" in said) == (task is not DIFFERENCE)


def test_orders_of_a_polynomial_have_their_functions(data):
    said = captions(page_of(data, POLYNOMIAL, SQUARES))
    assert "the diagonal: functions of a + b (residues), of a * b (discrete logarithms)." in said
    assert "Cycles are counted over the residues." in said


def test_the_overview_names_what_every_task_adds_up_to(data):
    questions = {CYCLIC: DIFFERENCE, GROUP: S4, POLYNOMIAL: SQUARES}
    said = captions(overview_of(replace(data, questions=questions)))
    assert "x = a - b - c;" not in said  # the model whose task is not known counts as a + b
    assert "x = a - b - c, a + b - c;" in said
    few = replace(data, questions=questions, results=data.results[data.results["model"].isin(questions)])
    assert "x = a - b - c;" in captions(overview_of(few))
    assert "characters of the key irreps at a - b - c or a b c⁻¹ explain" in captions(overview_of(few))


def test_only_measures_that_are_there_are_defined():
    said = progress_definitions([S4], {"irrep_progress", "weights"})
    assert said.startswith("Restricted loss keeps only the key irreps of the final step")
    assert "frequenc" not in said
    assert progress_definitions([SUM], {"weights"}) == "Squared weights: of all parameters"


# --- measures ---


def test_the_two_circularities_are_told_apart_and_said_right(data):
    said = captions(page_of(data, CYCLIC, ModularArithmetic(24, "a+b", 0.7)))
    assert "Circularity of one frequency's circle" in said
    assert "1 on a circle (at k = 12 = n/2, of two places in turn), .5 on a line, and on average d / (d + n)" in said
    assert "a mean over its first four principal components" in said
    assert "of two places" not in captions(page_of(data, CYCLIC, SUM))
    t, k = np.arange(31), 3
    line = np.cos(2 * np.pi * k * t / 31)[:, None] * np.ones(4)
    assert circle_circularity(line, k) == pytest.approx(0.5)
    noise = np.random.default_rng(0).normal(size=(40, 31, 10))
    assert np.mean([circle_circularity(one, k) for one in noise]) == pytest.approx(10 / 41, abs=0.02)
    algorithm = data.results[data.results["metric"] == "effective_rank"].assign(probe="algorithm", metric="circularity")
    results = pd.concat([data.results, algorithm], ignore_index=True)
    said = captions(page_of(replace(data, results=results), CYCLIC))
    assert "circularity of W_E (first 4 components): mean over the first four principal components" in said


def test_the_centring_of_logit_cosines_is_said(data):
    said = captions(page_of(data, CYCLIC))
    assert "Cosine of the logits, centred over answers only, with cos w(a + b - c)" in said
    assert "squared cosines need not add up to it" in said
    assert "doubly centred" not in said
    assert "Cosine of the logits, centred over answers only, with the character" in captions(page_of(data, GROUP))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A4", ["a number is the dimension"]),
        ("S4xC2", ["a number is the dimension (of real matrices), and letters tell apart"]),
        ("S5", ["[...] is the partition", "standard is"]),
        ("D5", ["k is the frequency"]),
        ("C2", ["k is the frequency"]),
    ],
)
def test_names_of_irreps_are_explained(name, said):
    text = irrep_names(group(name).irreps)
    assert all(part in text for part in said)
    assert text.count(";") == len(said) - 1
    assert irrep_names(["trivial", "sign", "all keys", ""]) == ""


def test_irreps_are_explained_where_they_are_shown(data):
    assert captions(page_of(data, GROUP)).count("Names of irreps: [...] is the partition") == 2


# --- what is left out ---


def test_elements_without_an_order_have_no_spectra(data):
    page = page_of(data, GROUP, S4)
    assert not {"embedding-spectrum", "neuron-logit-spectrum"} & set(figures(page))
    assert not any("Gini" in title for title in titles(page, "progress"))
    why = "composition in S4 is no addition in a cyclic group, so that its elements have no order to count cycles over"
    assert f"Spectra of the weights: {why}." in missing(page)
    assert "embedding-spectrum" in figures(page_of(data, GROUP, GroupComposition("C24", 0.5)))
    assert "embedding-spectrum" not in figures(page_of(data, GROUP, Facts(20, 10, held_out=0.1)))
    overview = replace(data, questions=dict.fromkeys(data.results["model"].unique(), A4))
    assert not any("Gini" in title for title in titles(overview_of(overview), "progress"))
    assert any("Gini" in title for title in titles(overview_of(data), "progress"))


def test_spectra_of_no_meaning_are_not_dated(data):
    def measures(given):
        found = {section.id: section for section in transition_sections(given)}
        (plot,) = [plot for name, plot in found["timeline"].panels[0].choices.items() if name == GROUP]
        return {trace.name for trace in plot.data}

    repeated = data.results[data.results["model"] == GROUP]
    later = [repeated.assign(step=repeated["step"] + shift) for shift in (0, 501, 1002)]
    few = replace(data, results=pd.concat(later, ignore_index=True))
    assert "Gini of the spectrum of W_E" in measures(few)
    assert "Gini of the spectrum of W_E" not in measures(replace(few, questions={GROUP: S4}))


@pytest.mark.parametrize(
    ("task", "request_", "says"),
    [
        (SUM, "suite: {}", "probe key_frequencies not asked for"),
        (SUM, REQUEST, "probe key_frequencies found nothing"),
        (SQUARES, REQUEST, "a^2+b^2 mod 31 is no addition in a cyclic group"),
        (SQUARES, "suite: {}", "a^2+b^2 mod 31 is no addition in a cyclic group"),
        (None, "not: [a, request", "probe key_frequencies not asked for"),
    ],
)
def test_reasons_are_told_apart(data, task, request_, says):
    notes = missing(page_of(data, CYCLIC, task, without=("key_frequencies",), request=request_))
    assert f"Left out: logit cosines of the frequencies: {says}." in notes


def test_frequencies_that_were_looked_for_and_not_found(data):
    keyless = data.results[(data.results["metric"] != "is_key") & (data.results["probe"] != "fourier_progress")]
    sums = data.results[(data.results["metric"] == "sum_fve") & (data.results["model"] == CYCLIC)]
    few = replace(data, results=pd.concat([keyless, sums], ignore_index=True))
    notes = missing(page_of(few, CYCLIC, SUM))
    assert "Left out: circles of key frequencies: probe key_frequencies found no key frequency." in notes
    reason = "probes fourier_progress, irrep_progress found no key frequency or irrep"
    assert f"Left out: restricted and excluded loss: {reason}." in notes


def test_the_overview_says_why_there_are_no_keys(data):
    def note(questions, request="suite: {}"):
        kept = data.results[data.results["probe"].isin(["performance", "weights"])]
        given = replace(data, results=kept, questions=questions, batch_yaml=request)
        (text,) = [text for text in missing(overview_of(given)) if "logit FVE" in text]
        return text.partition("left out: ")[2]

    models = data.results["model"].unique()
    assert note(dict.fromkeys(models, SQUARES)) == (
        "no task is an addition in a cyclic group, or the product of a group."
    )
    assert note(dict.fromkeys(models, SUM)) == "probe key_frequencies not asked for; probe key_irreps not asked for."
    assert note(dict.fromkeys(models, S4), REQUEST) == "probe key_irreps not asked for."
    assert note(dict.fromkeys(models, SUM), REQUEST).startswith("probe key_frequencies found none")


def test_the_axis_of_a_spectrum_alone_claims_no_order(data):
    assert spectrum_figure(data.results, CYCLIC).layout.yaxis.title.text == "frequency k (cycles over the tokens)"
