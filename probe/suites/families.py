"""What published families call their checkpoints, and what is known of how they were trained.

Steps are read off names: ``step1000`` (Pythia), ``step_1000``, ``global_step1000`` (BLOOM), ``checkpoint-1000``
(transformers' trainer, stanford-crfm), ``step1000-tokens4B`` and ``stage1-step1000-tokens3B`` (OLMo).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

_NAME = re.compile(
    r"(?P<stage>stage\d+-(?:ingredient\d+-)?)?(?:global_)?(?:step|checkpoint)[-_]?(?P<step>\d+)"
    r"(?:-tokens(?P<billions>\d+)B)?"
)


@dataclass(frozen=True)
class StepName:
    """What the name of a revision or folder says.

    Attributes:
        step: optimizer steps taken, in its stage of training.
        stage: numbers of the stage and of its variant; empty where there are no stages.
        tokens: training tokens seen, rounded to a billion as the name has it; None where it does not say.
    """

    step: int
    stage: tuple[int, ...]
    tokens: float | None


def read_step(name: str) -> StepName | None:
    """What a name says, or None if it is not that of a step."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stage = tuple(int(number) for number in re.findall(r"\d+", match["stage"] or ""))
    return StepName(int(match["step"]), stage, float(match["billions"]) * 1e9 if match["billions"] else None)


def by_step(names: Iterable[str]) -> dict[int, str]:
    """Which name each step has, steps ascending; names that say no step are left out.

    Of a model that was trained in stages, only the first stage is taken: a later one counts its steps from 0 again.

    Raises:
        ValueError: two names say the same step.
    """
    read = {name: said for name in names if (said := read_step(name)) is not None}
    first = min((said.stage for said in read.values()), default=())
    found: dict[int, str] = {}
    for name, said in sorted(read.items(), key=lambda item: (item[1].step, item[0])):
        if said.stage == first:
            if said.step in found:
                raise ValueError(f"step: {found[said.step]} and {name} are both at {said.step}; expected one of a step")
            found[said.step] = name
    return found


@dataclass(frozen=True)
class Training:
    """How a model was trained, ``nan`` and None where nothing says.

    Attributes:
        tokens_per_step: training tokens in an optimizer step.
        examples_per_step: sequences in an optimizer step.
        seed: of the initial weights.
        has_steps: whether the hub is known to have checkpoints at several steps.
    """

    tokens_per_step: float = nan
    examples_per_step: float = nan
    seed: int | None = None
    has_steps: bool = False


_FAMILIES = (
    # Biderman et al. 2023 (arXiv 2304.01373), section 2.2: 1024 sequences of 2048 tokens, for all sizes
    (r"EleutherAI/pythia-[\d.]+[mb](-deduped)?(-(weight-|data-)?seed\d+)?", 1024 * 2048, 1024),
    # https://github.com/stanford-crfm/mistral: 512 sequences of 1024 tokens
    (r"stanford-crfm/\w+-gpt2-(small|medium)-x\d+", 512 * 1024, 512),
    # its names say how many tokens; steps of its sizes differ
    (r"allenai/OLMo-.*", nan, nan),
)
_SEED = re.compile(r".*-(?:(?:weight-)?seed|gpt2-(?:small|medium)-x)(\d+)")


def training_of(repo: str) -> Training:
    """What is known of a model on the hub, by its name ``Org/name``."""
    for pattern, tokens, examples in _FAMILIES:
        if re.fullmatch(pattern, repo):
            seed = None if "-data-seed" in repo else _SEED.fullmatch(repo)
            return Training(tokens, examples, int(seed[1]) if seed else None, has_steps=True)
    return Training()
