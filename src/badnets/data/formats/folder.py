"""Folders of pictures, and tar archives of them: ``train/<class>/...`` and ``test/<class>/...``, or ``<class>/...``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from badnets.core.cache import MAP_ABOVE, Cache, warn_of_data
from badnets.core.errors import BadInput
from badnets.core.files import dumps
from badnets.core.text import brief, listed
from badnets.data.formats.album import Album, decode_into, widen
from badnets.data.formats.contents import Contents, is_tar
from badnets.data.formats.decode import ENDINGS
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.layout import LAYOUTS, recognize
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.targets import Rows, normal_name

_SPOKEN = {"test": "the test set", "select": "the validation set"}
_FORMAT = 2  # part of every cache key: raise it when the same files would decode to other pixels


@source("folder", "a folder of pictures, or a tar of one", needs_path=True)
def load_folder(request: Request) -> Splits:
    """Pictures in ``train/<class>/...`` and ``test/<class>/...`` (and ``val``), or ``<class>/...`` alone, or
    ``<class>/train/...``; below any folders that only wrap them.

    ``request.path`` is a folder or a tar archive, which is read once and never unpacked to disk. Pixels are decoded
    once and then kept in the cache. A validation folder becomes the select set. Options: ``skip_corrupt`` (drop damaged
    pictures with a warning instead of refusing them), ``map_above`` (bytes above which the pixels are memory-mapped),
    ``layout`` (one of ``LAYOUTS``, where folders may be splits or classes).
    """
    options = request.settings(skip_corrupt=False, map_above=MAP_ABOVE, layout="auto")
    if options["layout"] not in LAYOUTS:
        got, known = brief(repr(options["layout"])), ", ".join(LAYOUTS)
        raise BadInput(f"expected the option layout as one of {known}, got {got}; correct it")
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
    names, parts = arrange(album.paths, folders, str(path), options["layout"])
    sets = {}
    for part, (rows, labels) in parts.items():
        store = album.store(rows, map_above=options["map_above"])
        sets[part] = ImageData(store, Labels(labels), names, name=request.name)
    # Size and channels were seen to when decoding.
    asked = replace(request, size=None, grey=None)
    splits = finish(asked, sets["train"], sets.get("test"), sets.get("select"))
    if len(names) == 1:
        warn_of_data(f"{path}: all pictures are of one class ({brief(names[0])}), so there is nothing to tell apart")
    return splits


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
    paths: Sequence[str], folders: Iterable[str], where: str, layout: str = "auto"
) -> tuple[tuple[str, ...], dict[str, tuple[Rows, Rows]]]:
    """The class names of the pictures ``paths``, and which of them make which set: ``train``, and where there are such
    folders ``test`` and ``select``, each with its rows (positions in ``paths``, sorted by class and path) and labels.

    ``folders`` are all there are, empty ones too; ``/`` between parts. ``layout`` is one of ``LAYOUTS``. Classes
    without a training picture are dropped from all sets, with a warning. A class folder of another split that differs
    from one of the training set by case alone is the same class.
    """
    files = [tuple(normal_name(path).split("/")[:-1]) for path in paths]  # names of one class may differ in form
    if not files:
        raise BadInput(f"expected pictures in {where}, got none; expected train/<class>/picture or <class>/picture")
    dirs = {tuple(normal_name(folder).split("/")) for folder in folders} | {
        folder[:depth] for folder in set(files) for depth in range(1, len(folder) + 1)
    }
    found = recognize(files, dirs, where, layout)
    of = {folder: found.place(folder) for folder in {*files, *dirs}}
    places = [of[folder] for folder in files]
    _warn_of_others([path for path, place in zip(paths, places, strict=True) if place is None], where)
    places = _labelled(paths, places, where)
    filled = {place for place in places if place is not None}
    names = natural({name for split, name in filled if split == "train"})
    if not names:
        raise BadInput(f"expected training pictures in {where}, got none; expected train/<class>/picture")
    same = {name.casefold(): name for name in names} if len({*map(str.casefold, names)}) == len(names) else {}
    number = {name: i for i, name in enumerate(names)}

    def known(place: tuple[str, str]) -> tuple[str, str]:
        split, name = place
        return split, name if name in number else same.get(name.casefold(), name)

    there = {known(place) for folder in dirs if (place := of[folder]) is not None and place[1]}
    _warn_of_empty(there, {known(place) for place in filled}, set(names), where)
    members: dict[str, list[tuple[int, str, int]]] = {"train": [], "test": [], "select": []}
    for i, place in enumerate(places):
        if place is not None and (named := known(place))[1] in number:
            members[named[0]].append((number[named[1]], paths[i], i))
    made = {}
    for split, rows in members.items():
        if rows:
            rows.sort()
            made[split] = np.array([i for *_, i in rows], np.int64), np.array([label for label, *_ in rows], np.int64)
    return tuple(names), made


def _warn_of_others(left: Sequence[str], where: str) -> None:
    if left:
        count = f"{len(left)} pictures that are neither train, test nor val were left out"
        warn_of_data(f"{where}: {count}, the first is {brief(min(left))}")


def _labelled(
    paths: Sequence[str], places: Sequence[tuple[str, str] | None], where: str
) -> list[tuple[str, str] | None]:
    """The same places; a test or validation set without any class folder, as in competitions, is left out."""
    bare = [(place[0], path) for place, path in zip(places, paths, strict=True) if place is not None and not place[1]]
    with_class = {place[0] for place in places if place is not None and place[1]}
    told = {split for split, _ in bare if split != "train"} - with_class
    if outside := [path for split, path in bare if split not in told]:
        raise BadInput(
            f"expected every picture of {where} in a class folder, got {listed(outside)} outside; "
            "expected train/<class>/picture or <class>/picture"
        )
    for split in sorted(told):
        own = [path for of, path in bare if of == split]
        count = f"{len(own)} pictures of {_SPOKEN[split]} lie in no class folder and were left out"
        warn_of_data(f"{where}: {count}, the first is {brief(min(own))}")
    return [None if place is not None and place[0] in told else place for place in places]


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
