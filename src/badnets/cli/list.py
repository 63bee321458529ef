"""``badnets list``: what there is."""

from __future__ import annotations

import typer

from badnets.cli.console import Json, print_json
from badnets.core.errors import BadInput, nearest


def _triggers() -> dict[str, str]:
    from badnets.backdoors.triggers import TRIGGERS

    return {name: _first_line(kind) for name, kind in TRIGGERS.items()}


def _rules() -> dict[str, str]:
    from badnets.backdoors.rule_table import RULES

    return {name: _first_line(kind) for name, kind in RULES.items()}


def _datasets() -> dict[str, str]:
    from badnets.data.registry import SOURCES

    return {name: source.summary for name, source in SOURCES.items()}


def _networks() -> dict[str, str]:
    from badnets.networks.architecture import ARCHITECTURES

    return {name: architecture.summary for name, architecture in ARCHITECTURES.items()}


def _studies() -> dict[str, str]:
    from badnets.studies.registry import STUDIES

    return {name: study.summary for name, study in STUDIES.items()}


def _repairs() -> dict[str, str]:
    from badnets.defenses.repairs import REPAIRS
    from badnets.defenses.settings import with_plugins

    return {name: _first_line(kind) for name, kind in with_plugins("badnets.repairs", REPAIRS).items()}


def _abstainers() -> dict[str, str]:
    from badnets.defenses.abstainers import ABSTAINERS

    return {name: _first_line(kind) for name, kind in ABSTAINERS.items()}


KINDS = {
    "triggers": _triggers,
    "rules": _rules,
    "datasets": _datasets,
    "networks": _networks,
    "repairs": _repairs,
    "abstainers": _abstainers,
    "studies": _studies,
}


def list_command(
    what: str = typer.Argument(
        "", help="triggers, rules, datasets, networks, repairs, abstainers or studies; all of them by default."
    ),
    json: bool = Json,
) -> None:
    """List triggers, rules, datasets, networks, repairs, abstainers or studies."""
    if what and what not in KINDS:
        raise BadInput(f"expected something to list, got {what!r}; {nearest(what, KINDS)}")
    chosen = [what] if what else list(KINDS)
    if json:
        items = [
            {"name": name, "summary": summary, **({} if what else {"kind": kind})}
            for kind in chosen
            for name, summary in KINDS[kind]().items()
        ]
        print_json({"format": "badnets/list/1", "items": items})
        return
    for kind in chosen:
        if not what:
            typer.echo(f"{kind}:")
        entries = KINDS[kind]()
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            typer.echo(f"{'' if what else '  '}{name:<{width}}  {summary}")


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
