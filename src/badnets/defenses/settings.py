"""Methods by name: from ``{"kind": ..., settings}`` to a method, with errors that name the setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from badnets.core.errors import BadInput, nearest

Method = TypeVar("Method")


def method_from(table: Mapping[str, type[Method]], what: str, kind: str, settings: Mapping[str, Any]) -> Method:
    """The method ``kind`` of ``table`` with ``settings``; ``what`` is its family ("repair") in errors.

    Raises ``BadInput`` for an unknown kind or setting (with the nearest known name) and for a value out of range.
    """
    if kind not in table:
        raise BadInput(f"expected a {what}, got {kind!r}; {nearest(kind, table)}")
    owner: Any = table[kind]
    known = [field.name for field in dataclasses.fields(owner) if field.name != "kind"]
    for name in settings:
        if name not in known:
            hint = nearest(name, known) if known else "it has none"
            raise BadInput(f"{what} {kind}: expected one of its settings, got {name!r}; {hint}")
    try:
        method: Method = TypeAdapter(owner).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise BadInput(f"{what} {kind}: expected a valid {field}, got {first['input']!r}; {reason}") from None
    return method


def with_plugins(group: str, own: Mapping[str, type[Method]]) -> dict[str, type[Method]]:
    """``own`` and the methods of other packages: entry points of ``group``, each a class under its kind's name."""
    table = dict(own)
    for entry in entry_points(group=group):
        if entry.name in table:
            raise BadInput(f"entry point {entry.value!r}: expected a new name, {entry.name!r} is taken; rename it")
        table[entry.name] = entry.load()
    return table
