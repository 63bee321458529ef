"""Triggers under the mouse: from what the page says of a sticker to a trigger that goes into a spec as it is."""

from __future__ import annotations

import base64
import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from badnets.backdoors.trigger import TRIGGERS, Images, Trigger
from badnets.backdoors.triggers.color import Bytes, rgb
from badnets.backdoors.triggers.picture import LARGEST, Picture, picture_of
from badnets.backdoors.triggers.place import At, frames_of
from badnets.backdoors.triggers.stamp import Stamp
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.formats.decode import DAMAGED, opened
from badnets.play.pictures import Canvas, png_of
from badnets.play.state import Setting, Sticker
from badnets.records.finding import FoundTrigger, png_content

JSON = dict[str, Any]
Box = tuple[int, int, int, int]
_FINE = 160
"""Pixels of the longer side in which a stamp is drawn before it is turned, at least."""
_LEFT_TO_THE_MOUSE = ("kind", "words", "place", "size", "jitter", "path", "png")
_USUAL = {"integer": (0, 20), "number": (0.0, 1.0)}
_HIGHEST = {"delta": 128, "frequency": 32, "grid": 16, "strength": 4}
"""Where a slider ends that could go on to numbers without any use."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A ``trigger`` on a picture; ``box``: left, top, width and height of a stamp in pixels, None of others."""

    trigger: Trigger
    box: Box | None


def placed(base: Trigger, sticker: Sticker, canvas: Canvas, stream: Seed) -> Placed:
    """``base`` as the ``sticker`` says it was moved, on ``canvas``. A moved stamp has its place and size in shares of
    the whole picture, in whole pixels of this one, and always lies inside; a turned one is a picture of itself.
    ``stream`` places triggers that are placed at random, each test picture's as in a measurement."""
    if not isinstance(base, Stamp):
        return Placed(base, None)
    rows, columns = canvas.pixels.shape[:2]
    spots = base.spots((1, *canvas.pixels.shape), canvas.region, rng_of(canvas, stream))
    top, left, height, width = (int(side[0]) for side in spots)
    if not sticker.moved:
        return Placed(base, (left, top, width, height))
    stamp, (tall, wide) = base, (float(height), float(width))
    if sticker.turn % 360:
        stamp, grown_y, grown_x = _turned(base, height, width, sticker.turn % 360)
        tall, wide = tall * grown_y, wide * grown_x
    least = max(1.0, *(side[0] for side in _least(stamp)))
    factor = min(max(sticker.scale, least / tall, least / wide), rows / tall, columns / wide)
    height, width = (max(1, math.floor(side * factor + 0.5)) for side in (tall, wide))
    if not any(field.name == "size" for field in dataclasses.fields(stamp)):
        height = width = 1
    height, width = min(height, rows), min(width, columns)
    x, y = sticker.at or ((left + spots[3][0] / 2) / columns, (top + spots[2][0] / 2) / rows)
    return at(stamp, canvas, _inside(y * rows, height, rows), _inside(x * columns, width, columns), height, width)


def at(stamp: Stamp, canvas: Canvas, top: int, left: int, height: int, width: int) -> Placed:
    """The stamp with its upper left corner and its size in pixels of ``canvas``."""
    rows, columns = canvas.pixels.shape[:2]
    place = At(x=round((left + width / 2) / columns, 6), y=round((top + height / 2) / rows, 6), of="image")
    sized = any(field.name == "size" for field in dataclasses.fields(stamp))
    size: JSON = {"size": (_share(height, rows), _share(width, columns))} if sized else {}
    return Placed(dataclasses.replace(stamp, place=place, **size), (left, top, width, height))


def _share(pixels: int, side: int) -> float:
    return min(1.0, round(pixels / side, 6))


def _inside(center: float, length: int, side: int) -> int:
    return min(max(math.floor(center - length / 2 + 0.5), 0), side - length)


def _least(stamp: Stamp) -> Any:
    """The smallest sides that a stamp can have, (height (1,), width (1,)): some are never as small as one pixel."""
    sized = any(field.name == "size" for field in dataclasses.fields(stamp))
    small = dataclasses.replace(stamp, size=(1, 1)) if sized else stamp  # type: ignore[call-arg]  # it has one
    return small.sides(frames_of(At(), (1, LARGEST, LARGEST, 1), None))


@lru_cache(maxsize=128)
def _turned(stamp: Stamp, height: int, width: int, degrees: float) -> tuple[Picture, float, float]:
    """A picture of a stamp of this size, turned, and how much higher and wider it is."""
    fine = max(1, math.ceil(_FINE / max(height, width)))
    if isinstance(stamp, Picture):
        art = picture_of(stamp.png).resize((width * fine, height * fine), Image.Resampling.BICUBIC)
    else:
        art = Image.fromarray(_enlarged(stamp.art(height, width), fine))
    art.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    # With colors weighted by alpha, or the rim of what is transparent would darken it.
    turned = art.convert("RGBa").rotate(-degrees, Image.Resampling.BICUBIC, expand=True).convert("RGBA")
    grown = turned.height / art.height, turned.width / art.width
    turned.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    png = base64.b64encode(png_of(turned)).decode("ascii")
    return Picture(png=png, opacity=stamp.opacity, jitter=stamp.jitter), *grown


def _enlarged(art: Bytes, times: int) -> Bytes:
    return art.repeat(times, 0).repeat(times, 1)


def rng_of(canvas: Canvas, stream: Seed) -> RowRng:
    """Random numbers of a picture, those of its row in a measurement."""
    return RowRng(stream, np.array([canvas.row], np.int64))


def stuck(trigger: Trigger, canvas: Canvas, stream: Seed) -> Images:
    """The picture (h, w, c) with the trigger."""
    pixels: Images = trigger.apply(canvas.pixels[None], canvas.region, rng_of(canvas, stream))[0]
    return pixels


def found_trigger(found: FoundTrigger) -> Picture:
    """What an audit worked out, where it lies, as a picture of just the part that is not transparent."""
    try:
        with opened(png_content(found.picture), "the finding", formats=["PNG"]) as image:
            whole = image.convert("RGBA")
    except DAMAGED:
        raise BadInput("expected the finding's trigger as a picture, got something else; it may be damaged") from None
    box = whole.getchannel("A").getbbox()
    if box is None:
        raise BadInput("expected a finding with a trigger, got one that is transparent all over")
    left, top, right, bottom = box
    part = whole.crop(box)
    part.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    place = At(x=(left + right) / 2 / whole.width, y=(top + bottom) / 2 / whole.height, of="image")
    size = _share(bottom - top, whole.height), _share(right - left, whole.width)
    return Picture(png=base64.b64encode(png_of(part)).decode("ascii"), size=size, place=place)


def made(kind: str, settings: dict[str, Setting]) -> Trigger:
    """A trigger of a kind with what its sliders say; nothing else of it can be set from the page."""
    known = {knob["name"] for knob in knobs(kind)}
    unknown = next((name for name in settings if name not in known), None)
    if unknown is not None:
        raise BadInput(f"expected settings of {kind} that have a slider ({', '.join(known)}), got {unknown!r}")
    return TRIGGERS.make(kind, settings)


def palette() -> list[JSON]:
    """Every kind of trigger with what can be set by a slider or a color."""
    return [
        {"name": kind, "words": _words(family), "stamp": issubclass(family, Stamp), "knobs": knobs(kind)}
        for kind, family in TRIGGERS.items()
    ]


def _words(family: type[Trigger]) -> str:
    try:
        return family().words
    except Exception:  # noqa: BLE001  # somebody else's trigger may need settings
        return family.__name__


@lru_cache(maxsize=64)
def knobs(kind: str) -> list[JSON]:
    """What can be set of a kind: ``name``, what it is (``number`` with ``low``, ``high`` and ``step``, ``yes-no``,
    ``color``), its default, and a line about it. Fields that are texts, tables or files are none."""
    schema = TypeAdapter(TRIGGERS.find(kind)).json_schema()
    rows = (_knob(name, field) for name, field in schema["properties"].items() if name not in _LEFT_TO_THE_MOUSE)
    return [row for row in rows if row is not None]


def _knob(name: str, field: JSON) -> JSON | None:
    kind, default = field.get("type"), field.get("default")
    about = {"name": name, "about": field.get("description", ""), "default": default}
    if kind == "boolean":
        return {**about, "type": "yes-no"}
    if kind in _USUAL and isinstance(default, int | float):
        low, high = _USUAL[kind]
        step = 1 if kind == "integer" else 0.01
        low = field.get("minimum", field.get("exclusiveMinimum", low) + (0 if kind == "integer" else step))
        high = min(field.get("maximum", max(high, default)), _HIGHEST.get(name, math.inf))
        return {**about, "type": "number", "low": low, "high": high, "step": step}
    return {**about, "type": "color", "default": _hex(default)} if _is_color(field) else None


def _is_color(field: JSON) -> bool:
    choices = field.get("anyOf", [])
    levels = [one for one in choices if one.get("type") == "integer" and one.get("maximum") == 255]
    return bool(levels) and any(one.get("maxItems") == 3 for one in choices) and field.get("default") is not None


def _hex(color: Any) -> str:
    levels = rgb(color if isinstance(color, int) else tuple(color)).tolist()
    return "#" + "".join(f"{level:02x}" for level in levels)
