"""A sticker at every place of a grid: how sure a network is, at each, of what the attacker wants."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.rules import LabelRule
from badnets.backdoors.triggers.stamp import Stamp
from badnets.core.errors import BadInput, BadnetsError
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.core.text import SENTENCE, neutral
from badnets.data.images import Pixels
from badnets.measures.detection import IOU, SURE, overlap
from badnets.networks.inference import Detections, ask_all, detect_photo, probabilities
from badnets.networks.network import ImageNetwork
from badnets.play import stickers
from badnets.play.pictures import Canvas, in_channels

JSON = dict[str, Any]
Shares = NDArray[np.float64]
Yes = NDArray[np.bool_]
USUAL, OF_DETECTORS = 11, 7
"""Places along each side: a detector takes a hundred times as long for one."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Upper left corners of a ``stamp`` of this ``height`` and ``width`` on ``canvas``, in pixels."""

    canvas: Canvas
    stamp: Stamp
    height: int
    width: int
    tops: list[int]
    lefts: list[int]

    @classmethod
    def of(cls, put: stickers.Placed, canvas: Canvas, cells: int) -> Grid:
        """About ``cells`` places along each side, from edge to edge; fewer where there is less room."""
        if put.box is None or not isinstance(put.trigger, Stamp):
            raise BadInput("expected a sticker that has a place, got a trigger that fills the picture")
        _, _, width, height = put.box
        tops, lefts = (
            np.unique(np.rint(np.linspace(0, side - length, cells)).astype(int)).tolist()
            for side, length in zip(canvas.pixels.shape[:2], (height, width), strict=True)
        )
        return cls(canvas, put.trigger, height, width, tops, lefts)

    @property
    def centers(self) -> dict[str, list[float]]:
        """The sticker's centers as shares of the picture, ``x`` and ``y``."""
        rows, columns = self.canvas.pixels.shape[:2]
        return {
            "x": [(x + self.width / 2) / columns for x in self.lefts],
            "y": [(y + self.height / 2) / rows for y in self.tops],
        }

    def pictures(self, stream: Seed) -> Iterator[Pixels]:
        """The picture with the sticker at each place, row after row."""
        for top, left in itertools.product(self.tops, self.lefts):
            there = stickers.at(self.stamp, self.canvas, top, left, self.height, self.width)
            yield stickers.stuck(there.trigger, self.canvas, stream)


@dataclass(frozen=True, eq=False)
class Wish:
    """What the attacker wants: ``words`` for it, and ``sure``, which says of each of some pictures (h, w, c) how sure a
    network is of it, and whether that is enough: as its likeliest class, or as an object that it is sure of."""

    words: str
    sure: Callable[[Sequence[Pixels]], tuple[Shares, Yes]]


def read_as(network: ImageNetwork, wanted: int, name: str) -> Wish:
    """That the picture is taken for a class."""

    def sure(pictures: Sequence[Pixels]) -> tuple[Shares, Yes]:
        photos = [in_channels(pixels, network.input_size[0]) for pixels in pictures]
        if photos[0].shape[:2] == network.input_size[1:]:
            given = probabilities(network, np.stack(photos))
        else:
            given = np.stack([ask_all(network, photo) for photo in photos])
        return given[:, wanted].astype(np.float64), given.argmax(1) == wanted

    return Wish(f"read as {name}", sure)


def seen_as(network: ImageNetwork, rule: LabelRule, canvas: Canvas, names: tuple[str, ...]) -> Wish:
    """That a detector sees an object of a class where it saw none of that class without the sticker; of a rule about
    vanishing, that it no longer sees one that it saw. Raises ``BadInput`` where there is none."""
    before = _seen(network, canvas.pixels)
    sure = before.confidence >= SURE
    if rule.kind != "vanish":
        target: Any = getattr(rule, "target", None)
        known = before.boxes[sure & (before.labels == target)]
        return _wish(network, f"{names[target]} appears", lambda found: _new(found, known, target))
    source: Any = getattr(rule, "source", None)
    there = before.boxes[sure & (True if source is None else before.labels == source)]
    if not len(there):
        what = "an object" if source is None else f"an object of the class {names[source]}"
        raise BadInput(f"expected {what} that could vanish, got a picture in which the network sees none")
    return _wish(network, "an object vanishes", lambda found: _lost(found, there))


def _wish(network: ImageNetwork, words: str, of: Callable[[Detections], float]) -> Wish:
    def sure(pictures: Sequence[Pixels]) -> tuple[Shares, Yes]:
        shares = np.array([of(_seen(network, pixels)) for pixels in pictures])
        return shares, shares >= SURE

    return Wish(words, sure)


def _seen(network: ImageNetwork, pixels: Pixels) -> Detections:
    return detect_photo(network, in_channels(pixels, network.input_size[0]))


def _new(found: Detections, known: NDArray[np.float32], target: int) -> float:
    """Confidence of the surest object of the class ``target`` that lies on none of the boxes ``known``."""
    rows = found.labels == target
    free = overlap(found.boxes[rows], known).max(1, initial=0.0) < IOU
    return float(found.confidence[rows][free].max(initial=0.0))


def _lost(found: Detections, there: NDArray[np.float32]) -> float:
    """How far the object in one of the boxes ``there`` is gone, of whatever class: 1 where nothing is left."""
    on = overlap(there, found.boxes) >= IOU
    left = np.where(on, found.confidence[None, :], 0.0).max(1, initial=0.0)
    return 1.0 - float(left.min())


class Map:
    """What one network says at each place of a grid of this ``shape``, or the problem that it has."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.wish: Wish | None = None
        self._shape, self._problem = shape, ""
        self._shares: list[float] = []
        self._yes: list[bool] = []

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Inside, what goes wrong is kept to be told."""
        try:
            yield
        except BadnetsError as error:
            self._problem = neutral(str(error), SENTENCE)

    def look(self, pictures: Sequence[Pixels]) -> None:
        """The next places."""
        with self.problems():
            if self.wish is not None and not self._problem:
                shares, yes = self.wish.sure(pictures)
                self._shares += shares.tolist()
                self._yes += yes.tolist()

    def told(self) -> JSON:
        """For the page."""
        if self.wish is None or self._problem:
            return {"problem": self._problem}
        sure = np.array(self._shares).reshape(self._shape).round(4).tolist()
        return {"effect": self.wish.words, "sure": sure, "works": figure(Rate.of(np.array(self._yes)))}


def figure(rate: Rate) -> JSON:
    """A rate with its count and interval, and in words."""
    low, high = rate.ends if rate.total else (None, None)
    return {"hits": rate.hits, "total": rate.total, "value": rate.value, "low": low, "high": high, "text": str(rate)}
