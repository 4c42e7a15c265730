"""What the JSON Schema of a model asks for, in words."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

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


def resolve(root: Schema, schema: Schema) -> Schema:
    """The schema that a reference, or a union of one schema with null, stands for."""
    while True:
        others = [member for member in schema.get("anyOf", ()) if member.get("type") != "null"]
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        elif len(others) == 1:
            schema = others[0]
        else:
            return schema


def members_of(schema: Schema) -> list[Schema]:
    """The members of a union; none if it is no union."""
    return list(schema.get("anyOf") or schema.get("oneOf") or ())


def child_of(schema: Schema, part: str | int) -> Schema | None:
    """The schema of a field or item, or None if it has no such part."""
    if isinstance(part, int) and schema.get("type") == "array":
        first = schema.get("prefixItems", [])
        return first[part] if part < len(first) else schema.get("items", {})
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties", False)
    return fields.get(str(part), others if isinstance(others, dict) else None)


def labelled(root: Schema, members: Iterable[Schema], label: str) -> Schema:
    """The member of a union that pydantic calls by a label such as "Adam" or "list[int]"."""
    wanted = {"list": "array", "tuple": "array", "set": "array", "dict": "object"}.get(label.partition("[")[0])
    for member in (resolve(root, member) for member in members):
        if member.get("title") == label or (wanted and member.get("type") == wanted):
            return member
    return {}


def options_in(root: Schema, schema: Schema) -> Iterator[str]:
    """The texts that a schema lists as valid."""
    schema = resolve(root, schema)
    listed = [schema["const"]] if "const" in schema else schema.get("enum", [])
    yield from (option for option in listed if isinstance(option, str))
    for member in members_of(schema):
        yield from options_in(root, member)


def describe(root: Schema, schema: Schema) -> str:
    """What a schema asks for, in words; "" if it does not say."""
    if "$ref" in schema:
        return describe(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        return either(map(shown, schema["enum"]))
    if "discriminator" in schema:
        tags = either(map(repr, schema["discriminator"]["mapping"]))
        return f"a mapping whose {schema['discriminator']['propertyName']} is {tags}"
    if members_of(schema):
        return either(describe(root, member) for member in members_of(schema))
    if "properties" in schema:
        return f"a mapping with {', '.join(schema['properties'])}"
    if "prefixItems" in schema:
        return f"a list of {' and '.join(describe(root, item) for item in schema['prefixItems'])}"
    if schema.get("type") not in _NOUNS:
        return ""
    limits = " and ".join(words.format(schema[key]) for key, words in _LIMITS.items() if key in schema)
    each = describe(root, schema.get("items", {}))
    return " ".join(filter(None, [_NOUNS[schema["type"]], limits, f"(each {each})" if each else ""]))


def either(parts: Iterable[str]) -> str:
    """``a, b or c``."""
    listed = list(parts)
    return " or ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def shown(value: Any) -> str:
    """A value as one would say it: containers in brief, the rest as YAML has it."""
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(str, value))}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str | int | float) else str(value)
