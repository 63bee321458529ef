"""The page in a real browser: desk and phone, light and dark, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.files import whole_file
from badnets.records.run import RunRecord
from badnets.report import render_compare, render_page

LONG = "unbroken" * 30
KINDS = ("one seed", "five seeds", "many classes", "comparison", "detector", "detectors of three seeds")
LOOKS = ("light", "dark", "another font")
Problems = Callable[[Any], list[str]]
pytestmark = pytest.mark.browser


def _many_classes(record: RunRecord) -> RunRecord:
    rng = np.random.default_rng(0)
    names = tuple(f"a rather long name of class number {i}" for i in range(43))
    counts = (np.diag(rng.integers(100, 900, 43)) + rng.integers(0, 2, (43, 43))).tolist()
    results = record.results.model_copy(update={"confusion_clean": counts, "confusion_triggered": counts[::-1]})
    long = {"name": LONG, "command": f"badnets run {LONG}.toml"}
    return record.model_copy(update={"class_names": names, "results": results, **long})


@pytest.fixture
def written(
    tmp_path: Path,
    record_of_seeds: Callable[[int], RunRecord],
    pictures: dict[str, np.ndarray],
    detector_record: Callable[..., RunRecord],
    detector_pictures: dict[str, np.ndarray],
) -> Callable[[str], Path]:
    """``written("five seeds")``: the path of a page."""

    def write(kind: str) -> Path:
        record = record_of_seeds(5 if kind == "five seeds" else 1)
        if kind == "comparison":
            text = render_compare([_many_classes(record), record_of_seeds(5), detector_record(3)])
        elif kind.startswith("detector"):
            text = render_page(detector_record(3 if "three" in kind else 1), detector_pictures)
        else:
            text = render_page(_many_classes(record) if kind == "many classes" else record, pictures)
        path = tmp_path / "page.html"
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_whole(
    written: Callable[[str], Path], open_page: Callable[..., Any], problems: Problems, width: int, look: str, kind: str
) -> None:
    page, seen = open_page(written(kind), width, look)
    assert seen == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert problems(page) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_a_page_has_no_barriers(
    written: Callable[[str], Path], open_page: Callable[..., Any], barriers: Problems, look: str, kind: str
) -> None:
    assert barriers(open_page(written(kind), 390, look)[0]) == []


def test_dark_is_dark(written: Callable[[str], Path], open_page: Callable[..., Any]) -> None:
    path = written("one seed")
    colors = [open_page(path, 1280, s)[0].evaluate("getComputedStyle(document.body).backgroundColor")
              for s in ("light", "dark")]  # fmt: skip
    assert colors == ["rgb(255, 255, 255)", "rgb(19, 21, 24)"]


@pytest.mark.parametrize("kind", ["one seed", "detector"])
def test_small_pictures_are_shown_at_whole_number_scale(
    written: Callable[[str], Path], open_page: Callable[..., Any], kind: str
) -> None:
    path = written(kind)
    scales = "[...document.images].map(i => i.getBoundingClientRect().width / i.naturalWidth)"
    for width in (1280, 390):
        page, _ = open_page(path, width, "light")
        found = page.evaluate(scales)
        assert found
        assert all(abs(scale - round(scale)) < 1e-6 for scale in found)
        assert page.evaluate("getComputedStyle(document.images[0]).imageRendering") == "pixelated"


@pytest.mark.parametrize("kind", ["one seed", "detector"])
def test_print_fits_the_paper(written: Callable[[str], Path], open_page: Callable[..., Any], kind: str) -> None:
    page, _ = open_page(written(kind), 700, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["one seed", "detector"])
def test_keyboard_reaches_what_scrolls(
    written: Callable[[str], Path], open_page: Callable[..., Any], kind: str
) -> None:
    page, _ = open_page(written(kind), 390, "light")
    stuck = """() => [...document.querySelectorAll("*")].filter(e => e.scrollWidth > e.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"""
    assert page.evaluate(stuck) == 0
