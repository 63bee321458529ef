"""Pictures with boxes as COCO's JSON, as a folder or as a tar archive of it."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.files import parse_json
from badnets.core.limits import OBJECTS, check_name
from badnets.core.text import brief
from badnets.data.formats.boxed import Annotation, Box, Scene, chosen_classes, finished, scan, splits_of, twice
from badnets.data.formats.contents import Contents, File, content_of, is_tar, leaves, told_early
from badnets.data.formats.decode import ENDINGS
from badnets.data.images import Splits
from badnets.data.layout import parsed, split_of
from badnets.data.registry import source
from badnets.data.request import Request
from badnets.data.targets import normal_name

_KEYS = ("images", "annotations", "categories")
_PICTURES = ("images", "jpegimages", "data")  # folders that may come before the table in an archive
_BEST = re.compile(r"(?:^|/)(?:_annotations\.coco|instances_[^/]*)\.json$", re.IGNORECASE)
_LOOKED_AT = 64


class _Image(NamedTuple):
    """A picture of a table: its name in the table, (width, height) if told, and its objects."""

    file: str
    size: tuple[int, int] | None
    objects: list[tuple[str, Box]]


class _Table(NamedTuple):
    """One JSON file: its path, its pictures, its classes by their number, and how many boxes are of crowds."""

    path: str
    images: list[_Image]
    classes: dict[int, str]
    crowds: int


@source("coco", "pictures with boxes as COCO's JSON (options classes, splits)", needs_path=True)
def load_coco(request: Request) -> Splits:
    """Pictures with ``Boxes`` by tables such as ``annotations/instances_train2017.json`` or ``_annotations.coco.json``.

    A picture is found by ``file_name``, beside the table or in any folder of that name. Boxes ``[x, y, width, height]``
    are the edges of pixels; they are clipped, and small ones dropped, as in the source ``voc``. Boxes of crowds
    (``iscrowd``) are left out, with a ``DataWarning``. Classes are the categories that occur, by their numbers. Other
    JSON files (captions, key points beside instances) are not read; refused are a table that cannot be read, one that
    names an unknown picture or category, and a picture that is not there.

    Splits are told by the table's name (``instances_val2017``), else by its folder (``train/``), else by the picture's;
    what is for validation becomes the select set. Options as in ``voc``: ``classes``, ``splits``.
    """
    options = request.settings(classes="", splits=True)
    classes = chosen_classes(options["classes"])
    place = request.given_path()
    if not (place.is_dir() or is_tar(place)):
        raise BadInput(f"expected a folder or a tar with COCO's JSON, got {place}; check the path")
    tables: list[_Table] = []
    source = Contents(place, (*ENDINGS, ".json"))

    def pictures() -> Iterator[File]:
        for file in source:
            if not file.path.lower().endswith(".json"):
                yield file
            elif _looks_right(content := content_of(file)):
                tables.append(read_table(content, f"{place}/{file.path}", file.path))

    found = scan(pictures(), source, request)
    best = [table for table in tables if _BEST.search(table.path)] or tables
    if not best:
        raise BadInput(
            f"expected a JSON file with images, annotations and categories in {place}, got none; check the path"
        )
    scenes = _scenes(best, found.pictures, place)
    if crowds := sum(table.crowds for table in best):
        warn_of_data(f"{place}: {crowds} boxes of crowds were left out")
    by_number = sorted((number, name) for table in best for number, name in table.classes.items())
    order = list(dict.fromkeys(name for _, name in by_number))
    asked = replace(request, options=options)
    return finished(scenes, found, asked, place=place, classes=classes, order=order)


def is_coco(place: Path) -> bool:
    """Whether a folder or an archive has a table of COCO's among its first JSON files."""
    if place.is_dir():
        return any(_looks_right(content_of(file)) for file in islice(Contents(place, (".json",)), _LOOKED_AT))

    def judge(path: str, content: bytes) -> bool | None:
        return True if path.lower().endswith(".json") and _looks_right(content) else None

    def is_picture(path: str) -> bool:
        folder = PurePosixPath(path).parent.name
        return folder.lower() in _PICTURES or split_of([folder]) is not None

    return is_tar(place) and told_early(place, judge, is_picture, _LOOKED_AT)


def _looks_right(content: bytes) -> bool:
    return all(f'"{key}"'.encode() in content for key in _KEYS)


def read_table(content: bytes, where: str, path: str = "") -> _Table:
    """Parse one file; refused in one sentence that names it."""
    # Each image, annotation and category has one brace; a list may come with few bytes as well.
    OBJECTS.check(max(content.count(b"{"), content.count(b"[") // 8), where)
    value = parse_json(content, where)
    images, classes = _images(value, where, posixpath.dirname(path)), _classes(value, where)
    crowds = 0
    for what, row in _rows(value, "annotations", where):
        picture, label = _id(row.get("image_id"), f"image_id of {what}"), row.get("category_id")
        if picture not in images:
            raise BadInput(f"expected the id of a picture in {what}, got {brief(repr(picture))}; mend the table")
        if not isinstance(label, int) or label not in classes:
            raise BadInput(f"expected the id of a category in {what}, got {brief(repr(label))}; mend the table")
        crowds += bool(row.get("iscrowd"))
        if not row.get("iscrowd"):
            images[picture].objects.append((classes[label], _box(row.get("bbox"), what)))
    return _Table(path, list(images.values()), classes, crowds)


def _images(value: Any, where: str, folder: str) -> dict[int | str, _Image]:
    """The pictures by their number; ``folder`` is that of the table."""
    images: dict[int | str, _Image] = {}
    for what, row in _rows(value, "images", where):
        number, name = _id(row.get("id"), f"id of {what}"), row.get("file_name")
        if not isinstance(name, str) or not name:
            raise BadInput(f"expected a file_name in {what}, got {brief(repr(name))}; mend the table")
        check_name(name, where)
        name = name.replace("\\", "/")
        if leaves(name, folder):
            raise BadInput(
                f"expected pictures inside the folder in {what}, got a path that leaves its folder: "
                f"{brief(repr(name))}; do not trust this file"
            )
        if number in images:
            raise BadInput(f"expected each id once in images of {where}, got {brief(number)} twice; mend the table")
        images[number] = _Image(name, _size(row), [])
    return images


def _classes(value: Any, where: str) -> dict[int, str]:
    """The categories by their number."""
    classes: dict[int, str] = {}
    for what, row in _rows(value, "categories", where):
        number, name = _id(row.get("id"), f"id of {what}"), row.get("name")
        if not isinstance(name, str) or not name.strip() or not isinstance(number, int):
            raise BadInput(f"expected a whole number and a name in {what}, got {brief(repr(row))}; mend the table")
        if classes.setdefault(number, check_name(normal_name(name.strip()), where)) != normal_name(name.strip()):
            raise BadInput(f"expected each id once in categories of {where}, got {number} twice; mend the table")
    return classes


def _rows(value: Any, key: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each entry of a list of the table, with what it is called in errors."""
    rows = value.get(key) if isinstance(value, dict) else None
    if not isinstance(rows, list):
        got = type(value if not isinstance(value, dict) else rows).__name__
        raise BadInput(f"expected a list {key!r} in {where}, got {got}; is it COCO's JSON?")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise BadInput(f"expected entry {number} of {key} in {where} as an object, got {brief(repr(row))}; mend it")
        yield f"entry {number} of {key} in {where}", row


def _id(value: object, what: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadInput(f"expected a number or a text as {what}, got {brief(repr(value))}; mend the table")
    return value


def _size(row: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height); some tools leave it out or write 0."""
    w, h = row.get("width"), row.get("height")
    return (w, h) if isinstance(w, int) and isinstance(h, int) and w > 0 and h > 0 else None


def _box(value: object, what: str) -> Box:
    try:
        x, y, w, h = map(float, value if isinstance(value, list) else [])
    except (TypeError, ValueError, OverflowError):
        x = y = w = h = -1.0
    if not (all(map(isfinite, (x, y, w, h, x + w, y + h))) and w >= 0 and h >= 0):
        raise BadInput(
            f"expected bbox [x, y, width, height] of finite numbers, the last two at least 0, in {what}, "
            f"got {brief(repr(value))}; mend the table"
        )
    return x, y, x + w, y + h


def _scenes(tables: Sequence[_Table], pictures: Sequence[str], place: Path) -> list[Scene]:
    """Each picture of each table with its path."""
    splits = splits_of([*pictures, *(table.path for table in tables)])
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in pictures:
        by_name[PurePosixPath(path).name].append(path)
    scenes: dict[str, Scene] = {}
    for table in tables:
        where, told = f"{place}/{table.path}", parsed(PurePosixPath(table.path).stem).split or splits[table.path]
        for image in table.images:
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(table.path), image.file))
            name = posixpath.normpath(image.file).removeprefix("../")
            same = [path for path in by_name[PurePosixPath(name).name] if f"/{path}".endswith(f"/{name}")]
            found = [path for path in same if path == beside] or [path for path in same if splits[path] == told] or same
            if not found:
                got = brief(image.file)
                raise BadInput(f"expected the picture {got} of {brief(where, 160)}, got none; add it or mend the table")
            if len(found) > 1:
                raise twice("picture", f"{place}/{found[0]}", found[1])
            if found[0] in scenes:
                raise twice("annotation", scenes[found[0]].annotation.where, f"{where} for {brief(image.file)}")
            annotation = Annotation(where, image.size, tuple(image.objects))
            scenes[found[0]] = Scene(found[0], annotation, told or splits[found[0]])
    alone = sorted(set(pictures) - set(scenes))
    if alone:
        warn_of_data(f"{place}: {len(alone)} pictures that no table names were left out, the first is {alone[0]}")
    return list(scenes.values())
