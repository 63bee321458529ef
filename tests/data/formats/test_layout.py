from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.formats.contents import ignored
from badnets.data.formats.folder import arrange, natural


def sets(paths: list[str], folders: list[str] | None = None) -> dict[str, list[tuple[str, str]]]:
    names, parts = arrange(paths, folders or [], "DATA")
    return {
        part: [(paths[row], names[label]) for row, label in zip(rows, labels, strict=True)]
        for part, (rows, labels) in parts.items()
    }


@pytest.mark.parametrize("top", ["", "wrap/"])
def test_train_and_test(top: str) -> None:
    paths = [f"{top}train/b/1.png", f"{top}test/a/1.png", f"{top}train/a/2.png", f"{top}train/a/1.png"]
    assert sets(paths) == {
        "train": [(paths[3], "a"), (paths[2], "a"), (paths[0], "b")],
        "test": [(paths[1], "a")],
    }


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_is_the_select_set(name: str) -> None:
    assert sets(["Train/a/1.png", f"{name}/a/2.png"])["select"] == [(f"{name}/a/2.png", "a")]


@pytest.mark.parametrize("top", ["", "wrap/"])
def test_one_folder(top: str) -> None:
    assert sets([f"{top}b/1.png", f"{top}a/deep/er/1.png"]) == {
        "train": [(f"{top}a/deep/er/1.png", "a"), (f"{top}b/1.png", "b")]
    }


def test_one_class_is_no_wrapper() -> None:
    assert sets(["a/1.png", "a/2.png"]) == {"train": [("a/1.png", "a"), ("a/2.png", "a")]}


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True), st.randoms(use_true_random=False))
def test_numbers_are_in_order_of_their_value(numbers: list[int], shuffle: random.Random) -> None:
    names = [str(n) for n in numbers]
    shuffle.shuffle(names)
    assert natural(names) == [str(n) for n in sorted(numbers)]


def test_other_names_are_in_alphabetical_order() -> None:
    assert natural(["10", "9", "x"]) == ["10", "9", "x"]


def test_empty_class_is_dropped_from_all_sets() -> None:
    with pytest.warns(DataWarning, match=r"class b, c have no training pictures; dropped from all sets"):
        got = sets(["train/a/1.png", "test/a/1.png", "test/b/1.png", "val/b/1.png"], ["train/b", "test/c"])
    assert got == {"train": [("train/a/1.png", "a")], "test": [("test/a/1.png", "a")]}
    with pytest.warns(DataWarning, match="class c has no"):
        assert sets(["a/1.png", "b/1.png"], ["c"])["train"][1] == ("b/1.png", "b")


def test_class_without_test_pictures_stays() -> None:
    with pytest.warns(DataWarning, match="the test folder of class b is empty"):
        got = sets(["train/a/1.png", "train/b/1.png", "test/a/1.png"], ["test/b"])
    assert len(got["train"]) == 2


def test_other_folders_are_left_out_with_a_warning() -> None:
    with pytest.warns(DataWarning, match=r"neither train, test nor val were left out, the first is extra/a/1\.png"):
        assert set(sets(["train/a/1.png", "extra/a/1.png"])) == {"train"}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "expected pictures in DATA, got none"),
        (["1.png"], "in a class folder, got 1.png outside"),
        (["train/1.png", "train/a/2.png"], "in a class folder, got train/1.png outside"),
        (["a/1.png", "1.png", "2.png", "3.png", "4.png"], "got 1.png, 2.png, 3.png and 1 more outside"),
        (["test/a/1.png"], "expected a train folder beside the test folder"),
    ],
)
def test_refused(paths: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sets(paths)


def test_no_training_pictures() -> None:
    with pytest.raises(BadInput, match="expected training pictures in DATA"):
        sets(["test/a/1.png"], ["train"])


def test_hidden_files() -> None:
    assert ignored("a/._1.png")
    assert ignored("__MACOSX/a/1.png")
    assert not ignored("a/1.png")
