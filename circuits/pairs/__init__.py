"""Contrasts: questions with a clean and a corrupted form of one length, answered differently.

``contrast``   ``Pairs``, checked when made
``tasks``      from the questions of a task, with another operand
``induction``  from repeated random tokens
``texts``      from a JSONL file and a tokenizer
"""

from circuits.pairs.contrast import Pairs
from circuits.pairs.induction import repeated_tokens
from circuits.pairs.tasks import pairs_from_task
from circuits.pairs.texts import pairs_from_jsonl

__all__ = ["Pairs", "pairs_from_jsonl", "pairs_from_task", "repeated_tokens"]
