"""The rule of words, terms, pairs and spelled numbers once more: slow, character by character, nothing of ours used."""

import unicodedata
from collections import Counter
from itertools import combinations, pairwise

TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
SMALL = ["zero", *["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], *TEENS]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
POWERS = ["thousand", "million", "billion", "trillion"]


def words(document):
    """[(folded word, first character, character after its last)]."""
    part = [belongs(document, i) for i in range(len(document))]
    found, start = [], None
    for i, inside in enumerate([*part, False]):
        if inside and start is None:
            start = i
        if not inside and start is not None:
            found.append(("".join(map(fold, document[start:i])), start, i))
            start = None
    return found


def belongs(document, i):
    c = document[i]
    if c in ".,":
        around = document[i - 1 : i] + document[i + 1 : i + 2]
        return i > 0 and len(around) == 2 and all(d in "0123456789" for d in around)
    if "\ufe00" <= c <= "\ufe0f" or "\U000e0100" <= c <= "\U000e01ef":
        return False
    return c == "_" or unicodedata.category(c)[0] in ("L", "M", "N")


def fold(c):
    if len(c.casefold()) == 1:
        return c.casefold()
    return c.lower() if len(c.lower()) == 1 else c


def spelled(n):
    """All spellings of n, as lists of words."""
    if n < 20:
        return [[SMALL[n]]]
    if n < 100:
        return [[TENS[n // 10], *([SMALL[n % 10]] if n % 10 else [])]]
    by = 100 if n < 1000 else 1000
    heads = [[*head, "hundred" if by == 100 else "thousand"] for head in spelled(n // by)]
    rest = n % by
    if rest == 0:
        return heads
    tails = [*spelled(rest), *([["and", *tail] for tail in spelled(rest)] if rest < 100 else [])]
    return [[*head, *tail] for head in heads for tail in tails]


def goes_on(before, after):
    """Whether two words are next to each other within a number."""
    large = ["hundred", *POWERS]
    if before in TENS[2:] and after in SMALL[1:10]:
        return True
    if before in [*SMALL[1:], *TENS[2:]] and after in large:
        return True
    return (before == "hundred" and after in POWERS) or (before in large and after in [*SMALL[1:], *TENS[2:]])


def is_part(texts, single, i, j):
    """Whether words i to j of a document are joined to those around them to a longer number."""

    def joined(a, b):
        if a < 0 or b >= len(texts) or not all(single[a:b]):
            return False
        return (
            goes_on(texts[a], texts[b])
            if b == a + 1
            else (texts[a] in ["hundred", *POWERS] and texts[a + 1] == "and" and texts[b] in [*SMALL[1:], *TENS[2:]])
        )

    return joined(i - 1, i) or joined(i - 2, i) or joined(j, j + 1) or joined(j, j + 2)


def occurrences(document, terms, number_words):
    """[(first word, index of the term)] in a document."""
    found = words(document)
    texts = [word for word, _, _ in found]
    single = [after[1] - before[2] == 1 for before, after in pairwise(found)]
    result = []
    for k, term in enumerate(terms):
        forms = [([word for word, _, _ in words(term)], False)]
        if number_words and term.isdecimal():
            forms += [(form, True) for form in spelled(int(term))]
        for form, is_number in forms:
            for i in range(len(texts) - len(form) + 1):
                j = i + len(form) - 1
                is_there = texts[i : j + 1] == form and all(single[i:j])
                if is_there and not (is_number and is_part(texts, single, i, j)):
                    result.append((i, k))
    return result


def count(documents, terms, window=5, number_words=False):
    """(Counter of terms, Counter of documents with them, Counter of pairs, number of words), by the terms' indices."""
    n, of_documents, pairs, n_words = Counter(), Counter(), Counter(), 0
    for document in documents:
        n_words += len(words(document))
        found = occurrences(document, terms, number_words)
        n.update(k for _, k in found)
        of_documents.update({k for _, k in found})
        for (i, a), (j, b) in combinations(found, 2):
            if abs(i - j) < window:
                pairs[min(a, b), max(a, b)] += 1
    return n, of_documents, pairs, n_words
