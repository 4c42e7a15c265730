"""How a suite is trained: optimizer, batch, number of steps, and when checkpoints are written."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class Schedule:
    """Steps at which checkpoints are written: log-spaced early, evenly spaced later, or listed.

    Step 0 (the initial weights) and the last step always belong to it.

    Args:
        per_decade: how many steps per factor of ten, from 1 up to ``log_until``.
        log_until: last step of the log-spaced part; 0 for none.
        every: distance of the evenly spaced steps; None for none.
        steps: further steps, listed.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    per_decade: int = 10
    log_until: int = 100
    every: int | None = 100
    steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.per_decade < 1:
            raise ValueError(f"per_decade: got {self.per_decade}; expected at least 1")
        if self.log_until < 0:
            raise ValueError(f"log_until: got {self.log_until}; expected 0 or more")
        if self.every is not None and self.every < 1:
            raise ValueError(f"every: got {self.every}; expected at least 1, or null")
        if any(step < 0 for step in self.steps):
            raise ValueError(f"steps: got {min(self.steps)}; expected 0 or more")

    def up_to(self, last: int) -> tuple[int, ...]:
        """The steps of a training run of ``last`` steps, ascending."""
        chosen = {0, last, *self.steps}
        if self.log_until:
            n = math.floor(self.per_decade * math.log10(self.log_until)) + 1
            chosen |= {round(10 ** (i / self.per_decade)) for i in range(n)} | {self.log_until}
        if self.every:
            chosen |= set(range(0, last + 1, self.every))
        return tuple(sorted(step for step in chosen if step <= last))


@dataclass(frozen=True)
class TrainingSettings:
    """Everything about a training run that all members of an ensemble have in common.

    Args:
        steps: optimizer steps.
        betas: of AdamW.
        warmup: steps over which the learning rate rises from 0: step t is taken at ``min(t / warmup, 1)`` of it.
        batch_size: examples per step, drawn without replacement in shuffled passes over the training data, which are
            longer while a special batch is shown; None for the full batch.
        loss_dtype: precision of the log-softmax. In float32 a loss below about 1e-7 is lost to round-off and with it
            the late phase of grokking, so float64 is the default; weights are float32 either way.
        checkpoints: when weights are written.
        compile: run the step through ``torch.compile``: faster per step after 20-30 s of warm-up, so for long runs.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: int = 10
    batch_size: int | None = None
    loss_dtype: Literal["float64", "float32"] = "float64"
    checkpoints: Schedule = field(default_factory=Schedule)
    compile: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps: got {self.steps}; expected 0 or more")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: got {self.betas}; expected two numbers in [0, 1)")
        if self.warmup < 0:
            raise ValueError(f"warmup: got {self.warmup}; expected 0 or more")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size: got {self.batch_size}; expected at least 1, or null for the full batch")
        if self.loss_dtype not in ("float64", "float32"):
            raise ValueError(f"loss_dtype: got {self.loss_dtype!r}; expected 'float64' or 'float32'")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
