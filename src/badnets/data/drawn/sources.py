"""Drawn signs and scenes as data sets; the drawing itself is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish

if TYPE_CHECKING:
    from badnets.data.drawn.signs import Drawn, Order, Progress


def _drawn(kind: str, style: str | None, *, size: int, train: int, test: int) -> Callable[[Request], Splits]:
    """The loader of drawn signs or scenes; a style in the name is the default of the option.

    Every class occurs equally often (to within one), and what was drawn is kept in the cache. Errors: ``BadInput`` for
    an unknown style, pictures that are not square or too small, and fewer pictures than classes.
    """

    def load(request: Request) -> Splits:
        from badnets.data.drawn import scenes, signs

        if request.path is not None:
            raise BadInput(f"expected no path with data {request.name!r}, got {request.path}; the {kind} are drawn")
        options = request.settings(style=style or "us", size=size, train=train, test=test, seed=0)
        if style is not None and options["style"] != style:
            raise BadInput(f"expected style {style!r} with data {request.name!r}, got {options['style']!r}; choose one")
        if request.size is not None:
            h, w = request.size
            if h != w:
                raise BadInput(f"expected one number as the size of {kind}, which are square, got {h} x {w}")
            if request.options.get("size", h) != h:
                raise BadInput(f"expected one size of {kind}, got {h} and the option size {options['size']}")
            options["size"] = h
        drawing = {"signs": signs, "scenes": scenes}[kind]
        names, counts = signs.class_names(options["style"]), {part: options.pop(part) for part in ("train", "test")}
        for part, count in counts.items():
            if count < len(names):
                at_least = f"{part} of at least {len(names)} (one for each class)"
                raise BadInput(f"{kind}: expected {at_least}, got {count}")
        sets: list[ImageData] = []
        for part, count in counts.items():
            report = partial(_report, request, f"drawing {kind}", sum(map(len, sets)), sum(counts.values()))
            key = {"kind": kind, **options, "version": drawing.VERSION, "part": part, "count": count}
            stream = Seed(options["seed"]).derive(kind, options["style"], part)
            order = drawing.order(options["style"], options["size"], count, stream)
            images, regions = _kept(key, order, report)
            report(count, count)
            name = f"{kind}-{options['style']}"
            sets.append(ImageData(ArrayStore(images), order.targets(regions), names, name=name))
        asked = Request(name=request.name, select=request.select, seed=request.seed, grey=request.grey)
        return finish(asked, *sets)

    return load


def _report(request: Request, what: str, before: int, total: int, done: int, _: int) -> None:
    """Progress over both sets as one."""
    request.report(what, before + done, total)


def _kept(key: dict[str, Any], order: Order, report: Progress) -> Drawn:
    """From the cache, or drawn and put there."""

    def write(path: Path) -> None:
        images, regions = order.draw(report)
        with path.open("wb") as file:
            np.savez(file, images=images, regions=regions)

    def read(path: Path) -> Drawn:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, regions = file["images"], file["regions"]
        shapes = (key["count"], key["size"], key["size"], 3), (order.objects, 4)
        if (images.shape, regions.shape) != shapes or (images.dtype, regions.dtype) != (np.uint8, np.float32):
            raise ValueError(f"{images.dtype} {images.shape} and {regions.dtype} {regions.shape}")
        return images, regions

    return Cache(key["kind"], read, ".npz").get(key, write)


_signs = partial(_drawn, "signs", size=32, train=10_000, test=2_000)
_scenes = partial(_drawn, "scenes", size=160, train=2_000, test=500)

for _name, _style, _words in (("", None, ""), ("-us", "us", ", US style"), ("-eu", "eu", ", European style")):
    _options = "" if _style else " (options style, size, train, test)"
    source(f"signs{_name}", f"traffic signs that our code draws{_words}{_options}")(_signs(_style))
    source(f"scenes{_name}", f"drawn pictures of 1 to 4 signs, with boxes{_words}{_options}")(_scenes(_style))
