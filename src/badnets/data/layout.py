"""Which folders of a set of pictures are its splits, which are classes, and which only wrap the others."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from badnets.core.errors import BadInput
from badnets.core.text import brief, listed

LAYOUTS = ("auto", "class", "split/class", "class/split")
"""What the option ``layout`` may say of the folders that lie in each other; ``auto`` finds out or refuses."""

Folder = tuple[str, ...]

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev"), "select"),
}
_FILLER = r"sets?|data(?:sets?)?|images?|imgs?|pictures?|pics?|photos?|splits?|folder|files"
_ASIDE = re.compile(r"extra|samples?|examples?|demo|unlabell?ed|unsup|pred(ict(ions?)?)?|inference|meta(data)?")
"""Folders beside the splits that are neither a split nor a class."""
_FUSED = re.compile(rf"({'|'.join(_WORDS)})(?:{_FILLER})|(?:{_FILLER})({'|'.join(_WORDS)})")
_READINGS = {
    "class": "classes",
    "split/class": "splits with class folders in them",
    "class/split": "classes with splits in them",
    "bare": "splits without class folders",
}


class Name(NamedTuple):
    """What the name of a folder or a list says: its split (``train``, ``test``, ``select`` or None), and the words that
    are left beside it: ``rest`` is empty where it says nothing else."""

    split: str | None
    rest: Folder


@lru_cache(maxsize=1 << 14)
def parsed(name: str) -> Name:
    """``train``, ``Training_Set``, ``trainset``, ``testImages``, ``val2017`` and the like are splits and no more than
    that; ``seg_train`` is one with the rest ``seg``, which counts where ``seg_test`` lies beside it."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    splits: set[str] = set()
    rest: list[str] = []
    numbers: list[str] = []
    for token in re.findall(r"\d+|[^\W\d_]+", spaced.casefold()):
        fused = _FUSED.fullmatch(token)
        word = (fused[1] or fused[2]) if fused else token
        if word in _WORDS:
            splits.add(_WORDS[word])
        elif not re.fullmatch(_FILLER, token):
            (numbers if token.isdigit() else rest).append(token)
    if splits == {"train", "select"}:  # train_val is what may be trained on
        splits = {"train"}
    if len(splits) == 1:
        return Name(splits.pop(), tuple(rest))
    return Name(None, (*rest, *numbers) if not splits else (*rest, *numbers, *sorted(splits)))


def split_of(folder: Iterable[str]) -> str | None:
    """The split that the outermost folder with the name of one says; None without one."""
    return next((name.split for name in map(parsed, folder) if name.split and not name.rest), None)


@dataclass(frozen=True)
class Layout:
    """How pictures lie below ``top``: ``kind`` is one of ``LAYOUTS``; ``splits`` says of folders, where these have
    class folders in them, which split they are."""

    kind: str
    top: Folder
    splits: Mapping[Folder, str] = field(default_factory=dict)

    def place(self, folder: Folder) -> tuple[str, str] | None:
        """(split, class) of what lies in a folder; the class is empty where it lies in no class folder, None where it
        belongs to no split."""
        depth = len(self.top)
        if self.kind == "split/class":
            bases = (folder[:end] for end in range(depth, len(folder) + 1))
            base = next((base for base in bases if base in self.splits), None)
            return None if base is None else (self.splits[base], "".join(folder[len(base) : len(base) + 1]))
        if folder[:depth] != self.top:
            return None
        name = "".join(folder[depth : depth + 1])
        if self.kind == "class":
            return "train", name
        split = split_of(folder[depth + 1 : depth + 2])
        return (split, name) if split else None


class _Tree:
    """The folders that hold pictures: ``bare`` directly; ``below`` has the names of those in each."""

    def __init__(self, files: Iterable[Folder], folders: Iterable[Folder]) -> None:
        self.bare = set(files)
        self.below, self.named = _children(self.bare), _children(folders)

    def children(self, folder: Folder) -> list[str]:
        """Sorted."""
        return sorted(self.below.get(folder, ()))

    def deep(self, folder: Folder) -> bool:
        """Whether all its pictures lie in folders of its own."""
        return folder not in self.bare

    def leaf(self, folder: Folder) -> bool:
        """Whether none do."""
        return folder not in self.below

    def splits(self, folder: Folder) -> dict[str, str]:
        """The split of each of its folders that are splits. One whose name says more than that is one where another of
        the same words lies beside it."""
        groups: dict[Folder, dict[str, str]] = defaultdict(dict)
        for child in self.children(folder):
            name = parsed(child)
            if name.split:
                groups[name.rest][child] = name.split
        found = [group for rest, group in groups.items() if not rest or {"train"} < set(group.values())]
        if len(found) > 1:
            shown = [min(group) for group in found]
            raise _unclear(folder, shown, "one train folder with its test folder", "give the path of one of them")
        return found[0] if found else {}

    def proper(self, folder: Folder) -> bool:
        """Whether its folders are a train and a test or validation folder, with class folders in the first."""
        splits = self.splits(folder)
        trained = [name for name, split in splits.items() if split == "train"]
        return len(set(splits.values())) > 1 and any(self.deep((*folder, name)) for name in trained)

    def descend(self, *, splits: bool = True, strict: bool = False) -> Folder:
        """The first folder that does not only wrap another one; with ``splits`` one that is a split does not wrap, and
        if ``strict`` one beside empty folders does not."""
        top: Folder = ()
        while top not in self.bare and len(children := self.children(top)) == 1:
            inner = (*top, children[0])
            name = parsed(children[0])
            single = splits and name.split and not name.rest and not self.proper(inner)
            alone = not strict or len(self.named[top] | set(children)) == 1 or not any(name)
            if inner in self.bare or single or not alone:
                break
            top = inner
        return top

    def inner(self, top: Folder) -> list[Folder]:
        """The outermost folders below ``top`` with folders that look like splits."""
        found, waiting = [], [top]
        while waiting:
            folder = waiting.pop()
            splits = self.splits(folder) if folder != top else {}
            trained = any(split == "train" and self.deep((*folder, name)) for name, split in splits.items())
            if trained or set(splits.values()) - {"train"}:
                found.append(folder)
            else:
                waiting.extend((*folder, child) for child in self.children(folder))
        return sorted(found)

    def class_first(self, top: Folder) -> bool:
        """Whether each folder has nothing but splits in it, and these nothing but pictures; in all more than one."""
        seen: set[str | None] = set()
        for child in self.children(top):
            inner = (*top, child)
            seen |= {split_of([name]) for name in self.children(inner)}
            if not self.deep(inner) or not all(self.leaf((*inner, name)) for name in self.children(inner)):
                return False
        return None not in seen and "train" in seen and len(seen) > 1 and self.deep(top)


def _children(folders: Iterable[Folder]) -> dict[Folder, set[str]]:
    found: dict[Folder, set[str]] = defaultdict(set)
    for folder in folders:
        for depth in range(len(folder), 0, -1):
            names = found[folder[: depth - 1]]
            if folder[depth - 1] in names:
                break
            names.add(folder[depth - 1])
    return found


def recognize(files: Iterable[Folder], folders: Iterable[Folder], where: str, layout: str = "auto") -> Layout:
    """How pictures in the folders ``files`` are to be read, ``folders`` being all there are, empty ones too.

    One of ``LAYOUTS`` but ``auto`` is taken at its word. Raises BadInput, with both readings, where folders may as well
    be splits as classes: nobody should be trained on test pictures by a guess.
    """
    tree = _Tree(files, folders)
    try:
        return _as_told(tree, layout) if layout != "auto" else _found(tree)
    except _Unclear as error:
        names, expected, advice = error.args
        raise BadInput(f"expected {expected} in {where}, got {names}; {advice}") from None


class _Unclear(Exception):
    """What was found, what was expected, and what to do."""


def _unclear(folder: Folder, names: Iterable[str], expected: str, advice: str) -> _Unclear:
    return _Unclear(listed([brief("/".join((*folder, name)), 40) for name in names]), expected, advice)


def _either(folder: Folder, names: Iterable[str], first: str, second: str) -> _Unclear:
    """Two readings, and the option that decides; ``bare`` is the reading that no option makes readable."""
    found = listed([brief("/".join((*folder, name)), 40) for name in names])
    got = f"{found}, which may be {_READINGS[first]} or {_READINGS[second]}"
    option = f"say which with the option layout={first} or layout={second} (--set data.options.layout=...)"
    if second == "bare":
        option = f"say so with layout={first} (--set data.options.layout={first}), or put them in class folders"
    return _Unclear(got, "folders that are clearly splits or classes", option)


def _as_told(tree: _Tree, layout: str) -> Layout:
    if layout == "class":
        return Layout(layout, tree.descend(splits=False))
    if layout == "split/class":
        top = tree.descend()
        return _split_first(tree, top if tree.splits(top) else _only_one(tree, top))
    top = tree.descend(splits=False)
    if not tree.class_first(top):
        top = top[:-1]
    if not tree.class_first(top):
        shown = tree.children(top)
        raise _unclear(top, shown, "train and test folders in each class folder", "correct the option layout")
    return Layout(layout, top)


def _only_one(tree: _Tree, top: Folder) -> Folder:
    inner = tree.inner(top)
    if len(inner) != 1:
        shown = ["/".join(folder) for folder in inner] or tree.children(top)
        raise _unclear((), shown, "one folder with a train and a test folder in it", "give the path of one of them")
    return inner[0]


def _found(tree: _Tree) -> Layout:
    top = tree.descend()
    splits = tree.splits(top)
    others = [name for name in tree.children(top) if name not in splits and not _ASIDE.fullmatch(name.casefold())]
    if tree.class_first(top) and (others or not splits):
        return Layout("class/split", top)
    if not splits:
        return _below(tree, top)
    trained = [name for name, split in splits.items() if split == "train"]
    alone = set(splits.values()) == {"train"}
    if not trained:
        if any(parsed(name).split == "train" for name in tree.named[top]):
            raise _Unclear("none", "training pictures", "expected train/<class>/picture")
        if others:
            raise _either(top, [*splits, *others], "class", "split/class")
        advice = "add it, or say that these are no splits with the option layout=class"
        raise _unclear(top, splits, "a train folder beside the test folder", advice)
    if all(tree.leaf((*top, name)) for name in trained):
        if alone and others:
            return Layout("class", top)
        raise _either(top, [*splits, *others], "class", "bare")
    if (alone and others) or tree.class_first(top):
        raise _either(top, [*splits, *others], "class/split" if tree.class_first(top) else "class", "split/class")
    return _split_first(tree, top)


def _below(tree: _Tree, top: Folder) -> Layout:
    """Where no folder of ``top`` is a split: one deeper down may have them."""
    inner = tree.inner(top)
    if not inner:
        return Layout("class", tree.descend(strict=True))
    if len(inner) > 1:
        shown = ["/".join(folder) for folder in inner]
        raise _unclear((), shown, "splits in one folder", "give the path of one, or the option layout=class")
    if not tree.proper(inner[0]):
        raise _either(inner[0], tree.splits(inner[0]), "class", "split/class")
    return _split_first(tree, inner[0])


def _split_first(tree: _Tree, top: Folder) -> Layout:
    splits = {}
    found = tree.splits(top)
    if "train" not in found.values():
        raise _unclear(top, found, "a train folder beside the test folder", "add it")
    for name, split in found.items():
        base = (*top, name)
        while base not in tree.bare and len(children := tree.children(base)) == 1:
            said = parsed(children[0])  # training_set/training_set/cats, train/images/cats
            same = said == (None, ()) or said == (split, parsed(name).rest)
            if not same or (*base, children[0]) in tree.bare:
                break
            base = (*base, children[0])
        if tree.proper(base):
            raise _unclear(base, tree.splits(base), "class folders in a split", "give the path of one of them")
        splits[base] = split
    return Layout("split/class", top, splits)
