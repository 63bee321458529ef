"""A poisoned set as PNG files: what is written, that it can be loaded, and that it appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.backdoors.backdoor import poison
from badnets.backdoors.export import export_pngs
from badnets.backdoors.plan import Mode, Part, Poisoned
from badnets.backdoors.rules import AllToOne
from badnets.backdoors.triggers import Pattern, Pixel
from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.data.load import load

NAMES = ("stop", "go", "left")


def _poisoned(mode: Mode = "replace", names: tuple[str, ...] = NAMES, channels: int = 3) -> Poisoned:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 9, channels), np.uint8)
    data = ImageData.of(pixels, np.arange(30) % 3, class_names=names, name="tiny")
    parts = [
        Part(trigger=Pattern(), rule=AllToOne(target=1), count=4, cover=2),
        Part(trigger=Pixel(), rule=AllToOne(target=2), count=3),
    ]
    return poison(data, parts, mode=mode, seed=1)


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_and_a_list_of_changes(tmp_path: Path, mode: Mode, channels: int) -> None:
    poisoned = _poisoned(mode, channels=channels)
    out = tmp_path / "deep" / "out"
    manifest = export_pngs(poisoned, out)
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert manifest["format"] == "badnets/export/1"
    images = poisoned.data.images()
    for row, label in enumerate(poisoned.data.labels):
        picture = np.asarray(Image.open(out / NAMES[label] / f"{row:02d}.png"))
        np.testing.assert_array_equal(picture.reshape(8, 9, channels), images[row])
    assert len(list(out.glob("*/*.png"))) == len(poisoned) == manifest["pictures"]
    assert len(manifest["changed"]) == 9
    for entry in manifest["changed"]:
        row = int(Path(entry["file"]).stem)
        assert poisoned.is_poisoned[row]
        assert entry["file"] == f"{entry['planted_class']}/{row:02d}.png"
        assert entry["true_class"] == NAMES[poisoned.clean.labels[entry["source_row"]]]
        assert entry["cover"] == (entry["true_class"] == entry["planted_class"])
    assert sorted(e["trigger"] for e in manifest["changed"]) == ["pattern"] * 6 + ["pixel"] * 3


def test_it_can_be_loaded_again(tmp_path: Path) -> None:
    poisoned = _poisoned()
    export_pngs(poisoned, tmp_path / "out")
    sets = load(tmp_path / "out")
    assert sorted(sets.class_names) == sorted(NAMES)
    again = np.concatenate([sets.train.images(), sets.test.images()])
    labels = np.concatenate([sets.train.labels, sets.test.labels])
    found = {(sets.class_names[label], picture.tobytes()) for label, picture in zip(labels, again, strict=True)}
    wanted = {
        (NAMES[label], picture.tobytes())
        for label, picture in zip(poisoned.data.labels, poisoned.data.images(), strict=True)
    }
    assert found == wanted


def test_only_what_was_changed(tmp_path: Path) -> None:
    poisoned = _poisoned()
    manifest = export_pngs(poisoned, tmp_path / "out", only_changed=True)
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*")}
    assert written == {entry["file"] for entry in manifest["changed"]}
    assert manifest["pictures"] == 9
    assert all(any(folder.iterdir()) for folder in (tmp_path / "out").iterdir() if folder.is_dir())


def test_any_class_name_makes_a_folder(tmp_path: Path) -> None:
    names = ("a/b", "..", "Test", "A-b", "x" * 300, "", ".hidden", "con:1", "ü")
    pixels = np.zeros((9, 8, 8, 1), np.uint8)
    data = ImageData.of(pixels, np.arange(9), class_names=names)
    manifest = export_pngs(poison(data, [Part(trigger=Pixel(), rule=AllToOne(target=0), count=1)]), tmp_path / "out")
    folders = [entry["folder"] for entry in manifest["classes"]]
    assert [entry["name"] for entry in manifest["classes"]] == list(names)
    assert len({folder.lower() for folder in folders}) == 9
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == sorted(folders)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 9


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    calls = []
    save = Image.Image.save

    def fail(self: Image.Image, *args: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise error
        save(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(type(error)):
        export_pngs(_poisoned(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(BadInput, match="choose another"):
            export_pngs(_poisoned(), place)
    (tmp_path / "empty").mkdir()
    export_pngs(_poisoned(), tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.json").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_progress(tmp_path: Path) -> None:
    seen = []
    export_pngs(_poisoned(), tmp_path / "out", progress=lambda what, done, total: seen.append((what, done, total)))
    assert seen == [("writing pictures", 30, 30)]
