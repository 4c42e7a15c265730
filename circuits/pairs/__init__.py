"""Contrasts: questions with a clean and a corrupted form of one length, answered differently.

``contrast``   ``Pairs``, checked when made
``tasks``      from the questions of a task, with another operand
``induction``  from repeated random tokens
``texts``      from a JSONL file and a tokenizer
``templates``  indirect objects, years that are greater, agreement in number and of pronouns, for any tokenizer
``words``      the words that templates are filled with
``vocabulary`` which of these are one token
"""

from circuits.pairs.contrast import Pairs
from circuits.pairs.induction import repeated_tokens
from circuits.pairs.tasks import pairs_from_task
from circuits.pairs.templates import (
    greater_than_pairs,
    indirect_object_pairs,
    number_pairs,
    pronoun_pairs,
    year_tokens,
)
from circuits.pairs.texts import pairs_from_jsonl

__all__ = [
    "Pairs",
    "greater_than_pairs",
    "indirect_object_pairs",
    "number_pairs",
    "pairs_from_jsonl",
    "pairs_from_task",
    "pronoun_pairs",
    "repeated_tokens",
    "year_tokens",
]
