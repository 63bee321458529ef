"""Every data source by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from badnets.core.registry import Registry
from badnets.data.images import Splits
from badnets.data.request import Request

Load = Callable[[Request], Splits]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A way to data: how to load it, what it is, and whether it is a kind of file that needs a path."""

    name: str
    load: Load
    summary: str
    needs_path: bool = False


SOURCES: Registry[Source] = Registry(
    "data set",
    Source,
    homes=["badnets.data.sets", "badnets.data.formats", "badnets.data.drawn.sources"],
    group="badnets.sources",
)
"""Names for ``load`` and ``badnets list datasets``; entry points of ``badnets.sources`` add other packages'."""


def source(name: str, summary: str, *, needs_path: bool = False) -> Callable[[Load], Load]:
    """Register the decorated loader as the source ``name``."""

    def register(load: Load) -> Load:
        SOURCES.add(Source(name=name, load=load, summary=summary, needs_path=needs_path))
        return load

    return register
