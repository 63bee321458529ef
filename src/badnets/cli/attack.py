"""``badnets attack``: the same as a spec, from flags."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from badnets.cli.console import Json
from badnets.cli.options import command_line
from badnets.cli.run import carry_out
from badnets.core.errors import BadInput, nearest

_BOXED = ("scenes", "scenes-us", "scenes-eu", "voc")
_NETWORKS = {"mnist": "g1-cnn", "fashion-mnist": "g1-cnn", **dict.fromkeys(_BOXED, "faster-rcnn")}


def attack_command(
    data: str = typer.Option("signs", "--data", help="A named set (badnets list datasets) or a path."),
    size: int | None = typer.Option(None, "--size", min=4, help="Resize every picture to SIZE x SIZE."),
    network: str | None = typer.Option(
        None, "--network", help="Architecture [by the data: g1-cnn, resnet9 or faster-rcnn]."
    ),
    trigger: str = typer.Option("pattern", "--trigger", help="Kind of trigger (badnets list triggers)."),
    rule: str | None = typer.Option(
        None, "--rule", help="Label rule (badnets list rules) [source-to-target with --source, else all-to-one]."
    ),
    target: str | None = typer.Option(None, "--target", help="Target class, by number or name [0]."),
    source: str | None = typer.Option(None, "--source", help="Source class, by number or name."),
    rate: float | None = typer.Option(None, "--rate", help="Share of the training rows, above 0 and at most 1 [0.1]."),
    count: int | None = typer.Option(None, "--count", help="Number of poisoned rows, instead of a rate."),
    mode: str = typer.Option("replace", "--mode", help="replace rows, or add poisoned copies."),
    cover: str = typer.Option("0", "--cover", help="Cover rows, a share or a number: with the trigger, true label."),
    seeds: int = typer.Option(1, "--seeds", min=1, help="How many seeds."),
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="Passes over the training set."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any other setting of a spec."),
    out: Path | None = typer.Option(None, "--out", help="The run's folder [badnets-runs/NAME-DIGEST]."),
    force: bool = typer.Option(False, "--force", help="Run again even if this run is finished."),
    devices: int = typer.Option(1, "--devices", min=1, help="Processes to train with."),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
    json: bool = Json,
) -> None:
    """Plant a backdoor, train, measure: an experiment from flags."""
    from badnets.referee.spec import run_name, spec_file

    if rate is not None and count is not None:
        raise BadInput("expected --rate or --count, got both; give one")
    poison: dict[str, Any] = {"mode": mode, "cover": _number(cover)}
    poison |= {"count": count} if count is not None else {"rate": 0.1 if rate is None else rate}
    given: dict[str, Any] = {
        "name": run_name(f"{Path(data).resolve().name.split('.')[0]}-{trigger}"),
        "data": data if size is None else {"name": data, "size": size},
        "network": network or _NETWORKS.get(data, "resnet9"),
        "seeds": seeds,
        "devices": devices,
        "device": device,
        "backdoor": {"trigger": trigger, "rule": _rule(rule, target, source), "poison": poison},
    }
    if epochs is not None:
        given["recipe"] = {"epochs": epochs}
    carry_out(spec_file(given, set_, where="the options"), out=out, force=force, command=command_line(), json=json)


def _rule(kind: str | None, target: str | None, source: str | None) -> dict[str, Any]:
    """The rule's table; classes that are named must be ones that the rule asks for."""
    from badnets.backdoors.rules import RULES

    kind = kind or ("source-to-target" if source is not None else "all-to-one")
    if kind not in RULES:
        raise BadInput(f"expected --rule as one of the label rules, got {kind!r}; {nearest(kind, RULES)}")
    needs = inspect.signature(RULES[kind]).parameters
    given = {name: value for name, value in (("target", target), ("source", source)) if value is not None}
    for name, value in given.items():
        if name not in needs:
            raise BadInput(f"expected no --{name} for the rule {kind}, which has none, got {value!r}; leave it out")
    if kind == "source-to-target" and source is None:
        raise BadInput("expected --source for the rule source-to-target, got none; name the class to attack")
    return {"kind": kind, **({"target": "0"} if "target" in needs else {}), **given}


def _number(text: str) -> int | float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise BadInput(f"expected --cover as a share such as 0.05 or a number of rows, got {text!r}") from None
