"""Options for network files that other programs wrote, the same for every command that takes a network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.networks.files.foreign import ForeignOptions

Arch = typer.Option(
    None, "--arch", help="Architecture of a foreign file (.h5, .pt, .safetensors): deepid, or resnet9:width=32."
)
Classes = typer.Option(None, "--classes", min=1, help="A foreign file's number of classes [as its last layer].")
InputSize = typer.Option(
    None, "--input-size", metavar="HxWxC", help="A foreign network's pictures [as the architecture or the data]."
)
InputRange = typer.Option(
    None,
    "--input-range",
    help="A foreign network's range of pixels: 0-1, 0-255, -1-1 or MEAN/STD [found by trying on clean data].",
)


def foreign_options(
    arch: str | None, classes: int | None, input_size: str | None, input_range: str | None
) -> ForeignOptions | None:
    """What was said about a foreign file, for ``open_any``; None when nothing was."""
    if arch is None:
        given = {"--classes": classes, "--input-size": input_size, "--input-range": input_range}
        first = next((option for option, value in given.items() if value is not None), None)
        if first is not None:
            raise BadInput(f"expected {first} with the architecture of a foreign file, got none; add --arch NAME")
        return None
    from badnets.networks.files.foreign import ForeignOptions

    size = None if input_size is None else _size(input_size)
    return ForeignOptions(arch=arch, classes=classes, input_size=size, input_range=input_range)


def _size(text: str) -> tuple[int, int, int]:
    """``"55x47x3"`` (height, width, channels) to (3, 55, 47)."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d?)", text)
    if match is None:
        raise BadInput(f"expected --input-size as HEIGHTxWIDTHxCHANNELS such as 32x32x3, got {text!r}")
    height, width, channels = map(int, match.groups())
    return channels, height, width
