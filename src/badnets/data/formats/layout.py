"""From paths to sets and classes: ``train/<class>/...`` and ``test/<class>/...``, or ``<class>/...``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.text import listed

_SETS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "select"),
}

Parts = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """Which pictures make which set.

    ``rows[set]`` are positions in the list of paths, sorted by class and path, ``labels[set]`` their classes; sets are
    ``train`` and where there are such folders ``test`` and ``select``.
    """

    class_names: tuple[str, ...]
    rows: Mapping[str, NDArray[np.int64]]
    labels: Mapping[str, NDArray[np.int64]]


def ignored(path: str) -> bool:
    """Whether a path is hidden, or one of the shadows that macOS puts into archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def natural(names: Iterable[str]) -> list[str]:
    """Sorted; by value where all names are whole numbers."""
    listed = list(names)
    numeric = all(name.isascii() and name.isdigit() for name in listed)
    return sorted(listed, key=lambda name: (int(name), name)) if numeric else sorted(listed)


def arrange(paths: Sequence[str], folders: Iterable[str], where: str) -> Layout:
    """The layout of the pictures ``paths``, with the ``folders`` there are, empty ones too; ``/`` between parts.

    One wrapping top folder is skipped. Classes without a training picture are dropped from all sets, with a warning.
    """
    files: list[Parts] = [tuple(path.split("/")) for path in paths]
    if not files:
        raise BadInput(f"expected pictures in {where}, got none; expected train/<class>/picture or <class>/picture")
    dirs: set[Parts] = {tuple(folder.split("/")) for folder in folders}
    dirs.update(parts[:depth] for parts in {parts[:-1] for parts in files} for depth in range(1, len(parts) + 1))
    files, dirs = _unwrapped(files, dirs)
    tops = {parts[0] for parts in dirs}
    if any(_SETS.get(top.lower()) == "train" for top in tops):
        return _by_sets(paths, files, dirs, where)
    if any(_SETS.get(top.lower()) == "test" for top in tops):
        raise BadInput(f"expected a train folder beside the test folder in {where}, got none; add it")
    classes = [parts[0] if len(parts) > 1 else "" for parts in files]
    return _layout(paths, ["train"] * len(files), classes, {("train", parts[0]) for parts in dirs}, where)


def _unwrapped(files: list[Parts], dirs: set[Parts]) -> tuple[list[Parts], set[Parts]]:
    """Without the one top folder that all lie in, where there are class folders below it."""
    tops = {parts[0] for parts in dirs} | {parts[0] for parts in files}
    alone = len(tops) == 1 and all(len(parts) > 2 for parts in files)
    if not alone or next(iter(tops)).lower() in _SETS:
        return files, dirs
    return [parts[1:] for parts in files], {parts[1:] for parts in dirs if len(parts) > 1}


def _by_sets(paths: Sequence[str], files: list[Parts], dirs: set[Parts], where: str) -> Layout:
    other = sorted({parts[0] for parts in files if parts[0].lower() not in _SETS})
    if other:
        warn_of_data(f"{where}: beside the train folder, {listed(other)} is neither test nor val and was left out")
    sets = [_SETS.get(parts[0].lower(), "") for parts in files]
    classes = [parts[1] if len(parts) > 2 else "" for parts in files]
    folders = {(_SETS[parts[0].lower()], parts[1]) for parts in dirs if len(parts) > 1 and parts[0].lower() in _SETS}
    return _layout(paths, sets, classes, folders, where)


def _layout(
    paths: Sequence[str], sets: list[str], classes: list[str], folders: set[tuple[str, str]], where: str
) -> Layout:
    """``sets`` and ``classes`` of each path ("" for none), and the (set, class) folders that are there."""
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
    _warn_of_empty(folders, filled, trained, where)
    names = natural(trained)
    number = {name: i for i, name in enumerate(names)}
    rows: dict[str, NDArray[np.int64]] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    for wanted in ("train", "test", "select"):
        members = [i for i, part in enumerate(sets) if part == wanted and classes[i] in number]
        if members:
            members.sort(key=lambda i: (number[classes[i]], paths[i]))
            rows[wanted] = np.array(members, np.int64)
            labels[wanted] = np.array([number[classes[i]] for i in members], np.int64)
    return Layout(tuple(names), rows, labels)


def _warn_of_empty(folders: set[tuple[str, str]], filled: set[tuple[str, str]], trained: set[str], where: str) -> None:
    dropped = sorted({name for _, name in folders} - trained)
    if dropped:
        verb = "has" if len(dropped) == 1 else "have"
        warn_of_data(f"{where}: class {listed(dropped)} {verb} no training pictures; dropped from all sets")
    untested = sorted({name for part, name in folders - filled if part == "test" and name in trained})
    if untested:
        warn_of_data(f"{where}: the test folder of class {listed(untested)} is empty; it stays in the training set")
