"""Pictures with boxes in PASCAL VOC's layout, as a folder or as a tar archive of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, nearest
from badnets.core.limits import DEPTH, OBJECTS, TABLE, check_name
from badnets.core.text import brief
from badnets.data.formats.album import Album, read_album
from badnets.data.formats.contents import Contents, File, content_of, ignored, is_tar, stem, told_early
from badnets.data.formats.decode import ENDINGS, Own
from badnets.data.images import ImageData, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.download import archive_in, locate
from badnets.data.targets import Boxes, normal_name

SMALLEST = 2.0
"""A box with a side of fewer pixels than this is no object."""

_FOLDERS = ("VOC", "voc", "VOCdevkit", "pascal-voc", "road-sign-detection")
_ARCHIVES = ("voc", "pascal", "road-sign-detection")  # how the name of an archive in $BADNETS_DATA begins
_PICTURES = ("images", "jpegimages")  # folders that may come before the annotations in an archive
_LOOKED_AT = 64
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_START = re.compile(rb"<annotation[\s>/]")
_ABSENT = (
    "expected pictures with boxes (a folder with Annotations and JPEGImages, or a tar of it), got nothing; put a "
    f"folder of the name {', '.join(_FOLDERS[:-1])} or {_FOLDERS[-1]}, or an archive voc*.tar.gz,"
)


@source("voc", "pictures with boxes in PASCAL VOC's layout (option classes)")
def load_voc(request: Request) -> Splits:
    """Pictures with ``Boxes``: every ``.xml`` is the annotation of the picture that has its stem, wherever it lies.

    So ``annotations/road1.xml`` with ``images/road1.jpg`` is read, VOC's own ``Annotations`` and ``JPEGImages``, and
    files side by side; ``<filename>`` is not looked at, nor are the folders ``Segmentation*``. Pictures keep their
    sizes unless ``request.size`` is given; they have three channels unless grey ones are asked for.

    Boxes are taken as the edges of pixels, ``x0 = xmin, x1 = xmax``. (VOC counts pixels from 1 and includes the last
    one, but tools that write its format seldom do; so such a box is up to one pixel off.) What reaches out of the
    picture is clipped, boxes with a side below ``SMALLEST`` pixels are dropped, pictures without an annotation and
    damaged pictures are left out, a picture whose annotation has no object stays as background: each with one
    ``DataWarning``. Refused are an annotation that cannot be read, one without its picture or of another size than its
    picture, a class that is not in the list, two files of one stem, and data without any box.

    A share of the pictures becomes the test set, so that all boxes of a picture are on one side. Option: ``classes``
    (a text of names with commas between: the classes, in this order; without it the names that occur, sorted).
    """
    classes = _listed(request.settings(classes="")["classes"])
    wanted = "an .xml for each picture, with its stem; a folder or a tar of it"
    find = _find if request.path is None else lambda given: given if is_voc(given) else _find(given)
    place = locate("voc", request, find, wanted=wanted, folders=_FOLDERS, absent=_ABSENT)
    name = stem(place) if request.name == "voc" else request.name
    data = _data(_read(place, request), classes, name, place)
    # Size and channels were seen to when decoding.
    return finish(replace(request, name=name, size=None, grey=None), data)


def is_voc(place: Path) -> bool:
    """Whether a folder or an archive has annotations of VOC."""
    if place.is_dir():
        return any(_START.search(content_of(file)[:4096]) for file in islice(Contents(place, (".xml",)), 8))

    def judge(path: str, content: bytes) -> bool | None:
        return True if path.lower().endswith(".xml") and _START.search(content[:4096]) else None

    def is_picture(path: str) -> bool:
        return PurePosixPath(path).parent.name.lower() in _PICTURES

    return is_tar(place) and told_early(place, judge, is_picture, _LOOKED_AT)


def _find(place: Path) -> Path | None:
    """A folder with annotations at a place or right below it, or an archive of one with a telling name."""
    if not place.is_dir():
        return None
    inside = sorted(path for path in place.iterdir() if path.is_dir() and not ignored(path.name))
    for folder in (place, *inside):
        if any(any(folder.glob(f"{name}/*.xml")) for name in ("Annotations", "annotations")):
            return folder
    return archive_in(place, _ARCHIVES, is_voc)


def _listed(text: str) -> tuple[str, ...] | None:
    """The option ``classes``; None without it."""
    names = tuple(normal_name(part.strip()) for part in text.split(","))
    if names == ("",):
        return None
    if "" in names or len(set(names)) < len(names):
        raise BadInput(f"expected names of classes, each once, with commas between, got {text!r}; correct the option")
    return names


Box = tuple[float, float, float, float]

_LYING: Mapping[int, Callable[[Box, float, float], Box]] = {
    5: lambda box, h, w: (box[1], box[0], box[3], box[2]),
    6: lambda box, h, w: (w - box[3], box[0], w - box[1], box[2]),
    7: lambda box, h, w: (w - box[3], h - box[2], w - box[1], h - box[0]),
    8: lambda box, h, w: (box[1], h - box[2], box[3], h - box[0]),
}
"""Where a box of a lying picture is in the upright one of height ``h`` and width ``w``, by the orientation in EXIF."""


class Annotation(NamedTuple):
    """What a file says: ``where`` names the file in errors, ``size`` is (width, height) or None where it is not told,
    ``objects`` are (class, (xmin, ymin, xmax, ymax)) with xmin <= xmax and ymin <= ymax, finite."""

    where: str
    size: tuple[int, int] | None
    objects: tuple[tuple[str, Box], ...]


class _Scan(NamedTuple):
    """Everything by stem: annotations, paths of pictures, and what each was before it was resized (damaged ones were
    nothing); and the decoded pictures."""

    annotations: dict[str, Annotation]
    pictures: dict[str, str]
    own: dict[str, Own]
    album: Album


def _read(place: Path, request: Request) -> _Scan:
    annotations: dict[str, Annotation] = {}
    pictures: dict[str, str] = {}
    source = Contents(place, (*ENDINGS, ".xml"))

    def waiting() -> Iterator[File]:
        for file in source:
            key, where = _stem(file.path), f"{place}/{file.path}"
            if file.path.lower().endswith(".xml"):
                if key in annotations:
                    raise _twice("annotation", annotations[key].where, where)
                annotations[key] = read_annotation(content_of(file), where)
            elif not any(part.startswith("Segmentation") for part in file.path.split("/")):
                if key in pictures:
                    raise _twice("picture", f"{place}/{pictures[key]}", where)
                pictures[key] = file.path
                yield file

    report = request.reporter("reading pictures with boxes", source.total)
    album = read_album(waiting(), size=request.size, grey=bool(request.grey), report=report)
    source.warn_of_strays()
    own = {_stem(path): one for path, one in zip(album.paths, album.own, strict=True)}
    return _Scan(annotations, pictures, own, album)


def _stem(path: str) -> str:
    """What an annotation and its picture have in common: the name without folder and ending."""
    return PurePosixPath(path).stem


def _twice(what: str, first: str, second: str) -> BadInput:
    return BadInput(f"expected one {what} of each name, got {first} and {second}; rename one of them")


def _data(scan: _Scan, classes: tuple[str, ...] | None, name: str, place: Path) -> ImageData:
    """All pictures with an annotation, in the order of their stems."""
    for key, annotation in sorted(scan.annotations.items()):
        _check(key, annotation, scan, classes)
    annotated = _set_upright(scan, place)
    album = scan.album
    position = {_stem(path): i for i, path in enumerate(album.paths)}
    kept = [key for key in sorted(scan.annotations) if key in position]
    alone = sorted(path for key, path in scan.pictures.items() if key not in scan.annotations)
    if alone:
        warn_of_data(f"{place}: {len(alone)} pictures without an annotation were left out, the first is {alone[0]}")
    album.warn_of_damaged(place)
    rows = np.array([position[key] for key in kept], np.int64)
    now = np.array([album.shapes[i][:2] for i in rows], np.float64).reshape(-1, 2)
    original = np.array([scan.own[key].size for key in kept], np.float64).reshape(-1, 2)
    annotations = [annotated[key] for key in kept]
    xyxy, names, image = _boxes(annotations, original, place)
    if not names:
        raise BadInput(
            f"expected boxes in {place}, got none in {len(kept)} pictures with an annotation; check the path"
        )
    known = classes if classes is not None else tuple(sorted(set(names)))
    number = {known_name: i for i, known_name in enumerate(known)}
    labels = np.array([number[one] for one in names], np.int64)
    boxes = Boxes.of(xyxy, labels, image, len(kept)).scaled((now / original).astype(np.float32))
    return ImageData(album.store(rows), boxes, known, name=name)


def _check(key: str, annotation: Annotation, scan: _Scan, classes: tuple[str, ...] | None) -> None:
    where = annotation.where
    if key not in scan.pictures:
        raise BadInput(f"expected a picture of the name {key} for {where}, got none; add it or remove the annotation")
    own, stated = scan.own.get(key), annotation.size
    if own is not None and stated is not None and stated != own.size[::-1] and not _lies(annotation, own):
        turned = " (turned by its EXIF)" if own.turn != 1 else ""
        raise BadInput(
            f"expected a picture of {stated[0]}x{stated[1]} for {where}, got {own.size[1]}x{own.size[0]} pixels in "
            f"{scan.pictures[key]}{turned}; mend the annotation, its boxes may be of another picture"
        )
    unknown = [name for name, _ in annotation.objects if classes is not None and name not in classes]
    if classes is not None and unknown:
        got = brief(unknown[0])
        raise BadInput(f"expected one of the option classes in {where}, got {got!r}; {nearest(got, classes)}")


def _lies(annotation: Annotation, own: Own) -> bool:
    """Whether the boxes are of the picture as it lies in its file, before EXIF sets it upright: its size tells."""
    height, width = own.size
    return own.turn in _LYING and width != height and annotation.size == (height, width)


def _set_upright(scan: _Scan, place: Path) -> dict[str, Annotation]:
    """The annotations, with boxes of pictures that EXIF turns turned with them where that is what they are of."""
    upright, unclear = dict(scan.annotations), []
    for key, own in sorted(scan.own.items()):
        annotation = scan.annotations.get(key)
        if annotation is None or own.turn == 1 or not annotation.objects:
            continue
        if _lies(annotation, own):
            turn = _LYING[own.turn]
            boxes = tuple((name, turn(box, *map(float, own.size))) for name, box in annotation.objects)
            upright[key] = annotation._replace(objects=boxes)
        elif annotation.size is None or own.turn not in _LYING or own.size[0] == own.size[1]:
            unclear.append(scan.pictures[key])
    turned = [scan.pictures[key] for key in sorted(upright) if upright[key] is not scan.annotations[key]]
    if turned:
        first = f"boxes of {len(turned)} pictures were turned with them, as their EXIF says, the first is {turned[0]}"
        warn_of_data(f"{place}: {first}")
    if unclear:
        what = f"EXIF turns {len(unclear)} pictures, and no size tells whether their boxes are of the upright picture"
        warn_of_data(f"{place}: {what}; they were taken so, the first is {unclear[0]}")
    return upright


def _boxes(
    annotations: list[Annotation], original: NDArray[np.float64], place: Path
) -> tuple[NDArray[np.float64], list[str], NDArray[np.int64]]:
    """(boxes (m, 4), class names, pictures (m,)) inside pictures of (height, width) ``original (n, 2)``."""
    objects = [
        (i, number, *entry) for i, a in enumerate(annotations) for number, entry in enumerate(a.objects, start=1)
    ]
    image = np.array([i for i, *_ in objects], np.int64)
    given = np.array([box for *_, box in objects], np.float64).reshape(-1, 4)
    inside = np.clip(given, 0, original[image][:, [1, 0, 1, 0]]) if objects else given
    large = np.asarray((inside[:, 2:] - inside[:, :2] >= SMALLEST).all(axis=1))
    clipped = np.asarray(large & (inside != given).any(axis=1))

    def first(which: NDArray[np.bool_]) -> str:
        i, number, name, _ = objects[int(np.argmax(which))]
        return f"the first is object {number} ({brief(name)}) of {annotations[i].where}"

    empty = [a.where for a in annotations if not a.objects]
    if empty:
        bare = f"{len(empty)} annotations have no object, the first is {empty[0]}"
        warn_of_data(f"{place}: {bare}; the pictures are background")
    if clipped.any():
        outside = f"{np.count_nonzero(clipped)} boxes reached out of the picture"
        warn_of_data(f"{place}: {outside} and were clipped, {first(clipped)}")
    if not large.all():
        small = f"{np.count_nonzero(~large)} boxes of less than {SMALLEST:g}x{SMALLEST:g} pixels"
        warn_of_data(f"{place}: {small} were dropped, {first(~large)}")
    names = [name for (_, _, name, _), good in zip(objects, large, strict=True) if good]
    return inside[large], names, image[large]


def read_annotation(content: bytes, where: str) -> Annotation:
    """Parse one file; refused in one sentence that names it.

    The picture is not told by ``<filename>``, which is often wrong after files were renamed, but by the file's stem.
    A DOCTYPE is refused, so that nothing is expanded. ``part``, ``difficult`` and the like are not read.
    """
    TABLE.check(len(content), where)

    class NoDoctype(ET.TreeBuilder):
        """Stops at a DOCTYPE, before anything that it declares is read, and where there is too much."""

        depth = count = 0

        def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
            self.depth += 1
            self.count += 1
            DEPTH.check(self.depth, where)
            OBJECTS.check(self.count, where)
            return super().start(tag, attrs)

        def end(self, tag: str, /) -> ET.Element:
            self.depth -= 1
            return super().end(tag)

        def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
            raise BadInput(f"expected an annotation without DOCTYPE in {where}, got one; do not trust this file")

    parser = ET.XMLParser(target=NoDoctype())  # noqa: S314 - without a DOCTYPE there are no entities to expand
    try:
        parser.feed(content)
        root: ET.Element = parser.close()
    except (ET.ParseError, LookupError, ValueError) as error:
        raise BadInput(
            f"expected an annotation as XML in {where}, got something else ({brief(error)}); mend it"
        ) from None
    if root.tag != "annotation":
        raise BadInput(f"expected <annotation> as the root of {where}, got <{brief(root.tag)}>; remove it or mend it")
    objects = tuple(_object(node, number, where) for number, node in enumerate(root.findall("object"), start=1))
    return Annotation(where, _size(root), objects)


def _size(root: ET.Element) -> tuple[int, int] | None:
    """(width, height); some tools leave it out or write 0."""
    try:
        w, h = int(float(root.findtext("size/width", ""))), int(float(root.findtext("size/height", "")))
    except (ValueError, OverflowError):
        return None
    return (w, h) if w > 0 and h > 0 else None


def _object(node: ET.Element, number: int, where: str) -> tuple[str, Box]:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise BadInput(f"expected a name in object {number} of {where}, got none; mend it")
    name = normal_name(check_name(name, where))
    called = f"object {number} ({brief(name)}) of {where}"
    box = node.find("bndbox")
    if box is None:
        raise BadInput(f"expected a bndbox in {called}, got none; mend it")
    x0, y0, x1, y1 = (_corner(box, key, called) for key in _CORNERS)
    if x0 > x1 or y0 > y1:
        raise BadInput(
            f"expected xmin <= xmax and ymin <= ymax in {called}, got x {x0:g}..{x1:g} and y {y0:g}..{y1:g}; mend it"
        )
    return name, (x0, y0, x1, y1)


def _corner(box: ET.Element, key: str, what: str) -> float:
    text = box.findtext(key)
    try:
        value = float("" if text is None else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(
            f"expected a number as {key} in {what}, got {'none' if text is None else brief(repr(text))}; mend it"
        )
    return value
