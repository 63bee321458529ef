"""A spec as people write it: TOML, and ``--set`` changes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

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
