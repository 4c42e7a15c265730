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

Loc = tuple[str | int, ...]
Locate = Callable[[Loc], int]
Schema = Mapping[str, Any]

_UNKNOWN_FIELD = {"extra_forbidden", "unexpected_keyword_argument"}
# Errors that the schema's own words say better than pydantic's message; any other keeps its message.
_IN_THE_SCHEMA = re.compile(
    r"missing|literal_error|enum|greater_than.*|less_than.*|multiple_of|too_short|too_long|int_from_float"
    r"|.*_type|.*_parsing|.*_parsing_size"
)
_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}
_LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "minItems": "of at least {}",
    "maxItems": "of at most {}",
}


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
    schema = TypeAdapter(model).json_schema()
    details = [dict(detail) for detail in error.errors(include_url=False)]
    places = [_find(schema, detail) for detail in details]
    lines: list[tuple[int, str]] = []
    for detail, place in zip(details, places, strict=True):
        if place.in_union and any(_is_below(other.path, place.path) for other in places):
            continue  # the value fits another member of the union better: its error lies deeper
        path, said = _explain_one(detail, place, schema, choices)
        where = _written(path)
        lines.append((locate(path), f"{where}: {said}" if where else said))
    lines.sort(key=lambda entry: entry[0])
    # The members of a union that all reject a value say the same of it.
    return "\n".join(dict.fromkeys(f"{file}:{line}: {said}" for line, said in lines))


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
        here = _resolve(root, member)
        tags = here.get("discriminator", {}).get("mapping", {})
        child = _child(here, part)
        if str(part) in tags:
            schema = member = {"$ref": tags[str(part)]}
        elif child is not None:
            path, schema, member = (*path, part), child, child
        elif _members(here):
            member = _labelled(root, _members(here), str(part))
        else:
            path = path if part == "[key]" else (*path, part)
            schema = member = {}
    return _Place((*path, *unknown), schema, member, member is not schema)


def _explain_one(
    detail: Mapping[str, Any], place: _Place, root: Schema, choices: Callable[[Loc], Iterable[str]] | None
) -> tuple[Loc, str]:
    """The path that an error is really about, and what to say of it."""
    kind, path, value = detail["type"], place.path, detail["input"]
    fields = _resolve(root, place.member).get("properties", {})
    options = list(_options(root, place.schema))
    expected = _describe(root, place.schema) if _IN_THE_SCHEMA.fullmatch(kind) else ""
    got = "nothing" if kind == "missing" else _shown(value)
    said = ""
    if kind in _UNKNOWN_FIELD:
        value, options = str(path[-1]), list(fields)
        got, expected = "an unknown field", f"one of {', '.join(fields)}" if fields else "no such field"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        union = _resolve(root, place.schema)
        discriminator = union["discriminator"]["propertyName"]
        options = list(union["discriminator"]["mapping"])
        path = (*path, discriminator)
        value = value.get(discriminator) if isinstance(value, Mapping) else None
        got = "nothing" if kind == "union_tag_not_found" else _shown(value)
        expected = _either(map(repr, options))
    elif kind in ("value_error", "assertion_error"):
        said = " ".join(re.sub(r"^(Value error|Assertion failed), ", "", detail["msg"]).split())
        field, colon, rest = said.partition(": ")
        parts = field.split(".")
        if colon and (parts[0] in fields or path[-1:] == (field,)):
            if parts[0] in fields:  # raised by the whole, about one field of it
                path = (*path, *parts)
                for part in parts:
                    value = value.get(part) if isinstance(value, Mapping) else value
            said = rest
        if "got " not in said and isinstance(value, str | int | float | bool):
            said = f"got {_shown(value)}; {said}"
    if not said:
        message = re.sub("^Input should (be )?", "expected ", detail["msg"])
        said = f"got {got}; {f'expected {expected}' if expected else message}"
    if choices is not None:
        options += choices(path)
    nearest = _nearest(value, options)
    return path, f"{said} (did you mean {nearest!r}?)" if nearest and "did you mean" not in said else said


def _nearest(value: Any, options: Iterable[str]) -> str | None:
    """The option that a misspelt text most resembles, if one does."""
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(value.lower(), by_lower, n=1) if isinstance(value, str) else []
    return by_lower[found[0]] if found and by_lower[found[0]] != value else None


def _shown(value: Any) -> str:
    """A value as one would say it: containers in brief, the rest as YAML has it."""
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(str, value))}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _written(path: Loc) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _is_below(path: Loc, above: Loc) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


# --- JSON Schema ---


def _resolve(root: Schema, schema: Schema) -> Schema:
    """Follow references, and take the one member of a union with null."""
    while True:
        others = [member for member in schema.get("anyOf", ()) if member.get("type") != "null"]
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        elif len(others) == 1:
            schema = others[0]
        else:
            return schema


def _members(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf") or schema.get("oneOf") or ())


def _child(schema: Schema, part: str | int) -> Schema | None:
    """The schema of a field or item, or None if it has no such part."""
    if isinstance(part, int) and schema.get("type") == "array":
        first = schema.get("prefixItems", [])
        return first[part] if part < len(first) else schema.get("items", {})
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties", False)
    return fields.get(str(part), others if isinstance(others, dict) else None)


def _labelled(root: Schema, members: Iterable[Schema], label: str) -> Schema:
    """The member of a union that pydantic calls by a label such as "Adam" or "list[int]"."""
    wanted = {"list": "array", "tuple": "array", "set": "array", "dict": "object"}.get(label.partition("[")[0])
    for member in (_resolve(root, member) for member in members):
        if member.get("title") == label or (wanted and member.get("type") == wanted):
            return member
    return {}


def _options(root: Schema, schema: Schema) -> Iterator[str]:
    """The texts that a schema lists as valid."""
    schema = _resolve(root, schema)
    listed = [schema["const"]] if "const" in schema else schema.get("enum", [])
    yield from (option for option in listed if isinstance(option, str))
    for member in _members(schema):
        yield from _options(root, member)


def _describe(root: Schema, schema: Schema) -> str:
    """What a schema asks for, in words; "" if it does not say."""
    if "$ref" in schema:
        return _describe(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return _shown(schema["const"])
    if "enum" in schema:
        return _either(map(_shown, schema["enum"]))
    if "discriminator" in schema:
        tags = _either(map(repr, schema["discriminator"]["mapping"]))
        return f"a mapping whose {schema['discriminator']['propertyName']} is {tags}"
    if _members(schema):
        return _either(_describe(root, member) for member in _members(schema))
    if "properties" in schema:
        return f"a mapping with {', '.join(schema['properties'])}"
    if "prefixItems" in schema:
        return f"a list of {' and '.join(_describe(root, item) for item in schema['prefixItems'])}"
    if schema.get("type") not in _NOUNS:
        return ""
    limits = " and ".join(words.format(schema[key]) for key, words in _LIMITS.items() if key in schema)
    each = _describe(root, schema.get("items", {}))
    return " ".join(filter(None, [_NOUNS[schema["type"]], limits, f"(each {each})" if each else ""]))


def _either(parts: Iterable[str]) -> str:
    listed = list(parts)
    return " or ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


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
                    where = _written((*path, key.value))
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
