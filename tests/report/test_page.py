"""The page as text: complete, escaped, and content with what a record need not have."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.records.read import read_as
from badnets.records.results import ClassifierFigures
from badnets.records.run import RunRecord
from badnets.report import render_compare, render_page, write_page

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "link", "img", "br"}


class Checked(HTMLParser):
    """Collects tags and refuses unbalanced ones."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_write_page_puts_one_small_file_into_the_run(run_folder: Path) -> None:
    path = write_page(run_folder)
    assert path == run_folder / "report.html"
    assert path.stat().st_size < 1_500_000
    assert sorted(p.name for p in run_folder.iterdir()) == ["pictures.npz", "record.json", "report.html"]
    elsewhere = write_page(run_folder, run_folder.parent / "shown" / "page.html")
    assert elsewhere.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("seeds", [1, 5])
def test_everything_is_on_the_page(
    record_of_seeds: Callable[[int], RunRecord], pictures: dict[str, np.ndarray], seeds: int
) -> None:
    text = render_page(record_of_seeds(seeds), pictures)
    page = Checked(text)
    for heading in ("How often", "More pictures", "Training", "Which class", "Class by class", "How to repeat it"):
        assert heading in text
    assert "badnets run runs/signs-sticker.toml" in text
    assert "[backdoor.trigger]" in text
    assert ("counts pooled" in text.split("</section>")[1]) == (seeds > 1)
    assert [t for t, _ in page.tags].count("h1") == 1
    assert [t for t, _ in page.tags].count("main") == 1
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes["alt"]
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
    assert [t for t, _ in page.tags].count("table") == [t for t, _ in page.tags].count("caption")


def test_nothing_is_loaded_and_nothing_runs(record: RunRecord, pictures: dict[str, np.ndarray]) -> None:
    text = render_page(record, pictures)
    assert "default-src 'none'" in text
    tags = {tag for tag, _ in Checked(text).tags}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "video", "form"})
    assert not re.search(r"https?://|@import|url\(", text)


def test_missing_pictures_and_figures(pictures: dict[str, np.ndarray], record: RunRecord) -> None:
    assert "<img" not in render_page(record, {})
    only = {name: pictures[name] for name in ("clean", "triggered")}
    assert Checked(render_page(record, only)).tags
    bare = ClassifierFigures(clean_accuracy=record.results.clean_accuracy)
    page = render_page(record.model_copy(update={"results": bare, "training": (), "examples": ()}), {})
    assert "The success of the trigger was not measured." in page
    assert "Class by class" not in page


@pytest.mark.parametrize("name", ["mnist-badnets", "scenes-square", "signs-sticker"])
def test_committed_records_have_a_page(name: str) -> None:
    record = read_as(Path(__file__).resolve().parents[2] / "results" / name, RunRecord)
    assert Checked(render_page(record, {})).tags


_FIXED = ("finished", "badnets/run/1", "backdoored", "clean reference", "add", "pictures")


def _poison_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _poison_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_poison_text(v) for v in value]
    return EVIL if isinstance(value, str) and value not in _FIXED else value


def test_all_text_is_escaped(record: RunRecord, pictures: dict[str, np.ndarray]) -> None:
    text = _poison_text(record.to_json())
    text["environment"]["versions"][EVIL] = EVIL
    text["files"][EVIL] = EVIL
    evil = RunRecord.model_validate(text)
    for text in (render_page(evil, pictures), render_compare([evil])):
        assert "<script" not in text
        for _, attributes in Checked(text).tags:
            assert not any(name.startswith("on") for name in attributes)


def test_many_classes_and_large_pictures_stay_small(record: RunRecord) -> None:
    rng = np.random.default_rng(0)
    k = 43
    maps = {f"confusion_{of}": rng.integers(0, 40, (k, k)).tolist() for of in ("clean", "triggered")}
    results = record.results.model_copy(update=maps)
    record = record.model_copy(update={"class_names": tuple(f"class {i}" for i in range(k)), "results": results})
    noise = rng.integers(0, 256, (6, 300, 280, 3), dtype=np.uint8)
    arrays = {"clean": noise, "triggered": noise[::-1].copy(), "mask": noise[..., 0], "trigger": noise[0]}
    assert len(render_page(record, arrays)) < 1_500_000


def test_grey_pictures(record: RunRecord, pictures: dict[str, np.ndarray]) -> None:
    grey = {name: array if name == "mask" else array[..., :1] for name, array in pictures.items()}
    assert "data:image/png" in render_page(record, grey)


def test_wrong_input_is_named(run_folder: Path, record: RunRecord) -> None:
    with pytest.raises(BadInput, match="uint8"):
        render_page(record, {"clean": np.zeros((1, 4, 4, 3))})
    np.savez(run_folder / "pictures.npz", clean=np.array([{}], dtype=object))
    with pytest.raises(BadInput, match=r"pictures\.npz"):
        write_page(run_folder)
    (run_folder / "pictures.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(BadInput, match=r"pictures\.npz"):
        write_page(run_folder)
    (run_folder / "record.json").write_text("{}")
    with pytest.raises(BadInput, match="badnets/run/1"):
        write_page(run_folder)


def test_a_picture_inside_the_spec_is_cut(record: RunRecord) -> None:
    record.resolved["backdoor"]["trigger"]["png"] = "A" * 50_000
    assert "50,000 characters" in render_page(record, {})
    assert "A" * 100 not in render_page(record, {})


def test_a_select_set_is_named(record: RunRecord) -> None:
    words = "measured on a select set, not on the test set"
    data = {**record.resolved["data"], "select": 0.2}
    assert words in render_page(record.model_copy(update={"resolved": {**record.resolved, "data": data}}), {})
    assert words not in render_page(record, {})


def test_report_leaves_torch_out() -> None:
    code = "import sys, badnets.report; print([m for m in ('torch', 'matplotlib', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
