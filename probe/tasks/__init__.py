"""What is asked: finite, enumerable sets of questions with answers, which of them were trained on, and how often.

``task``        what every task offers, and how a task is written down and read back
``modular``     arithmetic modulo p
``groups``      composition in a finite group
``splits``      which examples of these are trained on, where some belong together
``arithmetic``  arithmetic on whole numbers, each fact shown as often as declared
``facts``       random facts about made-up subjects, in several phrasings
``biographies`` people's attributes told in biographies and asked by questions
``text``        a corpus, packed into sequences
``sequences``   random sequences that are repeated
``in_context``  what tasks share whose rule is told by the examples of a sequence: ``in_context_mapping``, a random
                mapping; ``in_context_linear``, linear regression over Z_p
``mixture``     tasks blended into one training stream
``frequency``   how often facts are shown, and which are held out
"""

from probe.tasks.arithmetic import Addition, Multiplication, Subtraction
from probe.tasks.biographies import Biographies
from probe.tasks.facts import Facts
from probe.tasks.frequency import Duplicated, OperandWeights, Table, Uniform, Zipf
from probe.tasks.groups import GroupComposition
from probe.tasks.in_context import InContext
from probe.tasks.in_context_linear import InContextLinear
from probe.tasks.in_context_mapping import InContextMapping
from probe.tasks.mixture import Mixture, Part
from probe.tasks.modular import ModularArithmetic
from probe.tasks.sequences import RepeatedTokens
from probe.tasks.task import NOT_SCORED, Task, task_from_dict, task_to_dict
from probe.tasks.text import Text

FAMILIES: dict[str, type[Task]] = {
    "modular": ModularArithmetic,
    "group": GroupComposition,
    "multiplication": Multiplication,
    "addition": Addition,
    "subtraction": Subtraction,
    "facts": Facts,
    "biographies": Biographies,
    "mixture": Mixture,
    "text": Text,
    "repeated": RepeatedTokens,
    "in_context_mapping": InContextMapping,
    "in_context_linear": InContextLinear,
}
"""Kinds of tasks, by the ``family`` that batch files and suites call them."""

__all__ = [
    "FAMILIES",
    "NOT_SCORED",
    "Addition",
    "Biographies",
    "Duplicated",
    "Facts",
    "GroupComposition",
    "InContext",
    "InContextLinear",
    "InContextMapping",
    "Mixture",
    "ModularArithmetic",
    "Multiplication",
    "OperandWeights",
    "Part",
    "RepeatedTokens",
    "Subtraction",
    "Table",
    "Task",
    "Text",
    "Uniform",
    "Zipf",
    "task_from_dict",
    "task_to_dict",
]
