"""``badnets list``: what there is."""

from __future__ import annotations

from importlib import import_module

import typer

from badnets.cli.console import Json, print_json
from badnets.core.errors import BadInput, nearest
from badnets.core.registry import OURS, Entry, Registry

FAMILIES = {
    "triggers": ("badnets.backdoors.trigger", "TRIGGERS"),
    "rules": ("badnets.backdoors.rules", "RULES"),
    "datasets": ("badnets.data.registry", "SOURCES"),
    "networks": ("badnets.networks.architecture", "ARCHITECTURES"),
    "guards": ("badnets.networks.architecture", "GUARDS"),
    "repairs": ("badnets.defenses.repair", "REPAIRS"),
    "abstainers": ("badnets.defenses.abstain", "ABSTAINERS"),
    "studies": ("badnets.studies.registry", "STUDIES"),
}
"""Where the table of each family is; imported when it is listed."""


def family(name: str) -> Registry[object]:
    """The table of a family."""
    module, table = FAMILIES[name]
    found: Registry[object] = getattr(import_module(module), table)
    return found


def list_command(
    what: str = typer.Argument("", help=f"{', '.join(FAMILIES)}; all of them by default."), json: bool = Json
) -> None:
    """List what there is of each family, that of other packages included."""
    if what and what not in FAMILIES:
        raise BadInput(f"expected something to list, got {what!r}; {nearest(what, FAMILIES)}")
    found = {name: family(name).entries() for name in ([what] if what else FAMILIES)}
    if json:
        items = [_item(entry, "" if what else kind) for kind, entries in found.items() for entry in entries]
        print_json({"format": "badnets/list/1", "items": items})
        return
    for kind, entries in found.items():
        if not what:
            typer.echo(f"{kind}:")
        width = max((len(entry.name) for entry in entries), default=0)
        for entry in entries:
            origin = "" if entry.package == OURS else f" [{entry.package}]"
            typer.echo(f"{'' if what else '  '}{entry.name:<{width}}  {entry.summary}{origin}")


def _item(entry: Entry[object], kind: str) -> dict[str, str]:
    item = {"name": entry.name, "summary": entry.summary} | ({"kind": kind} if kind else {})
    if entry.package != OURS:
        item["package"] = entry.package
    return item | ({"problem": entry.problem} if entry.problem else {})
