"""Splits that came with the data: what folders are called, where they lie, and what cannot be told apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.formats.folder import arrange
from badnets.data.layout import LAYOUTS, parsed

SPELLINGS = [
    ("train", "test"),
    ("Train", "Test"),
    ("TRAIN", "TEST"),
    ("training", "testing"),
    ("Training", "Testing"),
    ("training_set", "test_set"),
    ("training-set", "test-set"),
    ("Training Set", "Test Set"),
    ("trainingSet", "testSet"),
    ("trn", "tst"),
    ("train_set", "test_set"),
    ("trainset", "testset"),
    ("TrainSet", "TestSet"),
    ("train_images", "test_images"),
    ("images_train", "images_test"),
    ("train2017", "test2017"),
    ("train", "test1"),
    ("train_data", "testdata"),
    ("Train", "evaluation"),
    ("seg_train", "seg_test"),
    ("Final_Training", "Final_Test"),
    ("cats-dogs-train", "cats-dogs-test"),
    ("trainval", "test"),
]
TOPS = ["", "wrap/", "a/b/", "x/images/", "data/data/set/"]


def found(paths: Iterable[str], folders: Iterable[str] = (), layout: str = "auto") -> dict[str, dict[str, int]]:
    """How many pictures of each class each set has; the pictures of two sets are never the same."""
    given = list(paths)
    names, parts = arrange(given, folders, "DATA", layout)
    rows = [row for own, _ in parts.values() for row in own.tolist()]
    assert len(rows) == len(set(rows))
    return {
        part: {names[i]: labels.tolist().count(i) for i in sorted(set(labels.tolist()))}
        for part, (_, labels) in parts.items()
    }


def split_first(train: str, test: str, top: str = "", classes: tuple[str, str] = ("cat", "dog")) -> list[str]:
    sizes = ((train, 3), (test, 2))
    return [f"{top}{part}/{name}/{i}.png" for part, count in sizes for name in classes for i in range(count)]


BOTH = {"train": {"cat": 3, "dog": 3}, "test": {"cat": 2, "dog": 2}}


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize(("train", "test"), SPELLINGS)
def test_spellings(train: str, test: str, top: str) -> None:
    assert found(split_first(train, test, top)) == BOTH


@pytest.mark.parametrize("name", ["val", "Valid", "validation", "validation_set", "valset", "val2017", "dev"])
@pytest.mark.parametrize("top", ["", "x/images/"])
def test_a_validation_folder_is_never_trained_on(name: str, top: str) -> None:
    paths = [*split_first("train", "test", top), f"{top}{name}/dog/1.png"]
    assert found(paths) == {**BOTH, "select": {"dog": 1}}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["training_set/training_set/cats/1.png", "test_set/test_set/cats/1.png"], {"train": 1, "test": 1}),
        (["train/images/cats/1.png", "test/images/cats/1.png"], {"train": 1, "test": 1}),
        (["train/a/x/1.png", "train/b/1.png", "test/a/y/1.png"], {"train": 2, "test": 1}),
        (["img/train/a/1.png", "img/test/a/1.png", "cover.png"], {"train": 1, "test": 1}),
        (["img/train/a/1.png", "img/test/a/1.png", "docs/1.png"], {"train": 1, "test": 1}),
        (["seg_train/a/1.png", "seg_test/a/1.png", "seg_pred/1.png"], {"train": 1, "test": 1}),
        (["train/a/1.png", "test/1.png", "test/2.png"], {"train": 1}),
        (["trainingSet/trainingSet/0/1.png", "testSet/testSet/0/1.png"], {"train": 1, "test": 1}),
        (["train/a/1.png", "Training/a/2.png", "test/a/1.png"], {"train": 2, "test": 1}),
    ],
)
def test_other_shapes(paths: list[str], expected: dict[str, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert {part: sum(counts.values()) for part, counts in found(paths).items()} == expected


def test_what_is_left_out_is_said() -> None:
    with pytest.warns(DataWarning, match=r"DATA: 1 pictures that are neither .* left out, the first is docs/1\.png"):
        found([*split_first("train", "test", "img/"), "docs/1.png"])
    with pytest.warns(DataWarning, match=r"2 pictures of the test set lie in no class folder and were left out"):
        found(["train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png"])


def test_classes_that_are_called_like_splits() -> None:
    vehicles = [f"{name}/{i}.png" for name in ("bus", "car", "train") for i in range(2)]
    assert found(vehicles) == {"train": {"bus": 2, "car": 2, "train": 2}}
    assert found([f"wrap/up/{path}" for path in vehicles]) == found(vehicles)
    named = [*split_first("train", "test", classes=("test", "train")), "train/bus/1.png"]
    assert found(named) == {"train": {"bus": 1, "test": 3, "train": 3}, "test": {"test": 2, "train": 2}}
    assert found(["bullet train/1.png", "steam_train/2.png", "test tube/3.png"]) == {
        "train": {"bullet train": 1, "steam_train": 1, "test tube": 1}
    }
    assert found([f"{name}/{part}/1.png" for name in ("bus", "train") for part in ("train", "test")]) == {
        "train": {"bus": 1, "train": 1},
        "test": {"bus": 1, "train": 1},
    }


def test_splits_in_each_class_folder() -> None:
    paths = [f"d/{name}/{part}/{i}.png" for name in ("cat", "dog") for part in ("Train", "Test", "val") for i in (0, 1)]
    two = {"cat": 2, "dog": 2}
    assert found(paths) == {"train": two, "test": two, "select": two}
    assert found(paths, layout="class/split") == found(paths)


def test_classes_that_differ_by_case_alone_are_one() -> None:
    paths = ["train/Cat/1.png", "train/\N{LATIN SMALL LETTER U WITH DIAERESIS}/1.png", "test/cat/1.png"]
    got = found([*paths, "test/u\N{COMBINING DIAERESIS}/1.png", "val/CAT/1.png"])
    assert got["test"] == {"Cat": 1, "\N{LATIN SMALL LETTER U WITH DIAERESIS}": 1}
    assert got["select"] == {"Cat": 1}
    with pytest.warns(DataWarning, match="class CAT has no training pictures"):
        assert found(["train/Cat/1.png", "train/cat/1.png", "test/CAT/1.png"])["train"] == {"Cat": 1, "cat": 1}


UNCLEAR = {
    "bare splits": (["train/1.png", "test/2.png"], "class", "bare"),
    "bare splits and a class": (["train/1.png", "test/2.png", "quiz/3.png"], "class", "bare"),
    "bare test beside classes": (["cat/1.png", "dog/2.png", "test/3.png"], "class", "split/class"),
    "valid beside invalid": (["valid/1.png", "invalid/2.png"], "class", "split/class"),
    "train beside others": (["bus/x/1.png", "train/x/1.png"], "class", "split/class"),
    "test beside classes": (["cat/x/1.png", "dog/x/2.png", "test/x/3.png"], "class", "split/class"),
    "a test folder in a class": (["cat/1.png", "cat/test/2.png", "dog/1.png"], "class", "split/class"),
    "splits in splits": (
        [f"{one}/{two}/1.png" for one in ("train", "test") for two in ("train", "test")],
        "class/split",
        "split/class",
    ),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_cannot_be_told_apart_names_both_readings_and_the_option(case: str) -> None:
    paths, first, second = UNCLEAR[case]
    with pytest.raises(BadInput) as caught:
        found(paths)
    said = str(caught.value)
    readings = {
        "class": "classes",
        "split/class": "splits with class folders in them",
        "class/split": "classes with splits in them",
        "bare": "splits without class folders",
    }
    assert f"which may be {readings[first]} or {readings[second]}; " in said
    options = f"layout={first} or layout={second} (--set data.options.layout=...)"
    assert (options if second != "bare" else "layout=class (--set data.options.layout=class)") in said
    assert len(said) <= 400


def test_the_option_decides() -> None:
    assert found(UNCLEAR["bare splits"][0], layout="class") == {"train": {"test": 1, "train": 1}}
    vehicles = UNCLEAR["train beside others"][0]
    assert found(vehicles, layout="class") == {"train": {"bus": 1, "train": 1}}
    with pytest.warns(DataWarning, match=r"left out, the first is bus/x/1\.png"):
        assert found(vehicles, layout="split/class") == {"train": {"x": 1}}
    twice = UNCLEAR["splits in splits"][0]
    assert found(twice, layout="split/class") == {"train": {"test": 1, "train": 1}, "test": {"test": 1, "train": 1}}
    assert found(twice, layout="class/split") == found(twice, layout="split/class")
    with pytest.raises(BadInput, match=r"in a class folder, got train/1\.png outside"):
        found(UNCLEAR["bare splits"][0], layout="split/class")
    with pytest.raises(BadInput, match="train and test folders in each class folder in DATA, got cat, dog; correct"):
        found(["cat/1.png", "dog/1.png"], layout="class/split")
    with pytest.raises(BadInput, match="one folder with a train and a test folder in it in DATA, got cat, dog"):
        found(["cat/1.png", "dog/1.png"], layout="split/class")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([*split_first("train", "test", "one/"), *split_first("train", "test", "two/")], "splits in one folder"),
        (["cats_train/1.png", "cats_test/1.png", "dogs_train/1.png", "dogs_test/1.png"], "one train folder"),
        (
            [*split_first("train", "test", "train/"), "test/cat/1.png"],
            "class folders in a split in DATA, got train",
        ),
        (
            ["a/test/x/1.png", "a/val/x/1.png"],
            "a train folder beside the test folder in DATA, got a/test, a/val",
        ),
        (["train/1.png"], "which may be classes or splits without class folders; say so with layout=class"),
    ],
)
def test_refused(paths: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        found(paths)


NAMES = st.sampled_from(["train", "test", "val", "Testing", "cat", "dog", "images", "seg_train", "seg_test", "a", "0"])


@given(
    st.lists(st.tuples(st.lists(NAMES, max_size=4), st.integers(0, 3)), min_size=1, max_size=12),
    st.sampled_from(LAYOUTS),
)
def test_no_split_shares_a_picture_and_no_test_picture_is_trained_on(
    chosen: list[tuple[list[str], int]], layout: str
) -> None:
    paths = sorted({"/".join((*folder, f"{i}.png")) for folder, i in chosen})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            names, parts = arrange(paths, [], "DATA", layout)
        except BadInput as error:
            assert len(str(error)) <= 400
            return
    rows = [row for own, _ in parts.values() for row in own.tolist()]
    assert len(rows) == len(set(rows))
    if layout != "auto":
        return
    for part, (own, labels) in parts.items():
        for row, label in zip(own.tolist(), labels.tolist(), strict=True):
            said = {parsed(name).split for name in paths[row].split("/")[:-1] if name != names[label]} - {None}
            assert part in said or not said


def test_deep_and_many() -> None:
    deep = "/".join(["a"] * 400)
    assert found([f"{deep}/x/1.png", f"{deep}/y/1.png"]) == {"train": {"x": 1, "y": 1}}
    many = [f"{part}/{name}/{i}.png" for part in ("train", "test") for name in range(100) for i in range(20)]
    assert sum(found(many)["train"].values()) == 2000
