"""One training step of the reference configuration against other ways to take it, and ensembles against singles."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic
from probe.training.ensemble import Ensemble, Member
from probe.training.settings import TrainingSettings
from tests.benchmarks.timing import seconds
from tests.native_bridge import native_bridge

Row = tuple[str, str, str]


def rows(device: str) -> Iterator[Row]:
    """What was compared, the ratio, and what it has to be."""
    yield from reference_step(device)
    yield from ensemble_of_eight(device)


def reference_step(device: str) -> Iterator[Row]:
    task = ModularArithmetic(113, train_fraction=0.3, split="ordered")
    arch = Architecture.of(Shape(d_model=128), task)
    ours = Ensemble(arch, [Member("a", task, 0)], TrainingSettings(steps=1), device)
    contenders = {
        "ours": ours.train_step,
        "bridge": usual_loop(native_bridge(arch, arch.initial_weights(0)).train(), task, device),
        "plain": usual_loop(PlainTransformer(arch), task, device),
        "floor": bare_matrix_products(arch, int(task.train_mask.sum()), device),
    }
    if device == "cuda":
        contenders = {name: synchronized(contender) for name, contender in contenders.items()}
    took = seconds(contenders, rounds=15)
    yield "reference step, TransformerBridge / ours", f"{took['bridge'] / took['ours']:.2f}", "at least 3"
    yield "reference step, plain PyTorch loop / ours", f"{took['plain'] / took['ours']:.2f}", "at least 2.5"
    yield "reference step, ours / bare matrix products", f"{took['ours'] / took['floor']:.2f}", "at most 1.4"
    yield "reference step, ours", f"{took['ours'] * 1e3:.1f} ms", ""


def ensemble_of_eight(device: str) -> Iterator[Row]:
    tasks = [ModularArithmetic(53, train_fraction=0.5, seed=seed) for seed in range(8)]
    arch = Architecture.of(Shape(d_model=32), tasks[0])
    members = [Member(f"s{task.seed}", task, task.seed, 3e-3, 2.0) for task in tasks]
    together = Ensemble(arch, members, TrainingSettings(steps=1), device)
    singles = [Ensemble(arch, [member], TrainingSettings(steps=1), device) for member in members]

    def one_after_the_other() -> None:
        for single in singles:
            single.train_step()

    contenders = {"together": together.train_step, "singles": one_after_the_other}
    if device == "cuda":
        contenders = {name: synchronized(contender) for name, contender in contenders.items()}
    took = seconds(contenders, rounds=40)
    ratio, wanted = took["singles"] / took["together"], 5 if device == "cuda" else 1.2
    yield "8 members (p 53, d_model 32), one by one / ensemble", f"{ratio:.2f}", f"at least {wanted}"


def synchronized(contender: Callable[[], object]) -> Callable[[], object]:
    def until_done() -> None:
        contender()
        torch.cuda.synchronize()

    return until_done


def usual_loop(model: nn.Module, task: ModularArithmetic, device: str) -> Callable[[], None]:
    """A training step as it is usually written: all positions, float64 loss at the last one, AdamW."""
    model = model.to(device)
    tokens = torch.tensor(task.tokens[task.train_mask], device=device)
    answers = torch.tensor(task.answers[task.train_mask], device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))

    def step() -> None:
        loss = F.cross_entropy(model(tokens)[:, -1].double(), answers)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


class PlainTransformer(nn.Module):
    """The reference model as one would write it without hooks: every position of every layer."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.n_heads = arch.n_heads
        self.weights = nn.ParameterDict(
            {name.replace(".", "_"): nn.Parameter(w) for name, w in arch.initial_weights(0).items()}
        )

    def forward(self, tokens: Tensor) -> Tensor:
        w = self.weights
        resid = w["embed_W_E"][tokens] + w["pos_embed_W_pos"]
        q, k, v = (torch.einsum("bpd,hde->bhpe", resid, w[f"blocks_0_attn_W_{x}"]) for x in "QKV")
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        resid = resid + torch.einsum("bhpe,hed->bpd", z, w["blocks_0_attn_W_O"])
        resid = resid + F.relu(resid @ w["blocks_0_mlp_W_in"]) @ w["blocks_0_mlp_W_out"]
        return resid @ w["unembed_W_U"]


def bare_matrix_products(arch: Architecture, n_examples: int, device: str) -> Callable[[], None]:
    """Forward and both backward products of each weight matrix that acts on every example, at one position."""
    assert arch.d_mlp is not None
    assert arch.d_vocab_out is not None
    d = arch.d_model
    shapes = [(d, d), (d, arch.d_mlp), (arch.d_mlp, d), (d, arch.d_vocab_out)]
    matrices = [
        tuple(torch.randn(shape, device=device) for shape in ((n_examples, a), (a, b), (n_examples, b)))
        for a, b in shapes
    ]

    def products() -> None:
        for x, w, grad in matrices:
            x @ w
            grad @ w.T
            x.T @ grad

    return products
