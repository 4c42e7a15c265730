"""Members of one shape trained together: one batched program, one optimizer step for all.

Members differ in seed, task (train fraction, split), learning rate and weight decay. What a member becomes does not
depend on its company, to float tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from probe.suites.architecture import Architecture
from probe.tasks import NOT_SCORED, Task
from probe.training import program
from probe.training.exposure import Phase, examples_by, phases_of, shown_in_pass
from probe.training.settings import TrainingSettings


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Args:
        name: of the model in its suite.
        task: what it learns.
        seed: of its initial weights and, with mini-batches, of their order.
        learning_rate, weight_decay: of AdamW; the decay acts on every parameter.
    """

    name: str
    task: Task
    seed: int
    learning_rate: float = 1e-3
    weight_decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: got {self.learning_rate}; expected a number above 0")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay: got {self.weight_decay}; expected 0 or more")


_MOMENTS = ("exp_avg", "exp_avg_sq")


class Ensemble:
    """The state of members in training: weights, optimizer, step.

    Args:
        arch: their common shape.
        members: at least one. Questions of all their tasks have the same length.
        settings: their common settings.
        device: where they are trained.

    Raises:
        ValueError: the tasks, the architecture and the settings do not fit together; the message says which.
    """

    def __init__(
        self, arch: Architecture, members: Sequence[Member], settings: TrainingSettings, device: torch.device | str
    ) -> None:
        for member in members:
            check_fit(arch, member, settings)
        self.arch, self.members, self.settings = arch, tuple(members), settings
        self.device = torch.device(device)
        self.step = 0
        self._losses = torch.compile(self._member_losses) if settings.compile else self._member_losses
        self._load_data()
        drawn = [arch.initial_weights(member.seed) for member in self.members]
        self._adopt_weights({name: torch.stack([weights[name] for weights in drawn]) for name in arch.shapes})
        self._first_bad_step = torch.full((len(self.members),), -1, device=self.device)

    def _load_data(self) -> None:
        """Trained questions of all members in one array, filled up with unweighted repeats where a member has fewer."""
        phases_of_members = [phases_of(member.task, self.settings.batch_size) for member in self.members]
        chosen = [np.flatnonzero(phases[0].exposures) for phases in phases_of_members]  # the first shows all there are
        longest = max(len(c) for c in chosen)
        scored = sorted({position for member in self.members for position in member.task.scored})
        tokens, targets, weight = [], [], np.zeros((2, len(chosen), longest))
        self._batches = []
        for i, (member, phases, c) in enumerate(zip(self.members, phases_of_members, chosen, strict=True)):
            filled = np.resize(c, longest)
            tokens.append(member.task.tokens[filled])
            targets.append(member.task.targets[filled][:, scored])
            for end in (0, -1):  # the first phase and the last, which are one without a special batch
                weight[end, i, : len(c)] = phases[end].exposures[c] / phases[end].exposures.sum()
            shown = [np.repeat(np.arange(len(c)), phase.exposures[c]) for phase in phases]
            self._batches.append(_Batches(list(zip(phases, shown, strict=True)), member.seed))
        self._inputs = program.Inputs.of(torch.tensor(np.stack(tokens), device=self.device), tuple(scored))
        self._targets = torch.tensor(np.stack(targets), device=self.device)
        self._weight = torch.tensor(weight, device=self.device, dtype=getattr(torch, self.settings.loss_dtype))
        special_passes = [[member.task.special_passes] for member in self.members]
        self._special_passes = torch.tensor(special_passes, device=self.device)

    def _adopt_weights(self, weights: dict[str, Float[Tensor, "member ..."]]) -> None:
        """Make these the weights, and give the optimizer each member's part of them.

        A member is one parameter group, so that it has its own learning rate and decay.
        """
        self._weights = {name: w.to(self.device, copy=True).requires_grad_() for name, w in weights.items()}
        self._grads = [torch.zeros_like(w) for w in self._weights.values()]
        for w, grad in zip(self._weights.values(), self._grads, strict=True):
            w.grad = grad
        groups = []
        for i, member in enumerate(self.members):
            parts = [w.detach()[i] for w in self._weights.values()]
            for part, grad in zip(parts, self._grads, strict=True):
                part.grad = grad[i]
            groups.append({"params": parts, "weight_decay": member.weight_decay})
        self._optimizer = torch.optim.AdamW(groups, betas=self.settings.betas, fused=True)

    def _member_losses(self, inputs: program.Inputs, targets: Tensor, weight: Tensor) -> Float[Tensor, " member"]:
        """Of an example the mean over its scored tokens, of a member that over examples as they are weighted."""
        logits = program.logits(self.arch, self._weights, inputs).to(weight.dtype)
        losses = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=NOT_SCORED, reduction="none")
        of_example = losses.view_as(targets).sum(2) / (targets != NOT_SCORED).sum(2)
        return (of_example * weight).sum(1)

    def train_step(self) -> None:
        """One optimizer step of every member."""
        losses = self._losses(*self._batch())
        torch._foreach_zero_(self._grads)
        losses.sum().backward()
        warm = min(self.step / self.settings.warmup, 1.0) if self.settings.warmup else 1.0
        for group, member in zip(self._optimizer.param_groups, self.members, strict=True):
            group["lr"] = member.learning_rate * warm
        self._optimizer.step()
        newly_bad = ~losses.detach().isfinite() & (self._first_bad_step < 0)
        self._first_bad_step.masked_fill_(newly_bad, self.step)
        self.step += 1

    def _batch(self) -> tuple[program.Inputs, Tensor, Tensor]:
        size = self.settings.batch_size
        if size is None:
            with_special, later = self._weight  # a step is a pass
            return self._inputs, self._targets, torch.where(self._special_passes > self.step, with_special, later)
        drawn = [batches.at(self.step, size) for batches in self._batches]
        chosen = torch.tensor(np.stack(drawn), device=self.device)
        weight = torch.full(chosen.shape, 1 / size, device=self.device, dtype=self._weight.dtype)
        targets = self._targets.gather(1, chosen[..., None].expand(-1, -1, self._targets.shape[-1]))
        return self._inputs.examples(chosen), targets, weight

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of one member's weights, on the CPU."""
        return {name: w[member].detach().cpu().clone() for name, w in self._weights.items()}

    def examples_seen(self, member: int) -> int:
        """Training examples that a member has been shown so far, repeats counted."""
        return examples_by(self.members[member].task, self.settings.batch_size, self.step)

    def diverged(self) -> dict[int, int]:
        """Members whose loss was not finite, and the first step at which it was not."""
        return {i: step for i, step in enumerate(self._first_bad_step.tolist()) if step >= 0}

    def without(self, gone: Sequence[int]) -> "Ensemble | None":
        """The ensemble of the other members, at the same step; None where nobody is left."""
        kept = [i for i in range(len(self.members)) if i not in gone]
        if not kept:
            return None
        rest = Ensemble(self.arch, [self.members[i] for i in kept], self.settings, self.device)
        rest.restore({name: state if state.ndim == 0 else state[kept] for name, state in self.state().items()})
        return rest

    def state(self) -> dict[str, Tensor]:
        """All that decides how training goes on: what ``restore`` takes."""
        state = {"step": torch.tensor(self.step)}
        for j, (name, w) in enumerate(self._weights.items()):
            state[f"weights/{name}"] = w.detach()
            for moment in _MOMENTS:
                of_members = [self._optimizer.state[group["params"][j]] for group in self._optimizer.param_groups]
                state[f"{moment}/{name}"] = torch.stack([m[moment] for m in of_members])
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from the state of an ensemble with the same members, after its first step or later."""
        self.step = int(state["step"])
        self._adopt_weights({name: state[f"weights/{name}"] for name in self.arch.shapes})
        for i, group in enumerate(self._optimizer.param_groups):
            for name, part in zip(self.arch.shapes, group["params"], strict=True):
                self._optimizer.state[part] = {
                    "step": torch.tensor(float(self.step), device=self.device),
                    **{m: state[f"{m}/{name}"][i].to(self.device, copy=True) for m in _MOMENTS},
                }


def examples_per_step(task: Task, settings: TrainingSettings) -> int:
    """Training examples shown in one step, repeats counted; those of a special batch are not, with the full batch."""
    return settings.batch_size or int(task.exposures.sum())


@dataclass
class _Batches:
    """The mini-batches of a member: of shuffled passes over its exposures, of which the one at hand is kept.

    Attributes:
        phases: with the examples that each pass shows, as often as it does.
    """

    phases: list[tuple[Phase, Int[np.ndarray, " _"]]]  # not equally many in both
    seed: int
    number: int = -1
    order: Int[np.ndarray, " exposure"] | None = None

    def at(self, step: int, size: int) -> Int[np.ndarray, " batch"]:
        phase, shown = next(pair for pair in reversed(self.phases) if pair[0].first_step <= step)
        number, place = divmod(step - phase.first_step, phase.steps_per_pass)
        number += phase.first_pass
        if self.order is None or number != self.number:
            self.number, self.order = number, shown[shown_in_pass(len(shown), size, self.seed, number)]
        return self.order[place * size : (place + 1) * size]


def check_fit(arch: Architecture, member: Member, settings: TrainingSettings) -> None:
    """Raises ValueError, naming the field, unless the member can be trained so."""
    for field, usual in (("causal", True), ("attention_coefficient", 1.0)):
        got = getattr(arch, field)
        if got != usual:
            raise ValueError(f"{field}: got {got}; expected {usual}, the only one that is trained here")
    task = member.task
    assert arch.d_vocab_out is not None
    for name, has, needs in (
        ("d_vocab", arch.d_vocab, task.d_vocab),
        ("d_vocab_out", arch.d_vocab_out, int(task.answer_tokens.max()) + 1),
        ("n_ctx", arch.n_ctx, task.n_ctx),
    ):
        if has < needs:
            raise ValueError(f"{name}: got {has}; expected at least {needs} for the task of {member.name}")
    n_shown = int(task.exposures.sum())
    if settings.batch_size is not None and settings.batch_size > n_shown:
        raise ValueError(
            f"batch_size: got {settings.batch_size}; expected at most {n_shown}, the training examples of"
            f" {member.name}, or null for the full batch"
        )
