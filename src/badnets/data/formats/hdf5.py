"""Pictures and labels in an HDF5 file, in the layout of the contest CSAW-HackML-2020."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData, Labels, Pixels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.splits import split

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STEP_BYTES = 16 << 20
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, MemoryError)  # what h5py raises on files that are not whole


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 by its first bytes, or by its ending when there is something else in it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE or path.suffix.lower() in ENDINGS


@source("hdf5", "pictures and labels in an HDF5 file (options test, classes)", needs_path=True)
def load_hdf5(request: Request) -> Splits:
    """Datasets ``data`` (n, c, h, w), or (n, h, w, c), and ``label`` (n,) or (n, 1); c is 1 or 3.

    Pictures are whole numbers 0..255 of any type, floats too, or floats 0..1, which are scaled to 0..255 and rounded.
    Labels are whole numbers from 0 of any type. Class names are "0" to the highest label. Options: ``test`` is the path
    of a second such file, the test set; without it a share is split off. ``classes`` is how many classes there are, if
    more than the labels show (0: as they show).

    The split is stratified, except where most classes have a single picture: then whole classes (the persons) are drawn
    at random, and nobody is on both sides.

    Source: the layout of the data of CSAW-HackML-2020 (N. Vora's study reads it).
    """
    options = request.settings(classes=0, test="")
    if request.path is None:
        raise BadInput("expected a path with data 'hdf5', got none; pass --data PATH")
    train = read_hdf5(request.path, name=request.name)
    test = None
    if options["test"]:
        other = Path(options["test"]).expanduser()
        if other.exists() and other.samefile(request.path):
            raise BadInput(f"expected another file than {request.path} as the option test, got the same; name another")
        test = read_hdf5(other, name=request.name)
    count = max(part.classes for part in (train, test) if part is not None)
    if options["classes"]:
        if options["classes"] < count:
            raise BadInput(
                f"expected labels 0..{options['classes'] - 1} in {request.path} (option classes), got {count - 1}"
            )
        count = options["classes"]
    names = tuple(map(str, range(count)))
    train = replace(train, class_names=names)
    test = None if test is None else replace(test, class_names=names)
    if not _mostly_single(train.labels):
        return finish(request, train, test)
    seed = as_seed(request.seed)
    if test is None:
        train, test = _split_classes(train, request.test_share, seed.derive("test"))
    if not request.select:
        return finish(request, train, test)
    train, select = _split_classes(train, request.select, seed.derive("select"))
    return finish(request, train, test, select)


def read_hdf5(path: Path, *, name: str = "data") -> ImageData:
    """All pictures of one file, in its order; the rest is as in ``load_hdf5``."""
    with _opened(path) as file:
        data, label = (_dataset(file, key, path) for key in ("data", "label"))
        labels = _labels(label, path)
        pixels = _pixels(data, path)
    if len(pixels) != len(labels):
        raise BadInput(f"expected {len(pixels)} labels in {path}, one for each picture, got {len(labels)}")
    return ImageData.of(pixels, labels, name=name)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    if not path.exists():
        raise BadInput(f"expected an HDF5 file at {path}, got nothing; check the path")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGED as error:
        raise BadInput(
            f"expected a whole HDF5 file at {path}, got a truncated or damaged one or something else "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); get it again"
        ) from None


def _dataset(file: Any, key: str, path: Path) -> Any:
    """One dataset of numbers; what is there in its place is said."""
    import h5py

    if "layer_names" in file.attrs or "model_weights" in file:
        raise BadInput(
            f"expected pictures in {path} (data and label), got the weights of a Keras network; "
            "it belongs in the place of MODEL, with --arch"
        )
    found = file.get(key)
    if not isinstance(found, h5py.Dataset):
        there = ", ".join(sorted(file)[:8]) or "nothing"
        raise BadInput(f"expected datasets data and label in {path}, got {there}; rename them")
    if found.dtype.kind not in "biuf" or not found.size:
        raise BadInput(f"expected numbers as {key} in {path}, got {found.dtype} {found.shape}")
    return found


def _labels(dataset: Any, path: Path) -> NDArray[np.int64]:
    raw = np.asarray(dataset[()])
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1:
        raise BadInput(f"expected label as (n,) or (n, 1) in {path}, got {raw.shape}")
    whole = np.isfinite(raw) & (raw == np.rint(raw)) if raw.dtype.kind == "f" else np.ones(len(raw), bool)
    wrong = np.flatnonzero(~whole | (raw < 0))
    if len(wrong):
        raise BadInput(f"expected whole numbers from 0 as label in {path}, got {raw[wrong[0]]} in row {wrong[0]}")
    return raw.astype(np.int64)


def _pixels(dataset: Any, path: Path) -> Pixels:
    """uint8 (n, h, w, c), read and converted a part at a time."""
    shape = dataset.shape
    first = len(shape) == 4 and shape[1] in (1, 3)
    if not first and not (len(shape) == 4 and shape[3] in (1, 3)):
        raise BadInput(f"expected data as (n, c, h, w) or (n, h, w, c) with c 1 or 3 in {path}, got {shape}")
    scale = 1 if dataset.dtype == np.uint8 else _scale(dataset, path)
    out = np.empty((shape[0], shape[2], shape[3], shape[1]) if first else shape, np.uint8)
    for rows, part in _parts(dataset):
        pictures = part.transpose(0, 2, 3, 1) if first else part
        out[rows] = pictures if scale == 1 else np.rint(pictures.astype(np.float64) * scale)
    return out


def _parts(dataset: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
    """(rows, those rows), some megabytes at a time."""
    each = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    step = max(1, _STEP_BYTES // max(1, each))
    for start in range(0, len(dataset), step):
        rows = slice(start, min(start + step, len(dataset)))
        yield rows, dataset[rows]


def _scale(dataset: Any, path: Path) -> int:
    """1 for whole numbers 0..255, 255 for floats 0..1; everything else is refused."""
    low, high, whole = np.inf, -np.inf, True
    for _, part in _parts(dataset):
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if not np.isfinite(part).all():
            raise BadInput(f"expected finite numbers as data in {path}, got NaN or infinity; mend the file")
        whole = whole and (part.dtype.kind != "f" or bool(np.all(part == np.rint(part))))
    if dataset.dtype.kind == "f" and low >= 0 and high <= 1:
        return 255
    if low < 0 or high > 255 or not whole:
        what = "" if whole else ", not all whole"
        raise BadInput(
            f"expected data as whole numbers 0..255 or floats 0..1 in {path}, got {low:g} to {high:g}{what}; scale them"
        )
    return 1


def _mostly_single(labels: NDArray[np.int64]) -> bool:
    """Whether more than half of the classes that occur have one picture only: nothing to stratify by."""
    counts = np.unique(labels, return_counts=True)[1]
    return bool(2 * np.count_nonzero(counts == 1) > len(counts))


def _split_classes(data: ImageData, share: float, seed: Seed) -> tuple[ImageData, ImageData]:
    """``(rest, part)`` with whole classes on one side: each class is a group, and all are of one stratum."""
    as_one = replace(data, targets=Labels(np.zeros(len(data), np.int64)), groups=data.labels)
    rest, part = (
        replace(side, targets=Labels(side.groups), groups=None)
        for side in split(as_one, share, seed)
        if side.groups is not None
    )
    return rest, part
