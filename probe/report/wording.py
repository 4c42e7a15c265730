"""What frequencies and irreps are of, in the words of a task."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from probe.tasks import Biographies, Facts, GroupComposition, InContextMapping, ModularArithmetic, RepeatedTokens, Task

_LOG = " (log: discrete logarithm)"


@dataclass(frozen=True)
class Wording:
    """How captions write the sum that the answer of a task is, where it is one after renaming.

    Attributes:
        sum: what the answer is, as in "functions of a - b".
        phase: what the cosines of the algorithm are of.
        order: what the tokens are in the order of, as in "cycles over the residues".
        element: what the characters of irreps are of.
    """

    sum: str = "a + b"
    phase: str = "a + b - c"
    order: str = "tokens"
    element: str = "a b c⁻¹"

    @property
    def cosine(self) -> str:
        """The direction of a frequency in the logits, w = 2 pi k / n."""
        return f"cos w({self.phase}){_LOG if 'log' in self.phase else ''}"


_MODULAR = {
    "a+b": Wording("a + b", "a + b - c", "residues", "a + b - c"),
    "a-b": Wording("a - b", "a - b - c", "residues", "a - b - c"),
    "a*b": Wording("a * b", "log a + log b - log c", "discrete logarithms", "a b c⁻¹"),
    "a/b": Wording("a / b", "log a - log b - log c", "discrete logarithms", "a b⁻¹ c⁻¹"),
}


def wording(task: Task | None) -> Wording:
    """The words for a task; those for a + b where it is not known."""
    match task:
        case ModularArithmetic() if task.cyclic_form is not None:
            return _MODULAR[task.operation]
        case ModularArithmetic():
            return Wording(order="residues")
        case GroupComposition() if re.fullmatch(r"C\d+", task.group):
            return Wording("a b", order="elements")
        case GroupComposition() if task.cyclic_form is not None:
            return Wording("a b", "log a + log b - log c", "powers of a generator")
        case _:
            return Wording()


def without_frequencies(task: Task | None) -> str:
    """Why no frequencies of what a model computes have a meaning; "" where they have one or the task is not known."""
    if task is None or task.cyclic_form is not None:
        return ""
    return f"{_name(task)} is no addition in a cyclic group"


def without_irreps(task: Task | None) -> str:
    """Why no irreps have a meaning; "" where they have one or the task is not known."""
    return "" if task is None or task.group_form is not None else f"{_name(task)} is not the product of a group"


def without_order(task: Task | None) -> str:
    """Why the tokens have no order, so that there is no Fourier spectrum over them; "" where they have one.

    Numbers have their own, whatever is computed of them. Elements of a group that is not cyclic, and the names that
    random facts are about, are numbered anyhow.
    """
    if isinstance(task, GroupComposition) and task.cyclic_form is None:
        return (
            f"{_name(task)} is no addition in a cyclic group, so that its elements have no order to count cycles over"
        )
    if isinstance(task, Facts | Biographies):
        return "the tokens of random facts have no order to count cycles over"
    if isinstance(task, RepeatedTokens | InContextMapping):
        return "the tokens of random sequences have no order to count cycles over"
    return ""


def _name(task: Task) -> str:
    match task:
        case ModularArithmetic():
            return f"{task.operation} mod {task.p}"
        case GroupComposition():
            return f"composition in {task.group}"
        case _:
            return "the task"


def irrep_names(names: Iterable[str]) -> str:
    """A sentence on what names of irreps mean, as ``probe.algebra`` gives them; "" for names that say it themselves."""
    rules = {
        r"\d+[a-z]*": "a number is the dimension (of real matrices), and letters tell apart irreps of one dimension",
        r"\[[\d,]+\]": "[...] is the partition that belongs to it",
        "standard": "standard is the permutation matrices less the trivial irrep",
        r"k=\d+[+-]?": "k is the frequency at which the generating rotation turns (with + or -: of dimension 1)",
    }
    shown = list(names)
    said = [text for rule, text in rules.items() if any(re.fullmatch(rule, name) for name in shown)]
    return f"Names of irreps: {'; '.join(said)}." if said else ""


def progress_definitions(tasks: Iterable[Task | None], probes: Collection[str]) -> str:
    """What the progress measures of these probes are, in a sentence.

    Args:
        tasks: of the models that are drawn; None for one that is not known.
        probes: that the models have rows of.
    """
    tasks = list(tasks)
    fourier, irreps = "fourier_progress" in probes, "irrep_progress" in probes
    keys = [name for name, there in (("key frequencies", fourier), ("key irreps", irreps)) if there]
    parts = []
    if keys:
        parts.append(
            f"Restricted loss keeps only the {' (or '.join(keys)}{')' * (len(keys) > 1)} of the final step in the"
            " logits, excluded loss (train pairs) removes them all; surviving: of the pairs that are answered rightly,"
            " the share that still is without them (none where accuracy is at chance), of train pairs a lower bound of"
            " what is known by heart, of test pairs its control"
        )
    if fourier:
        phases = dict.fromkeys(wording(task).phase for task in tasks if not without_frequencies(task))
        parts.append(
            "logit FVE: share of the variance of the logits, centred over answers and over inputs, that cos w(x) of"
            f" the key frequencies explain, x = {', '.join(phases)}{_LOG if 'log' in ''.join(phases) else ''}; sum-FVE:"
            " that all functions of x explain, whatever their frequencies"
        )
    if irreps:
        elements = dict.fromkeys(wording(task).element for task in tasks if not without_irreps(task))
        parts.append(
            f"logit FVE (irreps): share that the characters of the key irreps at {' or '.join(elements)}"
            " explain; class-FVE: that all class functions explain"
        )
    if "embedding_spectrum" in probes:
        parts.append("Gini: of the Fourier norms of the embedding")
    if "weights" in probes:
        parts.append("squared weights: of all parameters")
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}"
