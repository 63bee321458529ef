"""Reading records as plain JSON."""  # BORDER: only the old study pages do so; goes with them

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.report.words.names import readable

__all__ = ["Record", "at", "listing", "mapping", "rate", "readable"]
Record = Mapping[str, Any]


def at(record: Any, *path: str) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def mapping(record: Any, *path: str) -> Mapping[str, Any]:
    value = at(record, *path)
    return value if isinstance(value, Mapping) else {}


def listing(record: Any, *path: str) -> list[Any]:
    value = at(record, *path)
    return list(value) if isinstance(value, list | tuple) else []


def rate(record: Any, *path: str) -> Mapping[str, Any] | None:
    value = at(record, *path)
    return value if isinstance(value, Mapping) and value.get("value") is not None else None
