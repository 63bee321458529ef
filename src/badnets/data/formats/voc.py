"""Pictures with boxes in PASCAL VOC's layout, as a folder or as a tar archive of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.limits import DEPTH, OBJECTS, TABLE, check_name
from badnets.core.text import brief
from badnets.data.formats.boxed import (
    Annotation,
    Box,
    Scan,
    Scene,
    chosen_classes,
    finished,
    listed_stems,
    scan,
    splits_of,
    stem_of,
    twice,
)
from badnets.data.formats.contents import Contents, File, content_of, ignored, is_tar, stem, told_early
from badnets.data.formats.decode import ENDINGS
from badnets.data.images import Splits
from badnets.data.layout import split_of
from badnets.data.registry import source
from badnets.data.request import Request
from badnets.data.sets.download import archive_in, locate
from badnets.data.targets import normal_name

_FOLDERS = ("VOC", "voc", "VOCdevkit", "pascal-voc", "road-sign-detection")
_ARCHIVES = ("voc", "pascal", "road-sign-detection")  # how the name of an archive in $BADNETS_DATA begins
_PICTURES = ("images", "jpegimages")  # folders that may come before the annotations in an archive
_LOOKED_AT = 64
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LIST = re.compile(r"(?:^|/)ImageSets/(?:Main/)?(?:train|trainval|val|test)\.txt$", re.IGNORECASE)
_START = re.compile(rb"<annotation[\s>/]")
_ABSENT = (
    "expected pictures with boxes (a folder with Annotations and JPEGImages, or a tar of it), got nothing; put a "
    f"folder of the name {', '.join(_FOLDERS[:-1])} or {_FOLDERS[-1]}, or an archive voc*.tar.gz,"
)


@source("voc", "pictures with boxes in PASCAL VOC's layout (options classes, splits)")
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

    Splits that came with the data are used: folders ``train``, ``valid``, ``test`` (in all usual spellings; equal stems
    in two of them are different pictures), else the lists ``ImageSets/Main/train.txt``, ``val.txt``, ``trainval.txt``,
    ``test.txt``. What is for validation becomes the select set and is not trained on. Without a test set a share of the
    training pictures becomes one, so that all boxes of a picture are on one side.

    Options: ``classes`` (a text of names with commas between: the classes, in this order; without it the names that
    occur, sorted), ``splits`` (false: all pictures are one set, of which a share becomes the test set).
    """
    options = request.settings(classes="", splits=True)
    classes = chosen_classes(options["classes"])
    wanted = "an .xml for each picture, with its stem; a folder or a tar of it"
    find = _find if request.path is None else lambda given: given if is_voc(given) else _find(given)
    place = locate("voc", request, find, wanted=wanted, folders=_FOLDERS, absent=_ABSENT)
    name = stem(place) if request.name == "voc" else request.name
    asked = replace(request, name=name, options=options)
    scenes, found, lists = _load(place, asked)
    return finished(scenes, found, asked, place=place, classes=classes, lists=lists)


def is_voc(place: Path) -> bool:
    """Whether a folder or an archive has annotations of VOC."""
    if place.is_dir():
        return any(_START.search(content_of(file)[:4096]) for file in islice(Contents(place, (".xml",)), 8))

    def judge(path: str, content: bytes) -> bool | None:
        return True if path.lower().endswith(".xml") and _START.search(content[:4096]) else None

    def is_picture(path: str) -> bool:
        folder = PurePosixPath(path).parent.name
        return folder.lower() in _PICTURES or split_of([folder]) is not None

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


def _load(place: Path, request: Request) -> tuple[list[Scene], Scan, dict[str, set[str]]]:
    """The pictures with an annotation, all pictures, and the lists."""
    annotations: dict[str, Annotation] = {}
    lists: dict[str, set[str]] = {}
    source = Contents(place, (*ENDINGS, ".xml", ".txt"))

    def pictures() -> Iterator[File]:
        for file in source:
            where, lower = f"{place}/{file.path}", file.path.lower()
            if lower.endswith(".xml"):
                annotations[file.path] = read_annotation(content_of(file), where)
            elif lower.endswith(".txt"):
                if _LIST.search(file.path):
                    lists.setdefault(stem_of(file.path).casefold(), set()).update(listed_stems(content_of(file), where))
            elif not any(part.startswith("Segmentation") for part in file.path.split("/")):
                yield file

    found = scan(pictures(), source, request)
    return _paired(annotations, found.pictures, place), found, lists


def _paired(annotations: Mapping[str, Annotation], pictures: Iterable[str], place: Path) -> list[Scene]:
    """Each annotation with the picture of its stem: of its split, where both lie in one."""
    splits = splits_of([*annotations, *pictures])
    by_key: dict[tuple[str | None, str], str] = {}
    for path in pictures:
        first = by_key.setdefault((splits[path], stem_of(path)), path)
        if first != path:
            raise twice("picture", f"{place}/{first}", f"{place}/{path}")
    scenes: dict[str, Scene] = {}
    for path, annotation in annotations.items():
        split, key = splits[path], stem_of(path)
        others = (None,) if split else ("train", "test", "select")
        found = [by_key[of, key] for of in (split, *others) if (of, key) in by_key]
        if not found:
            raise BadInput(
                f"expected a picture of the name {key} for {annotation.where}, got none; "
                "add it or remove the annotation"
            )
        if split is None and len(found) > 1:
            raise twice("picture", f"{place}/{found[0]}", f"{place}/{found[1]}")
        picture = found[0]
        if picture in scenes:
            raise twice("annotation", scenes[picture].annotation.where, annotation.where)
        scenes[picture] = Scene(picture, annotation, split or splits[picture])
    alone = sorted(set(pictures) - set(scenes))
    if alone:
        warn_of_data(f"{place}: {len(alone)} pictures without an annotation were left out, the first is {alone[0]}")
    return list(scenes.values())


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
