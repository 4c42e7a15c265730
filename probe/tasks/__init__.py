"""What is asked: finite, enumerable sets of questions with answers, and which of them were trained on.

``task``     what every task offers, and how a task is written down and read back
``modular``  arithmetic modulo p
``groups``   composition in a finite group
``splits``   which examples are trained on, where some belong together
"""

from probe.tasks.groups import GroupComposition
from probe.tasks.modular import ModularArithmetic
from probe.tasks.task import NOT_SCORED, Task, task_from_dict, task_to_dict

__all__ = ["NOT_SCORED", "GroupComposition", "ModularArithmetic", "Task", "task_from_dict", "task_to_dict"]
