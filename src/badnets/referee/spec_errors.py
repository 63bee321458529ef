"""What is wrong with a spec, in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from badnets.core.errors import nearest

Schema = dict[str, Any]


def explain(error: ValidationError, schema: Schema, table: dict[str, Any], *, below: str = "") -> str:
    """The first problem in one sentence; an unknown key gets the nearest known one.

    ``schema`` is the whole spec's; ``below`` is where in a whole spec (``table``) the checked part stands.
    """
    problem = error.errors()[0]
    place = [*filter(None, below.split(".")), *(str(part) for part in problem["loc"])]
    shown = ".".join(_as_written(place, table, absent=problem["type"] in ("missing", "missing_argument")))
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {shown!r}; {_suggestion(schema, place)}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"expected a value for {shown!r}, got none; add it"
    context = problem.get("ctx", {})
    tags = [tag.strip().strip("'") for tag in str(context.get("expected_tags", "")).split(",")]
    if problem["type"] == "union_tag_invalid":
        return f"unknown kind {context.get('tag')!r} for {shown!r}; {nearest(str(context.get('tag')), tags)}"
    if problem["type"] == "union_tag_not_found":
        return f"expected a value for '{shown}.kind', got none; add it"
    prefix = f"{shown}: " if shown else ""
    if problem["type"] == "value_error":  # one of ours: a whole sentence
        return prefix + problem["msg"].removeprefix("Value error, ")
    got = problem.get("input")
    plain = isinstance(got, str | int | float | bool | None.__class__)
    return prefix + _expected(problem) + (f", got {got!r}" if plain else "")


def _as_written(place: list[str], table: dict[str, Any], *, absent: bool) -> list[str]:
    """The keys that the user wrote: pydantic puts the kinds of a union's members between them."""
    shown: list[str] = []
    inside: Any = table
    for index, part in enumerate(place):
        last = index == len(place) - 1
        if isinstance(inside, dict) and inside.get("kind") == part and not last:
            continue
        if isinstance(inside, dict) and part in inside:
            inside = inside[part]
        elif isinstance(inside, list) and part.isdigit() and int(part) < len(inside):
            inside = inside[int(part)]
        elif not (last and (absent or not shown)):
            continue
        shown.append(part)
    return shown


_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
}


def _expected(problem: Any) -> str:
    """Pydantic's message in our words: "expected a value above 0"."""
    if problem["type"] in _LIMITS:
        words, name = _LIMITS[problem["type"]]
        return f"expected a value {words} {problem['ctx'][name]:g}"
    message = str(problem["msg"])
    return message.replace("Input should be ", "expected ") if "Input should" in message else message.lower()


def _suggestion(schema: Schema, place: list[str]) -> str:
    """The nearest key beside an unknown one; else where a key of that name stands; else all that there are."""
    node: Schema = schema
    for part in place[:-1]:
        node = _child(schema, node, part)
    known = sorted(_resolve(schema, node).get("properties", {}))
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


def _child(schema: Schema, node: Schema, part: str) -> Schema:
    node = _resolve(schema, node)
    if "discriminator" in node:
        kinds = node["discriminator"]["mapping"]
        return {"$ref": kinds.get(part, next(iter(kinds.values())))}
    if part.isdigit() and "items" in node:
        child: Schema = node["items"]
        return child
    found: Schema = node.get("properties", {}).get(part, {})
    return found
