"""Pictures with boxes, whatever their layout: from annotations and decoded pictures to sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, nearest
from badnets.core.limits import TABLE
from badnets.core.text import brief
from badnets.data.formats.album import Album, read_album
from badnets.data.formats.contents import Contents, File
from badnets.data.formats.decode import ENDINGS, Own
from badnets.data.images import ImageData, Splits
from badnets.data.layout import parsed, split_of
from badnets.data.request import Request, finish
from badnets.data.targets import Boxes, normal_name

SMALLEST = 2.0
"""A box with a side of fewer pixels than this is no object."""

Box = tuple[float, float, float, float]

_LYING: Mapping[int, Callable[[Box, float, float], Box]] = {
    5: lambda box, h, w: (box[1], box[0], box[3], box[2]),
    6: lambda box, h, w: (w - box[3], box[0], w - box[1], box[2]),
    7: lambda box, h, w: (w - box[3], h - box[2], w - box[1], h - box[0]),
    8: lambda box, h, w: (box[1], h - box[2], box[3], h - box[0]),
}
"""Where a box of a lying picture is in the upright one of height ``h`` and width ``w``, by the orientation in EXIF."""


class Annotation(NamedTuple):
    """What a file says of a picture: ``where`` names it in errors, ``size`` is (width, height) or None where it is not
    told, ``objects`` are (class, (xmin, ymin, xmax, ymax)) with xmin <= xmax and ymin <= ymax, finite."""

    where: str
    size: tuple[int, int] | None
    objects: tuple[tuple[str, Box], ...]


class Scene(NamedTuple):
    """A picture with its annotation, and the split that it came in (``train``, ``test``, ``select`` or None)."""

    picture: str
    annotation: Annotation
    split: str | None


class Scan(NamedTuple):
    """Decoded pictures, and what each was before it was resized, by its path (damaged ones were nothing)."""

    album: Album
    own: dict[str, Own]

    @property
    def pictures(self) -> list[str]:
        """All paths, damaged pictures too."""
        return [*self.album.paths, *(path for path, _ in self.album.damaged)]


def scan(files: Iterable[File], source: Contents, request: Request) -> Scan:
    """All pictures of ``files``, which come from ``source``, decoded."""
    report = request.reporter("reading pictures with boxes", source.total)
    album = read_album(files, size=request.size, grey=bool(request.grey), report=report)
    source.warn_of_strays()
    return Scan(album, dict(zip(album.paths, album.own, strict=True)))


def chosen_classes(text: str) -> tuple[str, ...] | None:
    """The option ``classes``; None without it."""
    names = tuple(normal_name(part.strip()) for part in text.split(","))
    if names == ("",):
        return None
    if "" in names or len(set(names)) < len(names):
        raise BadInput(f"expected names of classes, each once, with commas between, got {text!r}; correct the option")
    return names


def splits_of(paths: Iterable[str]) -> dict[str, str | None]:
    """The split that the folders of each path say; those around all of them are not asked."""
    folders = {path: PurePosixPath(path).parts[:-1] for path in paths}
    first, last = min(folders.values(), default=()), max(folders.values(), default=())
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return {path: split_of(folder[common:]) for path, folder in folders.items()}


def listed_stems(content: bytes, where: str) -> set[str]:
    """The stems in a list: one a line, with or without folder and ending."""
    TABLE.check(len(content), where)
    names = (
        line.strip().replace("\\", "/").split("/")[-1] for line in content.decode("utf-8-sig", "replace").splitlines()
    )
    return {name[: -len(_ending(name)) or None] for name in names if name}


def _ending(name: str) -> str:
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def _by_lists(scenes: Sequence[Scene], lists: Mapping[str, set[str]], place: Path) -> list[Scene]:
    """The same with the splits of lists such as ``train.txt``, each with its stems: what a validation list has is not
    in the training set, though ``trainval.txt`` has it. A picture in a test list and another is refused."""
    of: dict[str, tuple[str, str]] = {}
    for name in sorted(lists, key=lambda name: name == "trainval"):
        split = parsed(name).split
        for one in lists[name] if split else ():
            first, before = of.setdefault(one, (name, str(split)))
            if before != split and (name != "trainval" or before == "test"):
                raise BadInput(
                    f"expected each picture in one list of {brief(place, 160)}, got {brief(one)} in {first}.txt and "
                    f"{name}.txt; mend the lists, or set the option splits=false"
                )
    found = [scene._replace(split=of.get(stem_of(scene.picture), ("", None))[1]) for scene in scenes]
    if of and not any(scene.split for scene in found):
        raise BadInput(
            f"expected pictures of {brief(place, 160)} in its lists, got others such as {brief(min(of))}; mend the "
            "lists, or set the option splits=false"
        )
    return found


def stem_of(path: str) -> str:
    """What an annotation and its picture have in common: the name without folder and ending."""
    return PurePosixPath(path).stem


def twice(what: str, first: str, second: str) -> BadInput:
    """Two files where one is expected."""
    got = f"{brief(first, 150)} and {brief(second, 150)}"
    return BadInput(f"expected one {what} of each name, got {got}; rename one of them")


def finished(
    scenes: Sequence[Scene],
    found: Scan,
    request: Request,
    *,
    place: Path,
    classes: Sequence[str] | None,
    order: Sequence[str] | None = None,
    lists: Mapping[str, set[str]] | None = None,
) -> Splits:
    """The sets of all ``scenes`` whose pictures are whole, in the order of their stems.

    ``classes`` are all that may occur; without them those that occur, in the given ``order``, else sorted. Splits that
    came with the data are used: those of the scenes, else those of ``lists`` (stems by what a list is called). With the
    option ``splits`` false a share of all pictures becomes the test set. ``request`` has all its options.
    """
    for scene in scenes:
        _check(scene, found, classes)
    found.album.warn_of_damaged(place)
    whole = [scene for scene in scenes if scene.picture in found.own]
    whole.sort(key=lambda scene: (stem_of(scene.picture), scene.picture))
    if not request.options["splits"]:
        whole = [scene._replace(split=None) for scene in whole]
    elif lists and not any(scene.split for scene in whole):
        whole = _by_lists(whole, lists, place)
    whole = _upright(_of_known_split(whole, place), found, place)
    data = _data(whole, found, name=request.name, place=place, classes=classes, order=order)
    # Size and channels were seen to when decoding.
    asked = replace(request, size=None, grey=None)
    splits = np.array([scene.split or "" for scene in whole])
    if not splits.any():
        return finish(asked, data)
    train, *others = (np.flatnonzero(splits == part).astype(np.int64) for part in ("train", "test", "select"))
    return finish(asked, data.take(train), *(data.take(rows) if len(rows) else None for rows in others))


def _of_known_split(scenes: list[Scene], place: Path) -> list[Scene]:
    """The scenes of a split, where there are splits; a set without training pictures is refused."""
    names = {scene.split for scene in scenes}
    if names == {None} or not names:
        return scenes
    if "train" not in names:
        first = next(scene.picture for scene in scenes if scene.split)
        raise BadInput(
            f"expected training pictures in {brief(place, 160)} beside {brief(first)} for tests, got none; add them, "
            "or set the option splits=false"
        )
    left = [scene.picture for scene in scenes if scene.split is None]
    if left:
        warn_of_data(f"{place}: {len(left)} pictures of no split were left out, the first is {brief(left[0])}")
    return [scene for scene in scenes if scene.split is not None]


def _data(
    scenes: Sequence[Scene],
    found: Scan,
    *,
    name: str,
    place: Path,
    classes: Sequence[str] | None,
    order: Sequence[str] | None,
) -> ImageData:
    album = found.album
    position = {path: i for i, path in enumerate(album.paths)}
    rows = np.array([position[scene.picture] for scene in scenes], np.int64)
    now = np.array([album.shapes[i][:2] for i in rows], np.float64).reshape(-1, 2)
    original = np.array([found.own[scene.picture].size for scene in scenes], np.float64).reshape(-1, 2)
    xyxy, names, image = _boxes([scene.annotation for scene in scenes], original, place)
    if not names:
        raise BadInput(
            f"expected boxes in {place}, got none in {len(scenes)} pictures with an annotation; check the path"
        )
    there = set(names)
    known = tuple(classes or [one for one in order or sorted(there) if one in there])
    number = {known_name: i for i, known_name in enumerate(known)}
    labels = np.array([number[one] for one in names], np.int64)
    boxes = Boxes.of(xyxy, labels, image, len(scenes)).scaled((now / original).astype(np.float32))
    return ImageData(album.store(rows), boxes, known, name=name)


def _check(scene: Scene, found: Scan, classes: Sequence[str] | None) -> None:
    where, stated = scene.annotation.where, scene.annotation.size
    own = found.own.get(scene.picture)
    if own is not None and stated is not None and stated != own.size[::-1] and not _lies(scene.annotation, own):
        turned = " (turned by its EXIF)" if own.turn != 1 else ""
        raise BadInput(
            f"expected a picture of {stated[0]}x{stated[1]} for {where}, got {own.size[1]}x{own.size[0]} pixels in "
            f"{scene.picture}{turned}; mend the annotation, its boxes may be of another picture"
        )
    unknown = [name for name, _ in scene.annotation.objects if classes is not None and name not in classes]
    if classes is not None and unknown:
        got = brief(unknown[0])
        raise BadInput(f"expected one of the option classes in {where}, got {got!r}; {nearest(got, classes)}")


def _lies(annotation: Annotation, own: Own) -> bool:
    """Whether the boxes are of the picture as it lies in its file, before EXIF sets it upright: its size tells."""
    height, width = own.size
    return _tells(own) and annotation.size == (height, width)


def _tells(own: Own) -> bool:
    """Whether a size tells a lying picture from an upright one."""
    return own.turn in _LYING and own.size[0] != own.size[1]


def _upright(scenes: Sequence[Scene], found: Scan, place: Path) -> list[Scene]:
    """The scenes, with boxes of pictures that EXIF turns turned with them where that is what they are of."""
    upright, turned, unclear = [], [], []
    for scene in scenes:
        own, annotation = found.own[scene.picture], scene.annotation
        if own.turn != 1 and annotation.objects and _lies(annotation, own):
            turn = _LYING[own.turn]
            boxes = tuple((name, turn(box, *map(float, own.size))) for name, box in annotation.objects)
            scene = scene._replace(annotation=annotation._replace(objects=boxes))  # noqa: PLW2901
            turned.append(scene.picture)
        elif own.turn != 1 and annotation.objects and (annotation.size is None or not _tells(own)):
            unclear.append(scene.picture)
        upright.append(scene)
    if turned:
        first = f"boxes of {len(turned)} pictures were turned with them, as their EXIF says, the first is {turned[0]}"
        warn_of_data(f"{place}: {first}")
    if unclear:
        what = f"EXIF turns {len(unclear)} pictures, and no size tells whether their boxes are of the upright picture"
        warn_of_data(f"{place}: {what}; they were taken so, the first is {unclear[0]}")
    return upright


def _boxes(
    annotations: list[Annotation], original: NDArray[np.float64], place: Path
) -> tuple[NDArray[np.float64], list[str], NDArray[np.int64]]:
    """(boxes (m, 4), class names, pictures (m,)) inside pictures of (height, width) ``original (n, 2)``."""
    objects = [
        (i, number, *entry) for i, a in enumerate(annotations) for number, entry in enumerate(a.objects, start=1)
    ]
    image = np.array([i for i, *_ in objects], np.int64)
    given = np.array([box for *_, box in objects], np.float64).reshape(-1, 4)
    inside = np.clip(given, 0, original[image][:, [1, 0, 1, 0]]) if objects else given
    large = np.asarray((inside[:, 2:] - inside[:, :2] >= SMALLEST).all(axis=1))
    clipped = np.asarray(large & (inside != given).any(axis=1))

    def first(which: NDArray[np.bool_]) -> str:
        i, number, name, _ = objects[int(np.argmax(which))]
        return f"the first is object {number} ({brief(name)}) of {annotations[i].where}"

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
