"""A spec as TOML text, to read on the page and to paste into a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(value: Mapping[str, Any]) -> str:
    """TOML of a spec: plain values first, then a table for each mapping. Null entries are left out: TOML has none."""
    plain = {k: v for k, v in value.items() if v is not None and not _is_table(v)}
    blocks = ["\n".join(f"{_key(k)} = {_inline(v)}" for k, v in plain.items())]
    for name, entry in value.items():
        if isinstance(entry, Mapping):
            blocks.append(f"[{_key(name)}]\n{_body(entry)}")
        elif _is_table(entry):
            blocks.extend(f"[[{_key(name)}]]\n{_body(item)}" for item in entry)
    return "\n\n".join(block.strip("\n") for block in blocks if block)


def _is_table(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _body(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{_key(k)} = {_inline(v)}" for k, v in table.items() if v is not None)


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
