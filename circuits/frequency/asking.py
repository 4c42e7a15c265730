"""All questions of a task, asked in the order in which its operation is an addition in Z_n.

The right answer to question (i, j) is then i + j, whatever the operation is called. Where the task has more questions,
as a product modulo p has those with a zero, they are left out, and so are the answers that are none of these.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.ablation import rows_of
from circuits.passes import batches_of, check_evaluating, logits_at_answers
from probe.activations.forward import Batch, default_batch_size
from probe.activations.inputs import Inputs
from probe.activations.sites import position_second
from probe.algebra import CyclicForm
from probe.probes.base import check_cyclic
from probe.tasks import Task

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class Questions:
    """The n^2 questions of a task with a cyclic form, row-major in (i, j).

    Attributes:
        form: the operation as an addition.
        inputs: the questions.
        answer_tokens: in the order of the addition.
        train: which were trained on.
        neuron_sites: of the model that is asked, where its neurons are, a layer each.
    """

    form: CyclicForm
    inputs: Inputs
    answer_tokens: Tensor
    train: Bool[Tensor, "n n"]
    neuron_sites: tuple[str, ...]

    @classmethod
    def of(cls, model: "HookedModel", task: Task) -> "Questions":
        """Those of a task, for a model.

        Raises:
            ValueError: the task has no cyclic form; or the model is in training mode, has no neurons, or does not know
                the task's tokens.
        """
        check_cyclic(task)
        form = task.cyclic_form
        assert form is not None
        check_evaluating(model)
        cfg = model.cfg
        neuron_sites = tuple(site for site in model.hook_dict if site.endswith(".mlp.hook_post"))
        if not neuron_sites:
            raise ValueError("model: it has no MLP, so it has no neurons; expected one with blocks.*.mlp.hook_post")
        for name, has, needs in (
            ("d_vocab", cfg.d_vocab, task.d_vocab),
            ("n_ctx", cfg.n_ctx, task.n_ctx),
            ("d_vocab_out", cfg.d_vocab_out, int(task.answer_tokens.max()) + 1),
        ):
            if has < needs:
                raise ValueError(f"model: got {name} {has}; the task needs at least {needs}: it is not this model's")
        of_pair = task.example_of(form)
        return cls(
            form,
            rows_of(Inputs.of(task), of_pair.ravel()),
            torch.as_tensor(task.answer_tokens[form.c]),
            torch.as_tensor(task.train_mask[of_pair]),
            neuron_sites,
        )

    @property
    def n(self) -> int:
        return self.form.order

    @property
    def answers(self) -> Tensor:
        """The right answer to each question, as its place in the cube."""
        i = torch.arange(self.n)
        return ((i[:, None] + i) % self.n).flatten()

    @property
    def subsets(self) -> dict[str, Bool[Tensor, " question"]]:
        """The questions that were trained on and the others, in that order; one that is empty is left out."""
        train = self.train.flatten()
        return {name: mask for name, mask in (("train", train), ("test", ~train)) if bool(mask.any())}


@dataclass(frozen=True)
class Replaced:
    """Neurons that are something else at the answer position.

    Attributes:
        neurons: which they are.
        values: what every neuron would be.
    """

    neurons: Bool[Tensor, "layer neuron"]
    values: Float[Tensor, "layer neuron"]


@dataclass(frozen=True)
class Answered:
    """What a model did, on the CPU.

    Attributes:
        cube: logits [i, j, answer], whose right answer to (i, j) is i + j.
        kept: activations at the answer position, [i, j, ...], by site.
    """

    cube: Float[Tensor, "n n n"]
    kept: dict[str, Tensor]


def answered(
    model: "HookedModel", questions: Questions, keep: Collection[str] = (), replaced: Replaced | None = None
) -> Answered:
    """One forward pass over all questions, in as few batches as fit.

    Args:
        model: that the questions were made for.
        questions: all of them.
        keep: sites whose activations are kept; of patterns what the answer position attends to, [i, j, head, key].
        replaced: neurons that are something else at the answer position.

    Raises:
        ValueError: an activation or a logit is not finite; the message names the site and the question.
    """
    device = next(iter(model.named_parameters()))[1].device
    n_positions = questions.inputs.tokens.shape[1]
    size = default_batch_size(n_positions, model.cfg.d_vocab_out, str(device), to_logits=True)
    parts: dict[str, list[Tensor]] = {site: [] for site in (*keep, "logits")}
    for examples in batches_of(len(questions.inputs), size):
        batch = Batch(questions.inputs, examples, device)
        hooks: list[tuple[str, Callable[..., Tensor | None]]] = [
            (site, _keeping(site, parts[site], batch)) for site in keep
        ]
        if replaced is not None:
            hooks += [
                (site, _replacing(replaced.neurons[layer].to(device), replaced.values[layer].to(device), batch))
                for layer, site in enumerate(questions.neuron_sites)
            ]
        with torch.no_grad():
            logits = logits_at_answers(model, batch, hooks)
        parts["logits"].append(logits[:, questions.answer_tokens.to(device)].cpu())
    n = questions.n
    found = {site: torch.cat(batches) for site, batches in parts.items()}
    _check_finite(found, questions.inputs)
    found = {site: values.unflatten(0, (n, n)) for site, values in found.items()}
    return Answered(found.pop("logits"), found)


def _keeping(site: str, part: list[Tensor], batch: Batch) -> Callable[..., None]:
    def hook(activation: Tensor, hook: object) -> None:
        by_position = position_second(site, activation)
        part.append(by_position[torch.arange(len(batch), device=activation.device), batch.answer_positions].cpu())

    return hook


def _replacing(neurons: Tensor, values: Tensor, batch: Batch) -> Callable[..., Tensor]:
    def hook(activation: Tensor, hook: object) -> Tensor:
        at = (torch.arange(len(batch), device=activation.device), batch.answer_positions)
        edited = activation.clone()
        edited[at] = torch.where(neurons, values.to(activation.dtype), activation[at])
        return edited

    return hook


def _check_finite(found: Mapping[str, Tensor], inputs: Inputs) -> None:
    for site, values in found.items():
        if not (finite := values.isfinite()).all():
            question = int((~finite).nonzero()[0][0])
            tokens = inputs.tokens[question].tolist()
            raise ValueError(f"{site}: the activation on the question {tokens} is not finite; expected finite numbers")
