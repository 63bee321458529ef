"""Options that several commands have: a foreign network, and what repairs and guards are judged on.

A group of options is a dataclass; a command takes it as one argument and says ``@with_options``.
"""

from __future__ import annotations

import functools
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from badnets.core.errors import BadInput
from badnets.records.model import JSON

if TYPE_CHECKING:
    from badnets.networks.files.foreign import ForeignOptions
    from badnets.referee.case import RepairCase

_DATA = "data."


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer wants it: each argument that is a dataclass of options gives way to its fields."""
    whole = inspect.signature(command, eval_str=True)
    groups = {
        one.name: inspect.signature(one.annotation, eval_str=True)
        for one in whole.parameters.values()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }

    @functools.wraps(command)
    def typed(**given: Any) -> None:
        for name, group in groups.items():
            own = {field: given.pop(field) for field in group.parameters}
            given[name] = whole.parameters[name].annotation(**own)
        command(**given)

    flat: list[inspect.Parameter] = []
    for one in whole.parameters.values():
        flat.extend(groups[one.name].parameters.values() if one.name in groups else [one])
    every = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in flat]
    typed.__signature__ = whole.replace(parameters=every)  # type: ignore[attr-defined]  # what inspect looks for
    return typed


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What is said of a network file that another program wrote."""

    arch: Annotated[
        str | None,
        typer.Option(help="Architecture of a foreign file (.h5, .pt, .safetensors): deepid, or resnet9:width=32."),
    ] = None
    classes: Annotated[
        int | None, typer.Option(min=1, help="A foreign file's number of classes [as its last layer].")
    ] = None
    input_size: Annotated[
        str | None,
        typer.Option(metavar="HxWxC", help="A foreign network's pictures [as the architecture or the data]."),
    ] = None
    input_range: Annotated[
        str | None,
        typer.Option(
            help="A foreign network's range of pixels: 0-1, 0-255, -1-1 or MEAN/STD [found by trying on clean data]."
        ),
    ] = None

    @property
    def foreign(self) -> ForeignOptions | None:
        """For ``open_any``; None when nothing was said."""
        if self.arch is None:
            given = [name for name in ("classes", "input_size", "input_range") if getattr(self, name) is not None]
            if not given:
                return None
            option = f"--{given[0].replace('_', '-')}"
            raise BadInput(f"expected {option} with the architecture of a foreign file, got none; add --arch NAME")
        from badnets.networks.files.foreign import ForeignOptions

        size = None if self.input_size is None else _size(self.input_size)
        return ForeignOptions(arch=self.arch, classes=self.classes, input_size=size, input_range=self.input_range)


def _size(text: str) -> tuple[int, int, int]:
    """``"55x47x3"`` (height, width, channels) to (3, 55, 47)."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d?)", text)
    if match is None:
        raise BadInput(f"expected --input-size as HEIGHTxWIDTHxCHANNELS such as 32x32x3, got {text!r}")
    height, width, channels = map(int, match.groups())
    return channels, height, width


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network to defend, the defender's pictures, and what is measured."""

    model: Annotated[Path, typer.Argument(help="A network file, or a run's folder.")]
    data: Annotated[
        str | None, typer.Option(help="Clean pictures, a named set or a path [those of --trigger-from].")
    ] = None
    size: Annotated[int | None, typer.Option(min=4, help="Resize every picture to SIZE x SIZE.")] = None
    pictures: Annotated[
        int | None, typer.Option(min=1, help="How many clean pictures of --data the defender has [at most 3,000].")
    ] = None
    test: Annotated[
        str | None,
        typer.Option(help="Pictures to measure on; --data is then the defender's alone [the test part of --data]."),
    ] = None
    trigger_from: Annotated[Path | None, typer.Option(help="A run whose backdoor is tried.")] = None
    triggered: Annotated[
        str | None, typer.Option(help="Pictures that carry the trigger, labelled with the attacker's target.")
    ] = None
    budget: Annotated[float | None, typer.Option(help="Seconds after which a repair stops with what it has.")] = None
    seed: Annotated[int, typer.Option(help="Of the choice of pictures, and of the method.")] = 1

    def parted(self, own: Mapping[str, object], changes: Sequence[str]) -> tuple[JSON, tuple[str, ...]]:
        """The settings of a method, from its ``own`` options and ``--set``, and the changes that are the data's."""
        from badnets.referee.spec import changed_table

        settings = {name: value for name, value in own.items() if value is not None}
        mine = [change for change in changes if not change.startswith(_DATA)]
        data = [change.removeprefix(_DATA) for change in changes if change.startswith(_DATA)]
        return changed_table(settings, mine, "the settings"), (*sized(self.size), *data)

    def opened(self, out: Path, settings: tuple[str, ...], **more: Any) -> RepairCase:
        """For the referee; ``settings`` are those of the data."""
        from badnets.referee.case import RepairCase

        names = ("model", "data", "test", "pictures", "trigger_from", "triggered", "seed")
        said = {name: getattr(self, name) for name in names}
        return RepairCase(**said, out=out, settings=settings, budget_s=self.budget, command=command_line(), **more)


def sized(size: int | None) -> list[str]:
    """``--size`` as a setting of the data."""
    return [] if size is None else [f"size={size}"]


def command_line() -> str:
    """What was typed."""
    return shlex.join(["badnets", *sys.argv[1:]])
