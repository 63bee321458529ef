"""``badnets demo``, ``attack`` and ``run``: experiments."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option, echo

from badnets.cli.console import command
from badnets.cli.options import DEVICE, SIZE, command_line, settings
from badnets.core.errors import BadInput, nearest
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.referee.spec import SpecFile

_BOXED = ("scenes", "scenes-us", "scenes-eu", "voc")
_NETWORKS = {"mnist": "g1-cnn", "fashion-mnist": "g1-cnn", **dict.fromkeys(_BOXED, "faster-rcnn")}


@command
def demo_command(
    watcher: Watcher,
    out: Path | None = Option(None, help="The run's folder [badnets-runs/demo-DIGEST]."),
    force: bool = Option(False, "--force", help="Run again even if it is finished."),
    device: str = DEVICE,
) -> Iterator[Any]:
    """A stop sign, a yellow sticker, and a network that reads a speed limit: poison, train, measure, in two minutes."""
    from badnets.referee.spec import demo_spec

    file = demo_spec(_placed(device))
    typed = "badnets demo" if device == "auto" else f"badnets demo --device {device}"
    yield from carry_out(file, out=out, force=force, typed=typed, watcher=watcher)


def _placed(device: str) -> str:
    """``--device`` as a setting of the spec; a text, whatever it looks like."""
    return f"device={json.dumps(device)}"


@command
def attack_command(
    watcher: Watcher,
    data: str = Option("signs", help="A named set (badnets list datasets) or a path."),
    size: int | None = SIZE,
    network: str | None = Option(None, help="Architecture [by the data: g1-cnn, resnet9 or faster-rcnn]."),
    trigger: str = Option("pattern", help="Kind of trigger (badnets list triggers)."),
    rule: str | None = Option(
        None, help="Label rule (badnets list rules) [source-to-target with --source, else all-to-one]."
    ),
    target: str | None = Option(None, help="Target class, by name, else by number [0]."),
    source: str | None = Option(None, help="Source class, by name, else by number."),
    rate: float | None = Option(None, help="Share of the training rows, above 0 and at most 1 [0.1]."),
    count: int | None = Option(None, help="Number of poisoned rows, instead of a rate."),
    mode: str = Option("replace", help="replace rows, or add poisoned copies."),
    cover: str = Option("0", help="Cover rows, a share or a number: with the trigger, true label."),
    seeds: int = Option(1, min=1, help="How many seeds."),
    epochs: int | None = Option(None, min=1, help="Passes over the training set."),
    set_: list[str] = settings("Any other setting of a spec."),
    out: Path | None = Option(None, help="The run's folder [badnets-runs/NAME-DIGEST]."),
    force: bool = Option(False, "--force", help="Run again even if this run is finished."),
    devices: int = Option(1, min=1, help="Processes to train with."),
    device: str = DEVICE,
) -> Iterator[Any]:
    """Plant a backdoor, train, measure: an experiment from flags."""
    from badnets.referee.spec import run_name, spec_file

    if rate is not None and count is not None:
        raise BadInput("expected --rate or --count, got both; give one")
    try:
        poison: dict[str, Any] = {"mode": mode, "cover": int(cover) if cover.isdigit() else float(cover)}
    except ValueError:
        raise BadInput(f"expected --cover as a share such as 0.05 or a number of rows, got {cover!r}") from None
    poison |= {"count": count} if count is not None else {"rate": 0.1 if rate is None else rate}
    given: dict[str, Any] = {
        "name": run_name(f"{Path(data).resolve().name.split('.')[0]}-{trigger}"),
        "data": data if size is None else {"name": data, "size": size},
        "network": _NETWORKS.get(data, "resnet9") if network is None else network,
        "seeds": seeds,
        "devices": devices,
        "device": device,
        "backdoor": {"trigger": trigger, "rule": _rule(rule, target, source), "poison": poison},
    }
    if epochs is not None:
        given["recipe"] = {"epochs": epochs}
    file = spec_file(given, set_, where="the options")
    yield from carry_out(file, out=out, force=force, typed=command_line(), watcher=watcher)


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


@command
def run_command(
    watcher: Watcher,
    spec: Path = Argument(help="The experiment, a TOML file (see runs/)."),
    set_: list[str] = settings("Change a setting: --set recipe.epochs=3."),
    out: Path | None = Option(None, help="The run's folder [badnets-runs/NAME-DIGEST]."),
    force: bool = Option(False, "--force", help="Run again even if this run is finished."),
    devices: int | None = Option(None, min=1, help="Processes to train with."),
    device: str | None = Option(None, help="Where to compute: auto, cpu, cuda, cuda:1 or mps [as the spec says]."),
) -> Iterator[Any]:
    """Run an experiment: poison, train, measure, write the record and the page."""
    from badnets.referee.spec import read_spec

    changes = [*set_, *([f"devices={devices}"] if devices else []), *([_placed(device)] if device else [])]
    words = ["badnets", "run", str(spec), *(word for change in changes for word in ("--set", change))]
    yield from carry_out(read_spec(spec, changes), out=out, force=force, typed=shlex.join(words), watcher=watcher)


def carry_out(file: SpecFile, *, out: Path | None, force: bool, typed: str, watcher: Watcher) -> Iterator[Any]:
    """Run a spec: its record with paths that the caller can open; then the table, the verdict, the page's path."""
    from badnets.referee.run import run
    from badnets.report.pages.table import terminal_table
    from badnets.report.words.verdict import verdict

    finished = run(file, out=out, force=force, command=typed, watcher=watcher)
    record, folder, here = finished.record, finished.folder, Path.cwd()
    if folder.is_relative_to(here):
        folder = folder.relative_to(here)
    yield {**record.to_json(), "network": str(folder / record.network), "folder": str(folder)}
    if finished.found:
        echo("this run is finished already (--force runs it again)", err=True)
    yield terminal_table(record)
    yield verdict(record)
    yield f"page  {folder / 'report.html'}"
