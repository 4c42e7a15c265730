"""Pairs of texts made from templates, of words that are single tokens for the tokenizer at hand.

``indirect_object_pairs``   who is given something (Wang et al. 2023, arXiv 2211.00593)
``greater_than_pairs``      a later year (Hanna et al. 2023, arXiv 2305.00586); ``year_tokens`` are for its metric
``number_pairs``            verb and subject, with another noun between (Linzen et al. 2016, arXiv 1611.01368)
``pronoun_pairs``           the pronoun of a name

Words that are not one token are left out, and so are templates that the tokenizer does not know a word of. Clean
questions all differ; templates, and the forms that each comes in, are used equally often up to one; all else is drawn.
"""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from circuits.pairs import words
from circuits.pairs.contrast import Pairs
from circuits.pairs.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Corruption = Literal["others", "swapped"]


def indirect_object_pairs(
    tokenizer: "PreTrainedTokenizerBase", n: int, *, corruption: Corruption = "others", seed: int = 0
) -> Pairs:
    """Indirect objects: "When Mary and John went to the store, John gave a drink to" goes on with " Mary".

    Each template comes in two forms: the name that is the answer is read first, or second. The wrong answer is the
    name that occurs twice.

    Args:
        tokenizer: of the model, such as ``checkpoint.model.tokenizer()``; with its special tokens as it adds them.
        n: pairs.
        corruption: ``"others"``: three other names, all different, so that none is left over (p_ABC of the paper).
            ``"swapped"``: the other of the two names occurs twice, so that the wrong answer is right.
        seed: of what is drawn.

    Raises:
        ValueError: the corruption is unknown; n is below 1 or more than there can be; or too few words are single
            tokens. The message says which are, and how many are needed.
    """
    if corruption not in get_args(Corruption):
        raise ValueError(f"corruption: got {corruption!r}; expected one of {', '.join(get_args(Corruption))}")
    known = Vocabulary(tokenizer)
    names = known.single("names", words.FEMALE_NAMES + words.MALE_NAMES, 5 if corruption == "others" else 2)
    places, things = known.single("places", words.PLACES, 1), known.single("things", words.THINGS, 1)
    forms = list(product(known.readable(words.INDIRECT_OBJECT), (True, False)))
    drawn = np.random.default_rng(seed)
    rows = []
    sizes = (len(names), len(names) - 1, len(places), len(things))
    for form, (i, j, place, thing) in _filled(n, len(forms), sizes, drawn):
        text, answer_first = forms[form]
        rest = [name for name in names if name != names[i]]
        answer, subject = names[i], rest.pop(j)
        read = [answer, subject] if answer_first else [subject, answer]
        other = [*read, answer] if corruption == "swapped" else [rest[k] for k in drawn.permutation(len(rest))[:3]]
        clean, corrupted = (
            text.format(first=first, second=second, again=again, place=places[place], thing=things[thing])
            for first, second, again in ([*read, subject], other)
        )
        rows.append((clean, corrupted, known.token(answer), known.token(subject)))
    return known.pairs(rows)


def greater_than_pairs(tokenizer: "PreTrainedTokenizerBase", n: int, *, seed: int = 0) -> Pairs:
    """Later years: "The war lasted from the year 1732 to the year 17" goes on with 33 or more.

    In the corrupted question the first year ends with 01, so that nearly all are later. The answer is the first that is
    later and the wrong answer the year itself, so that any contrast of two tokens is about where the line is; all on
    either side of it count in ``greater_than(year_tokens(tokenizer))``, the metric of the paper. Only years whose last
    two digits are one token after their first two are used.

    Args:
        tokenizer, n, seed: as of ``indirect_object_pairs``.

    Raises:
        ValueError: n is below 1 or more than there can be; too few years are two tokens, or no event is one.
    """
    known = Vocabulary(tokenizer)
    read = _years(known)
    ends = sorted({end for of_century in read.values() for end in of_century})
    years = [
        (century, end)
        for century, of_century in read.items()
        for end in of_century
        if 1 in of_century and 1 < end < ends[-1]
    ]
    if not years:
        raise ValueError(
            "tokenizer: none of the years 1102 to 1798 is two tokens, as 17|32, in a century of which 01 is as well;"
            " expected some"
        )
    events = known.single("events", words.EVENTS, 1)
    texts = known.readable(words.LASTED)
    drawn = np.random.default_rng(seed)
    tokens = _by_end(read)
    rows = []
    for form, (event, year) in _filled(n, len(texts), (len(events), len(years)), drawn):
        century, end = years[year]
        clean, corrupted = (
            texts[form].format(event=events[event], century=century, year=f"{last:02}") for last in (end, 1)
        )
        later = min(other for other in ends if other > end)
        rows.append((clean, corrupted, tokens[later], tokens[end]))
    return known.pairs(rows)


def year_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens of the last two digits of a year, as in ``greater_than_pairs``, from the earliest to the latest.

    Raises:
        ValueError: there are fewer than two.
    """
    known = Vocabulary(tokenizer)
    tokens = _by_end(_years(known))
    if len(tokens) < 2:
        raise ValueError(f"tokenizer: of a century {len(tokens)} years are two tokens, as 17|32; expected two or more")
    return [tokens[end] for end in sorted(tokens)]


def number_pairs(tokenizer: "PreTrainedTokenizerBase", n: int, *, seed: int = 0) -> Pairs:
    """Agreement in number: "The keys near the table" goes on with " are", "The key near the table" with " is".

    The corrupted question has the other number of the first noun. Each template comes in four forms: either number of
    either noun, so that half of the nouns between are of the other number than the subject.

    Args:
        tokenizer, n, seed: as of ``indirect_object_pairs``.

    Raises:
        ValueError: n is below 1 or more than there can be, or too few words are single tokens.
    """
    known = Vocabulary(tokenizer)
    verbs = [known.token(verb) for verb in known.single("verbs", words.VERBS, 2)]
    both = known.single("nouns", [noun for pair in words.NOUNS for noun in pair], 4)
    nouns = [pair for pair in words.NOUNS if set(pair) <= set(both)]
    if len(nouns) < 2:
        raise ValueError(
            f"tokenizer: {len(nouns)} nouns are one token in both numbers; of all nouns {', '.join(both)} are; expected"
            " 2 or more"
        )
    forms = list(product(known.readable(words.BESIDE), (0, 1), (0, 1)))
    rows = []
    for form, (i, j) in _filled(n, len(forms), (len(nouns), len(nouns) - 1), np.random.default_rng(seed)):
        text, number, number_between = forms[form]
        between = [*nouns[:i], *nouns[i + 1 :]][j][number_between]
        clean, corrupted = (text.format(noun=nouns[i][which], other=between) for which in (number, 1 - number))
        rows.append((clean, corrupted, verbs[number], verbs[1 - number]))
    return known.pairs(rows)


def pronoun_pairs(tokenizer: "PreTrainedTokenizerBase", n: int, *, seed: int = 0) -> Pairs:
    """Agreement in gender: "When Mary came home," goes on with " she", "When John came home," with " he".

    The corrupted question has a name of the other gender. Each template comes in two forms, with names of either.

    Args:
        tokenizer, n, seed: as of ``indirect_object_pairs``.

    Raises:
        ValueError: n is below 1 or more than there can be, or too few words are single tokens.
    """
    known = Vocabulary(tokenizer)
    pronouns = [known.token(pronoun) for pronoun in known.single("pronouns", words.PRONOUNS, 2)]
    names = [
        known.single(f"{kind} names", listed, 1)
        for kind, listed in (("female", words.FEMALE_NAMES), ("male", words.MALE_NAMES))
    ]
    forms = list(product(known.readable(words.TOLD_OF), (0, 1)))
    drawn = np.random.default_rng(seed)
    rows = []
    # as many of either gender, so that both forms of a template can be used equally often
    for form, (i,) in _filled(n, len(forms), (min(map(len, names)),), drawn):
        text, gender = forms[form]
        other = names[1 - gender][int(drawn.integers(len(names[1 - gender])))]
        clean, corrupted = text.format(name=names[gender][i]), text.format(name=other)
        rows.append((clean, corrupted, pronouns[gender], pronouns[1 - gender]))
    return known.pairs(rows)


def _years(known: Vocabulary) -> dict[str, dict[int, int]]:
    """Of each century the years that are two tokens, each with the second; one year has one token in all centuries."""
    found: dict[str, dict[int, int]] = {}
    of_end: dict[int, int] = {}
    for century in words.CENTURIES:
        for end, token in enumerate(known.of_two(century, [f"{end:02}" for end in range(100)])):
            if token is not None and of_end.setdefault(end, token) == token:
                found.setdefault(century, {})[end] = token
    return found


def _by_end(read: dict[str, dict[int, int]]) -> dict[int, int]:
    return {end: token for of_century in read.values() for end, token in of_century.items()}


def _filled(
    n: int, n_forms: int, sizes: tuple[int, ...], drawn: np.random.Generator
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Forms, equally often up to one, in a drawn order, each with a choice of words that it has not had before."""
    possible = int(np.prod(sizes))
    if not 1 <= n <= n_forms * possible:
        raise ValueError(
            f"n: got {n}; expected 1 to {n_forms * possible}, the different questions that can be made of {n_forms}"
            " templates in their forms, and of the words that are single tokens"
        )
    order = drawn.permutation(n_forms)
    form = order[np.arange(n) % n_forms]
    choices = {of: iter(drawn.choice(possible, int((form == of).sum()), replace=False)) for of in order}
    for of in form[drawn.permutation(n)]:
        yield int(of), tuple(int(place) for place in np.unravel_index(next(choices[of]), sizes))
