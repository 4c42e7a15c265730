"""YAML with line numbers, and validation errors that point at them.

``load_yaml`` keeps the line of every field; ``explain`` turns what pydantic found into one line per mistake::

    batch.yaml:9: probes[0].name: got 'fourrier'; expected 'fourier' or 'linear' (did you mean 'fourier'?)

What was expected is read from the JSON Schema of the model, so it names every bound and every choice, and all
members of a union.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from probe.batch.expected import Schema, child_of, describe, either, labelled, members_of, options_in, resolve, shown

Loc = tuple[str | int, ...]
Locate = Callable[[Loc], int]

_UNKNOWN_FIELD = {"extra_forbidden", "unexpected_keyword_argument"}
# Errors that the schema's own words say better than pydantic's message; any other keeps its message.
_IN_THE_SCHEMA = re.compile(
    r"missing|literal_error|enum|greater_than.*|less_than.*|multiple_of|too_short|too_long|int_from_float"
    r"|.*_type|.*_parsing|.*_parsing_size"
)


class BatchError(ValueError):
    """A batch file that cannot be run. The message has one line per mistake, each with file and line."""


def load_yaml(text_or_path: str | Path, file: str | None = None) -> tuple[Any, Locate]:
    """Read one YAML document.

    Args:
        text_or_path: The text itself (``str``) or a file to read (``Path``).
        file: What to call it in messages; by default the path, or ``<text>``.

    Returns:
        The data, and ``locate``: the 1-based line of a field given by its location, such as
        ``("probes", 0, "name")``; for a field that is not there, the line of the nearest one around it.

    Raises:
        BatchError: not YAML, or a field given twice.
        OSError: the file cannot be read.
    """
    file = file or (str(text_or_path) if isinstance(text_or_path, Path) else "<text>")
    try:
        text = text_or_path.read_text("utf-8") if isinstance(text_or_path, Path) else text_or_path
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        repeated = [] if root is None else list(_repeated_keys(loader, root, (), set()))
        if repeated:
            raise BatchError("\n".join(f"{file}:{line}: {what}" for line, what in repeated))
        data = None if root is None else loader.construct_document(root)
    except UnicodeDecodeError as error:
        raise BatchError(f"{file}:1: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise BatchError(f"{file}:{line}: not YAML: {error.reason} (character #x{error.character:04x})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise BatchError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {said}") from error

    def locate(loc: Loc) -> int:
        line, node = 1 if root is None else root.start_mark.line + 1, root
        for part in loc:
            found = _step_into(node, part)
            if found is None:
                break
            line, node = found
        return line

    return data, locate


def explain(
    error: ValidationError,
    file: str,
    locate: Locate,
    model: Any,
    choices: Callable[[Loc], Iterable[str]] | None = None,
) -> str:
    """Say what is wrong with a file, all of it: one line per mistake, in the order of the file.

    Args:
        error: What pydantic raised.
        file: What to call the file.
        locate: From ``load_yaml``.
        model: The type that was validated: a pydantic model, a dataclass, or any other annotation.
        choices: Valid values at a location (union tags left out) that the model itself does not list, such as
            the names of installed plug-ins; used for "did you mean".

    Returns:
        Lines ``file:line: field.path: got VALUE; expected WHAT (did you mean 'x'?)``.
    """
    lines: list[tuple[int, str]] = []
    for path, said in mistakes(error, model, choices):
        where = written(path)
        lines.append((locate(path), f"{where}: {said}" if where else said))
    lines.sort(key=lambda entry: entry[0])
    # The members of a union that all reject a value say the same of it.
    return "\n".join(dict.fromkeys(f"{file}:{line}: {said}" for line, said in lines))


def mistakes(
    error: ValidationError, model: Any, choices: Callable[[Loc], Iterable[str]] | None = None
) -> Iterator[tuple[Loc, str]]:
    """What is wrong: the place of each mistake and ``got VALUE; expected WHAT``, from arguments as of ``explain``."""
    schema = TypeAdapter(model).json_schema()
    details = [dict(detail) for detail in error.errors(include_url=False)]
    places = [_find(schema, detail) for detail in details]
    for detail, place in zip(details, places, strict=True):
        if place.in_union and any(_is_below(other.path, place.path) for other in places):
            continue  # the value fits another member of the union better: its error lies deeper
        yield _explain_one(detail, place, schema, choices)


@dataclass(frozen=True)
class _Place:
    """Where in the file an error is (pydantic's location without tags and labels), and the schema there."""

    path: Loc
    schema: Schema  # of the value at path, {} if not known
    member: Schema  # the same, narrowed to the member of the union that the error is about
    in_union: bool  # the error is one member's, of a union without a discriminator


def _find(root: Schema, detail: Mapping[str, Any]) -> _Place:
    loc, unknown = detail["loc"], ()
    if detail["type"] in _UNKNOWN_FIELD:
        loc, unknown = loc[:-1], loc[-1:]
    path: Loc = ()
    schema = member = root
    for part in loc:
        here = resolve(root, member)
        tags = here.get("discriminator", {}).get("mapping", {})
        child = child_of(here, part)
        if str(part) in tags:
            schema = member = {"$ref": tags[str(part)]}
        elif child is not None:
            path, schema, member = (*path, part), child, child
        elif members_of(here):
            member = labelled(root, members_of(here), str(part))
        else:
            path = path if part == "[key]" else (*path, part)
            schema = member = {}
    return _Place((*path, *unknown), schema, member, member is not schema)


def _explain_one(
    detail: Mapping[str, Any], place: _Place, root: Schema, choices: Callable[[Loc], Iterable[str]] | None
) -> tuple[Loc, str]:
    """The path that an error is really about, and what to say of it."""
    kind, path, value = detail["type"], place.path, detail["input"]
    fields = resolve(root, place.member).get("properties", {})
    options = list(options_in(root, place.schema))
    expected = describe(root, place.schema) if _IN_THE_SCHEMA.fullmatch(kind) else ""
    got = "nothing" if kind == "missing" else shown(value)
    said = ""
    if kind in _UNKNOWN_FIELD:
        value, options = str(path[-1]), list(fields)
        got, expected = "an unknown field", f"one of {', '.join(fields)}" if fields else "no such field"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        union = resolve(root, place.schema)
        discriminator = union["discriminator"]["propertyName"]
        options = list(union["discriminator"]["mapping"])
        path = (*path, discriminator)
        value = value.get(discriminator) if isinstance(value, Mapping) else None
        got = "nothing" if kind == "union_tag_not_found" else shown(value)
        expected = either(map(repr, options))
    elif kind in ("value_error", "assertion_error"):
        said = " ".join(re.sub(r"^(Value error|Assertion failed), ", "", detail["msg"]).split())
        field, colon, rest = said.partition(": ")
        parts = [int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", field)]
        if colon and parts and (parts[0] in fields or path[-1:] == (field,)):
            if parts[0] in fields:  # raised by the whole, about one field of it
                path = (*path, *parts)
                for part in parts:
                    value = _part_of(value, part)
            said = rest
        if "got " not in said and isinstance(value, str | int | float | bool):
            said = f"got {shown(value)}; {said}"
    if not said:
        message = re.sub("^Input should (be )?", "expected ", detail["msg"])
        said = f"got {got}; {f'expected {expected}' if expected else message}"
    if choices is not None:
        options += choices(path)
    nearest = _nearest(value, options)
    return path, f"{said} (did you mean {nearest!r}?)" if nearest and "did you mean" not in said else said


def _part_of(value: Any, part: str | int) -> Any:
    """A field or item; the value itself if it has no such part."""
    if isinstance(value, Mapping):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else value


def _nearest(value: Any, options: Iterable[str]) -> str | None:
    """The option that a misspelt text most resembles, if one does."""
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(value.lower(), by_lower, n=1) if isinstance(value, str) else []
    return by_lower[found[0]] if found and by_lower[found[0]] != value else None


def written(path: Loc) -> str:
    """A place in a file as messages call it: ``probes[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _is_below(path: Loc, above: Loc) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


# --- YAML nodes ---


def _repeated_keys(loader: yaml.SafeLoader, node: yaml.Node, path: Loc, seen: set[int]) -> Iterator[tuple[int, str]]:
    """Line and description of each key that its mapping has already; PyYAML would keep the last one."""
    if id(node) in seen:  # an alias of a node met before
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(loader, item, (*path, index), seen)
    if isinstance(node, yaml.MappingNode):
        first: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":  # <<
                name = loader.construct_object(key)
                if name in first:
                    where = written((*path, key.value))
                    yield line, f"{where}: given twice, first on line {first[name]}; expected once"
                first.setdefault(name, line)
            yield from _repeated_keys(loader, value, (*path, key.value), seen)


def _step_into(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """The line and value of a field or item; None if it is not there."""
    if isinstance(node, yaml.MappingNode):
        # From the end, because merged-in keys (<<) come first and the mapping's own override them.
        for key, value in reversed(node.value):
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
