"""How whole numbers are spelled in English: "twenty-four", "one hundred and six".

Spellings are words with spaces; in a text any one separator may stand between two words of a term, so that
"twenty-four" and "twenty four" are one spelling.
"""

UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
POWERS = ("thousand", "million", "billion", "trillion")

LIMIT = 1_000_000
"""Numbers from here on are not spelled."""


def spellings(number: int) -> tuple[str, ...]:
    """All spellings of a whole number from 0 to 999,999: with "and" after hundred, or after thousand, and without.

    Not among them: "a hundred", "twelve hundred", a "dozen".
    """
    if number < 20:
        return (("zero", *UNITS, *TEENS)[number],)
    if number < 100:
        tens = TENS[number // 10 - 2]
        return (f"{tens} {UNITS[number % 10 - 1]}" if number % 10 else tens,)
    power, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    n, rest = divmod(number, power)
    heads = [f"{n_in_words} {name}" for n_in_words in spellings(n)]
    if not rest:
        return tuple(heads)
    joints = (" ", " and ") if rest < 100 else (" ",)
    return tuple(f"{head}{joint}{tail}" for head in heads for joint in joints for tail in spellings(rest))


def links() -> list[str]:
    """Words next to each other that are within one number: "twenty four", "two hundred", "hundred and six".

    A spelling that a link joins to a word before or after it is a part of a longer number.
    """
    small = (*UNITS, *TEENS, *TENS)
    large = ("hundred", *POWERS)
    found = [f"{tens} {unit}" for tens in TENS for unit in UNITS]
    found += [f"{n} {power}" for n in small for power in large]
    found += [f"hundred {power}" for power in POWERS]
    found += [f"{power} {joint}{n}" for power in large for joint in ("", "and ") for n in small]
    return found
