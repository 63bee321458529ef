"""Drawn signs and scenes as data sets; the drawing itself is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from badnets.core.errors import BadInput
from badnets.data.images import Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish


def _drawn(kind: str, style: str | None, *, size: int, train: int, test: int) -> Callable[[Request], Splits]:
    """Drawn signs or scenes; a style in the name is the default of the option."""

    def load(request: Request) -> Splits:
        from badnets.data.drawn.scenes import load_scenes
        from badnets.data.drawn.signs import load_signs

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
        draw: Callable[..., Splits] = {"signs": load_signs, "scenes": load_scenes}[kind]
        made = draw(**options, cache=True, progress=partial(request.report, f"drawing {kind}"))
        drawn = Request(name=request.name, select=request.select, seed=request.seed, grey=request.grey)
        return finish(drawn, made.train, made.test)

    return load


_signs = partial(_drawn, "signs", size=32, train=10_000, test=2_000)
_scenes = partial(_drawn, "scenes", size=160, train=2_000, test=500)

for _name, _style, _words in (("", None, ""), ("-us", "us", ", US style"), ("-eu", "eu", ", European style")):
    _options = "" if _style else " (options style, size, train, test)"
    source(f"signs{_name}", f"traffic signs that our code draws{_words}{_options}")(_signs(_style))
    source(f"scenes{_name}", f"drawn pictures of 1 to 4 signs, with boxes{_words}{_options}")(_scenes(_style))
