"""Pictures and labels in an HDF5 file, in the layout of the contest CSAW-HackML-2020."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.errors import BadInput, first_line
from badnets.core.seed import Seed, as_seed
from badnets.data.formats.arrays import class_numbers, pixels_of
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.splits import split

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
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

    Numbers are those of ``.npz`` files (``pixels_of``, ``class_numbers``). Class names are "0" to the highest label.
    Options: ``test`` is the path of a second such file, the test set; without it a share is split off. ``classes`` is
    how many classes there are, if more than the labels show (0: as they show).

    The split is stratified, except where most classes have a single picture: then whole classes (the persons) are drawn
    at random, and nobody is on both sides.

    Source: the layout of the data of CSAW-HackML-2020 (N. Vora's study reads it).
    """
    options = request.settings(classes=0, test="")
    path = request.given_path()
    sets = [read_hdf5(path, name=request.name)]
    if options["test"]:
        other = Path(options["test"]).expanduser()
        if other.exists() and other.samefile(path):
            raise BadInput(f"expected another file than {path} as the option test, got the same; name another")
        sets.append(read_hdf5(other, name=request.name))
    count = max(part.classes for part in sets)
    if options["classes"] and options["classes"] < count:
        raise BadInput(f"expected labels 0..{options['classes'] - 1} in {path} (option classes), got {count - 1}")
    names = tuple(map(str, range(options["classes"] or count)))
    sets = [replace(part, class_names=names) for part in sets]
    often = np.unique(sets[0].labels, return_counts=True)[1]
    if 2 * np.count_nonzero(often == 1) <= len(often):
        return finish(request, *sets)
    seed = as_seed(request.seed)
    if len(sets) == 1:
        sets = [*_split_classes(sets[0], request.test_share, seed.derive("test"))]
    if request.select:
        train, select = _split_classes(sets[0], request.select, seed.derive("select"))
        sets = [train, sets[1], select]
    return finish(request, *sets)


def read_hdf5(path: Path, *, name: str = "data") -> ImageData:
    """All pictures of one file, in its order; the rest is as in ``load_hdf5``."""
    import h5py

    if not path.exists():
        raise BadInput(f"expected an HDF5 file at {path}, got nothing; check the path")
    try:
        with h5py.File(path, "r") as file:
            data, label = (_dataset(file, key, path) for key in ("data", "label"))
            labels = class_numbers(np.asarray(label[()]), "label", path)
            pixels = pixels_of(data, "data", path)
    except _DAMAGED as error:
        raise BadInput(
            f"expected a whole HDF5 file at {path}, got a truncated or damaged one or something else "
            f"({first_line(error)}); get it again"
        ) from None
    if len(pixels) != len(labels):
        raise BadInput(f"expected {len(pixels)} labels in {path}, one for each picture, got {len(labels)}")
    return ImageData.of(pixels, labels, name=name)


def _dataset(file: Any, key: str, path: Path) -> Any:
    """One dataset of numbers; what is there in its place is said."""
    import h5py

    if "layer_names" in file.attrs or "model_weights" in file:
        raise BadInput(
            f"expected pictures in {path} (data and label), got the weights of a Keras network; "
            "it belongs in the place of MODEL, with its architecture"
        )
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset):
        there = ", ".join(sorted(file)[:8]) or "nothing"
        raise BadInput(f"expected datasets data and label in {path}, got {there}; rename them")
    if dataset.dtype.kind not in "biuf" or not dataset.size:
        raise BadInput(f"expected numbers as {key} in {path}, got {dataset.dtype} {dataset.shape}")
    return dataset


def _split_classes(data: ImageData, share: float, seed: Seed) -> tuple[ImageData, ImageData]:
    """``(rest, part)`` with whole classes on one side: each class is a group, and all are of one stratum."""
    as_one = replace(data, targets=Labels(np.zeros(len(data), np.int64)), groups=data.labels)
    sides = split(as_one, share, seed)
    rest, part = (replace(side, targets=Labels(np.asarray(side.groups)), groups=None) for side in sides)
    return rest, part
