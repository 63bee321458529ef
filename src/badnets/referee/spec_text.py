"""A spec as people write it: TOML, ``--set`` changes, and what is wrong with it in one sentence."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from badnets.backdoors.triggers.place import Place
from badnets.core.errors import BadInput, nearest
from badnets.records.model import JSON

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def shipped_spec(name: str) -> Path:
    """The TOML file of a spec that comes with the package: in ``runs/`` of a checkout, in ``badnets/runs`` of an
    installed wheel."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "runs", package.parents[1] / "runs"]
    for folder in folders:
        if (path := folder / f"{name}.toml").exists():
            return path
    known = [path.stem for folder in folders if folder.exists() for path in folder.glob("*.toml")]
    raise BadInput(f"expected a spec of this package, got {name!r}; {nearest(name, known)}")


def read_table(path: Path) -> JSON:
    """The table of a TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(f"expected a spec (TOML file) at {path}, got none; see runs/ for examples") from None
    except UnicodeDecodeError:
        raise BadInput(f"expected a spec (TOML file) at {path}, got bytes that are not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"expected TOML in {path}, got an error: {error}") from None


def run_name(text: str) -> str:
    """``text`` as the name of a run's folder: what a name can't hold becomes a hyphen."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return kept[:80] or "run"


def changed_table(given: JSON, changes: Sequence[str] | None, where: str) -> JSON:
    """A copy of ``given`` with the changes made: ``dotted.key=value`` with TOML values (bare words are strings)."""
    try:
        table: JSON = json.loads(json.dumps(given))
    except TypeError as error:  # TOML has dates and times
        raise BadInput(f"{where}: expected texts, numbers, lists and tables, got another value ({error})") from None
    for change in changes or ():
        _set(table, change)
    return table


def _set(table: JSON, change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise BadInput(f"expected --set key=value, got {change!r}; for example --set recipe.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    place: Any = table
    for name in path:
        place = _inside(place, name, key)
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def _inside(place: JSON | list[Any], name: str, key: str) -> Any:
    """The table or list called ``name``, made where there is none."""
    at: Any = _index(place, name, key) if isinstance(place, list) else name
    inside = place[at] if isinstance(place, list) else place.get(at)
    if isinstance(inside, str):  # a short form, as in trigger = "pattern": make room for a setting beside it
        inside = _long_form(name, inside)
    elif not isinstance(inside, dict | list):
        inside = {}
    place[at] = inside
    return inside


def _long_form(name: str, word: str) -> JSON:
    if name == "data":
        return {"name": word}
    if name == "place":
        return dict(TypeAdapter(Place).dump_python(TypeAdapter(Place).validate_python(word)))
    return {"kind": word}


def _index(place: list[Any], name: str, key: str) -> int:
    if not name.isdigit() or int(name) >= len(place):
        raise BadInput(f"expected --set {key} to name one of {len(place)} entries (0 is the first), got {name!r}")
    return int(name)


def explain(error: ValidationError, schema: JSON, table: JSON, *, below: str = "") -> str:
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


def _as_written(place: list[str], table: JSON, *, absent: bool) -> list[str]:
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


def _suggestion(schema: JSON, place: list[str]) -> str:
    """The nearest key beside an unknown one; else where a key of that name stands; else all that there are."""
    node: JSON = schema
    for part in place[:-1]:
        node = _child(schema, node, part)
    known = sorted(_resolve(schema, node).get("properties", {}))
    if not difflib.get_close_matches(place[-1], known, n=1, cutoff=0.6):
        for path in _paths(schema, schema, ()):
            if path[-1] == place[-1]:
                return f"did you mean {'.'.join(path)!r}?"
    return nearest(place[-1], known)


def _paths(schema: JSON, node: JSON, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted paths of all keys, nearer ones first; the kinds of a union are not looked into."""
    if len(above) > 3:
        return
    properties = _resolve(schema, node).get("properties", {})
    for name in properties:
        yield (*above, name)
    for name, child in properties.items():
        yield from _paths(schema, child, (*above, name))


def _resolve(schema: JSON, node: JSON) -> JSON:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for option in node.get("anyOf", []):
        if option.get("type") != "null":
            return _resolve(schema, option)
    return node


def _child(schema: JSON, node: JSON, part: str) -> JSON:
    node = _resolve(schema, node)
    if "discriminator" in node:
        kinds = node["discriminator"]["mapping"]
        return {"$ref": kinds.get(part, next(iter(kinds.values())))}
    if part.isdigit() and "items" in node:
        child: JSON = node["items"]
        return child
    found: JSON = node.get("properties", {}).get(part, {})
    return found
