"""What a probe is, what it is given and what it yields."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.activations.sites import LOGITS
from probe.algebra import CyclicForm, GroupForm
from probe.measures.performance import Outcomes
from probe.tasks import Task

if TYPE_CHECKING:
    import xarray as xr

    from probe.suites import Checkpoint
    from probe.suites.hooked import HookedModel


class Row(NamedTuple):
    """One number of the results table; the runner adds suite, model, step and probe."""

    metric: str
    value: float
    site: str = ""
    key: str = ""


class Array(NamedTuple):
    """One labelled array for the store of the run."""

    name: str
    array: "xr.DataArray"


@dataclass(frozen=True)
class Observation:
    """All that a probe may look at.

    Attributes:
        checkpoint: whose model it is.
        weights: by TransformerLens name.
        activations: of every example of the task at the position at which its answer begins, by hook name: those that
            the probe asked for and, since all probes share one pass, those of the others.
        of_model: rows of the probes that ``needs`` names, measured once on the model's last checkpoint.
        model: the loaded model, for what no pass over the questions says: gradients, and the loss at other weights.
        token_outcomes: what came of every token of every answer; None where no probe asked for the logits.
    """

    checkpoint: "Checkpoint"
    weights: Mapping[str, Tensor]
    activations: Mapping[str, Float[Tensor, "example ..."]]
    of_model: Mapping[str, Sequence[Row]]
    model: "HookedModel"
    token_outcomes: Outcomes | None = None

    @property
    def task(self) -> Task:
        return self.checkpoint.task

    @cached_property
    def logits(self) -> Float[Tensor, "example answer"]:
        """Logits of the tokens that can be an answer, or the first token of one.

        Raises:
            ValueError: no probe asked for them.
        """
        if LOGITS not in self.activations:
            raise ValueError(f"logits: a probe that reads them lists {LOGITS!r} among its sites")
        return self.activations[LOGITS][:, torch.as_tensor(self.task.answer_tokens)].double()

    @property
    def outcomes(self) -> Outcomes:
        """What came of every token of every answer: its log-probability, and whether it is the likeliest.

        Raises:
            ValueError: no probe asked for the logits.
        """
        if self.token_outcomes is None:
            raise ValueError(f"outcomes: a probe that reads them lists {LOGITS!r} among its sites")
        return self.token_outcomes

    @cached_property
    def answers(self) -> Tensor:
        """The right answers, [example]."""
        return torch.as_tensor(self.task.answers)

    @cached_property
    def says_something(self) -> bool:
        """Whether the logits are finite and differ between answers and between questions.

        Those of a model that diverged, or whose weights are zeros, have no structure that could be measured.
        """
        logits = self.logits
        if not logits.isfinite().all():
            return False
        centred = logits - logits.mean(-1, keepdim=True)
        return bool((centred - centred.mean(0)).abs().max() > 1e-6 * logits.abs().max())

    @cached_property
    def cube(self) -> Float[Tensor, "n n n"]:
        """The logits in the order in which the operation is addition in Z_n: the right answer to (i, j) is i + j."""
        return self.cube_in(self._cyclic_form())

    def cube_in(self, form: CyclicForm | GroupForm) -> Float[Tensor, "n n n"]:
        """The logits in another order of the operands and answers, such as that of a group's elements."""
        return self.logits[self.example_of(form)][..., torch.as_tensor(form.c)]

    def on_pairs(self, mask: Bool[Tensor, " example"]) -> Bool[Tensor, "n n"]:
        """A set of examples as a set of (i, j) of the cube."""
        return mask[self.example_of_pair]

    @cached_property
    def example_of_pair(self) -> Int[Tensor, "n n"]:
        """Which example asks (i, j), in the order in which the operation is addition in Z_n."""
        return self.example_of(self._cyclic_form())

    def example_of(self, form: CyclicForm | GroupForm) -> Int[Tensor, "n n"]:
        """Which example asks for the i-th first and the j-th second operand of a form."""
        return torch.as_tensor(self.task.example_of(form))

    def _cyclic_form(self) -> CyclicForm:
        form = self.task.cyclic_form
        assert form is not None, "probes that use the cube refuse tasks without a cyclic form in check()"
        return form


class Probe(Protocol):
    """A measure made runnable on a checkpoint. A frozen dataclass whose fields are its arguments.

    Attributes:
        name: in the results table and in batch files.
        version: raised when its numbers change, so that stored results are not mistaken for new ones.
        sites: hook names (or patterns) of the activations it reads, at the answer position.
        per: ``"checkpoint"``, or ``"model"`` for one that is measured once, on a model's last checkpoint.
        needs: probes per model whose rows it reads; ``needs_for`` says without which of them it cannot be measured.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sites: ClassVar[tuple[str, ...]] = ()
    per: ClassVar[Literal["checkpoint", "model"]] = "checkpoint"
    needs: ClassVar[tuple[str, ...]] = ()

    def check(self, task: Task) -> None:
        """Whether the probe has a meaning for this task: any task will do, unless a probe says otherwise.

        Raises:
            ValueError: it has none; the message says why.
        """

    def needs_for(self, task: Task) -> tuple[str, ...]:
        """Those of ``needs`` without which it is not measured on this task: all, unless a probe says otherwise."""
        return self.needs

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        """The numbers (and arrays) of one checkpoint."""


def check_argument(holds: bool, argument: str, given: object, expected: str) -> None:
    """For what a probe asks of its arguments.

    Raises:
        ValueError: it does not hold.
    """
    if not holds:
        raise ValueError(f"{argument}: got {given}; expected {expected}")


def check_cyclic(task: Task) -> None:
    """For probes that need the task's operation to be an addition in a cyclic group.

    Raises:
        ValueError: it is none.
    """
    if task.cyclic_form is None:
        raise ValueError(
            "the task's operation is not an addition in a cyclic group, so its answers have no frequencies"
            " (spectra of the weights need no such structure)"
        )


def group_form_of(task: Task) -> GroupForm:
    """For probes that need the task's operation to be the product of a group.

    Raises:
        ValueError: it is none, or the group is too large.
    """
    if task.group_form is None:
        raise ValueError(
            "the task's operation is not the product of a group (or of one that is too large), so it has no irreps"
        )
    return task.group_form
