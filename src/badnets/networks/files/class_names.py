"""The names of a network's classes, in its order: typed, or in a file."""

from __future__ import annotations

import json
from operator import index
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.files import read_bytes
from badnets.core.limits import CLASSES, TABLE, check_name
from badnets.core.text import brief

IMAGEFOLDER = "imagefolder"
"""As names of classes: those of the data in the order of texts, as torchvision's ImageFolder numbers them."""


def read_class_names(text: str) -> tuple[str, ...] | str:
    """``imagefolder``; or names with commas between; or those in a file: one a line, or JSON: a list, ``{"0": "cat"}``
    or ``{"cat": 0}``. Raises ``BadInput`` for names that are there twice, and numbers that are not 0, 1, 2, ..."""
    if text == IMAGEFOLDER:
        return text
    path = Path(text)
    if "," not in text and (path.suffix or _is_there(path)):
        content = _content(path)
        names = _of_json(content, path) if content.lstrip().startswith(("[", "{")) else content.splitlines()
        where: object = path
    else:
        names, where = text.split(","), "--class-names"
    kept = [check_name(name.strip(), where) for name in names]
    while kept and not kept[-1]:
        kept.pop()
    CLASSES.check(len(kept), where)
    seen: set[str] = set()
    for name in kept:
        if not name or name in seen:
            got = f"{brief(name, 60)!r} twice" if name else "an empty one"
            raise BadInput(f"expected a name for each class in {where}, each once, got {got}")
        seen.add(name)
    if not kept:
        raise BadInput(f"expected names of classes in {where}, got none")
    return tuple(kept)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _content(path: Path) -> str:
    try:
        return read_bytes(path, TABLE, "a file with names of classes").decode()
    except OSError as error:
        raise BadInput(f"expected a file with names of classes at {path}, got {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadInput(f"expected names of classes in UTF-8 in {path}, got others; save it as UTF-8") from None


def _of_json(content: str, path: Path) -> list[str]:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise BadInput(f"expected JSON, or a name a line, in {path}, got damaged JSON") from None
    if isinstance(value, dict):
        texts = all(isinstance(name, str) for name in value.values())
        try:
            pairs = sorted((int(key), name) if texts else (index(name), key) for key, name in value.items())
        except (ValueError, TypeError, OverflowError):
            raise BadInput(f"expected names of classes by their numbers in {path}, got others") from None
        numbers, value = [number for number, _ in pairs], [name for _, name in pairs]
        if len(set(numbers)) < len(numbers):
            raise BadInput(f"expected each class's number once in {path}, got one twice")
        if numbers != list(range(len(numbers))):
            missing = next(n for n, number in enumerate([*numbers, -1]) if n != number)
            raise BadInput(f"expected a name for every class in {path}, got none for number {missing}")
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"expected a list of names in {path}, got something else")
    return value
