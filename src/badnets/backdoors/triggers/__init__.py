"""All triggers, one file per family."""

from __future__ import annotations

from typing import Any

from badnets.backdoors.trigger import TRIGGERS as TRIGGERS
from badnets.backdoors.triggers.blend import Blend as Blend
from badnets.backdoors.triggers.checkerboard import Checkerboard as Checkerboard
from badnets.backdoors.triggers.jitter import Jitter as Jitter
from badnets.backdoors.triggers.jitter import takes_jitter as takes_jitter
from badnets.backdoors.triggers.jitter import with_jitter as with_jitter
from badnets.backdoors.triggers.pattern import Pattern as Pattern
from badnets.backdoors.triggers.picture import Picture as Picture
from badnets.backdoors.triggers.pixel import Pixel as Pixel
from badnets.backdoors.triggers.place import At as At
from badnets.backdoors.triggers.place import Corner as Corner
from badnets.backdoors.triggers.place import Place as Place
from badnets.backdoors.triggers.place import Random as Random
from badnets.backdoors.triggers.place import Size as Size
from badnets.backdoors.triggers.sinusoid import Sinusoid as Sinusoid
from badnets.backdoors.triggers.square import Square as Square
from badnets.backdoors.triggers.warp import Warp as Warp


def __getattr__(name: str) -> Any:
    """Those of new files and other packages, by the name of their class."""
    return TRIGGERS.class_named(name, __name__)
