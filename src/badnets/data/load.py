"""The one entrance to data: a name or a path in, three sets out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, nearest
from badnets.core.files import check_regular, expanded
from badnets.core.limits import within_memory
from badnets.core.text import brief
from badnets.data.formats.arrays import is_hdf5
from badnets.data.formats.coco import is_coco
from badnets.data.formats.contents import is_tar, stem
from badnets.data.formats.voc import is_voc
from badnets.data.formats.yolo import is_yolo
from badnets.data.images import Splits
from badnets.data.registry import SOURCES
from badnets.data.request import Progress, Request
from badnets.data.sets.cifar10 import is_cifar10
from badnets.data.sets.gtsrb import is_gtsrb
from badnets.data.sets.lisa import is_lisa
from badnets.data.sets.mnist import find_idx


def load(
    name_or_path: str | Path,
    *,
    path: str | Path | None = None,
    size: tuple[int, int] | int | None = None,
    select: float = 0.0,
    seed: int = 0,
    test_share: float = 0.2,
    grey: bool | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Splits:
    """Training, select and test set of a named set, or of what lies at a path.

    ``name_or_path``: a name of ``SOURCES`` (``"mnist"``), or a path of a folder of pictures, a tar of one, a ``.npz``,
    an HDF5 file, IDX files, CIFAR-10's batches, GTSRB, LISA, or pictures with boxes (PASCAL VOC, COCO's JSON, YOLO's
    text files). A named set is looked for at ``path``, in ``$BADNETS_DATA``, in the cache, and is then downloaded; with
    ``path`` and another name the data at ``path`` is given that name.
    ``size``: (height, width) or one number; pictures of mixed sizes stay mixed without it. ``select``: share of the
    training set that becomes the select set. ``test_share``: share that becomes the test set where there is none.
    Splits are stratified, drawn from ``seed``, and never tear a group apart. ``grey``: True for one channel, False for
    three. ``options`` belong to the source. ``progress(what, done, total)`` is called now and then.

    Raises ``BadInput`` in one sentence that names the file; warns with ``DataWarning`` of what was left out and with
    ``CacheWarning`` when the cache cannot be written.
    """
    with within_memory(brief(name_or_path if path is None else path, 160)):
        source, name, place = _resolve(name_or_path, None if path is None else expanded(path))
    request = Request(
        name=name,
        path=place,
        size=(size, size) if isinstance(size, int) else size,
        select=select,
        seed=seed,
        test_share=test_share,
        grey=grey,
        options=dict(options or {}),
        progress=progress,
    )
    with within_memory(brief(name if place is None else place, 160)):
        return SOURCES[source].load(request)


def _resolve(name_or_path: str | Path, path: Path | None) -> tuple[str, str, Path | None]:
    """(source, name of the data, path)."""
    text = str(name_or_path)
    if isinstance(name_or_path, str) and SOURCES.declares(text):
        if not SOURCES.find(text).needs_path:
            return text, text, path
        if path is None:
            raise BadInput(f"expected a path with data {text!r}, got none; say where it lies")
        return text, stem(_existing(path)), path
    if path is not None:
        return detect(_existing(path)), text, path
    place = expanded(name_or_path)
    looks_like_path = isinstance(name_or_path, Path) or any(sign in text for sign in ("/", os.sep, "."))
    if not place.exists() and not (looks_like_path or text.startswith("~")):
        raise BadInput(f"expected a data set or a path, got {brief(text)!r}; {nearest(text, SOURCES)}")
    return detect(_existing(place)), stem(place), place


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"expected a file or folder at {path}, got nothing; check the path")
    if not path.is_dir():
        check_regular(path, "data")
    return path


_FITS: Mapping[str, Callable[[Path], bool]] = {
    "npz": lambda path: path.suffix.lower() == ".npz" and path.is_file(),
    "hdf5": is_hdf5,
    "idx": lambda path: find_idx(path) is not None,
    "cifar10": is_cifar10,
    "gtsrb": is_gtsrb,
    "lisa": is_lisa,
    "voc": is_voc,
    "coco": is_coco,
    "yolo": is_yolo,
    "folder": lambda path: path.is_dir() or is_tar(path),
}
"""Whether a source reads what lies at a path; the first that does."""


def detect(path: Path) -> str:
    """The source that reads what lies at ``path``."""
    for source, fits in _FITS.items():
        if fits(path):
            return source
    hint = "unpack it" if path.suffix.lower() == ".zip" else "or name the source and pass the path beside it"
    raise BadInput(
        f"expected a folder of pictures, a tar of one, a .npz, an HDF5 file, IDX files, CIFAR-10, GTSRB, LISA or "
        f"pictures with boxes (PASCAL VOC, COCO, YOLO), got {path}; {hint}"
    )
