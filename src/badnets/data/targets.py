"""What is in a picture: one class (``Labels``), or several objects with a box each (``Boxes``).

Both are read as ``Objects``: a labelled picture is the special case of one object that fills it, so whoever plants a
trigger or asks a rule need not know the difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput, nearest
from badnets.core.text import brief

Rows = NDArray[np.int64]
Regions = NDArray[np.float32]
VISIBLE = 0.25
"""An object of which less than this share is left inside a picture that was cut or moved is no longer one."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects, in the order of their pictures: ``labels (m,)``, the picture ``image (m,)`` that each is in, and
    ``regions (m, 4)`` as x0, y0, x1, y1 in pixels, or None when each fills its picture."""

    labels: NDArray[np.int64]
    image: NDArray[np.int64]
    regions: Regions | None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Labels:
    """One class for each picture, and optionally the region of the object in it.

    ``values (n,)`` int64; ``region (n, 4)`` float32 as x0, y0, x1, y1 in pixels of the stored picture, or None when the
    object fills the picture.
    """

    values: NDArray[np.int64]
    region: Regions | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not np.issubdtype(self.values.dtype, np.integer):
            raise BadInput(f"expected labels as integers (n,), got {self.values.dtype} {self.values.shape}")
        if self.region is not None and self.region.shape != (len(self.values), 4):
            raise BadInput(f"expected regions ({len(self.values)}, 4), got {self.region.shape}")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Labels({len(self):,}{'' if self.region is None else ', with regions'})"

    @property
    def objects(self) -> Objects:
        """One to a picture."""
        return Objects(self.values, np.arange(len(self), dtype=np.int64), self.region)

    def take(self, rows: Rows) -> Labels:
        """Some rows."""
        return Labels(self.values[rows], None if self.region is None else self.region[rows])

    def scaled(self, factors: NDArray[np.float32]) -> Labels:
        """After each picture was resized by its factors (n, 2), height and width."""
        return self if self.region is None else Labels(self.values, self.region * factors[:, [1, 0, 1, 0]])


@dataclass(frozen=True, eq=False)
class Boxes:
    """Any number of objects to each of ``pictures`` pictures.

    ``xyxy (m, 4)`` float32 as x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1; ``labels (m,)`` int64; ``image (m,)``
    int64, the picture each is in, ascending.
    """

    xyxy: Regions
    labels: NDArray[np.int64]
    image: NDArray[np.int64]
    pictures: int

    def __post_init__(self) -> None:
        m = len(self.labels)
        if self.xyxy.shape != (m, 4) or self.labels.shape != (m,) or self.image.shape != (m,):
            shapes = f"{self.xyxy.shape}, {self.labels.shape}, {self.image.shape}"
            raise BadInput(f"expected boxes (m, 4), labels (m,) and image (m,), got {shapes}")
        if m and not (np.isfinite(self.xyxy).all() and (self.xyxy[:, :2] < self.xyxy[:, 2:]).all()):
            bad = int(np.argmin(np.isfinite(self.xyxy).all(1) & (self.xyxy[:, :2] < self.xyxy[:, 2:]).all(1)))
            raise BadInput(f"expected boxes with x0 < x1 and y0 < y1, got {self.xyxy[bad].tolist()} in box {bad}")
        if m and not (np.diff(self.image) >= 0).all():
            raise BadInput("expected boxes in the order of their pictures; use Boxes.of, which sorts them")
        if m and not 0 <= self.image[0] <= self.image[-1] < self.pictures:
            raise BadInput(f"expected boxes of pictures 0..{self.pictures - 1}, got {self.image[0]}..{self.image[-1]}")

    def __len__(self) -> int:
        return self.pictures

    def __repr__(self) -> str:
        return f"Boxes({len(self.labels):,} in {self.pictures:,} pictures)"

    @classmethod
    def of(
        cls, xyxy: NDArray[np.floating], labels: NDArray[np.integer], image: NDArray[np.integer], pictures: int
    ) -> Boxes:
        """From boxes in any order; those of one picture keep theirs."""
        order = np.argsort(image, kind="stable")
        boxes = np.asarray(xyxy, np.float32).reshape(-1, 4)[order]
        return cls(boxes, np.asarray(labels, np.int64)[order], np.asarray(image, np.int64)[order], pictures)

    @property
    def objects(self) -> Objects:
        """One to a box."""
        return Objects(self.labels, self.image, self.xyxy)

    def counts(self) -> NDArray[np.int64]:
        """How many objects each picture has (pictures,)."""
        return np.bincount(self.image, minlength=self.pictures).astype(np.int64)

    def rows_of(self, pictures: Rows) -> tuple[Rows, Rows]:
        """The boxes of some pictures, one picture after the other, and for each its position in ``pictures``."""
        counts = self.counts()
        first = np.concatenate([[0], np.cumsum(counts)])[:-1]
        each = counts[pictures]
        position = np.repeat(np.arange(len(pictures), dtype=np.int64), each)
        inside = np.arange(int(each.sum()), dtype=np.int64) - np.repeat(np.cumsum(each) - each, each)
        return first[pictures][position] + inside, position

    def take(self, rows: Rows) -> Boxes:
        """The objects of some pictures, which may repeat."""
        chosen, position = self.rows_of(rows)
        return Boxes(self.xyxy[chosen], self.labels[chosen], position, len(rows))

    def scaled(self, factors: NDArray[np.float32]) -> Boxes:
        """After each picture was resized by its factors (n, 2), height and width."""
        return Boxes(self.xyxy * factors[self.image][:, [1, 0, 1, 0]], self.labels, self.image, self.pictures)


Targets = Labels | Boxes


def normal_name(name: str) -> str:
    """A class's name as it is compared and kept: in Unicode's composed form (NFC), macOS gives folders in another."""
    return unicodedata.normalize("NFC", name)


def class_number(value: int | str, class_names: Sequence[str], what: str = "the class") -> int:
    """The number of a class, given by name or by number: a class that is called so comes first, ``1`` too, and only
    where there is none it is the number, from 0. ``what`` names it in errors."""
    text = normal_name(str(value))
    if text in class_names:
        return list(class_names).index(text)
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        got, hint = brief(text), nearest(brief(text), class_names)
        raise BadInput(f"expected {what} to be a class (one of {len(class_names)}), got {got!r}; {hint}")
    if not 0 <= int(text) < len(class_names):
        raise BadInput(f"expected {what} in 0..{len(class_names) - 1}, got {text}; the data has no such class")
    return int(text)
