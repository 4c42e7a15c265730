"""How a saved file names a question and writes an answer.

A key is a question's name and its parameters: sorted by name, those with the default value left out, lists with commas,
values as ``encodeURIComponent`` writes them, as in ``edge?edge=L0.H1%20-%3E%20logits&model=d16-s0&step=40``. An answer
is JSON with numbers of five digits, and may stand in a script element.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from circuits.viewer.messages import QUESTIONS, Message

DIGITS = 5
_UNQUOTED = "!'()*-._~"
"""What ``encodeURIComponent`` leaves as it is, beside letters and digits."""


def key_of(name: str, parameters: Mapping[str, Any]) -> str:
    """
    Raises:
        ValueError: there is no such question, or it has no such parameters.
    """
    if name not in QUESTIONS:
        raise ValueError(f"name: got {name!r}; expected one of {', '.join(QUESTIONS)}")
    asked = QUESTIONS[name][0].model_validate(parameters).model_dump(exclude_defaults=True)
    written = {field: ",".join(map(str, value)) if isinstance(value, list) else value for field, value in asked.items()}
    said = "&".join(f"{field}={quote(str(value), safe=_UNQUOTED)}" for field, value in sorted(written.items()))
    return f"{name}?{said}" if said else name


def script_json(value: Any) -> str:
    """JSON in which nothing ends a script element, begins a comment in it, or ends a line of it.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def answer_json(answer: Message) -> str:
    """An answer as such JSON, its numbers rounded to ``DIGITS`` digits."""
    return script_json(_rounded(answer.model_dump()))


def _rounded(value: Any) -> Any:
    """The same with numbers rounded; those that are not finite are null."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        if not math.isfinite(short):
            return None
        # 3.0 is a character or two longer than 3
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value
