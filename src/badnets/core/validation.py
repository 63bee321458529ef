"""What pydantic finds wrong with a value, in one sentence: "expected a value above 0 for 'rate', got -1"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from badnets.core.errors import nearest

Schema = dict[str, Any]
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_ABSENT = ("missing", "missing_argument", "missing_keyword_only_argument")
_LIMITS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    **dict.fromkeys(("list", "tuple"), "a list"),
    **dict.fromkeys(("dict", "model", "dataclass"), "a table"),
}
"""What pydantic's types of errors, up to their first underscore, are about."""


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
    field = ".".join(shown)
    what = f" for {field!r}" if field else ""
    if kind in _UNKNOWN:
        return f"unknown key {field!r}; {_suggestion(schema(), shown, given)}"
    if kind in _ABSENT:
        return f"expected a value for {field!r}, got none; add it"
    if kind == "union_tag_invalid":
        tags = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
        return f"unknown kind {context['tag']!r}{what}; {nearest(str(context['tag']), tags)}"
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
    return f"expected {words}{what}" + (f", got {got!r}" if plain else "")


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
    for name, limit in problem.get("ctx", {}).items():
        if name in _LIMITS:
            return f"a value {_LIMITS[name]} {limit:g}"
    about, _, what = problem["type"].partition("_")
    if about in _WORDS and what in ("type", "parsing", "from_float", "attributes_type"):
        return _WORDS[about]
    if problem["type"] == "string_pattern_mismatch":
        return f"a text that matches {problem['ctx']['pattern']}"
    message = re.sub("^(Input should( be)?|Value should) ", "", problem["msg"])
    return message if message != problem["msg"] else message[:1].lower() + message[1:]


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
