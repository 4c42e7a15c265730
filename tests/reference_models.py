"""Plain-torch forward passes of published grokking models: an oracle that shares no code with the package.

The weights are not part of the repository; where they are missing, a test that asks for them is skipped.
Layouts and splits are those of the published training code, one layout per model (Nanda et al. 2023, arXiv
2301.05217; Chughtai et al. 2023, arXiv 2302.03025).
"""

from __future__ import annotations

import csv
import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

P = 113
REFERENCE_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "reference"


@dataclass(frozen=True)
class ReferenceModel:
    """One published model of addition mod 113, evaluated on all of its 12,769 inputs."""

    weights: dict[str, Tensor]  # trained parameters only, as stored
    W_E: Tensor  # [113, d_model], the "=" token dropped
    W_L: Tensor  # [d_mlp, 113], the neuron-logit map W_out @ W_U
    neurons: Tensor  # [113, 113, d_mlp], after the ReLU, at "="
    logits: Tensor  # [113, 113, d_vocab_out], float32, at "="
    train_mask: Tensor  # Bool[113, 113]

    @property
    def cube(self) -> Tensor:
        """Logits without the "=" answer, [113, 113, 113]."""
        return self.logits[..., :P]


@dataclass(frozen=True)
class Curve:
    """A stored training curve; the test loss may be recorded at fewer steps than the train loss."""

    train_steps: Tensor
    train: Tensor
    test_steps: Tensor
    test: Tensor


def reference_path(name: str) -> Path:
    path = REFERENCE_FOLDER / name
    if not path.exists():
        pytest.skip(f"reference data is not here: ../shared/data/reference/{name}")
    return path


def all_tokens(p: int) -> Tensor:
    """Every input "a b =", row-major in (a, b): [p * p, 3]."""
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    return torch.stack([a.flatten(), b.flatten(), torch.full((p * p,), p)], dim=1)


def forward(tokens: Tensor, w: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Neurons and logits at "=": one layer, causal, ReLU, no LayerNorm.

    ``w`` has TransformerLens' short names and layouts: W_E [d_vocab, d_model]; W_Q, W_K, W_V [head, d_model,
    d_head]; W_O [head, d_head, d_model]; W_in [d_model, d_mlp].
    """
    residual = w["W_E"][tokens] + w["W_pos"]
    q, k, v = (torch.einsum("eti,hid->ehtd", residual, w[f"W_{x}"]) + w[f"b_{x}"][:, None, :] for x in ("Q", "K", "V"))
    scores = q @ k.transpose(-1, -2) / w["W_O"].shape[1] ** 0.5
    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
    pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
    residual = residual + torch.einsum("ehtd,hdi->eti", pattern @ v, w["W_O"]) + w["b_O"]
    at_equals = residual[:, -1]
    neurons = torch.relu(at_equals @ w["W_in"] + w["b_in"])
    return neurons, (at_equals + neurons @ w["W_out"] + w["b_out"]) @ w["W_U"] + w["b_U"]


def reference_model(weights: dict[str, Tensor], w: Mapping[str, Tensor], train_inputs: Tensor) -> ReferenceModel:
    """``weights`` as stored, ``w`` as `forward` takes them, ``train_inputs`` as row-major input indices."""
    neurons, logits = forward(all_tokens(P), w)
    train_mask = torch.zeros(P * P, dtype=torch.bool)
    train_mask[train_inputs] = True
    return ReferenceModel(
        weights=weights,
        W_E=w["W_E"][:P],
        W_L=w["W_out"] @ w["W_U"][:, :P],
        neurons=neurons.reshape(P, P, -1),
        logits=logits.reshape(P, P, -1),
        train_mask=train_mask.reshape(P, P),
    )


@functools.cache
def nanda_wd01() -> ReferenceModel:
    """(a + b) mod 113, final epoch 107790.

    The final losses do not say whether the loss ran over 113 or 114 logits: the "=" logit ends up at least 38
    below the largest, so both give the same double (train 9.202425e-9, test 4.988388e-7; stored one step
    earlier: 9.2025e-9, 4.9915e-7). The stored Adam moments do: those of the "=" column of W_U are not zero,
    so training used all 114.
    """
    path = reference_path("nanda-wd01/model_and_curve.pth")
    stored = torch.load(path, map_location="cpu", weights_only=True)["model"]
    weights = {name: value for name, value in stored.items() if not name.endswith("mask")}
    w = {name.split(".")[-1]: value for name, value in weights.items()}
    n_heads, d_head, d_model = w["W_Q"].shape
    w |= {name: w[name].mT for name in ("W_E", "W_Q", "W_K", "W_V", "W_in", "W_out")}
    w["W_O"] = w["W_O"].T.reshape(n_heads, d_head, d_model)
    w |= {name: torch.zeros(n_heads, d_head) for name in ("b_Q", "b_K", "b_V")}
    w |= {"b_O": torch.zeros(d_model), "b_U": torch.zeros(P + 1)}
    # a list of pairs (i, j, 113) in the published code; the shuffle depends on its length only
    inputs = list(range(P * P))
    random.Random(1).shuffle(inputs)
    return reference_model(weights, w, torch.tensor(inputs[: int(0.3 * P * P)]))


@functools.cache
def cyclic113() -> ReferenceModel:
    """The cyclic group of order 113; its transformer answers among 113 tokens and has biases."""
    stored = torch.load(reference_path("cyclic113/model.pt"), map_location="cpu", weights_only=True)
    not_used = ("x_embed", "y_embed", "blocks.0.attn.mask", "blocks.0.attn.IGNORE")
    weights = {name: value for name, value in stored.items() if name not in not_used}
    w = {name.split(".")[-1]: value for name, value in weights.items()}
    inputs = torch.randperm(P * P, generator=torch.Generator().manual_seed(1))
    return reference_model(weights, w, inputs[: int(0.3 * P * P)])


def nanda_wd01_loss_curve() -> Curve:
    """Losses of nanda-wd01: train at every step, test at every tenth."""
    path = reference_path("nanda-wd01/model_and_curve.pth")
    stored = torch.load(path, map_location="cpu", weights_only=True)
    train = torch.tensor(stored["train_losses"], dtype=torch.float64)
    test = torch.tensor(stored["test_losses"], dtype=torch.float64)
    return Curve(torch.arange(len(train)), train, 10 * torch.arange(len(test)), test)


def cyclic113_sister_accuracy_curve() -> Curve:
    """Accuracies of a second run of cyclic113's configuration, every 100 epochs."""
    with open(reference_path("cyclic113_sister_run_curve.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    steps = torch.tensor([int(row["epoch"]) for row in rows])
    train, test = (
        torch.tensor([float(row[name]) for row in rows], dtype=torch.float64) for name in ("train_acc", "test_acc")
    )
    return Curve(steps, train, steps, test)


@dataclass(frozen=True)
class PizzaModel:
    """A published network of addition mod 59 on two tokens, "a b", read at the second one (Zhong et al. 2023)."""

    weights: dict[str, Tensor]  # trained parameters only, as stored
    W_E: Tensor  # [59, d_model]
    logits: Tensor  # [59, 59, 59], float32

    def from_embeddings(self, operands: Tensor) -> Tensor:
        """Logits [n, 59] of embedded operands [n, 2, d_model].

        Attention is c softmax + (1 - c) with c = 0: both positions count 1, without a mask.
        """
        w = {name.split(".")[-1]: value for name, value in self.weights.items()}
        residual = operands + w["W_pos"]
        heads = torch.einsum("hki,nti->nhk", w["W_V"], residual)  # summed over positions
        at_b = residual[:, 1] + heads.flatten(1) @ w["W_O"].T
        neurons = torch.relu(at_b @ w["W_in"].T + w["b_in"])
        return (at_b + neurons @ w["W_out"].T + w["b_out"]) @ w["W_U"]


@functools.cache
def pizza_a() -> PizzaModel:
    """Their model A: constant attention, (a + b) mod 59."""
    stored = torch.load(reference_path("pizza-a/model.pt"), map_location="cpu", weights_only=True)
    weights = {name: value for name, value in stored.items() if not name.endswith("mask")}
    W_E = weights["embed.W_E"].T
    model = PizzaModel(weights, W_E, torch.empty(0))
    pairs = torch.cartesian_prod(torch.arange(len(W_E)), torch.arange(len(W_E)))
    logits = model.from_embeddings(W_E[pairs]).reshape(len(W_E), len(W_E), -1)
    return PizzaModel(weights, W_E, logits)
