"""What pydantic finds wrong with a value, in one sentence: "expected a value above 0 for 'rate', got -1"."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from badnets.core.errors import nearest
from badnets.core.text import VALUE, brief

Schema = dict[str, Any]
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_ABSENT = ("missing", "missing_argument", "missing_keyword_only_argument")
_LIMITS = {
    "gt": "above",
    "ge": "of at least",
    "lt": "below",
    "le": "of at most",
    "multiple_of": "that is a multiple of",
}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "a text",
    "bytes": "a text",
    "path": "a path",
    "none": "nothing",
    "date": "a date",
    "datetime": "a date",
    "time": "a time",
    "set": "a list",
    "url": "an address",
    **dict.fromkeys(("list", "tuple", "iterable", "frozen"), "a list"),
    **dict.fromkeys(("dict", "mapping", "model", "dataclass"), "a table"),
}
"""What pydantic's types of errors, up to their first underscore, are about."""
PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$": "at most 80 letters, digits, dots, hyphens and underscores, the first a "
    "letter or digit",
}
"""What texts must be that a field has a regular expression for, in words: nobody should have to read one."""


def explain(error: ValidationError, schema: Callable[[], Schema], given: Mapping[str, Any], *, below: str = "") -> str:
    """The first problem in one sentence; an unknown key gets the nearest known one.

    ``given`` is what was checked; ``schema`` makes the JSON schema of it, asked for where a key is unknown. With
    ``below`` only the part of ``given`` under that dotted key was checked.
    """
    problems = error.errors(include_url=False)
    # A key that nobody knows is told before one that is missing: it may be the same, misspelt.
    beside = [other for other in problems if other["type"] in _UNKNOWN and other["loc"][:-1] == problems[0]["loc"][:-1]]
    problem: Any = beside[0] if beside and problems[0]["type"] in _ABSENT else problems[0]
    kind, context = problem["type"], problem.get("ctx", {})
    shown = _as_written(problem, below, given, absent=kind in _ABSENT)
    field = brief(".".join(shown), VALUE)
    what = f" for {field!r}" if field else ""
    if kind in _UNKNOWN:
        return f"unknown key {field!r}; {_suggestion(schema(), shown, given)}"
    if kind in _ABSENT:
        return f"expected a value for {field!r}, got none; add it"
    if kind == "union_tag_invalid":
        tags = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
        return f"unknown kind {shown_value(context['tag'])}{what}; {nearest(str(context['tag']), tags)}"
    if kind == "union_tag_not_found":
        return f"expected a value for {'.'.join([*shown, 'kind'])!r}, got none; add it"
    if kind == "value_error":  # one of ours: a whole sentence
        return (f"{field}: " if field else "") + str(problem["msg"]).removeprefix("Value error, ")
    # Each member of a union (a number, or two) says what it expected.
    same = [other for other in problems if other["loc"][: len(problem["loc"]) - 1] == problem["loc"][:-1]]
    members = [other for other in same if other is problem or _as_written(other, below, given) == shown]
    words = " or ".join(dict.fromkeys(_expected(member) for member in members))
    got = problem.get("input")
    plain = isinstance(got, str | int | float | bool | None.__class__)
    return f"expected {words}{what}" + (f", got {shown_value(got)}" if plain else "")


def shown_value(value: object) -> str:
    """``repr`` of what a stranger may have written: of any length, or a number of more digits than Python shows."""
    try:
        return brief(repr(value), VALUE)
    except ValueError:
        return "a number of thousands of digits"


def _as_written(problem: Any, below: str, given: Any, *, absent: bool = False) -> list[str]:
    """The keys that the user wrote: pydantic puts the members of unions between and behind them."""
    place = [*filter(None, below.split(".")), *map(str, problem["loc"])]
    shown: list[str] = []
    inside: Any = given
    for index, part in enumerate(place):
        last = index == len(place) - 1
        if isinstance(inside, Mapping) and inside.get("kind") == part and not last:
            continue
        if isinstance(inside, Mapping) and part in inside:
            inside = inside[part]
        elif isinstance(inside, list | tuple) and part.isdigit() and int(part) < len(inside):
            inside = inside[int(part)]
        elif not (last and (absent or not shown)):
            continue
        shown.append(part)
    return shown


def _expected(problem: Any) -> str:
    """Pydantic's message in our words: "a value above 0"."""
    kind, context = problem["type"], problem.get("ctx", {})
    for name, limit in context.items():
        if name in _LIMITS:
            return (
                f"a value {_LIMITS[name]} {limit}" if isinstance(limit, str) else f"a value {_LIMITS[name]} {limit:g}"
            )
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], "a text of another form")
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind.endswith(("too_short", "too_long")):
        words = ("letter", "letters") if kind.startswith(("string", "bytes")) else ("entry", "entries")
        least = "min_length" in context
        number = context["min_length" if least else "max_length"]
        return f"{'at least' if least else 'at most'} {number} {words[number != 1]}"
    if kind == "int_parsing_size":
        return "a whole number of fewer digits"
    if kind == "finite_number":
        return "a finite number"
    return _WORDS.get(kind.partition("_")[0], "another value")


def _suggestion(schema: Schema, place: list[str], given: Any) -> str:
    """The nearest key beside an unknown one; else where a key of that name stands; else all that there are."""
    node, inside = _members(schema, schema, given), given
    for part in place[:-1]:
        inside = inside[int(part) if isinstance(inside, list) else part]
        listed = part.isdigit() and "items" in node
        node = _members(schema, node["items"] if listed else node.get("properties", {}).get(part, {}), inside)
    known = sorted(set(node.get("properties", {})) - {"kind"})
    if not known:
        return "it takes none"
    if not difflib.get_close_matches(place[-1], known, n=1, cutoff=0.6):
        for path in _paths(schema, schema, ()):
            if path[-1] == place[-1]:
                return f"did you mean {'.'.join(path)!r}?"
    return nearest(place[-1], known)


def _paths(schema: Schema, node: Schema, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted paths of all keys, nearer ones first; the kinds of a union are not looked into."""
    if len(above) > 3:
        return
    properties = _resolve(schema, node).get("properties", {})
    for name in properties:
        yield (*above, name)
    for name, child in properties.items():
        yield from _paths(schema, child, (*above, name))


def _resolve(schema: Schema, node: Schema) -> Schema:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for option in node.get("anyOf", []):
        if option.get("type") != "null":
            return _resolve(schema, option)
    return node


def _members(schema: Schema, node: Schema, inside: Any) -> Schema:
    """The schema of an object; of several kinds the one that ``inside`` says."""
    node = _resolve(schema, node)
    if "discriminator" in node:
        kinds = node["discriminator"]["mapping"]
        kind = inside.get("kind") if isinstance(inside, Mapping) else None
        return _resolve(schema, {"$ref": kinds.get(kind, next(iter(kinds.values())))})
    return node
