"""Folders of pictures, and tar archives of them: ``train/<class>/...`` and ``test/<class>/...``, or ``<class>/...``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from badnets.core.cache import MAP_ABOVE, Cache, warn_of_data
from badnets.core.errors import BadInput
from badnets.core.files import dumps
from badnets.core.text import listed
from badnets.data.formats.album import Album, decode_into, widen
from badnets.data.formats.contents import Contents, is_tar
from badnets.data.formats.decode import ENDINGS
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.targets import Rows, normal_name

_SETS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "select"),
}
_FORMAT = 2  # part of every cache key: raise it when the same files would decode to other pixels


@source("folder", "a folder of pictures, or a tar of one", needs_path=True)
def load_folder(request: Request) -> Splits:
    """Pictures in ``train/<class>/...`` and ``test/<class>/...`` (and ``val``), or ``<class>/...`` alone.

    ``request.path`` is a folder or a tar archive, which is read once and never unpacked to disk. Pixels are decoded
    once and then kept in the cache. Options: ``skip_corrupt`` (drop damaged pictures with a warning instead of refusing
    them), ``map_above`` (bytes above which the pixels are memory-mapped).
    """
    options = request.settings(skip_corrupt=False, map_above=MAP_ABOVE)
    path = request.given_path()
    if not (path.is_dir() or is_tar(path)):
        raise BadInput(f"expected a folder of pictures or a tar of one, got {path}; check the path")
    source = Contents(path, ENDINGS)
    skip = options["skip_corrupt"]
    key = {"size": request.size, "grey": request.grey, "skip_corrupt": skip}
    key |= {"format": _FORMAT, "source": source.identity}
    album, folders, source.strays = _PICTURES.get(key, lambda entry: _decode(source, request, entry, skip=skip))
    if album.damaged:
        warn_of_data(f"{path}: skipped {_damage(album.damaged)}")
    source.warn_of_strays()
    names, parts = arrange(album.paths, folders, str(path))
    sets = {}
    for part, (rows, labels) in parts.items():
        store = album.store(rows, map_above=options["map_above"])
        sets[part] = ImageData(store, Labels(labels), names, name=request.name)
    # Size and channels were seen to when decoding.
    asked = replace(request, size=None, grey=None)
    return finish(asked, sets["train"], sets.get("test"), sets.get("select"))


def _damage(damaged: Sequence[tuple[str, str]]) -> str:
    return f"{len(damaged)} damaged pictures: {listed([f'{path} ({reason})' for path, reason in damaged])}"


def _read(entry: Path) -> tuple[Album, tuple[str, ...], set[str]]:
    """The pictures, mapped, and the folders and strays of the source."""
    index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
    shapes = [(h, w, c) for h, w, c in index["shapes"]]
    damaged = [(path, reason) for path, reason in index["damaged"]]
    pixels = np.memmap(entry / "pixels.bin", np.uint8, mode="r")
    if sum(map(math.prod, shapes)) != len(pixels):
        raise ValueError(f"{len(pixels)} bytes for other pictures")
    return Album(index["paths"], shapes, damaged, pixels), tuple(index["folders"]), set(index["strays"])


_PICTURES = Cache("pictures", _read)


def _decode(source: Contents, request: Request, folder: Path, *, skip: bool) -> None:
    """Fill a folder of the cache with ``pixels.bin`` and ``index.json``; where grey and color are mixed all become
    color."""
    report = request.reporter(f"decoding {request.name}", source.total)
    pixels, wide = folder / "pixels.bin", folder / "wide.bin"
    with pixels.open("wb") as sink:
        album = decode_into(sink, source, size=request.size, grey=request.grey, report=report)
    paths, shapes, damaged = album.paths, album.shapes, album.damaged
    if not paths and not damaged:
        left = f" ({source.left_out})" if source.strays else ""
        raise BadInput(
            f"expected pictures in {source.place}, got none{left}; expected train/<class>/picture or <class>/picture"
        )
    if damaged and (not skip or not paths):
        raise BadInput(
            f"expected whole pictures in {source.place}, got {_damage(damaged)}; "
            "mend or remove them, or set the option skip_corrupt=true"
        )
    if len({c for _, _, c in shapes}) > 1:
        with pixels.open("rb") as narrow, wide.open("wb") as sink:
            widen(narrow, shapes, sink)
        wide.replace(pixels)
        shapes = [(h, w, 3) for h, w, _ in shapes]
    index = {"paths": paths, "shapes": shapes, "damaged": damaged, "folders": sorted(source.folders)}
    index["strays"] = sorted(source.strays)
    (folder / "index.json").write_text(dumps(index, indent=None), encoding="utf-8")


def arrange(
    paths: Sequence[str], folders: Iterable[str], where: str
) -> tuple[tuple[str, ...], dict[str, tuple[Rows, Rows]]]:
    """The class names of the pictures ``paths``, and which of them make which set: ``train``, and where there are such
    folders ``test`` and ``select``, each with its rows (positions in ``paths``, sorted by class and path) and labels.

    ``folders`` are all there are, empty ones too; ``/`` between parts. One wrapping top folder is skipped. Classes
    without a training picture are dropped from all sets, with a warning.
    """
    files = [tuple(normal_name(path).split("/")) for path in paths]  # names of one class may differ in form
    if not files:
        raise BadInput(f"expected pictures in {where}, got none; expected train/<class>/picture or <class>/picture")
    dirs = {tuple(normal_name(folder).split("/")) for folder in folders}
    dirs.update(parts[:depth] for parts in {parts[:-1] for parts in files} for depth in range(1, len(parts) + 1))
    tops = {parts[0] for parts in dirs} | {parts[0] for parts in files}
    if len(tops) == 1 and all(len(parts) > 2 for parts in files) and min(tops).lower() not in _SETS:
        files, dirs = [parts[1:] for parts in files], {parts[1:] for parts in dirs if len(parts) > 1}
    there = {_SETS.get(parts[0].lower()) for parts in dirs}
    if "train" not in there:
        if "test" in there:
            raise BadInput(f"expected a train folder beside the test folder in {where}, got none; add it")
        files, dirs = [("train", *parts) for parts in files], {("train", *parts) for parts in dirs}
    other = sorted({parts[0] for parts in files if parts[0].lower() not in _SETS})
    if other:
        warn_of_data(f"{where}: beside the train folder, {listed(other)} is neither test nor val and was left out")
    sets = [_SETS.get(parts[0].lower(), "") for parts in files]
    classes = [parts[1] if len(parts) > 2 else "" for parts in files]
    bare = [path for path, part, name in zip(paths, sets, classes, strict=True) if part and not name]
    if bare:
        raise BadInput(
            f"expected every picture of {where} in a class folder, got {listed(bare)} outside; "
            "expected train/<class>/picture or <class>/picture"
        )
    filled = set(zip(sets, classes, strict=True))
    trained = {name for part, name in filled if part == "train"}
    if not trained:
        raise BadInput(f"expected training pictures in {where}, got none; expected train/<class>/picture")
    known = {(_SETS[parts[0].lower()], parts[1]) for parts in dirs if len(parts) > 1 and parts[0].lower() in _SETS}
    _warn_of_empty(known, filled, trained, where)
    names = natural(trained)
    number = {name: i for i, name in enumerate(names)}
    made = {}
    for wanted in ("train", "test", "select"):
        members = [i for i, part in enumerate(sets) if part == wanted and classes[i] in number]
        members.sort(key=lambda i: (number[classes[i]], paths[i]))
        if members:
            made[wanted] = np.array(members, np.int64), np.array([number[classes[i]] for i in members], np.int64)
    return tuple(names), made


def natural(names: Iterable[str]) -> list[str]:
    """Sorted; by value where all names are whole numbers."""
    ordered = sorted(names)
    numeric = all(name.isascii() and name.isdigit() for name in ordered)
    return sorted(ordered, key=int) if numeric else ordered


def _warn_of_empty(folders: set[tuple[str, str]], filled: set[tuple[str, str]], trained: set[str], where: str) -> None:
    dropped = sorted({name for _, name in folders} - trained)
    if dropped:
        verb = "has" if len(dropped) == 1 else "have"
        warn_of_data(f"{where}: class {listed(dropped)} {verb} no training pictures; dropped from all sets")
    untested = sorted({name for part, name in folders - filled if part == "test" and name in trained})
    if untested:
        warn_of_data(f"{where}: the test folder of class {listed(untested)} is empty; it stays in the training set")
