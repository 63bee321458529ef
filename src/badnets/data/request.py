"""What a source is asked for, and how its sets become ``Splits``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, nearest
from badnets.core.seed import as_seed
from badnets.data.images import ImageData, Splits
from badnets.data.overlay import with_channels
from badnets.data.splits import split, with_select

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``: called now and then; total is 0 where it is not known."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of ``load``, checked.

    ``name`` is what the data will be called, ``path`` where the user says it is (or None), ``size`` (height, width) or
    None for as it is, ``select`` the share of the training set that becomes the select set, ``test_share`` the share
    that becomes the test set where the source has none, ``grey`` True for one channel, False for three, None for as it
    is.
    """

    name: str
    path: Path | None = None
    size: tuple[int, int] | None = None
    select: float = 0.0
    seed: int = 0
    test_share: float = 0.2
    grey: bool | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.select < 1:
            raise BadInput(f"expected the select share at least 0 and below 1, got {self.select}")
        if not 0 < self.test_share < 1:
            raise BadInput(f"expected test_share between 0 and 1 (both excluded), got {self.test_share}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise BadInput(f"expected size as (height, width) in pixels, at least 1, got {self.size}")

    def settings(self, **defaults: Any) -> dict[str, Any]:
        """The options over their defaults; an option that this source does not have, or of a wrong type, is refused."""
        for key, value in self.options.items():
            if key not in defaults:
                hint = nearest(key, defaults) if defaults else "it has none"
                raise BadInput(f"data {self.name!r}: expected one of its options, got {key!r}; {hint}")
            if type(value) is not type(defaults[key]):
                wanted = type(defaults[key]).__name__
                raise BadInput(f"expected option {key} of data {self.name!r} as {wanted}, got {value!r}")
        return {**defaults, **self.options}

    def given_path(self) -> Path:
        """The path; refused where none was given."""
        if self.path is None:
            raise BadInput(f"expected a path with data {self.name!r}, got none; say where it lies")
        return self.path

    def report(self, what: str, done: int, total: int) -> None:
        """Tell the caller how far it is, if it wants to know."""
        if self.progress is not None:
            self.progress(what, done, total)

    def reporter(self, what: str, total: int) -> Callable[[int, int], None]:
        """For what decodes pictures: it tells the position of the last one, of ``total``."""
        return lambda _, position: self.report(what, position, total)


def finish(
    request: Request, train: ImageData, test: ImageData | None = None, select: ImageData | None = None
) -> Splits:
    """Three sets out of what a source has, in the channels and size that were asked for.

    Without a test set a seeded, stratified share of the training set becomes one. A select set that the source brings
    is used as it is; otherwise ``request.select`` is taken from the training set.
    """
    drawn = test is None
    if test is None:
        whole = train
        train, test = split(train, request.test_share, as_seed(request.seed).derive("test"))
        if not len(test):
            raise BadInput(
                f"{request.name}: expected at least 2 pictures in some class to split a test set off, "
                f"got {len(whole)} in {whole.classes} classes; bring a test set"
            )
    parts = [_as_asked(request, part) for part in (train, test, select) if part is not None]
    shapes = [part.pixels.shape for part in parts]
    if len(set(shapes)) > 1:
        got = ", ".join(map(str, shapes))
        raise BadInput(f"{request.name}: expected pictures of one shape in all sets, got {got}; give a size")
    splits = with_select(parts[0], parts[1], request.select, request.seed) if select is None else Splits(*parts)
    return replace(splits, drawn=drawn)


def _as_asked(request: Request, data: ImageData) -> ImageData:
    if request.grey is not None:
        data = replace(data, pixels=with_channels(data.pixels, 1 if request.grey else 3))
    return data if request.size is None else data.resize(request.size)
