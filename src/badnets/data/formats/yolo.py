"""Pictures with boxes as YOLO's text files, as a folder or as a tar archive of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.limits import CLASSES, OBJECTS, TABLE, check_name
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
from badnets.data.formats.contents import Contents, File, content_of, is_tar, told_early
from badnets.data.formats.decode import ENDINGS
from badnets.data.images import Splits
from badnets.data.layout import parsed, split_of
from badnets.data.registry import source
from badnets.data.request import Request
from badnets.data.targets import normal_name

_DESCRIPTIONS = (".yaml", ".yml")
_NAMES = re.compile(r"(?:^|/)(?:classes\.txt|[^/]*\.names)$", re.IGNORECASE)
_LABELS = ("labels", "images")
_SHARE = rb"-?(?:[01]?\.\d{1,30}|[01]\.?|\d(?:\.\d{0,30})?[eE]-\d{1,3})"
_LINE = re.compile(rb"\s*\d{1,9}(?:[ \t]+" + _SHARE + rb"){4,}\s*(?:\n|$)")
_LOOKED_AT = 64
_OUTSIDE = 0.5
"""How far a number may lie outside of 0..1: boxes that reach out a little are clipped, pixels are refused."""
_SCALAR = re.compile(r"""\s*('(?:[^']|'')*'|"[^"\\]*"|[^,\[\]{}'"#&*!|>%@`][^,\[\]{}#]*)\s*""")
_KEYED = re.compile(r"\s*(\d{1,9})\s*:(?:\s+|$)(.*)", re.DOTALL)


class _Texts(NamedTuple):
    """What lies between the pictures: label files by path, names of classes by the file that has them, and lists."""

    labels: dict[str, bytes]
    names: dict[str, tuple[str, ...]]
    lists: dict[str, set[str]]


@source("yolo", "pictures with boxes as YOLO's text files (options classes, splits)", needs_path=True)
def load_yolo(request: Request) -> Splits:
    """Pictures with ``Boxes``: ``images/train/1.jpg`` with ``labels/train/1.txt``, ``train/images`` with
    ``train/labels``, or both files side by side; a line is ``class cx cy width height`` in shares of the picture.

    A line with more numbers is the outline of an object, of which the box is taken. A picture without its text file, or
    with an empty one, has no object. Boxes are clipped, and small ones dropped, as in the source ``voc``. Names of the
    classes come from ``names`` (and ``nc``) in a ``.yaml`` file, see ``read_names``, else from ``classes.txt`` or a
    file ``.names`` (one a line), else from the option ``classes``; without any they are numbers. All classes that have
    a name are kept. Refused are lines that cannot be read, classes without a name, and label files without a picture.

    Splits are told by the folders (in all usual spellings), else by the lists ``train.txt``, ``val.txt`` and
    ``test.txt``; the paths in the ``.yaml`` file are not followed. What is for validation becomes the select set.
    Options: ``classes`` (all names in the order of their numbers), ``splits`` (false: a share of all is the test set).
    """
    options = request.settings(classes="", splits=True)
    chosen = chosen_classes(options["classes"])
    place = request.given_path()
    if not (place.is_dir() or is_tar(place)):
        raise BadInput(f"expected a folder or a tar with YOLO's label files, got {place}; check the path")
    texts = _Texts({}, {}, {})
    source = Contents(place, (*ENDINGS, ".txt", ".names", *_DESCRIPTIONS))
    found = scan(_pictures(source, texts), source, request)
    scenes, labelled = _scenes(texts, found, chosen or _one(texts.names, place), place)
    asked = replace(request, options=options)
    return finished(scenes, found, asked, place=place, classes=labelled, lists=texts.lists)


def is_yolo(place: Path) -> bool:
    """Whether a folder or an archive has text files with lines of YOLO's."""
    if place.is_dir():
        files = (file for file in Contents(place, (".txt",)) if not _NAMES.search(file.path))
        return any(_LINE.match(content_of(file)[:4096]) for file in islice(files, _LOOKED_AT))

    def judge(path: str, content: bytes) -> bool | None:
        return True if path.lower().endswith(".txt") and _LINE.match(content[:4096]) else None

    def is_picture(path: str) -> bool:
        folder = PurePosixPath(path).parent.name
        return folder.lower() in _LABELS or split_of([folder]) is not None

    return is_tar(place) and told_early(place, judge, is_picture, _LOOKED_AT)


def _pictures(source: Contents, texts: _Texts) -> Iterator[File]:
    """The pictures to decode; what lies between them goes into ``texts``."""
    for file in source:
        path, where = file.path, f"{source.place}/{file.path}"
        lower = path.lower()
        if lower.endswith(ENDINGS):
            yield file
            continue
        content = content_of(file)
        TABLE.check(len(content), where)
        if _NAMES.search(path):
            lines = (line.strip() for line in content.decode("utf-8-sig", "replace").splitlines())
            texts.names[path] = _checked([line for line in lines if line], where)
        elif lower.endswith(_DESCRIPTIONS):
            if names := read_names(content, where):
                texts.names[path] = names
        elif "labels" not in lower.split("/")[:-1] and parsed(stem_of(path)) in (
            ("train", ()),
            ("select", ()),
            ("test", ()),
        ):
            texts.lists.setdefault(stem_of(path).casefold(), set()).update(listed_stems(content, where))
        else:
            texts.labels[path] = content


def _one(names: Mapping[str, tuple[str, ...]], place: Path) -> tuple[str, ...] | None:
    """The names of the classes: a description goes before lists; those that differ are refused."""
    best = {path: own for path, own in names.items() if path.lower().endswith(_DESCRIPTIONS)} or names
    (first, own), *others = list(best.items()) or [("", ())]
    for path, other in others:
        if other != own:
            raise BadInput(
                f"expected the same names of classes in {brief(f'{place}/{first}', 120)} and {brief(path, 120)}, got "
                "others; remove one of them"
            )
    return own or None


def _key(path: str) -> tuple[str, ...]:
    """What a picture and its label file have in common: all but the ending and the folders ``images``, ``labels``."""
    *folders, _ = path.split("/")
    return (*(part for part in folders if part.casefold() not in _LABELS), stem_of(path))


def _paired(labels: Iterable[str], paths: Iterable[str], place: Path) -> dict[str, str]:
    """The label file of each picture that has one."""
    pictures: dict[tuple[str, ...], str] = {}
    for path in paths:
        if (first := pictures.setdefault(_key(path), path)) != path:
            raise twice("picture", f"{place}/{first}", path)
    files: dict[str, str] = {}
    for path in labels:
        picture = pictures.get(_key(path))
        if picture is not None and (first := files.setdefault(picture, path)) != path:
            raise twice("label file", f"{place}/{first}", path)
        if picture is None and "labels" in path.lower().split("/")[:-1]:
            where = brief(f"{place}/{path}", 200)
            raise BadInput(f"expected a picture for {where}, got none; add it or remove the file")
    if not files:
        raise BadInput(f"expected label files such as labels/train/1.txt in {place}, got none; check the path")
    bare = sorted({*pictures.values()} - set(files))
    if bare:
        warn_of_data(f"{place}: {len(bare)} pictures have no label file, the first is {bare[0]}; they are background")
    return files


def _scenes(
    texts: _Texts, found: Scan, names: Sequence[str] | None, place: Path
) -> tuple[list[Scene], tuple[str, ...]]:
    """The pictures with their objects, and all classes."""
    files = _paired(texts.labels, found.pictures, place)
    lines = {path: list(read_lines(texts.labels[own], f"{place}/{own}", names)) for path, own in files.items()}
    if names is None:
        most = max((label for own in lines.values() for label, _ in own), default=-1) + 1
        CLASSES.check(most, place)
        names = [str(number) for number in range(most)]
    splits = splits_of(found.pictures)
    scenes = []
    for path in found.pictures:
        h, w = found.own[path].size if path in found.own else (0, 0)
        own = tuple((names[label], (x0 * w, y0 * h, x1 * w, y1 * h)) for label, (x0, y0, x1, y1) in lines.get(path, ()))
        scenes.append(Scene(path, Annotation(f"{place}/{files.get(path, path)}", None, own), splits[path]))
    return scenes, tuple(names)


def read_lines(content: bytes, where: str, names: Sequence[str] | None) -> Iterator[tuple[int, Box]]:
    """(class, (x0, y0, x1, y1) in shares of the picture) for each line; refused in one sentence that names it."""
    lines = content.decode("utf-8-sig", "replace").splitlines()
    OBJECTS.check(len(lines), where)
    for number, line in enumerate(lines, start=1):
        label, *rest = line.split() or [""]
        if not label:
            continue
        called = f"line {number} of {brief(where, 160)}"
        if not re.fullmatch(r"[0-9]{1,9}", label) or (names is not None and int(label) >= len(names)):
            known = "a whole number" if names is None else f"a class 0..{len(names) - 1}"
            raise BadInput(f"expected {known} at the begin of {called}, got {brief(label)!r}; mend it")
        try:
            shares = [float(word) for word in rest]
        except ValueError:
            shares = []
        good = all(math.isfinite(share) and -_OUTSIDE <= share <= 1 + _OUTSIDE for share in shares)
        outline = len(shares) >= 6 and len(shares) % 2 == 0
        if not good or not (outline or (len(shares) == 4 and min(shares[2:]) >= 0)):
            raise BadInput(
                f"expected a class and four numbers from 0 to 1 (the middle, width and height), or an outline, in "
                f"{called}, got {brief(' '.join(line.split()))!r}; mend it"
            )
        if outline:
            yield int(label), (min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2]))
        else:
            x, y, w, h = shares
            yield int(label), (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def read_names(content: bytes, where: str) -> tuple[str, ...] | None:
    """The names in a description (``data.yaml``), None where it has no ``names:``; refused in one sentence.

    No more of YAML is understood than what such files have at their outermost level: ``nc: 2``, and ``names:`` as
    ``[a, 'b', "c"]`` or ``{0: a, 1: b}`` (over several lines too), as lines ``- a``, or as lines ``0: a``.
    """
    TABLE.check(len(content), where)
    lines = [re.sub(r"(?:^|\s)#.*", "", line).rstrip() for line in content.decode("utf-8-sig", "replace").splitlines()]
    at = next((i for i, line in enumerate(lines) if re.match(r"names\s*:(\s|$)", line)), None)
    if at is None:
        return None
    inline = lines[at].split(":", 1)[1].strip()
    below = []
    for line in lines[at + 1 :]:
        if line and not re.match(r"[\s\-\]}]", line):
            break
        if line.strip():
            below.append(line.strip())
    if inline:
        items = _flow(" ".join([inline, *below]), where)
    else:
        items = [re.sub(r"^-\s+", "", line) if line.startswith("- ") else line for line in below]
        if any(line.startswith("- ") for line in below) and not all(line.startswith("- ") for line in below):
            raise _not_understood(where, " ".join(below))
        if not any(line.startswith("- ") for line in below) and not all(map(_KEYED.fullmatch, below)):
            raise _not_understood(where, " ".join(below))
    names = _checked(_numbered(items, where), where)
    stated = next((found[1] for line in lines if (found := re.match(r"nc\s*:\s*(\d{1,9})$", line))), None)
    if not names or (stated is not None and int(stated) != len(names)):
        raise BadInput(f"expected as many names as nc says in {where}, got {len(names)} of {stated or 'any'}; mend it")
    return names


def _flow(text: str, where: str) -> list[str]:
    """The parts of ``[a, b]`` or ``{0: a, 1: b}``."""
    if not text or (text[0], text[-1]) not in (("[", "]"), ("{", "}")):
        raise _not_understood(where, text)
    items, at, inside = [], 0, text[1:-1]
    keyed = re.compile(r"\s*\d{1,9}\s*:\s+") if text[0] == "{" else re.compile("")
    while inside[at:].strip():
        key = keyed.match(inside, at)
        value = _SCALAR.match(inside, key.end()) if key else None
        if key is None or value is None or inside[value.end() : value.end() + 1] not in ("", ","):
            raise _not_understood(where, inside[at:])
        items.append(key[0] + value[1])
        at = value.end() + 1
        OBJECTS.check(len(items), where)
    return items


def _numbered(items: Sequence[str], where: str) -> list[str]:
    """The items without their numbers, where they have some, in the order of these."""
    keyed = [_KEYED.fullmatch(item) for item in items]
    if not items or not all(keyed):
        return [_scalar(item, where) for item in items]
    by_number = {int(key[1]): _scalar(key[2], where) for key in keyed if key}
    if sorted(by_number) != list(range(len(items))):
        raise BadInput(f"expected names numbered from 0, each number once, in {where}, got others; mend it")
    return [by_number[number] for number in range(len(items))]


def _scalar(text: str, where: str) -> str:
    found = _SCALAR.fullmatch(text)
    if found is None:
        raise _not_understood(where, text)
    value = found[1].strip()
    if value[0] == "'":
        return value[1:-1].replace("''", "'")
    return value[1:-1] if value[0] == '"' else value


def _not_understood(where: str, got: str) -> BadInput:
    return BadInput(f"expected names: as a list or numbered in {where}, got {brief(got)!r}; write names: [a, b]")


def _checked(names: Sequence[str], where: str) -> tuple[str, ...]:
    CLASSES.check(len(names), where)
    names = [check_name(normal_name(name), where) for name in names]
    if "" in names or len(set(names)) < len(names):
        raise BadInput(f"expected names of classes, each once, in {where}, got an empty one or one twice; mend it")
    return tuple(names)
