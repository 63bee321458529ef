"""Crops of U.S. traffic signs (LISA) with their tracks, as a folder or as a tar archive of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, nearest
from badnets.core.text import brief
from badnets.data.formats.album import Album, read_album
from badnets.data.formats.contents import Contents, File, content_of, is_tar, stem, told_early
from badnets.data.formats.decode import ENDINGS
from badnets.data.formats.tables import table_rows
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.objects import class_table, regroup
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.download import archive_in, locate

CLASS_NAMES, SUPERCLASSES = class_table("lisa")
"""LISA's own names, and what the option ``superclasses`` makes of them; the other 18 classes belong to none.

Source: the three super-classes of BadNets (Gu, Dolan-Gavitt, Garg, 2017), by the lists of Møgelmose, Liu, Trivedi,
Detection of U.S. traffic signs (2015), as public code has them; the authors' own was not at hand. Differs from those
lists: ``thruTrafficMergeLeft``, a yellow diamond like ``thruMergeLeft``, is a warning here.
"""

SIZE = (32, 32)
"""The size of all crops when none is asked for."""

_COLUMNS = ("file", "label", "track")
_TABLE = re.compile(r"(?:^|/)labels\.csv$")
_PICTURE = re.compile(r"(?:^|/)images/([^/]+)$")
_LOOKED_AT = 8
_ABSENT = (
    "expected crops of LISA (labels.csv beside the folder images, or a tar of it), got nothing; put a folder lisa or "
    "an archive lisa*.tar.gz"
)


def is_lisa(place: Path) -> bool:
    """Whether a folder or an archive has ``labels.csv`` with our columns beside the folder ``images``."""
    if place.is_dir():
        table = place / "labels.csv"
        return table.is_file() and (place / "images").is_dir() and _has_columns(_beginning(table))

    def judge(path: str, content: bytes) -> bool | None:
        return _has_columns(content) if _TABLE.search(path) else None

    return is_tar(place) and told_early(place, judge, lambda path: _PICTURE.search(path) is not None, _LOOKED_AT)


@source("lisa", "crops of U.S. traffic signs, 47 classes (option superclasses)")
def load_lisa(request: Request) -> Splits:
    """U.S. signs of up to 47 classes: ``images/NNNNN.png`` and ``labels.csv`` with the columns file, label, track.

    Crops are resized to ``request.size``, 32x32 if none is asked for, and have three channels unless grey ones are
    asked for; many were taken by a grey camera. The frames of one track are one group, so that a share of the *tracks*
    becomes the test set. Crops without a line and damaged crops are left out with a ``DataWarning``; a line without its
    crop or with an unknown class is refused.

    Option: ``superclasses`` (stop, speedlimit and warning by ``SUPERCLASSES``; the rest is dropped, with a warning).

    Source: A. Møgelmose, M. Trivedi, T. Moeslund, Vision-based traffic sign detection and analysis for intelligent
    driver assistance systems (2012).
    """
    options = request.settings(superclasses=False)
    wanted = "labels.csv with file,label,track beside the folder images; a folder or a tar of it"
    folders = ("LISA", "lisa", "lisa-crops")
    place = locate("lisa", request, _find, wanted=wanted, folders=folders, absent=_ABSENT)
    name = stem(place) if request.name == "lisa" and is_tar(place) else request.name
    data = _data(*_read(place, request), name, place)
    return finish(request, regroup(data, SUPERCLASSES) if options["superclasses"] else data)


def _find(place: Path) -> Path | None:
    """The folder or archive with the crops, at a place or right below it."""
    return place if is_lisa(place) else archive_in(place, ("lisa",), is_lisa)


def _beginning(table: Path) -> bytes:
    with table.open("rb") as file:
        return file.read(200)


def _has_columns(table: bytes) -> bool:
    first = table[:200].decode("utf-8-sig", "replace").splitlines()
    return bool(first) and set(_COLUMNS) <= {column.strip() for column in first[0].split(",")}


class _Line(NamedTuple):
    """One line of the table: ``where`` it stands, the class and the track of its crop."""

    where: str
    label: str
    track: str


def _read(place: Path, request: Request) -> tuple[dict[str, _Line], Album]:
    """The table by file name, and the decoded crops."""
    lines: dict[str, _Line] = {}
    source = Contents(place, (*ENDINGS, ".csv"))

    def crops() -> Iterator[File]:
        for file in source:
            if _TABLE.search(file.path):
                _read_table(content_of(file), f"{place}/{file.path}", lines)
            elif _PICTURE.search(file.path) and file.path.lower().endswith(ENDINGS):
                yield file

    report = request.reporter("reading LISA", source.total)
    album = read_album(crops(), size=request.size or SIZE, grey=bool(request.grey), report=report)
    source.warn_of_strays()
    return lines, album


def _read_table(table: bytes, where: str, lines: dict[str, _Line]) -> None:
    for number, row in table_rows(table, where, delimiter=","):
        file, label, track = ((row.get(column) or "").strip() for column in _COLUMNS)
        line = _Line(f"line {number} of {where}", label, track)
        if not (file and label and track):
            raise BadInput(
                f"expected file, label and track in {line.where}, got {brief(list(row.values()))}; mend the table"
            )
        if label not in CLASS_NAMES:
            got = brief(label)
            raise BadInput(f"expected a class of LISA in {line.where}, got {got!r}; {nearest(got, CLASS_NAMES)}")
        if file in lines:
            raise BadInput(
                f"expected each crop once, got {brief(file)} in {lines[file].where} and in line {number}; remove one"
            )
        lines[file] = line


def _data(lines: dict[str, _Line], album: Album, name: str, place: Path) -> ImageData:
    """All crops that the table names, in the order of their names."""
    position = {Path(path).name: i for i, path in enumerate(album.paths)}
    missing = [file for file in lines if file not in position.keys() | {Path(path).name for path, _ in album.damaged}]
    if missing:
        where = lines[missing[0]].where
        raise BadInput(f"expected the crop images/{brief(missing[0])} of {where}, got none; add it or remove the line")
    if unnamed := sorted(set(position) - set(lines)):
        left = f"{len(unnamed)} crops without a line in labels.csv were left out, the first is {unnamed[0]}"
        warn_of_data(f"{place}: {left}")
    album.warn_of_damaged(place)
    kept = sorted(set(lines) & set(position))
    if not kept:
        raise BadInput(f"expected crops of LISA in {place}, got none that labels.csv names; check the path")
    rows = [lines[file] for file in kept]
    names = tuple(label for label in CLASS_NAMES if label in {line.label for line in rows})
    labels = np.array([names.index(line.label) for line in rows], np.int64)
    groups = np.unique([line.track for line in rows], return_inverse=True)[1].astype(np.int64)
    store = album.store(np.array([position[file] for file in kept], np.int64))
    return ImageData(store, Labels(labels), names, groups, name)
