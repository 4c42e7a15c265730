"""How a task and its tokens are called where a person reads them.

Tasks number their tokens. What each number stands for is said here, a function for each family of tasks; models that
read with a tokenizer show what it says.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING

from probe.algebra import group
from probe.suites.suite import Model
from probe.tasks import (
    Biographies,
    Facts,
    GroupComposition,
    InContextLinear,
    InContextMapping,
    Mixture,
    ModularArithmetic,
    RepeatedTokens,
    Task,
    Text,
)
from probe.tasks.arithmetic import Arithmetic

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer gives for bytes that are no whole letter."""

Shown = Callable[[Iterable[int]], list[str]]
"""From token ids to what each is shown as."""


def shown_by(model: Model) -> Shown:
    """How the tokens of a model are shown: by its tokenizer, by its task, or as their numbers."""
    tokenizer = model.tokenizer()
    if tokenizer is not None:
        return lambda tokens: [_read_by(tokenizer, int(token)) for token in tokens]
    names: Sequence[str] = () if model.task is None else token_names(model.task)
    return lambda tokens: [names[token] if token < len(names) else str(token) for token in map(int, tokens)]


def _read_by(tokenizer: "PreTrainedTokenizerBase", token: int) -> str:
    """The text of a token; of one that is no whole letter its bytes, of one that the tokenizer does not know its id."""
    text = str(tokenizer.decode([token]))
    if text and UNREADABLE not in text:
        return text
    return str(tokenizer.convert_ids_to_tokens(token) or token)


@singledispatch
def token_names(task: Task) -> list[str]:
    """What each token of a task is, by number."""
    return [str(token) for token in range(task.d_vocab)]


@token_names.register
def _(task: ModularArithmetic) -> list[str]:
    return [*map(str, range(task.p)), "="]


@token_names.register
def _(task: GroupComposition) -> list[str]:
    return [*group(task.group).elements, "="]


@token_names.register
def _(task: Arithmetic) -> list[str]:
    return list(task.vocabulary)


@token_names.register
def _(task: Facts) -> list[str]:
    """``r2=5`` is value 5 of relation 2, ``r2?`` the word that asks for it; with its phrasing if there are several."""
    values = [f"r{relation}={value}" for relation in range(task.relations) for value in range(task.values)]
    asked = [f"r{r}?{p if task.phrasings > 1 else ''}" for r in range(task.relations) for p in range(task.phrasings)]
    return [*values, *_people(task.n_names), *asked]


@token_names.register
def _(task: Biographies) -> list[str]:
    """``a2=5`` is value 5 of attribute 2, ``a2~1`` the word that says it in phrasing 1, ``a2?`` the one that asks."""
    attributes = range(task.attributes)
    values = [f"a{attribute}={value}" for attribute in attributes for value in range(task.values)]
    said = [f"a{attribute}~{phrasing}" for attribute in attributes for phrasing in range(task.phrasings)]
    return [*values, *_people(task.n_names), *said, *(f"a{attribute}?" for attribute in attributes)]


@token_names.register
def _(task: RepeatedTokens) -> list[str]:
    return [*map(str, range(task.n_tokens)), *(["BOS"] if task.bos else [])]


@token_names.register
def _(task: InContextMapping) -> list[str]:
    """``k2`` is key 2, ``v5`` value 5."""
    return [*(f"k{key}" for key in range(task.n_keys)), *(f"v{value}" for value in range(task.n_values))]


@token_names.register
def _(task: Text) -> list[str]:
    """The text of each token; of one that is no whole letter, its bytes as the tokenizer writes them."""
    tokenizer = task.tokenizer
    texts = [tokenizer.decode([token], skip_special_tokens=False) for token in range(task.d_vocab)]
    return [str(tokenizer.id_to_token(i)) if UNREADABLE in text else text for i, text in enumerate(texts)]


@token_names.register
def _(task: Mixture) -> list[str]:
    return [f"{part}:{name}" for part, of_part in task.tasks.items() for name in token_names(of_part)]


def _people(n_names: int) -> list[str]:
    """First names, then last names."""
    return [f"{which}{number}" for which in ("first", "last") for number in range(n_names)]


@singledispatch
def title_of(task: Task) -> str:
    """A task in a few words."""
    return task.family


@title_of.register
def _(task: ModularArithmetic) -> str:
    return f"{task.operation} mod {task.p}"


@title_of.register
def _(task: GroupComposition) -> str:
    return f"composition in {task.group}"


@title_of.register
def _(task: Arithmetic) -> str:
    return f"a {task.sign} b of {len(task.numbers)} numbers, {task.numbers[0]} to {task.numbers[-1]}"


@title_of.register
def _(task: Facts) -> str:
    return f"{task.n_facts:,} facts about {task.n:,} subjects"


@title_of.register
def _(task: Biographies) -> str:
    return f"biographies of {task.n:,} people"


@title_of.register
def _(task: RepeatedTokens) -> str:
    return f"repeated sequences of {task.shortest} to {task.longest} of {task.n_tokens} tokens"


@title_of.register
def _(task: InContextMapping) -> str:
    return f"mappings of {task.n_keys} keys to {task.n_values} values, told in {task.pairs} pairs"


@title_of.register
def _(task: InContextLinear) -> str:
    return f"a x + b mod {task.p}, told by {task.examples} examples"


@title_of.register
def _(task: Text) -> str:
    return f"next token of a text, in sequences of {task.length}"


@title_of.register
def _(task: Mixture) -> str:
    return f"mixture of {', '.join(task.tasks)}"
