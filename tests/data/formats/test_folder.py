from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import CacheWarning, DataWarning
from badnets.core.errors import BadInput
from badnets.data.formats import folder as folder_module
from badnets.data.images import ArrayStore, TakenStore
from badnets.data.load import load


def picture(seed: int, *shape: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def save(path: Path, seed: int = 0, shape: tuple[int, ...] = (4, 5, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, *shape).save(path)
    return path


def packed(source: Path, path: Path, names: list[str] | None = None) -> Path:
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as tar:
        for name in names or ["."]:
            tar.add(source / name, arcname=name)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three classes, 6 + 2 pictures each."""
    base = tmp_path / "pets"
    for part, count in (("train", 6), ("test", 2)):
        for number, name in enumerate(("cat", "dog", "emu")):
            for i in range(count):
                save(base / part / name / f"{i}.png", seed=100 * number + 10 * count + i)
    return base


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "own-cache"))
    return tmp_path / "own-cache"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that pictures are decoded and not taken from the cache."""
    calls: list[str] = []
    original = folder_module.decode_into

    def counted(*args: object, **kwargs: object) -> object:
        calls.append("decoded")
        return original(*args, **kwargs)

    monkeypatch.setattr(folder_module, "decode_into", counted)
    return calls


def test_folder_and_tar_in_any_order_are_the_same(pets: Path, tmp_path: Path) -> None:
    data = load(pets)
    assert data.train.name == "pets"
    assert data.class_names == ("cat", "dog", "emu")
    assert (len(data.train), len(data.test), len(data.select)) == (18, 6, 0)
    assert isinstance(data.train.pixels, ArrayStore)
    assert np.array_equal(data.train.images()[7], np.asarray(Image.open(pets / "train" / "dog" / "1.png")))
    backwards = sorted((p.relative_to(pets).as_posix() for p in pets.rglob("*.png")), reverse=True)
    for place in (packed(pets, tmp_path / "a.tar.gz"), packed(pets, tmp_path / "b.tar", backwards)):
        again = load(place)
        assert again.train.digest == data.train.digest
        assert again.test.digest == data.test.digest
        assert again.train.name == place.name.split(".")[0]


def test_nothing_is_unpacked(pets: Path, tmp_path: Path, own_cache: Path) -> None:
    place = packed(pets, tmp_path / "x.tar.gz")
    load(place)
    assert sorted(p.name for p in (own_cache / "pictures").rglob("*") if p.is_file()) == ["index.json", "pixels.bin"]


def test_one_folder_is_split_by_seed(tmp_path: Path) -> None:
    for number, name in enumerate(("2", "10", "1")):
        for i in range(10):
            save(tmp_path / "d" / name / f"{i}.png", seed=10 * number + i)
    data = load(tmp_path / "d", seed=1, test_share=0.3, select=0.5)
    assert data.class_names == ("1", "2", "10")
    assert np.bincount(data.test.labels).tolist() == [3, 3, 3]
    assert len(data.train) + len(data.select) == 21
    assert load(tmp_path / "d", seed=1, test_share=0.3).test.digest == data.test.digest
    assert load(tmp_path / "d", seed=2, test_share=0.3).test.digest != data.test.digest


def test_val_is_the_select_set(pets: Path) -> None:
    save(pets / "val" / "emu" / "0.png")
    data = load(pets)
    assert data.select.labels.tolist() == [2]
    assert len(data.train) == 18


def test_second_load_is_from_the_cache(pets: Path, own_cache: Path, decodings: list[str]) -> None:
    first = load(pets)
    assert load(pets).train.digest == first.train.digest
    assert len(decodings) == 1
    load(pets, size=3)
    assert len(decodings) == 2
    os.utime(pets / "train" / "cat" / "0.png", ns=(1, 1))
    load(pets)
    assert len(decodings) == 3


def test_damaged_cache_is_made_anew(pets: Path, own_cache: Path, decodings: list[str]) -> None:
    first = load(pets)
    for file in own_cache.rglob("pixels.bin"):
        file.write_bytes(b"short")
    with pytest.warns(CacheWarning, match="damaged in the cache, and made anew"):
        assert load(pets).train.digest == first.train.digest
    assert len(decodings) == 2


def test_mapped_is_the_same(pets: Path) -> None:
    data = load(pets, options={"map_above": 10})
    store = data.train.pixels
    assert isinstance(store, TakenStore)
    assert isinstance(store.base, ArrayStore)
    assert isinstance(store.base.array, np.memmap) or isinstance(store.base.array.base, np.memmap)
    assert data.train.digest == load(pets).train.digest


@pytest.mark.parametrize("mixed", [False, True])
def test_unwritable_cache(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: bool) -> None:
    if mixed:
        save(pets / "train" / "cat" / "grey.png", shape=(4, 5))
    expected = load(pets).train.digest
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file"))
    with pytest.warns(CacheWarning) as caught:
        data = load(pets)
    assert len(caught) == 1
    assert data.train.digest == expected


def test_all_grey_stay_grey_and_a_mixture_is_color(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / "g" / "ab"[i % 2] / f"{i}.png", seed=i, shape=(4, 5))
    assert load(tmp_path / "g").train.shape == (4, 5, 1)
    assert load(tmp_path / "g", grey=False).train.shape == (4, 5, 3)
    save(tmp_path / "g" / "a" / "9.png", seed=9)
    mixed = load(tmp_path / "g")
    assert mixed.train.shape == (4, 5, 3)
    assert np.array_equal(mixed.train.images(), load(tmp_path / "g", options={"map_above": 1}).train.images())
    assert load(tmp_path / "g", grey=True).train.shape == (4, 5, 1)


def test_mixed_sizes_stay_mixed_until_a_size(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "m" / "ab"[i % 2] / f"{i}.png", seed=i, shape=(4 + i, 5, 3))
    data = load(tmp_path / "m")
    assert data.train.pixels.shape is None
    with pytest.raises(BadInput, match="mixed sizes"):
        data.train.images()
    sized = load(tmp_path / "m", size=(3, 2))
    assert sized.train.shape == (3, 2, 3)
    assert np.array_equal(sized.train.images(), data.train.resize((3, 2)).images())


def test_other_files_and_hidden_ones_are_ignored(pets: Path) -> None:
    expected = load(pets).train.digest
    for name in ("train/cat/notes.txt", "train/cat/._0.png", "__MACOSX/train/cat/0.png", ".cache/x.png"):
        (pets / name).parent.mkdir(parents=True, exist_ok=True)
        (pets / name).write_bytes(b"no picture")
    assert load(pets).train.digest == expected


def test_endings_in_capitals(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "c" / "ab"[i % 2] / f"{i}.JPG", seed=i)
    assert len(load(tmp_path / "c").train) == 4


def test_one_class_only_is_said(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "c" / "a" / f"{i}.png", seed=i)
    with pytest.warns(DataWarning, match=r"c: all pictures are of one class \(a\), so there is nothing to tell apart"):
        assert len(load(tmp_path / "c").train) == 2


@pytest.mark.parametrize("as_tar", [False, True])
def test_empty_class_is_dropped_from_all_sets(pets: Path, tmp_path: Path, as_tar: bool) -> None:
    (pets / "train" / "ant").mkdir()
    save(pets / "test" / "ant" / "0.png")
    place = packed(pets, tmp_path / "x.tar") if as_tar else pets
    with pytest.warns(DataWarning, match="class ant has no training pictures"):
        data = load(place)
    assert data.class_names == ("cat", "dog", "emu")
    assert len(data.test) == 6


@pytest.mark.parametrize("as_tar", [False, True])
def test_corrupt_pictures_are_named(pets: Path, tmp_path: Path, as_tar: bool) -> None:
    for i in range(4):
        file = pets / "train" / "dog" / f"{i}.png"
        file.write_bytes(file.read_bytes()[:60])
    place = packed(pets, tmp_path / "x.tar") if as_tar else pets
    with pytest.raises(BadInput) as caught:
        load(place)
    text = str(caught.value)
    assert "got 4 damaged pictures: train/dog/0.png (" in text
    assert "train/dog/2.png" in text
    assert "train/dog/3.png" not in text
    assert "and 1 more" in text
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(DataWarning, match=r"skipped 4 damaged pictures: train/dog/0.png"):
            data = load(place, options={"skip_corrupt": True})
        assert np.bincount(data.train.labels).tolist() == [6, 2, 6]


def test_nothing_but_corrupt_pictures(tmp_path: Path) -> None:
    (tmp_path / "x" / "a").mkdir(parents=True)
    (tmp_path / "x" / "a" / "1.png").write_bytes(b"")
    with pytest.raises(BadInput, match="1 damaged picture"):
        load(tmp_path / "x", options={"skip_corrupt": True})


def _empty(path: Path) -> Path:
    (path / "train" / "a").mkdir(parents=True)
    (path / "train" / "a" / "x.txt").write_text("")
    return path


@pytest.mark.parametrize("make", [_empty, lambda p: packed(_empty(p), p.parent / "e.tar")], ids=["folder", "tar"])
def test_without_a_picture(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(BadInput, match=r"expected pictures in .*, got none"):
        load(make(tmp_path / "e"))


def test_truncated_tar_leaves_no_cache(pets: Path, tmp_path: Path, own_cache: Path) -> None:
    place = packed(pets, tmp_path / "x.tar.gz")
    place.write_bytes(place.read_bytes()[:-200])
    with pytest.raises(BadInput, match=r"whole tar archive at .*x.tar.gz"):
        load(place)
    assert not any(p.is_file() for p in (own_cache / "pictures").rglob("*"))


def test_tar_with_a_path_that_leaves(pets: Path, tmp_path: Path, own_cache: Path) -> None:
    place = packed(pets, tmp_path / "x.tar")
    with tarfile.open(place, "a") as tar:
        info = tarfile.TarInfo("../../evil.png")
        tar.addfile(info, io.BytesIO())
    with pytest.raises(BadInput, match="a path that leaves its folder"):
        load(place)
    assert not any(p.is_file() for p in (own_cache / "pictures").rglob("*"))


def test_links_are_followed_but_not_round_in_circles(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(pets, target_is_directory=True)
    (pets / "train" / "cat" / "loop").symlink_to(pets / "train", target_is_directory=True)
    data = load(tmp_path / "linked")
    assert len(data.train) == 18
    assert data.train.name == "pets"


def test_one_picture_is_too_few_for_two_sets(tmp_path: Path) -> None:
    save(tmp_path / "x" / "a" / "1.png")
    with pytest.raises(BadInput, match="at least 2 pictures in some class"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"skip_corupt": True}, "did you mean 'skip_corrupt'"), ({"skip_corrupt": "yes"}, "skip_corrupt .* as bool")],
)
def test_options(pets: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(pets, options=options)


def test_progress(pets: Path, tmp_path: Path, own_cache: Path) -> None:
    for place in (pets, packed(pets, tmp_path / "x.tar")):
        steps: list[tuple[str, int, int]] = []
        load(place, progress=lambda *step, steps=steps: steps.append(step))
        what, done, total = steps[-1]
        assert what == f"decoding {'pets' if place is pets else 'x'}"
        assert 0 < done <= total


@pytest.mark.data
def test_real_cats_and_dogs(shared_data: Path) -> None:
    data = load(shared_data / "cats-dogs.tar.gz", size=32)
    assert data.train.name == "cats-dogs"
    assert data.class_names == ("cats", "dogs")
    assert (len(data.train), len(data.test)) == (2000, 1000)
    assert data.train.shape == (32, 32, 3)


@pytest.mark.data
@pytest.mark.slow
def test_real_cifar10_jpeg(shared_data: Path) -> None:
    data = load(shared_data / "cifar10-jpeg.tar.gz")
    assert data.train.name == "cifar10-jpeg"
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.train.shape == (32, 32, 3)
