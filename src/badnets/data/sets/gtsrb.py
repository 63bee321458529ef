"""German traffic signs (GTSRB) in the official layout or Kaggle's, as a folder or as a tar archive of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, nearest
from badnets.core.text import brief
from badnets.data.formats.album import read_album
from badnets.data.formats.contents import Contents, File, content_of, is_tar, stem, told_early
from badnets.data.formats.tables import table_rows
from badnets.data.images import ArrayStore, ImageData, Labels, Pixels, Splits, resized
from badnets.data.objects import class_table, regroup
from badnets.data.overlay import grey
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.download import archive_in, locate

CLASS_NAMES, SUPERCLASSES = class_table("gtsrb")
"""What classes 0 to 42 mean (where the drawn European signs have the same sign, it has the same name), and what the
option ``superclasses`` makes of them: red rings, blue discs, red triangles, the rest."""

SIZE = (32, 32)
"""The size of all pictures when none is asked for: the official ones have 15x15 to 250x250 pixels."""

_ABSENT = (
    "expected GTSRB (a folder GTSRB with Final_Training and Final_Test, or a tar of it), got nothing; unpack "
    "GTSRB_Final_Training_Images.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip of the benchmark "
    "(benchmark.ini.rub.de)"
)
_FOLDERS = ("GTSRB", "gtsrb", "gtsrb-german-traffic-sign")
_TRACKS = 100_000  # groups are class * _TRACKS + track
_TRAINING = re.compile(r"(?:^|/)(\d{5})/(\d{5})_\d{5}\.ppm$", re.IGNORECASE)
_KAGGLES = re.compile(r"(?:^|/)Train/0*(\d{1,5})/0*\1_(\d{5})_\d{5}\.png$", re.IGNORECASE)
_TEST = re.compile(r"(?:^|/)(?:Final_Test/Images/\d{5}\.ppm|Test/\d{5}\.png)$", re.IGNORECASE)
_TABLE = re.compile(r"(?:^|/)(?:GT-(\d{5}|final_test)|Train|Test)\.csv$", re.IGNORECASE)
_SIGNS = re.compile(r"(?:^|/)Meta/[^/]+$", re.IGNORECASE)  # Kaggle's drawings of the signs
_COLUMNS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
_STEP = 4096
_LOOKED_AT = 8


class _Row(NamedTuple):
    """One line of a table: the region as shares of width and height (x0, y0, x1, y1), and the class, -1 if none."""

    region: tuple[float, float, float, float]
    label: int


Tables = dict[tuple[str, str], _Row]
"""What the CSV files say, by (class folder or ``final_test``, file name)."""


class _Signs(NamedTuple):
    """Decoded pictures (n, h, w, c), the path of each and its line, in this order; the classes that have a table."""

    pixels: Pixels
    paths: list[str]
    rows: list[_Row]
    classes: set[int]


def is_gtsrb(place: Path) -> bool:
    """Whether a folder, or an archive by its first files, has the official layout or Kaggle's."""
    if place.is_dir():
        return _folder(place) is not None

    def judge(path: str, content: bytes) -> bool | None:
        official = {"Final_Training", "Final_Test"} & set(path.split("/"))
        table = _TABLE.search(path) is not None and b"Roi.X1" in content[:200]
        return True if official or table or _KAGGLES.search(path) else None

    def is_expected(path: str) -> bool:
        return any(pattern.search(path) for pattern in (_TEST, _SIGNS))

    return is_tar(place) and told_early(place, judge, is_expected, _LOOKED_AT)


@source("gtsrb", "German traffic signs, 43 classes (options classes, superclasses, equalize, crop)")
def load_gtsrb(request: Request) -> Splits:
    """Signs of 43 classes: ``GTSRB/Final_Training/Images/000CC/TTTTT_FFFFF.ppm`` with ``GT-000CC.csv``, and
    ``GTSRB/Final_Test/Images/NNNNN.ppm`` with ``GT-final_test.csv``; or in Kaggle's layout
    ``Train/C/000CC_TTTTT_FFFFF.png`` with ``Train.csv``, and ``Test/NNNNN.png`` with ``Test.csv``.

    Pictures are resized to ``request.size``, 32x32 if none is asked for. Frames of one track are one group. The region
    of the sign comes from the tables and is scaled with the picture. Where the test pictures or their classes are
    missing, a share of the training tracks becomes the test set. Classes without training pictures and damaged pictures
    are dropped, with a ``DataWarning``; a damaged table is refused.

    Options: ``equalize`` (histogram equalization of the luma of each picture, after resizing), ``crop`` (to the
    region of the sign, before resizing), ``classes`` (a text of numbers or names with commas between: only these
    classes, in this order), ``superclasses`` (the four of ``SUPERCLASSES`` in place of the classes).

    Source: J. Stallkamp et al., Man vs. computer: benchmarking machine learning algorithms for traffic sign
    recognition (2012), and the description of the layout on the benchmark's page.
    """
    options = request.settings(equalize=False, crop=False, classes="", superclasses=False)
    chosen = _chosen(options["classes"])
    wanted = "Final_Training/Images/000CC/*.ppm with GT-000CC.csv or Train/C/*.png, a folder or a tar of it"
    place = locate("gtsrb", request, _find, wanted=wanted, folders=_FOLDERS, absent=_ABSENT)
    name = stem(place) if request.name == "gtsrb" and is_tar(place) else request.name
    signs = _read(place, request, chosen, crop=options["crop"])
    if options["equalize"]:
        signs = signs._replace(pixels=equalized(signs.pixels))
    train, test = _sets(signs, chosen, name, place, crop=options["crop"])
    if options["superclasses"]:
        train, test = regroup(train, SUPERCLASSES), None if test is None else regroup(test, SUPERCLASSES)
    return finish(request, train, test)


def equalized(pictures: Pixels) -> Pixels:
    """Histogram equalization of each picture's luma; ``pictures`` (n, h, w, 1 or 3), the result is new.

    The luma Y (ITU-R BT.601) goes to Y' = round(255 (F(Y) - F(min)) / (1 - F(min))), where F is the share of the
    picture's pixels that are at most as bright. Color differences stay: every channel changes by Y' - Y, within 0..255.
    A picture of one brightness stays as it is.
    """
    out = np.empty_like(pictures)
    for start in range(0, len(pictures), _STEP):
        part = pictures[start : start + _STEP]
        luma = grey(part)[..., 0]
        n, count = len(part), luma[0].size
        index = luma.reshape(n, -1) + 256 * np.arange(n)[:, None]
        reached = np.bincount(index.ravel(), minlength=256 * n).reshape(n, 256).cumsum(axis=1)
        lowest = reached[np.arange(n), luma.reshape(n, -1).min(axis=1)][:, None]
        table = np.rint(255 * (reached - lowest) / np.maximum(1, count - lowest))
        table = np.where(lowest == count, np.arange(256), table).astype(np.int16)
        change = table.ravel()[index].reshape(luma.shape) - luma
        out[start : start + _STEP] = np.clip(part + change[..., None], 0, 255)
    return out


def _chosen(text: str) -> tuple[int, ...] | None:
    """The option ``classes``: numbers 0..42 in the order given; None for all."""
    if not text.strip():
        return None
    numbers = []
    for part in (piece.strip() for piece in text.split(",")):
        if part in CLASS_NAMES:
            numbers.append(CLASS_NAMES.index(part))
        elif part.isascii() and part.isdigit() and int(part) < len(CLASS_NAMES):
            numbers.append(int(part))
        else:
            raise BadInput(f"expected classes of GTSRB as 0..42 or names, got {part!r}; {nearest(part, CLASS_NAMES)}")
    if len(numbers) < 2 or len(set(numbers)) < len(numbers):
        raise BadInput(f"expected two or more classes of GTSRB, each once, got {text!r}; correct the option classes")
    return tuple(numbers)


def _folder(place: Path) -> Path | None:
    """``place`` or the folder ``GTSRB`` in it, whichever has class folders where the layout has them."""
    for root in (place, place / "GTSRB"):
        for images in (root / "Final_Training" / "Images", root / "Training", root):
            if any(images.glob("[0-9][0-9][0-9][0-9][0-9]/GT-*.csv")):
                return root
        pictures = chain.from_iterable((root / name).glob("*/*.png") for name in ("Train", "train"))
        if any(_KAGGLES.search(path.as_posix()) for path in islice(pictures, _LOOKED_AT)):
            return root
    return None


def _frame(path: str) -> tuple[int, int] | None:
    """(class, track) of a training picture; None for other pictures."""
    found = _TRAINING.search(path) or _KAGGLES.search(path)
    return (int(found[1]), int(found[2])) if found else None


def _key(path: str) -> tuple[str, str]:
    """What tables and pictures have in common: the class folder or ``final_test``, and the name."""
    frame = _frame(path)
    return "final_test" if frame is None else f"{frame[0]:05d}", path.rsplit("/", maxsplit=1)[-1]


def _find(place: Path) -> Path | None:
    """The folder or archive with the set, at a place or right below it."""
    if place.is_dir():
        return _folder(place) or archive_in(place, ("gtsrb",), is_gtsrb)
    return place if is_gtsrb(place) else None


def _read(place: Path, request: Request, chosen: tuple[int, ...] | None, *, crop: bool) -> _Signs:
    size = request.size or SIZE
    tables: Tables = {}
    source = Contents(place, (".ppm", ".png", ".csv"))
    report = request.reporter(f"reading {request.name}", source.total)
    pictures = _pictures(source, chosen, tables)
    album = read_album(pictures, size=None if crop else size, grey=bool(request.grey), report=report)
    album.warn_of_damaged(place)
    source.warn_of_strays()
    order = sorted(range(len(album)), key=album.paths.__getitem__)
    paths = [album.paths[i] for i in order]
    rows = [_row(path, tables) for path in paths]
    pixels = np.empty((len(order), *size, 1 if request.grey else 3), np.uint8)
    for k, (i, row) in enumerate(zip(order, rows, strict=True)):
        h, w, _ = album.shapes[i]
        x0, y0, x1, y1 = row.region
        pixels[k] = resized(album.one(i), size, (x0 * w, y0 * h, x1 * w, y1 * h)) if crop else album.one(i)
    return _Signs(pixels, paths, rows, {int(table) for table, _ in tables if table.isdigit()})


def _pictures(source: Contents, chosen: tuple[int, ...] | None, tables: Tables) -> Iterator[File]:
    """The pictures to decode; tables that lie between them are read into ``tables``."""
    place = source.place
    beside = place.parent / "GT-final_test.csv"  # where the benchmark's own archive unpacks it
    there = place.is_dir() and beside.is_file()
    seen: set[str] = set()  # Kaggle's archive has all pictures twice, in Train and train
    for file in chain(source, [File(beside.name, beside, 0, source.total)] if there else []):
        table = _TABLE.search(file.path)
        if table:
            _read_table(content_of(file), table[1], f"{place}/{file.path}", tables)
            continue
        frame = _frame(file.path)
        if frame and frame[0] >= len(CLASS_NAMES):
            raise BadInput(f"expected class folders 00000 to 00042 in {place}, got {file.path}; is it GTSRB?")
        wanted = _TEST.search(file.path) if frame is None else chosen is None or frame[0] in chosen
        if wanted and file.path.casefold() not in seen:
            seen.add(file.path.casefold())
            yield file


def _read_table(content: bytes, table: str | None, where: str, tables: Tables) -> None:
    """``table`` is the class folder that an official one belongs to, or ``final_test``; in Kaggle's (None) each line
    tells it."""
    delimiter = "," if table is None else ";"
    columns = delimiter.join((*_COLUMNS, "ClassId", "Path") if table is None else ("Filename", *_COLUMNS, "ClassId"))
    for number, line in table_rows(content, where, delimiter=delimiter):
        try:
            w, h, *box = (int(line[column]) for column in _COLUMNS)
            label = int(line["ClassId"]) if line.get("ClassId") else None
            key = _key(line["Path"]) if table is None else (table.lower(), line["Filename"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise BadInput(
                f"expected {columns} in line {number} of {where}, got something else; mend the table"
            ) from None
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= w and 0 <= y0 < y1 <= h and (label is None or 0 <= label < len(CLASS_NAMES))):
            raise BadInput(
                f"expected a region inside the picture and a class 0..42 in line {number} of {where}, "
                f"got {brief(box)} of {brief(f'{w}x{h}')} and class {brief(label)}; mend the table"
            )
        tables[key] = _Row((x0 / w, y0 / h, x1 / w, y1 / h), -1 if label is None else label)


def _row(path: str, tables: Tables) -> _Row:
    """What the tables say of a picture; without a line the sign fills it."""
    return tables.get(_key(path), _Row((0.0, 0.0, 1.0, 1.0), -1))


def _sets(
    signs: _Signs, chosen: Sequence[int] | None, name: str, place: Path, *, crop: bool
) -> tuple[ImageData, ImageData | None]:
    """Training and test set (None without pictures of known class), with the classes that have training pictures."""
    frames = [_frame(path) for path in signs.paths]
    groups = np.array([frame[0] * _TRACKS + frame[1] if frame else -1 for frame in frames], np.int64)
    labels = np.where(groups >= 0, groups // _TRACKS, np.array([row.label for row in signs.rows], np.int64))
    trained = set(labels[groups >= 0].tolist())
    wanted = sorted({*signs.classes, *labels.tolist()} - {-1}) if chosen is None else chosen
    classes = [i for i in wanted if i in trained]
    if not classes:
        raise BadInput(f"expected training pictures of GTSRB in {place}, got none of these classes; check the path")
    if len(classes) < len(wanted):
        dropped = ", ".join(f"{i} ({CLASS_NAMES[i]})" for i in wanted if i not in trained)
        warn_of_data(f"{place}: no training pictures of class {dropped}; dropped from all sets")
    if unknown := np.count_nonzero(labels < 0):
        untold = "GT-final_test.csv" if any(map(_TRAINING.search, signs.paths)) else "Test.csv"
        warn_of_data(f"{place}: {unknown} test pictures were left out, {untold} does not tell their class")
    number = np.full(len(CLASS_NAMES) + 1, -1)  # the last one: of unknown class
    number[classes] = np.arange(len(classes))
    h, w = signs.pixels.shape[1:3]
    shares = np.array([row.region for row in signs.rows])
    region = None if crop else (shares * (w, h, w, h)).astype(np.float32)
    names = tuple(CLASS_NAMES[i] for i in classes)
    whole = ImageData(ArrayStore(signs.pixels), Labels(np.maximum(number[labels], 0), region), names, groups, name)
    train = whole.take(np.flatnonzero((groups >= 0) & (number[labels] >= 0)))
    test = whole.take(np.flatnonzero((groups < 0) & (number[labels] >= 0)))
    return train, replace(test, groups=None) if len(test) else None
