"""Pure mathematics that tasks and measures share. Imports nothing of ours.

``cyclic``         an operation on tokens, written as addition in Z_n
``groups``         a finite group by its Cayley table; an operation on tokens, written as its product
``families``       groups by name: cyclic, dihedral, symmetric, alternating, products
``irreps``         real irreducible representations; those of cyclic and dihedral groups
``symmetric``      those of symmetric groups
``decomposition``  those of any group, found numerically
``verification``   whether they are what they are said to be
"""

from probe.algebra.cyclic import CyclicForm
from probe.algebra.families import group
from probe.algebra.groups import MAX_ORDER, Group, GroupForm, group_from_table
from probe.algebra.irreps import Irrep
from probe.algebra.verification import verify

__all__ = ["MAX_ORDER", "CyclicForm", "Group", "GroupForm", "Irrep", "group", "group_from_table", "verify"]
