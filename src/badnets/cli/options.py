"""Options that several commands have; a group of them is a dataclass, which a command takes as one argument."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.networks.files.foreign import ForeignOptions
    from badnets.records.model import JSON
    from badnets.referee.case import RepairCase

MODEL = Argument(help="A network file, or a run's folder.")
DEVICE = Option("auto", help="Where to compute: auto (the best there is), cpu, cuda, cuda:1 (the second card) or mps.")
SIZE = Option(None, min=4, help="Resize every picture to SIZE x SIZE.")


def settings(text: str) -> Any:
    """The option ``--set``, which may be given several times."""
    return Option([], "--set", metavar="KEY=VALUE", help=text)


def sized(size: int | None) -> list[str]:
    """``--size`` as a setting of the data."""
    return [] if size is None else [f"size={size}"]


def command_line() -> str:
    """What was typed."""
    return shlex.join(["badnets", *sys.argv[1:]])


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What is said of a network file that another program wrote."""

    arch: Annotated[
        str | None, Option(help="Architecture of a foreign file (.h5, .pt, .safetensors): deepid, or resnet9:width=32.")
    ] = None
    classes: Annotated[int | None, Option(min=1, help="A foreign file's number of classes [as its last layer].")] = None
    input_size: Annotated[
        str | None, Option(metavar="HxWxC", help="A foreign network's pictures [as the architecture or the data].")
    ] = None
    input_range: Annotated[
        str | None,
        Option(
            help="A foreign network's range of pixels: 0-1, 0-255, -1-1 or MEAN/STD [found by trying on clean data]."
        ),
    ] = None

    @property
    def options(self) -> ForeignOptions | None:
        """For ``open_any``; None when nothing was said."""
        if self.arch is None:
            for name in ("classes", "input_size", "input_range"):
                if getattr(self, name) is not None:
                    option = f"--{name.replace('_', '-')}"
                    raise BadInput(
                        f"expected {option} with the architecture of a foreign file, got none; add --arch NAME"
                    )
            return None
        from badnets.networks.files.foreign import ForeignOptions

        size = None
        if self.input_size is not None:
            sides = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d?)", self.input_size)
            if sides is None:
                raise BadInput(
                    f"expected --input-size as HEIGHTxWIDTHxCHANNELS such as 32x32x3, got {self.input_size!r}"
                )
            height, width, channels = map(int, sides.groups())
            size = channels, height, width
        return ForeignOptions(arch=self.arch, classes=self.classes, input_size=size, input_range=self.input_range)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network to defend, the defender's pictures, and what is measured."""

    model: Annotated[Path, MODEL]
    data: Annotated[str | None, Option(help="Clean pictures, a named set or a path [those of --trigger-from].")] = None
    size: Annotated[int | None, Option(min=4, help="Resize every picture to SIZE x SIZE.")] = None
    pictures: Annotated[
        int | None, Option(min=1, help="How many clean pictures of --data the defender has [at most 3,000].")
    ] = None
    test: Annotated[
        str | None,
        Option(help="Pictures to measure on; --data is then the defender's alone [the test part of --data]."),
    ] = None
    trigger_from: Annotated[Path | None, Option(help="A run whose backdoor is tried.")] = None
    triggered: Annotated[
        str | None, Option(help="Pictures that carry the trigger, labelled with the attacker's target.")
    ] = None
    budget: Annotated[float | None, Option(help="Seconds after which a repair stops with what it has.")] = None
    seed: Annotated[int, Option(help="Of the choice of pictures, and of the method.")] = 1

    def parted(self, given: Mapping[str, object], changes: Sequence[str]) -> tuple[JSON, tuple[str, ...]]:
        """The settings of a method, from what its options were ``given`` and ``--set``; and the changes of the data."""
        from badnets.referee.spec import changed_table

        of_method = {name: value for name, value in given.items() if value is not None}
        of_data = [change for change in changes if change.startswith("data.")]
        table = changed_table(of_method, [change for change in changes if change not in of_data], "the settings")
        return table, (*sized(self.size), *(change.removeprefix("data.") for change in of_data))

    def opened(self, out: Path, settings: tuple[str, ...], **more: Any) -> RepairCase:
        """For the referee; ``settings`` are those of the data."""
        from badnets.referee.case import RepairCase

        same = {name: value for name, value in vars(self).items() if name not in ("size", "budget")}
        return RepairCase(**same, out=out, settings=settings, budget_s=self.budget, command=command_line(), **more)
