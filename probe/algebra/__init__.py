"""Pure mathematics that tasks and measures share. Imports nothing of ours.

``cyclic``   an operation on tokens, written as addition in Z_n
"""

from probe.algebra.cyclic import CyclicForm

__all__ = ["CyclicForm"]
