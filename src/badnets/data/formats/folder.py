"""Folders of pictures, and tar archives of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from badnets.core.cache import MAP_ABOVE, Cache, warn_of_data
from badnets.core.errors import BadInput
from badnets.core.files import dumps
from badnets.core.text import listed
from badnets.data.formats.contents import Contents
from badnets.data.formats.decode import ENDINGS, Album, Decoded, decode_into, widen
from badnets.data.formats.layout import arrange
from badnets.data.formats.tarball import is_tar
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish

_FORMAT = 1  # part of every cache key: raise it when the same files would decode to other pixels


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
    album, folders = _PICTURES.get(key, lambda entry: _decode(source, request, entry, skip=skip))
    if album.damaged:
        warn_of_data(f"{path}: skipped {_damage(album)}")
    layout = arrange(album.paths, folders, str(path))
    sets = {}
    for part, rows in layout.rows.items():
        store = album.store(rows, map_above=options["map_above"])
        sets[part] = ImageData(store, Labels(layout.labels[part]), layout.class_names, name=request.name)
    # Size and channels were seen to when decoding.
    asked = replace(request, size=None, grey=None)
    return finish(asked, sets["train"], sets.get("test"), sets.get("select"))


def _damage(decoded: Decoded) -> str:
    shown = listed([f"{path} ({reason})" for path, reason in decoded.damaged])
    return f"{len(decoded.damaged)} damaged pictures: {shown}"


def _read(entry: Path) -> tuple[Album, tuple[str, ...]]:
    """The pictures, mapped, and the folders of the source."""
    index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
    shapes = tuple((h, w, c) for h, w, c in index["shapes"])
    damaged = tuple((path, reason) for path, reason in index["damaged"])
    pixels = np.memmap(entry / "pixels.bin", np.uint8, mode="r")
    album = Album(tuple(index["paths"]), shapes, damaged, pixels)
    if album.nbytes != len(pixels):
        raise ValueError(f"{len(pixels)} bytes for pictures of {album.nbytes}")
    return album, tuple(index["folders"])


_PICTURES = Cache("pictures", _read)


def _decode(source: Contents, request: Request, folder: Path, *, skip: bool) -> None:
    """Fill a folder of the cache with ``pixels.bin`` and ``index.json``; where grey and color are mixed all become
    color."""
    report = request.reporter(f"decoding {request.name}", source.total)
    pixels, wide = folder / "pixels.bin", folder / "wide.bin"
    with pixels.open("wb") as sink:
        decoded = decode_into(sink, source, size=request.size, grey=request.grey, report=report)
    if not decoded.paths and not decoded.damaged:
        raise BadInput(
            f"expected pictures in {source.place}, got none; expected train/<class>/picture or <class>/picture"
        )
    if decoded.damaged and (not skip or not decoded.paths):
        raise BadInput(
            f"expected whole pictures in {source.place}, got {_damage(decoded)}; "
            "mend or remove them, or set the option skip_corrupt=true"
        )
    shapes = decoded.shapes
    if len({c for _, _, c in shapes}) > 1:
        with pixels.open("rb") as narrow, wide.open("wb") as sink:
            widen(narrow, shapes, sink)
        wide.replace(pixels)
        shapes = tuple((h, w, 3) for h, w, _ in shapes)
    index = {"paths": decoded.paths, "shapes": shapes, "damaged": decoded.damaged, "folders": sorted(source.folders)}
    (folder / "index.json").write_text(dumps(index, indent=None), encoding="utf-8")
