"""The sections of a model's page about frequencies: spectra, circles, neurons, heads and logits."""

from collections.abc import Mapping

import plotly.graph_objects as go

from probe.report.fourier import MAX_FREQUENCIES, circle_figure, key_frequency_figure, spectrum_figure
from probe.report.left_out import FOURIER, SPECTRA, no_meaning
from probe.report.logits import diagonal_share_figure, logit_cosine_figure, logit_spectrum_figure
from probe.report.one_model import OneModel
from probe.report.over_steps import MAX_LINES
from probe.report.page import Panel, Section
from probe.report.sections import CHUGHTAI, NANDA
from probe.report.units import head_figure, neuron_clusters_figure, neuron_fits_figure

NONE_KEY = "found no key frequency"
ORDERS = {
    "group": "the operation's own",
    "additive": "residues (additive)",
    "multiplicative": "discrete logarithms (multiplicative)",
}


def fourier_sections(model: OneModel) -> list[Section]:
    """What there is about frequencies, and a sentence for what is not."""
    if not any(model.has(probe) for probe in FOURIER):
        reason = f"Left out: {model.why_none(FOURIER)}."
        return [spectra_section(model), Section("frequencies", "Frequencies", missing=(reason,))]
    return [
        spectra_section(model),
        circles_section(model),
        neurons_section(model),
        heads_section(model),
        logits_section(model),
    ]


def spectra_section(model: OneModel) -> Section:
    title, order = "Spectra of the weights", model.words.order
    without = no_meaning(SPECTRA[0], model.task)
    if without:
        return Section("spectra", title, missing=(f"Left out: {without}.",))
    kinds = {
        "embedding_spectrum": ("Fourier spectrum of the embedding", "W_E's cos and sin components over the tokens"),
        "neuron_logit_spectrum": (
            "Fourier spectrum of the neuron-logit map",
            "W_out W_U's cos and sin components over the answers",
        ),
    }
    panels: list[Panel] = []
    missing = []
    for probe, (heading, what) in kinds.items():
        if not model.has(probe, "power_share"):
            missing.append(f"Left out: {heading}: {model.why_none(probe)}.")
            continue
        caption = (
            f"{model.source} Power of frequency k = squared norm of {what} at k, as a share of the power at all"
            f" frequencies ({NANDA})."
        )
        if not panels:
            caption += f" Cycles are counted over the {order}."
        if model.key_frequencies and not panels:
            caption += (
                " ◂ marks the key frequencies, chosen once from the logits of the final step; a frequency can stand"
                " out in the weights without being key."
            )
        id = probe.removesuffix("_spectrum").replace("_", "-") + "-spectrum"
        panels.append(Panel(id, heading, caption, {"": spectrum_figure(model.rows, model.name, probe, order)}))
    return Section("spectra", title, tuple(panels), tuple(missing), side_by_side=True)


def circles_section(model: OneModel) -> Section:
    title = "Embedding circles"
    planes = model.array("embedding_circle") if model.key_frequencies else None
    panels, missing = [], []
    if planes is None or not planes.size:
        probe, found = ("embedding_circle", "stored none") if model.key_frequencies else ("key_frequencies", NONE_KEY)
        missing.append(f"Left out: circles of key frequencies: {model.why_none(probe, found)}.")
    else:
        caption = (
            f"{model.source} W_E only (no inputs): every token projected on the plane of W_E's cos and sin components"
            f" at a key frequency k, after {NANDA}. Tokens are joined and shaded (dark to light) in the order k·t mod"
            f" n, t the place among the {model.words.order}, so that a ring with one sweep of shade means that the"
            " embedding keeps the cyclic order. The plane is"
            " fitted to W_E, so even a random embedding leans to a ring: compare with the first step. Axes are the"
            " same at every step."
        )
        if planes.sizes["frequency"] > MAX_FREQUENCIES:
            caption += f" At most {MAX_FREQUENCIES} frequencies are drawn, the strongest at the last step."
        heading = "The embedding in the plane of each key frequency"
        panels.append(Panel("circles", heading, caption, {"": circle_figure(planes)}))
    one_by_one = any(key.startswith("k=") for key in model.last("fourier_progress", "excluded_loss"))
    if model.has("embedding_circle", "circularity") or one_by_one:
        caption = (
            f"{model.source} Circularity of one frequency's circle: the share of the sum of squares in the plane above"
            f" that turns with k·t; 1 on a circle{_at_half(model)}, .5 on a line, and on average d / (d + n) for n"
            " tokens of noise in d dimensions, as the plane is fitted to it. (The measure of Zhong et al. 2023 by that"
            " name is of the whole embedding, a mean over its first four principal components.) Excluded loss: on"
            f" training pairs, this key frequency alone removed from the logits ({NANDA}); it rises as the model comes"
            " to rely on the frequency."
        )
        heading = "Each key frequency over steps"
        panels.append(Panel("key-frequencies", heading, caption, {"": key_frequency_figure(model.rows, model.name)}))
    return Section("circles", title, tuple(panels), tuple(missing))


def neurons_section(model: OneModel) -> Section:
    title = "Neurons by frequency"
    if not model.has("neuron_frequencies", "single_frequency_share"):
        reason = f"Left out: {model.why_none('neuron_frequencies')}."
        return Section("neurons", title, missing=(reason,))
    share = (
        "share of a neuron's variance over all inputs (a, b) that a least-squares fit in the products of {1, cos w_k a,"
        " sin w_k a} with {1, cos w_k b, sin w_k b} explains"
        f"{', a and b in their discrete logarithms' if 'log' in model.words.phase else ''}"
    )
    caption = (
        f"{model.source} Neurons of the last block. Share: {share} ({NANDA}); a neuron is of its best frequency if that"
        " explains more than .85. The key frequencies and those with the most neurons have a line each."
    )
    drawn = {"": neuron_clusters_figure(model.rows, model.name)}
    panels = [Panel("neuron-clusters", "Neurons that are of one frequency", caption, drawn)]
    missing = []
    frequency, shares = model.array("neuron_frequency"), model.array("neuron_share")
    if frequency is None or shares is None:
        missing.append("Left out: fits of single neurons: arrays neuron_frequency and neuron_share are not stored.")
    else:
        caption = (
            f"{model.source} A point per neuron of the last block (arrays neuron_frequency, neuron_share): its best"
            " frequency, and the share of its variance that this explains, as above; points of one frequency are spread"
            " sideways. Dashed: .85. Bars count the same neurons. Axes are the same at every step. ▾ marks the key"
            " frequencies."
        )
        fits = {"": neuron_fits_figure(frequency, shares, model.key_frequencies)}
        panels.append(Panel("neuron-fits", "Every neuron at its best frequency", caption, fits))
    return Section("neurons", title, tuple(panels), tuple(missing))


def heads_section(model: OneModel) -> Section:
    title = "Attention heads by frequency"
    if not model.has("attention_frequencies", "share"):
        reason = f"Left out: {model.why_none('attention_frequencies')}."
        return Section("heads", title, missing=(reason,))
    caption = (
        f"{model.source} Attention from the answer position to the first operand over all inputs (a, b), fitted like a"
        f" neuron ({NANDA}). Left: the frequency that explains most of its variance, a larger point for a larger share;"
        " points are set a little apart by head, ◂ marks the frequencies at the last step. Right: that share. At most"
        f" {MAX_LINES} heads, those with the largest shares."
    )
    drawn = {"": head_figure(model.rows, model.name)}
    return Section("heads", title, (Panel("heads-frequency", "Best frequency of each head", caption, drawn),))


def logits_section(model: OneModel) -> Section:
    title = "Logits by frequency"
    panels, missing = [], []
    spectra = {order: model.array(f"logit_spectrum_{order}") for order in ORDERS}
    drawn: Mapping[str, go.Figure] = {
        ORDERS[order]: logit_spectrum_figure(spectrum, model.key_frequencies)
        for order, spectrum in spectra.items()
        if spectrum is not None
    }
    if drawn:
        caption = (
            f"{model.source} Array logit_spectrum: the logits less their means over answers and over inputs,"
            " transformed over both operands; share of the sum of squares at each pair of frequencies, summed over"
            f" answers and over cos and sin ({NANDA}). Between the dotted lines lies the diagonal: functions of"
            f" {_on_diagonal(model, list(drawn))}. Shares below 1e-5 look alike."
        )
        heading = "Logits by the frequencies of both operands"
        panels.append(Panel("logit-spectrum", heading, caption, drawn, "Order of the tokens", next(iter(drawn))))
    else:
        missing.append(f"Left out: the logits by two frequencies: {model.why_none('logit_spectrum')}.")
    if model.has("logit_spectrum", "diagonal_share"):
        caption = (
            f"{model.source} Share of the sum of squares on the diagonal of the spectrum, the constant left out, in"
            " each order of the tokens that was looked at."
        )
        curve = {"": diagonal_share_figure(model.rows, model.name)}
        panels.append(Panel("diagonal", "Share of the logits on the diagonal", caption, curve))
    if model.has("key_frequencies", "logit_cosine"):
        caption = (
            f"Model {model.name}, its last step only. Cosine of the logits, centred over answers only, with"
            f" {model.words.cosine} ({CHUGHTAI}). Explained variance, as in the key numbers, is of the logits centred"
            " over inputs too, so that squared cosines need not add up to it. Dark: key frequencies, those above the"
            " threshold and above the dashed line, which the largest cosine of noise stays below."
        )
        bars = {"": logit_cosine_figure(model.rows, model.name)}
        panels.append(Panel("logit-cosines", "Logit cosine of each frequency", caption, bars))
    else:
        missing.append(f"Left out: logit cosines of the frequencies: {model.why_none('key_frequencies')}.")
    return Section("logits", title, tuple(panels), tuple(missing), side_by_side=True)


def _at_half(model: OneModel) -> str:
    """What circularity is at the frequency that has no circle, where that is a key."""
    form = None if model.task is None else model.task.cyclic_form
    half = [k for k in model.key_frequencies if form is not None and 2 * k == form.order]
    return f" (at k = {half[0]} = n/2, of two places in turn)" if half else ""


def _on_diagonal(model: OneModel, orders: list[str]) -> str:
    """What functions on the diagonal are of, in each order that is offered."""
    of = {"group": model.words.sum, "additive": "a + b (residues)", "multiplicative": "a * b (discrete logarithms)"}
    return ", of ".join(of[order] for order, name in ORDERS.items() if name in orders)
