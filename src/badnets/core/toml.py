"""TOML: of strangers, with every fault told in a sentence; and the tables that come with the package: texts and
settings that are data, not code."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_bytes
from badnets.core.limits import TEXT
from badnets.core.text import VALUE, brief

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DEEPEST", "check_depth", "parse_toml", "read_toml", "shipped_table", "tomllib"]
DEEPEST = 32
"""How many tables and lists may stand in each other."""
_NAME = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_DOTTED = re.compile(rf"(?<![\w-])(?:{_NAME}){{{DEEPEST}}}")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table of a TOML text; ``where`` it stands is named in errors, all of them BadInput."""
    if _DOTTED.search(text):  # the parser's time and memory grow with their square
        raise BadInput(f"expected keys of at most {DEEPEST} names in {where}, got a longer one; it may be damaged")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"expected at most {DEEPEST} tables and lists in each other in {where}, got far more") from None
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise BadInput(f"expected TOML in {where}, got an error: {brief(first_line(error), VALUE)}") from None
    check_depth(table, where)
    return table


def read_toml(path: Path, what: str, hint: str) -> dict[str, Any]:
    """The table of the TOML file at ``path``: ``what`` it should be ("a spec") and, where nothing lies there, a
    ``hint`` stand in errors, all of them BadInput. A byte order mark and the line ends of Windows are nothing."""
    wanted = f"{what} (TOML file)"
    if not path.exists() or path.is_dir():
        raise BadInput(f"expected {wanted} at {path}, got none; {hint}")
    try:
        text = read_bytes(path, TEXT, wanted).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"expected {wanted} at {path}, got bytes that are not UTF-8") from None
    return parse_toml(text.replace("\r\n", "\n"), str(path))


def check_depth(value: Any, where: str) -> None:
    """Refuse what is nested so deeply that whoever walks through it would fall: no record, spec or header is."""
    level = [value]
    for _ in range(DEEPEST):
        inside = [list(one.values() if isinstance(one, Mapping) else one) for one in level if _holds(one)]
        level = [part for parts in inside for part in parts if _holds(part)]
        if not level:
            return
    raise BadInput(f"expected at most {DEEPEST} tables and lists in each other in {where}, got more; it may be damaged")


def _holds(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def shipped_table(package: str, name: str) -> Any:
    """The table of the file ``name`` that lies in ``package``."""
    return tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
