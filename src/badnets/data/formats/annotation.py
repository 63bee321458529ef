"""One annotation of PASCAL VOC: the objects of a picture, from XML."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from badnets.core.errors import BadInput

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_START = re.compile(rb"<annotation[\s>/]")


@dataclass(frozen=True)
class Annotation:
    """What a file says: ``where`` names the file in errors, ``size`` is (width, height) or None where it is not told,
    ``objects`` are (class, (xmin, ymin, xmax, ymax)) with xmin <= xmax and ymin <= ymax, finite."""

    where: str
    size: tuple[int, int] | None
    objects: tuple[tuple[str, tuple[float, float, float, float]], ...]


def is_annotation(content: bytes) -> bool:
    """Whether the first bytes of a file look like an annotation."""
    return _START.search(content[:4096]) is not None


def stem_of(path: str) -> str:
    """What an annotation and its picture have in common: the name without folder and ending."""
    return PurePosixPath(path).stem


def read_annotation(content: bytes, where: str) -> Annotation:
    """Parse one file; refused in one sentence that names it.

    The picture is not told by ``<filename>``, which is often wrong after files were renamed, but by the file's stem.
    A DOCTYPE is refused, so that nothing is expanded. ``part``, ``difficult`` and the like are not read.
    """
    root = _parsed(content, where)
    if root.tag != "annotation":
        raise BadInput(f"expected <annotation> as the root of {where}, got <{root.tag}>; remove it or mend it")
    objects = tuple(_object(node, number, where) for number, node in enumerate(root.findall("object"), start=1))
    return Annotation(where, _size(root), objects)


class _NoDoctype(ET.TreeBuilder):
    """Stops at a DOCTYPE, before anything that it declares is read."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise _DoctypeError


class _DoctypeError(Exception):
    pass


def _parsed(content: bytes, where: str) -> ET.Element:
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314 - without a DOCTYPE there are no entities to expand
    try:
        parser.feed(content)
        root: ET.Element = parser.close()
    except _DoctypeError:
        raise BadInput(f"expected an annotation without DOCTYPE in {where}, got one; do not trust this file") from None
    except (ET.ParseError, LookupError, ValueError) as error:
        raise BadInput(f"expected an annotation as XML in {where}, got something else ({error}); mend it") from None
    return root


def _size(root: ET.Element) -> tuple[int, int] | None:
    """(width, height); some tools leave it out or write 0."""
    try:
        w, h = int(float(root.findtext("size/width", ""))), int(float(root.findtext("size/height", "")))
    except (ValueError, OverflowError):
        return None
    return (w, h) if w > 0 and h > 0 else None


def _object(node: ET.Element, number: int, where: str) -> tuple[str, tuple[float, float, float, float]]:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise BadInput(f"expected a name in object {number} of {where}, got none; mend it")
    box = node.find("bndbox")
    if box is None:
        raise BadInput(f"expected a bndbox in object {number} ({name}) of {where}, got none; mend it")
    x0, y0, x1, y1 = (_corner(box, key, f"object {number} ({name}) of {where}") for key in _CORNERS)
    if x0 > x1 or y0 > y1:
        raise BadInput(
            f"expected xmin <= xmax and ymin <= ymax in object {number} ({name}) of {where}, "
            f"got x {x0:g}..{x1:g} and y {y0:g}..{y1:g}; mend it"
        )
    return name, (x0, y0, x1, y1)


def _corner(box: ET.Element, key: str, what: str) -> float:
    text = box.findtext(key)
    try:
        value = float("" if text is None else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"expected a number as {key} in {what}, got {'none' if text is None else repr(text)}; mend it")
    return value
