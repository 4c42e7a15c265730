"""A prompt, on the model: what it says, after each layer and at the end, with nodes ablated or patched.

An ablated node writes zero, or what it writes on another prompt, for all that read it: so it is all of its edges at
once that carry that. Nodes after it compute on what they are given then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuits.heads.lens import TOLERANCE
from circuits.passes import logits_at_answers
from circuits.viewer.edge_scores import check_part
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.messages import ForwardAnswer, LensLayer, OfPrompt, Pattern, Prediction
from probe.activations.forward import Batch
from probe.activations.inputs import Inputs
from probe.tasks import Text

N_SAID = 10
N_SAID_BY_LENS = 5
PATTERN_NUMBERS = 1 << 18
"""Numbers that all patterns together may be; those of a longer prompt are left out."""

Edit = tuple[str, Callable[..., Tensor]]


@dataclass
class _Passed:
    """What a forward pass left: ``logits`` at the last position, and activations by site."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    kept: dict[str, Tensor] = field(default_factory=dict)


def forward_answer(at: Loaded, asked: OfPrompt) -> ForwardAnswer:
    """
    Raises:
        ValueError: the prompt is neither or both of tokens and a text, or one that the model cannot read; the other
            prompt has another length; or a node is none that writes.
    """
    tokens = _tokens(at, asked)
    plain = _passed(at, tokens, _kept_sites(at, len(tokens)))
    changed = plain
    if asked.ablated:
        edits = _edits(at, asked.ablated, None if asked.other is None else _other(at, asked.other, len(tokens)))
        changed = _passed(at, tokens, _kept_sites(at, len(tokens)), edits)
    first = int(plain.logits.argmax())
    return ForwardAnswer(
        model=at.name,
        step=at.step,
        tokens=at.show(tokens),
        predictions=_said(at, changed.logits, N_SAID),
        without=_said(at, plain.logits, N_SAID),
        lens=_lens(at, changed, first),
        patterns=_patterns(at, changed),
    )


def _tokens(at: Loaded, asked: OfPrompt) -> list[int]:
    if (asked.tokens is None) == (asked.text is None):
        both = "neither tokens nor a text" if asked.text is None else "tokens and a text"
        raise ValueError(f"tokens: got {both}; expected one of the two")
    if asked.text is None:
        assert asked.tokens is not None
        return _checked(at, "tokens", asked.tokens)
    tokenizer = at.checkpoint.model.tokenizer()
    if tokenizer is not None:
        return _checked(at, "text", tokenizer(asked.text)["input_ids"])
    if isinstance(at.task, Text):
        return _checked(at, "text", at.task.tokenizer.encode(asked.text).ids)
    raise ValueError(f"text: got {asked.text[:50]!r}, and {at.name} has no tokenizer; expected tokens")


def _checked(at: Loaded, name: str, tokens: Sequence[int]) -> list[int]:
    model = at.checkpoint.model
    if not 1 <= len(tokens) <= model.n_ctx:
        raise ValueError(f"{name}: got {len(tokens)} tokens; expected 1 to {model.n_ctx}, which {at.name} can read")
    outside = [token for token in tokens if not 0 <= token < model.d_vocab]
    if outside:
        raise ValueError(f"{name}: got token {outside[0]}; expected 0 to {model.d_vocab - 1}, which {at.name} knows")
    return list(map(int, tokens))


def _other(at: Loaded, tokens: Sequence[int], length: int) -> dict[str, Tensor]:
    """What all nodes write on the other prompt, by source site."""
    if len(tokens) != length:
        raise ValueError(f"other: got {len(tokens)} tokens; expected {length}, as many as the prompt has")
    return _passed(at, _checked(at, "other", tokens), [site for site, _ in at.graph.source_sites]).kept


def _edits(at: Loaded, nodes: Sequence[str], instead: Mapping[str, Tensor] | None) -> list[Edit]:
    """What is done at which site so that these nodes write something else: of heads it is their z that is replaced."""
    graph = at.graph
    for node in nodes:
        check_part("ablated", node, graph.source_names)

    def edit(site: str, heads: list[int]) -> Edit:
        def hook(activation: Tensor, hook: object) -> Tensor:
            new = torch.zeros_like(activation) if instead is None else instead[site]
            if activation.ndim == 3:
                return new
            chosen = torch.zeros(activation.shape[2], dtype=torch.bool, device=activation.device)
            chosen[heads] = True
            return torch.where(chosen[:, None], new, activation)

        return site, hook

    chosen = [
        (site, [row for row, name in enumerate(graph.source_names[rows]) if name in nodes])
        for site, rows in graph.source_sites
    ]
    return [edit(site, rows) for site, rows in chosen if rows]


def _kept_sites(at: Loaded, n_tokens: int) -> list[str]:
    """The residual stream before and after each layer; and patterns, unless that is too much."""
    cfg, there = at.model.cfg, at.model.hook_dict
    layers = range(cfg.n_layers)
    sites = ["blocks.0.hook_resid_pre", *(f"blocks.{layer}.hook_resid_post" for layer in layers)]
    if cfg.n_layers * cfg.n_heads * n_tokens**2 <= PATTERN_NUMBERS:
        sites += [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
    return [site for site in sites if site in there]


def _passed(at: Loaded, tokens: Sequence[int], sites: Sequence[str], edits: Sequence[Edit] = ()) -> _Passed:
    done = _Passed()

    def keep(site: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: object) -> None:
            done.kept[site] = activation

        return hook

    last = np.array([len(tokens) - 1])
    device = next(iter(at.model.named_parameters()))[1].device
    batch = Batch(Inputs(np.array([tokens]), last + 1, None, last), slice(0, 1), device)
    with torch.no_grad():
        # edits come first, so that what is kept is what the pass goes on with
        done.logits = logits_at_answers(at.model, batch, [*edits, *((site, keep(site)) for site in sites)])[0]
    return done


def _said(at: Loaded, logits: Tensor, n: int) -> list[Prediction]:
    """The likeliest tokens, among all there are."""
    logits = logits.double()
    probabilities, (top, tokens) = logits.softmax(0), logits.topk(min(n, len(logits)))
    return [
        Prediction(token=name, probability=float(probabilities[token]), logit=float(logit))
        for name, token, logit in zip(at.show(tokens.tolist()), tokens.tolist(), top, strict=True)
    ]


def _lens(at: Loaded, done: _Passed, first: int) -> list[LensLayer]:
    """What the model would say after each layer (``circuits.heads.lens``); nothing of one whose logits are not those of
    the lens after the last layer, such as one with a cap on logits."""
    streams = {site: activation for site, activation in done.kept.items() if "hook_resid" in site}
    to_logits: Any = at.model  # of whose parts the protocol of hooked models does not speak
    with torch.no_grad():
        stacked = torch.stack([activation[:, -1] for activation in streams.values()], 1)
        lens = to_logits.unembed(to_logits.ln_final(stacked))[0]
    allowed = max(TOLERANCE, 10 * torch.finfo(lens.dtype).eps) * max(1.0, float(done.logits.abs().max()))
    if float((lens[-1] - done.logits).abs().max()) > allowed:
        return []
    names = ["embed", *(f"L{layer}" for layer in range(at.model.cfg.n_layers))]
    return [
        LensLayer(name=name, top=_said(at, logits, N_SAID_BY_LENS), right=float(logits.double().softmax(0)[first]))
        for name, logits in zip(names, lens, strict=True)
    ]


def _patterns(at: Loaded, done: _Passed) -> list[Pattern]:
    return [
        Pattern(head=f"L{layer}.H{head}", values=values.tolist())
        for layer in range(at.model.cfg.n_layers)
        if (site := f"blocks.{layer}.attn.hook_pattern") in done.kept
        for head, values in enumerate(done.kept[site][0])
    ]
