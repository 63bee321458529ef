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
    from badnets.engines.on import On
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
class Engines:
    """What does many trainings."""

    on: Annotated[str, Option(help="Who does it: local (processes of this machine), ray or slurm.")] = "local"
    jobs: Annotated[int | None, Option(min=1, help="Trainings at once [one for each core, at most 8; slurm: 100].")] = (
        None
    )
    address: Annotated[str | None, Option(help="Of a Ray cluster [Ray on this machine].")] = None
    cpus: Annotated[float, Option(min=0.01, help="Processors reserved for a training (ray, slurm).")] = 1.0
    gpus: Annotated[float, Option(min=0.0, help="Cards of a training; of ray also a share, such as 0.25.")] = 0.0

    def start(self, limit_s: float | None = None) -> On:
        """What begins the engine, where there is something to do; each training at most ``limit_s`` seconds long."""
        from badnets.engines.on import On

        return On(self.on, self.jobs, self.address, self.cpus, self.gpus, limit_s)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What is said of a network file that another program wrote."""

    arch: Annotated[
        str | None,
        Option(
            help="Architecture of a foreign file: deepid, resnet9:width=32, torchvision:resnet18, timm:NAME, or "
            "FILE.py:Class, whose code is then run [found by names and shapes]."
        ),
    ] = None
    arch_set: Annotated[
        list[str] | None, Option(metavar="KEY=VALUE", help="An argument of the architecture, such as depth=16.")
    ] = None
    classes: Annotated[int | None, Option(min=1, help="A foreign file's number of classes [as its last layer].")] = None
    class_names: Annotated[
        str | None,
        Option(
            metavar="NAMES|FILE",
            help="A foreign network's classes in its order: names with commas, a file (a name a line, or JSON), or "
            "imagefolder (torchvision's: the data's in the order of texts) [found by trying].",
        ),
    ] = None
    input_size: Annotated[
        str | None, Option(metavar="HxWxC", help="A foreign network's pictures [as the architecture or the data].")
    ] = None
    input_range: Annotated[
        str | None,
        Option(
            help="A foreign network's range of pixels: 0-1, 0-255, -1-1 or MEAN/STD [found by trying on clean data]."
        ),
    ] = None
    channel_order: Annotated[
        str | None,
        Option(help="How a foreign network takes channels: rgb, bgr, or reshaped without turning axes [found]."),
    ] = None

    @property
    def options(self) -> ForeignOptions | None:
        """For ``open_any``; None when nothing was said."""
        if all(value is None or value == [] for value in vars(self).values()):
            return None
        from badnets.networks.files.class_names import read_class_names
        from badnets.networks.files.foreign import ForeignOptions
        from badnets.networks.network import ORDERS
        from badnets.networks.registry import parse_arguments

        if self.arch_set and self.arch is None:
            raise BadInput("expected --arch-set with the architecture that it is for, got none; add --arch NAME")
        order = next((one for one in ORDERS if one == self.channel_order), None)
        if self.channel_order is not None and order is None:
            raise BadInput(f"expected --channel-order as {', '.join(ORDERS)}, got {self.channel_order!r}")
        return ForeignOptions(
            arch=self.arch,
            arguments=parse_arguments(self.arch_set or ()),
            classes=self.classes,
            class_names=None if self.class_names is None else read_class_names(self.class_names),
            input_size=None if self.input_size is None else _input_size(self.input_size),
            input_range=self.input_range,
            channel_order=order,
        )


def _input_size(text: str) -> tuple[int, int, int]:
    """``HxWxC`` as (channels, height, width)."""
    sides = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d?)", text)
    if sides is None:
        raise BadInput(f"expected --input-size as HEIGHTxWIDTHxCHANNELS such as 32x32x3, got {text!r}")
    height, width, channels = map(int, sides.groups())
    return channels, height, width


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
