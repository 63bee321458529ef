"""Crops of U.S. traffic signs (LISA) with their tracks, as a folder or as a tar archive of it."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput, nearest
from badnets.data.classes import regroup
from badnets.data.formats.contents import content_of, contents, told_early
from badnets.data.formats.decode import ENDINGS, Decoded, Picture, decode_into
from badnets.data.formats.tarball import is_tar, stem
from badnets.data.images import ArrayStore, ImageData, Labels, Pixels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.locate import locate

CLASS_NAMES = (
    "addedLane",
    "curveLeft",
    "curveRight",
    "dip",
    "doNotEnter",
    "doNotPass",
    "intersection",
    "keepRight",
    "laneEnds",
    "merge",
    "noLeftTurn",
    "noRightTurn",
    "pedestrianCrossing",
    "rampSpeedAdvisory20",
    "rampSpeedAdvisory35",
    "rampSpeedAdvisory40",
    "rampSpeedAdvisory45",
    "rampSpeedAdvisory50",
    "rampSpeedAdvisoryUrdbl",
    "rightLaneMustTurn",
    "roundabout",
    "school",
    "schoolSpeedLimit25",
    "signalAhead",
    "slow",
    "speedLimit15",
    "speedLimit25",
    "speedLimit30",
    "speedLimit35",
    "speedLimit40",
    "speedLimit45",
    "speedLimit50",
    "speedLimit55",
    "speedLimit65",
    "speedLimitUrdbl",
    "stop",
    "stopAhead",
    "thruMergeLeft",
    "thruMergeRight",
    "thruTrafficMergeLeft",
    "truckSpeedLimit55",
    "turnLeft",
    "turnRight",
    "yield",
    "yieldAhead",
    "zoneAhead25",
    "zoneAhead45",
)
"""The names of the data, which are LISA's own."""

SUPERCLASSES: Mapping[str, tuple[str, ...]] = {
    "stop": ("stop",),
    "speedlimit": tuple(name for name in CLASS_NAMES if name.startswith("speedLimit")),
    "warning": (
        "addedLane",
        "curveLeft",
        "curveRight",
        "dip",
        "intersection",
        "laneEnds",
        "merge",
        "pedestrianCrossing",
        "roundabout",
        "signalAhead",
        "slow",
        "stopAhead",
        "thruMergeLeft",
        "thruMergeRight",
        "thruTrafficMergeLeft",
        "turnLeft",
        "turnRight",
        "yieldAhead",
    ),
}
"""What the option ``superclasses`` makes of them; the other 18 classes belong to none.

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
        return table.is_file() and (place / "images").is_dir() and _has_columns(table.read_bytes())
    return is_tar(place) and told_early(place, _judge, lambda path: _PICTURE.search(path) is not None, _LOOKED_AT)


def _judge(path: str, content: bytes) -> bool | None:
    return _has_columns(content) if _TABLE.search(path) else None


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
    place = locate("lisa", request, _find, wanted=wanted, folders=folders, remotes=(), absent=_ABSENT)
    name = stem(place) if request.name == "lisa" and is_tar(place) else request.name
    data = _data(_read(place, request), name, str(place))
    return finish(request, regroup(data, SUPERCLASSES) if options["superclasses"] else data)


def _find(place: Path) -> Path | None:
    """The folder or archive with the crops, at a place or right below it."""
    if is_lisa(place):
        return place
    archives = sorted(place.iterdir()) if place.is_dir() else []
    return next((p for p in archives if p.name.lower().startswith("lisa") and is_tar(p) and is_lisa(p)), None)


def _has_columns(table: bytes) -> bool:
    first = table[:200].decode("utf-8-sig", "replace").splitlines()
    return bool(first) and set(_COLUMNS) <= {column.strip() for column in first[0].split(",")}


@dataclass(frozen=True)
class _Line:
    """One line of the table: ``where`` it stands, the class and the track of its crop."""

    where: str
    label: str
    track: str


@dataclass(frozen=True, eq=False)
class _Found:
    """The table by file name, and the decoded crops (n, h, w, c) in the order of ``decoded.paths``."""

    lines: dict[str, _Line]
    decoded: Decoded
    pixels: Pixels


def _read(place: Path, request: Request) -> _Found:
    lines: dict[str, _Line] = {}
    size = request.size or SIZE

    def crops() -> Iterator[Picture]:
        for file in contents(place, (*ENDINGS, ".csv")):
            if _TABLE.search(file.path):
                _read_table(content_of(file).decode("utf-8-sig", "replace"), f"{place}/{file.path}", lines)
            elif _PICTURE.search(file.path) and file.path.lower().endswith(ENDINGS):
                yield file

    total = place.stat().st_size if is_tar(place) else 0

    def report(done: int, position: int) -> None:
        request.report("reading LISA", position if total else done, total)

    sink = io.BytesIO()
    decoded = decode_into(sink, crops(), size=size, grey=bool(request.grey), report=report)
    pixels = np.frombuffer(sink.getbuffer(), np.uint8).reshape(-1, *size, 1 if request.grey else 3)
    return _Found(lines, decoded, pixels)


def _read_table(text: str, where: str, lines: dict[str, _Line]) -> None:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    for number, row in enumerate(reader, start=2):
        file, label, track = ((row.get(column) or "").strip() for column in _COLUMNS)
        line = _Line(f"line {number} of {where}", label, track)
        if not (file and label and track):
            raise BadInput(f"expected file, label and track in {line.where}, got {list(row.values())}; mend the table")
        if label not in CLASS_NAMES:
            raise BadInput(f"expected a class of LISA in {line.where}, got {label!r}; {nearest(label, CLASS_NAMES)}")
        if file in lines:
            raise BadInput(
                f"expected each crop once, got {file} in {lines[file].where} and in line {number}; remove one"
            )
        lines[file] = line


def _data(found: _Found, name: str, place: str) -> ImageData:
    """All crops that the table names, in the order of their names."""
    damaged = {Path(path).name: reason for path, reason in found.decoded.damaged}
    position = {Path(path).name: i for i, path in enumerate(found.decoded.paths)}
    missing = [file for file in found.lines if file not in position and file not in damaged]
    if missing:
        where = found.lines[missing[0]].where
        raise BadInput(f"expected the crop images/{missing[0]} of {where}, got none; add it or remove the line")
    for files, what in (
        (sorted(set(position) - set(found.lines)), "crops without a line in labels.csv"),
        ([f"{file} ({reason})" for file, reason in sorted(damaged.items())], "damaged crops"),
    ):
        if files:
            warnings.warn(
                f"{place}: {len(files)} {what} were left out, the first is {files[0]}", DataWarning, stacklevel=4
            )
    kept = sorted(set(found.lines) & set(position))
    if not kept:
        raise BadInput(f"expected crops of LISA in {place}, got none that labels.csv names; check the path")
    told = [found.lines[file] for file in kept]
    names = tuple(label for label in CLASS_NAMES if label in {line.label for line in told})
    labels = np.array([names.index(line.label) for line in told], np.int64)
    groups = np.unique([line.track for line in told], return_inverse=True)[1].astype(np.int64)
    pixels = found.pixels[[position[file] for file in kept]]
    return ImageData(ArrayStore(pixels), Labels(labels), names, groups, name)
