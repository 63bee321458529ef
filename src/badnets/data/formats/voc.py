"""Pictures with boxes in PASCAL VOC's layout, as a folder or as a tar archive of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, nearest
from badnets.data.formats.annotation import Annotation, is_annotation, read_annotation, stem_of
from badnets.data.formats.contents import Contents, content_of, told_early
from badnets.data.formats.decode import ENDINGS, Album, Picture, own_size, read_album
from badnets.data.formats.layout import ignored
from badnets.data.formats.tarball import is_tar, stem
from badnets.data.images import ImageData, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.locate import archive_in, locate
from badnets.data.targets import Boxes

SMALLEST = 2.0
"""A box with a side of fewer pixels than this is no object."""

_FOLDERS = ("VOC", "voc", "VOCdevkit", "pascal-voc", "road-sign-detection")
_ARCHIVES = ("voc", "pascal", "road-sign-detection")  # how the name of an archive in $BADNETS_DATA begins
_PICTURES = ("images", "jpegimages")  # folders that may come before the annotations in an archive
_LOOKED_AT = 64
_ABSENT = (
    "expected pictures with boxes (a folder with Annotations and JPEGImages, or a tar of it), got nothing; put a "
    f"folder of the name {', '.join(_FOLDERS[:-1])} or {_FOLDERS[-1]}, or an archive voc*.tar.gz,"
)


@source("voc", "pictures with boxes in PASCAL VOC's layout (option classes)")
def load_voc(request: Request) -> Splits:
    """Pictures with ``Boxes``: every ``.xml`` is the annotation of the picture that has its stem, wherever it lies.

    So ``annotations/road1.xml`` with ``images/road1.jpg`` is read, VOC's own ``Annotations`` and ``JPEGImages``, and
    files side by side; ``<filename>`` is not looked at, nor are the folders ``Segmentation*``. Pictures keep their
    sizes unless ``request.size`` is given; they have three channels unless grey ones are asked for.

    Boxes are taken as the edges of pixels, ``x0 = xmin, x1 = xmax``. (VOC counts pixels from 1 and includes the last
    one, but tools that write its format seldom do; so such a box is up to one pixel off.) What reaches out of the
    picture is clipped, boxes with a side below ``SMALLEST`` pixels are dropped, pictures without an annotation and
    damaged pictures are left out, a picture whose annotation has no object stays as background: each with one
    ``DataWarning``. Refused are an annotation that cannot be read, one without its picture or of another size than its
    picture, a class that is not in the list, two files of one stem, and data without any box.

    A share of the pictures becomes the test set, so that all boxes of a picture are on one side. Option: ``classes``
    (a text of names with commas between: the classes, in this order; without it the names that occur, sorted).
    """
    options = request.settings(classes="")
    classes = _listed(options["classes"])
    wanted = "an .xml for each picture, with its stem; a folder or a tar of it"
    find = _find if request.path is None else _find_given
    place = locate("voc", request, find, wanted=wanted, folders=_FOLDERS, remotes=(), absent=_ABSENT)
    name = stem(place) if request.name == "voc" else request.name
    data = _data(_read(place, request), classes, name, place)
    # Size and channels were seen to when decoding.
    return finish(replace(request, name=name, size=None, grey=None), data)


def is_voc(place: Path) -> bool:
    """Whether a folder or an archive has annotations of VOC."""
    if place.is_dir():
        return any(is_annotation(content_of(file)) for file in islice(Contents(place, (".xml",)), 8))
    return is_tar(place) and told_early(place, _judge, _is_of_pictures, _LOOKED_AT)


def _judge(path: str, content: bytes) -> bool | None:
    return True if path.lower().endswith(".xml") and is_annotation(content) else None


def _is_of_pictures(path: str) -> bool:
    return PurePosixPath(path).parent.name.lower() in _PICTURES


def _find_given(place: Path) -> Path | None:
    """What a path stands for that the user gave: itself, or an archive in it."""
    return place if is_voc(place) else _find(place)


def _find(place: Path) -> Path | None:
    """A folder with annotations at a place or right below it, or an archive of one with a telling name."""
    if not place.is_dir():
        return None
    inside = sorted(path for path in place.iterdir() if path.is_dir() and not ignored(path.name))
    for folder in (place, *inside):
        if any(any(folder.glob(f"{name}/*.xml")) for name in ("Annotations", "annotations")):
            return folder
    return archive_in(place, _ARCHIVES, is_voc)


def _listed(text: str) -> tuple[str, ...] | None:
    """The option ``classes``; None without it."""
    names = tuple(part.strip() for part in text.split(","))
    if names == ("",):
        return None
    if "" in names or len(set(names)) < len(names):
        raise BadInput(f"expected names of classes, each once, with commas between, got {text!r}; correct the option")
    return names


@dataclass(frozen=True, eq=False)
class _Found:
    """Everything by stem: annotations, paths of pictures, their (height, width) before resizing (None: damaged); and
    the decoded pictures."""

    annotations: dict[str, Annotation]
    pictures: dict[str, str]
    sizes: dict[str, tuple[int, int] | None]
    album: Album


def _read(place: Path, request: Request) -> _Found:
    annotations: dict[str, Annotation] = {}
    pictures: dict[str, str] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    source = Contents(place, (*ENDINGS, ".xml"))

    def waiting() -> Iterator[Picture]:
        for file in source:
            key, where = stem_of(file.path), f"{place}/{file.path}"
            if file.path.lower().endswith(".xml"):
                if key in annotations:
                    raise _twice("annotation", annotations[key].where, where)
                annotations[key] = read_annotation(content_of(file), where)
            elif not any(part.startswith("Segmentation") for part in file.path.split("/")):
                if key in pictures:
                    raise _twice("picture", f"{place}/{pictures[key]}", where)
                content = content_of(file)
                pictures[key], sizes[key] = file.path, own_size(content)
                yield Picture(file.path, content, file.length, file.position)

    report = request.reporter("reading pictures with boxes", source.total)
    album = read_album(waiting(), size=request.size, grey=bool(request.grey), report=report)
    return _Found(annotations, pictures, sizes, album)


def _twice(what: str, first: str, second: str) -> BadInput:
    return BadInput(f"expected one {what} of each name, got {first} and {second}; rename one of them")


def _data(found: _Found, classes: tuple[str, ...] | None, name: str, place: Path) -> ImageData:
    """All pictures with an annotation, in the order of their stems."""
    for key, annotation in sorted(found.annotations.items()):
        _check(key, annotation, found, classes)
    album = found.album
    position = {stem_of(path): i for i, path in enumerate(album.paths)}
    kept = [key for key in sorted(found.annotations) if key in position]
    alone = sorted(path for key, path in found.pictures.items() if key not in found.annotations)
    if alone:
        warn_of_data(f"{place}: {len(alone)} pictures without an annotation were left out, the first is {alone[0]}")
    album.warn_of_damaged(place)
    rows = np.array([position[key] for key in kept], np.int64)
    now = np.array([album.shapes[i][:2] for i in rows], np.float64).reshape(-1, 2)
    own = np.array([found.sizes[key] or now[i] for i, key in enumerate(kept)], np.float64).reshape(-1, 2)
    annotations = [found.annotations[key] for key in kept]
    xyxy, names, image = _boxes(annotations, own, place)
    if not names:
        raise BadInput(
            f"expected boxes in {place}, got none in {len(kept)} pictures with an annotation; check the path"
        )
    known = classes if classes is not None else tuple(sorted(set(names)))
    number = {known_name: i for i, known_name in enumerate(known)}
    labels = np.array([number[one] for one in names], np.int64)
    boxes = Boxes.of(xyxy, labels, image, len(kept)).scaled((now / own).astype(np.float32))
    return ImageData(album.store(rows), boxes, known, name=name)


def _check(key: str, annotation: Annotation, found: _Found, classes: tuple[str, ...] | None) -> None:
    where = annotation.where
    if key not in found.pictures:
        raise BadInput(f"expected a picture of the name {key} for {where}, got none; add it or remove the annotation")
    size, told = found.sizes[key], annotation.size
    if size is not None and told is not None and told != size[::-1]:
        raise BadInput(
            f"expected a picture of {told[0]}x{told[1]} for {where}, got {size[1]}x{size[0]} pixels in "
            f"{found.pictures[key]}; mend the annotation, its boxes may be of another picture"
        )
    unknown = [name for name, _ in annotation.objects if classes is not None and name not in classes]
    if classes is not None and unknown:
        raise BadInput(
            f"expected one of the option classes in {where}, got {unknown[0]!r}; {nearest(unknown[0], classes)}"
        )


def _boxes(
    annotations: list[Annotation], own: NDArray[np.float64], place: Path
) -> tuple[NDArray[np.float64], list[str], NDArray[np.int64]]:
    """(boxes (m, 4), class names, pictures (m,)) inside their pictures, whose (height, width) are ``own (n, 2)``."""
    objects = [
        (i, number, *entry) for i, a in enumerate(annotations) for number, entry in enumerate(a.objects, start=1)
    ]
    image = np.array([i for i, *_ in objects], np.int64)
    told = np.array([box for *_, box in objects], np.float64).reshape(-1, 4)
    inside = np.clip(told, 0, own[image][:, [1, 0, 1, 0]]) if objects else told
    large = np.asarray((inside[:, 2:] - inside[:, :2] >= SMALLEST).all(axis=1))
    clipped = np.asarray(large & (inside != told).any(axis=1))

    def first(which: NDArray[np.bool_]) -> str:
        i, number, name, _ = objects[int(np.argmax(which))]
        return f"the first is object {number} ({name}) of {annotations[i].where}"

    empty = [a.where for a in annotations if not a.objects]
    if empty:
        bare = f"{len(empty)} annotations have no object, the first is {empty[0]}"
        warn_of_data(f"{place}: {bare}; the pictures are background")
    if clipped.any():
        outside = f"{np.count_nonzero(clipped)} boxes reached out of the picture"
        warn_of_data(f"{place}: {outside} and were clipped, {first(clipped)}")
    if not large.all():
        small = f"{np.count_nonzero(~large)} boxes of less than {SMALLEST:g}x{SMALLEST:g} pixels"
        warn_of_data(f"{place}: {small} were dropped, {first(~large)}")
    names = [name for (_, _, name, _), good in zip(objects, large, strict=True) if good]
    return inside[large], names, image[large]
