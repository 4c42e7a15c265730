"""The key numbers of one model, in words: only those that the results hold."""

from collections.abc import Iterator
from html import escape

import numpy as np

from probe.report.one_model import OneModel
from probe.report.sections import evaluated
from probe.report.verdict import steps_text
from probe.scaling.transitions import transitions

LISTED = 8


def key_numbers(model: OneModel, task: str = "", stopped: str = "") -> str:
    """A headline and a list of facts about a model, as HTML.

    Args:
        model: whose.
        task: what it was trained on, in words.
        stopped: why its training ended early.
    """
    facts = [("Task", task)] if task else []
    dates = _transition(model)
    facts += [*_about(model), *_dates(dates), *_structure(model)]
    if stopped:
        facts.append(("Training", f"stopped: {stopped}"))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f'<p class="headline">{escape(_headline(model, dates))}</p><dl>{listed}</dl>'


def _headline(model: OneModel, dates: dict | None) -> str:
    parts = []
    if dates is not None:
        memorized, generalized = dates["memorized_step"], dates["generalized_step"]
        late = f"within {steps_text(dates['final_step'])} steps"
        parts.append(_memorized(model, memorized) if np.isfinite(memorized) else f"not memorized {late}")
        if dates["test_measured"]:
            text = f"generalized at step {steps_text(generalized)}"
            parts.append(text if np.isfinite(generalized) else f"not generalized {late}")
    said = [", ".join(parts)] if parts else []
    for probe, keys, one, many in (
        ("fourier_progress", model.key_frequencies, "key frequency", "key frequencies"),
        ("irrep_progress", model.key_irreps, "key irrep", "key irreps"),
    ):
        explained = model.last(probe, "logit_fve").get("")
        if keys and explained is not None:
            what = f"{len(keys)} {one if len(keys) == 1 else many}"
            said.append(f"{what} explain{'s' if len(keys) == 1 else ''} {_percent(explained)} of the logits at the end")
    text = "; ".join(said) or "what was measured inside the model"
    return f"{text[0].upper()}{text[1:]}."


def _memorized(model: OneModel, step: float) -> str:
    """A model that had memorized by its first evaluation did so at some step up to it."""
    steps = model.rows.loc[model.rows["probe"] == "performance", "step"]
    if step > steps.min():
        return f"memorized at step {steps_text(step)}"
    return f"memorized by its {'only' if steps.nunique() == 1 else 'first'} evaluation, step {steps_text(step)}"


def _about(model: OneModel) -> Iterator[tuple[str, str]]:
    first = model.rows.iloc[0]
    seed = "" if np.any(model.rows["seed"].isna()) else f", seed {first['seed']}"
    yield "Size", f"{first['n_params']:,} parameters{seed}"
    yield "Evaluated", evaluated(model.rows["step"])


def _transition(model: OneModel) -> dict | None:
    rows = model.rows[model.rows["probe"] == "performance"]
    if rows.empty:
        return None
    found: dict = transitions(rows).iloc[0].to_dict()
    return found if found["train_measured"] else None


def _dates(found: dict | None) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    if np.isfinite(found["plateau"]):
        yield "Plateau", f"{steps_text(found['plateau'])} steps between memorizing and generalizing"
    named = {"train": "train", "test": "test", "test_nonmirror": "non-mirror test"}
    accuracies = {text: found[f"final_{subset}_accuracy"] for subset, text in named.items()}
    yield "Final accuracy", ", ".join(f"{name} {value:.4f}" for name, value in accuracies.items() if np.isfinite(value))
    if np.isfinite(found["diverged_step"]):
        yield "Diverged", f"the loss is not finite from step {steps_text(found['diverged_step'])}"


def _structure(model: OneModel) -> Iterator[tuple[str, str]]:
    if model.has("key_frequencies"):
        cosines = model.last("key_frequencies", "logit_cosine")
        keys = [f"{k} (logit cosine {cosines[str(k)]:.3f})" for k in model.key_frequencies if str(k) in cosines]
        yield "Key frequencies", ", ".join(keys) or "none"
    if model.has("key_irreps") or model.has("irrep_progress"):
        cosines = model.last("irrep_progress", "logit_cosine")
        keys = [f"{name} (logit cosine {cosines[name]:.3f})" for name in model.key_irreps if name in cosines]
        yield "Key irreps", ", ".join(keys) or "none"
    for probe, any_key, of in (
        ("fourier_progress", "sum_fve", f"functions of {model.words.sum if model.task else 'the sum'}"),
        ("irrep_progress", "class_fve", "class functions"),
    ):
        mine, whole = model.last(probe, "logit_fve").get(""), model.last(probe, any_key).get("")
        shares = [f"{_percent(mine)} by the keys"] if mine is not None else []
        shares += [f"{_percent(whole)} by all {of}"] if whole is not None else []
        if shares:
            yield "Logit variance explained", ", ".join(shares)
    for probe, metric, what in (
        ("neuron_frequencies", "single_frequency_share", "frequency"),
        ("irrep_power", "single_irrep_share", "irrep"),
    ):
        share = model.last(probe, metric).get("")
        if share is not None:
            yield f"Neurons of one {what}", f"{_percent(share)} of them, by more than .85 of their variance"
    heads, explained = model.last("attention_frequencies", "frequency"), model.last("attention_frequencies", "share")
    if heads:
        texts = [f"{head} k={k:.0f} ({explained[head]:.2f})" for head, k in heads.items() if head in explained]
        more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
        yield "Heads", f"{', '.join(texts[:LISTED])}{more}, best frequency (share of the attention's variance)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
