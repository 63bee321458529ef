"""Pictures and labels out of arrays of any layout and type, as people store them in NumPy's ``.npz`` files (read into
memory, mapped in place, or streamed through the cache) and in HDF5."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.cache import MAP_ABOVE
from badnets.core.errors import BadInput
from badnets.core.files import expanded
from badnets.core.limits import CLASSES, NAME
from badnets.core.seed import Seed, as_seed
from badnets.core.text import brief
from badnets.data.formats.convert import check_labels, check_pictures, class_numbers, from_one, pixels_of, warn_of_bits
from badnets.data.formats.hdf5_file import SIGNATURE, open_hdf5
from badnets.data.formats.npz_file import NpzFile
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.splits import split

_IMAGES = {"train": ("x_train", "train_images", "images"), "test": ("x_test", "test_images"), "select": ("val_images",)}
_LABELS = {"train": ("y_train", "train_labels", "labels"), "test": ("y_test", "test_labels"), "select": ("val_labels",)}
_PREFIX = {"train": "", "test": "test_", "select": "val_"}


@source("npz", "pictures and labels in a NumPy .npz file", needs_path=True)
def load_npz(request: Request) -> Splits:
    """Pictures and labels of a ``.npz`` file; nothing in it is ever unpickled.

    Keys: ``x_train, y_train, x_test, y_test``; or ``images, labels`` (and ``test_images, test_labels``); or
    ``train_images, train_labels, val_images, ...``; beside them ``class_names``, ``groups`` and ``region`` (and
    ``test_groups``, ...). Pictures and labels may be what ``pixels_of`` and ``class_numbers`` take. Pictures of more
    than the option ``map_above`` bytes are memory-mapped, with the same result.
    """
    options = request.settings(map_above=MAP_ABOVE)
    file = NpzFile(request.given_path(), map_above=options["map_above"])
    parts = [part for part in _IMAGES if file.first(_IMAGES[part]) is not None]
    if "train" not in parts:
        keys = brief(", ".join(sorted(file.headers)) or "nothing")
        raise BadInput(
            f"expected x_train and y_train, or images and labels, in {file.path}, got {keys}; rename the arrays"
        )
    sets = {part: _set(file, part, request.name) for part in parts}
    given = file.headers.get("class_names")
    named = None if given is None or len(given.shape) != 1 else given.shape[0]
    shifted = from_one(list(sets.values()), named, file.path)
    classes = max(data.classes for data in sets.values())
    names = _class_names(file, classes - (shifted is not None))
    if shifted is not None:
        names = shifted[0].class_names if given is None else names
        sets = dict(zip(sets, shifted, strict=True))
    sets = {part: replace(data, class_names=names) for part, data in sets.items()}
    return finish(request, sets["train"], sets.get("test"), sets.get("select"))


def _set(file: NpzFile, part: str, name: str) -> ImageData:
    label = file.first(_LABELS[part])
    if label is None:
        raise BadInput(f"expected {' or '.join(_LABELS[part])} beside the pictures in {file.path}, got none; add it")
    key = file.first(_IMAGES[part]) or ""
    if not next(iter(file.headers[key].shape), 0):
        raise BadInput(f"expected pictures in {key} of {file.path}, got 0")
    n = check_pictures(file.headers[key], key, file.path)
    check_labels(file.headers[label], label, file.path, pictures=n, of=key)
    _check_beside(file, f"{_PREFIX[part]}region", "fiu", (n, 4))
    _check_beside(file, f"{_PREFIX[part]}groups", "iuUS", (n,))
    pixels = file.pixels(key)
    warn_of_bits(pixels, key, file.path)
    labels = class_numbers(file.array(label), label, file.path)
    region, groups = file.optional(f"{_PREFIX[part]}region"), file.optional(f"{_PREFIX[part]}groups")
    groups = None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.int64)
    region = None if region is None else region.astype(np.float32)
    return ImageData.of(pixels, labels, region=region, groups=groups, name=name)


def _check_beside(file: NpzFile, key: str, kinds: str, shape: tuple[int, ...]) -> None:
    """Refuse what is stored beside pictures when it is of another kind or shape, before it is read."""
    there = file.headers.get(key)
    if there is not None and (there.dtype.kind not in kinds or there.shape != shape):
        wanted = f"{key} as numbers {shape}" if "f" in kinds else f"{key} {shape}"
        got = f"{brief(there.dtype)} {brief(there.shape)}"
        raise BadInput(f"expected {wanted} in {file.path}, got {got}")


def _class_names(file: NpzFile, classes: int) -> tuple[str, ...]:
    there = file.headers.get("class_names")
    if there is None:
        return tuple(map(str, range(classes)))
    if len(there.shape) != 1 or there.dtype.kind not in "US" or there.shape[0] < classes:
        got = f"{brief(there.dtype)} {brief(there.shape)}"
        raise BadInput(f"expected class_names of {file.path} as at least {classes} strings, got {got}")
    CLASSES.check(there.shape[0], file.path)
    NAME.check(there.dtype.itemsize // (4 if there.dtype.kind == "U" else 1), file.path)
    listed = file.array("class_names")
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in listed.tolist())


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 by its first bytes, or by its ending when there is something else in it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE or path.suffix.lower() in (".h5", ".hdf5", ".hdf", ".he5")


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
        other = expanded(options["test"])
        if other.exists() and other.samefile(path):
            raise BadInput(f"expected another file than {path} as the option test, got the same; name another")
        sets.append(read_hdf5(other, name=request.name))
    count = max(part.classes for part in sets)
    CLASSES.check(options["classes"], "the option classes")
    named = options["classes"] if options["classes"] >= count else None
    if (shifted := from_one(sets, named, path)) is not None:
        sets, count = shifted, count - 1
    if options["classes"] and options["classes"] < count:
        raise BadInput(f"expected labels 0..{options['classes'] - 1} in {path} (option classes), got {count - 1}")
    first = 0 if shifted is None else 1
    names = tuple(map(str, range(first, first + (options["classes"] or count))))
    sets = [replace(part, class_names=names) for part in sets]
    often = np.unique(sets[0].labels, return_counts=True)[1]
    if 2 * np.count_nonzero(often == 1) <= len(often):
        return finish(request, *sets)
    seed, drawn = as_seed(request.seed), len(sets) == 1
    if drawn:
        sets = [*_split_classes(sets[0], request.test_share, seed.derive("test"))]
    if request.select:
        train, select = _split_classes(sets[0], request.select, seed.derive("select"))
        sets = [train, sets[1], select]
    return replace(finish(request, *sets), drawn=drawn)


def read_hdf5(path: Path, *, name: str = "data") -> ImageData:
    """All pictures of one file, in its order; the rest is as in ``load_hdf5``."""
    if not path.exists():
        raise BadInput(f"expected an HDF5 file at {path}, got nothing; check the path")
    with open_hdf5(path) as file:
        data, label = (_dataset(file, key, path) for key in ("data", "label"))
        check_labels(label, "label", path, pictures=check_pictures(data, "data", path), of="data")
        labels = class_numbers(np.asarray(label[()]), "label", path)
        pixels = pixels_of(data, "data", path)
    warn_of_bits(pixels, "data", path)
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
        there = brief(", ".join(sorted(file)[:8]) or "nothing")
        raise BadInput(f"expected datasets data and label in {path}, got {there}; rename them")
    if dataset.dtype.kind not in "biuf" or not dataset.size:
        raise BadInput(f"expected numbers as {key} in {path}, got {brief(dataset.dtype)} {brief(dataset.shape)}")
    return dataset


def _split_classes(data: ImageData, share: float, seed: Seed) -> tuple[ImageData, ImageData]:
    """``(rest, part)`` with whole classes on one side: each class is a group, and all are of one stratum."""
    as_one = replace(data, targets=Labels(np.zeros(len(data), np.int64)), groups=data.labels)
    sides = split(as_one, share, seed)
    rest, part = (replace(side, targets=Labels(np.asarray(side.groups)), groups=None) for side in sides)
    return rest, part
