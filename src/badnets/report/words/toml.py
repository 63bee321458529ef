"""A spec as TOML text, to read on the page and to paste into a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


_LONGEST_LINE = 76


def toml_text(value: Mapping[str, Any]) -> str:
    """TOML of a spec: plain values first, then a table for each mapping; a mapping inside a table stays on one line
    where it is short. Null entries are left out: TOML has none."""
    return "\n\n".join(_blocks(value, ()))


def _blocks(table: Mapping[str, Any], path: tuple[str, ...], brackets: str = "[]") -> list[str]:
    """The lines of one table below its header, then its own tables."""
    lines, inner = [], []
    for name, entry in table.items():
        if entry is None:
            continue
        line = f"{_key(name)} = {_inline(entry)}"
        if _is_table(entry) and (not path or len(line) > _LONGEST_LINE):
            inner.append((str(name), entry))
        else:
            lines.append(line)
    header = [f"{brackets[: len(brackets) // 2]}{'.'.join(map(_key, path))}{brackets[len(brackets) // 2 :]}"]
    # A table that only holds tables needs no header of its own, but an empty one and an array's item do.
    needed = bool(path) and (bool(lines) or not inner or len(brackets) == 4)
    blocks = ["\n".join([*(header if needed else []), *lines])] if lines or needed else []
    for name, entry in inner:
        if isinstance(entry, Mapping):
            blocks.extend(_blocks(entry, (*path, name)))
        else:
            for item in entry:
                blocks.extend(_blocks(item, (*path, name), "[[]]"))
    return blocks


def _is_table(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(name: object) -> str:
    text = str(name)
    return text if _BARE.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    # TOML allows every escape that JSON writes except a raw DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(v) for v in value if v is not None) + "]"
    return _string(str(value))
