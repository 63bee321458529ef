"""All triggers, one file per family."""

from __future__ import annotations

from typing import Any

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.blend import Blend
from badnets.backdoors.triggers.checkerboard import Checkerboard
from badnets.backdoors.triggers.jitter import Jitter, takes_jitter, with_jitter
from badnets.backdoors.triggers.pattern import Pattern
from badnets.backdoors.triggers.picture import Picture
from badnets.backdoors.triggers.pixel import Pixel
from badnets.backdoors.triggers.place import At, Corner, Place, Random, Size
from badnets.backdoors.triggers.sinusoid import Sinusoid
from badnets.backdoors.triggers.square import Square
from badnets.backdoors.triggers.warp import Warp

__all__ = [
    "TRIGGERS",
    "At",
    "Blend",
    "Checkerboard",
    "Corner",
    "Jitter",
    "Pattern",
    "Picture",
    "Pixel",
    "Place",
    "Random",
    "Sinusoid",
    "Size",
    "Square",
    "Warp",
    "takes_jitter",
    "with_jitter",
]


def __getattr__(name: str) -> Any:
    """Those of new files and other packages, by the name of their class."""
    return TRIGGERS.class_named(name, __name__)
