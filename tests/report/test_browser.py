"""The page in a real browser: desk and phone, light and dark, print."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.files import whole_file
from badnets.records.run import RunRecord
from badnets.report import render_compare, render_page, render_study_page

FIND_PROBLEMS = """() => {
  const found = [], wide = document.documentElement.clientWidth;
  const name = e => e.tagName + "." + (e.className.baseVal ?? e.className) + ": " + e.textContent.trim().slice(0, 40);
  const hidden = e => e.closest(".sr, title, desc, .scroll, pre, head, details:not([open])")
    || (e.closest("thead") && getComputedStyle(e.closest("thead")).position === "absolute");
  for (const e of document.querySelectorAll("body *")) {
    if (hidden(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.width && (box.left < -1 || box.right > wide + 1)) found.push("outside the page: " + name(e));
    if (!e.closest("svg") && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
        && !e.querySelector(".sr, svg")) found.push("wider than its box: " + name(e));
  }
  for (const i of document.images) {
    if (!i.alt.trim()) found.push("picture without a text: " + i.src.slice(0, 40));
    if (!i.naturalWidth) found.push("picture that does not load: " + i.alt);
  }
  for (const s of document.querySelectorAll("svg[role=img]"))
    if (!s.querySelector("title")?.textContent.trim() && !s.getAttribute("aria-label")) found.push("nameless drawing");
  for (const s of document.querySelectorAll("svg:not([role=img]):not([aria-hidden])"))
    if (!s.parentElement.closest("svg")) found.push("drawing neither named nor hidden: " + name(s));
  return found;
}"""

FIND_PALE_TEXT = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== "rgba(0, 0, 0, 0)") return c;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = [];
  const texts = "h1, h2, h3, p, li, th, td, dt, dd, small, figcaption, span, code, svg text";
  for (const e of document.querySelectorAll(texts)) {
    if (!e.textContent.trim() || e.closest(".on-color, .count")) continue;
    const style = getComputedStyle(e);
    const drawn = e.closest("svg"), a = light(drawn ? style.fill : style.color);
    const b = light(behind(drawn?.parentElement ?? e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${e.tagName} ${e.textContent.slice(0, 30)}`);
  }
  return pale;
}"""


LONG = "unbroken" * 30
KINDS = ("one seed", "five seeds", "many classes", "comparison", "detector", "detectors of three seeds")
STUDIES = ("study of pairs", "quick study", "study of labels")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, or a skip that says what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine (looked for chromium, chromium-browser, google-chrome)")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def _many_classes(record: RunRecord) -> RunRecord:
    rng = np.random.default_rng(0)
    names = tuple(f"a rather long name of class number {i}" for i in range(43))
    counts = (np.diag(rng.integers(100, 900, 43)) + rng.integers(0, 2, (43, 43))).tolist()
    results = record.results.model_copy(update={"confusion_clean": counts, "confusion_triggered": counts[::-1]})
    long = {"name": LONG, "command": f"badnets run {LONG}.toml"}
    return record.model_copy(update={"class_names": names, "results": results, **long})


@pytest.fixture(scope="module")
def open_page(browser: Any) -> Iterator[Callable[[Path, int, str], Any]]:
    """Opens a file at a width and in a color scheme; the page's ``seen`` are its requests and messages."""
    opened = []

    def start(path: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(180_000)  # a busy machine is no fault of the page
        opened.append(page)
        page.emulate_media(color_scheme=scheme)
        seen: list[str] = []
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("request", lambda request: seen.append(f"request: {request.url}"[:200]))
        page.goto(path.as_uri())
        return page, [s for s in seen if not s.startswith("request: data:") and s != f"request: {path.as_uri()}"]

    yield start
    for page in opened:
        page.close()


@pytest.fixture
def written(
    tmp_path: Path,
    record_of_seeds: Callable[[int], RunRecord],
    pictures: dict[str, np.ndarray],
    g1_study: Callable[..., dict[str, Any]],
    u1_study: Callable[..., dict[str, Any]],
    detector_record: Callable[..., RunRecord],
    detector_pictures: dict[str, np.ndarray],
) -> Callable[[str], Path]:
    """``written("five seeds")``: the path of a page."""
    studies = {
        "study of pairs": lambda: g1_study(5),
        "quick study": lambda: g1_study(2, quick=True),
        "study of labels": lambda: u1_study(3),
    }

    def write(kind: str) -> Path:
        record = record_of_seeds(5 if kind == "five seeds" else 1)
        if kind == "comparison":
            text = render_compare([_many_classes(record), record_of_seeds(5), detector_record(3)])
        elif kind.startswith("detector"):
            text = render_page(detector_record(3 if "three" in kind else 1), detector_pictures)
        elif kind in studies:
            text = render_study_page(studies[kind]())
        else:
            text = render_page(_many_classes(record) if kind == "many classes" else record, pictures)
        path = tmp_path / "page.html"
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("kind", [*KINDS, *STUDIES])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_whole(
    written: Callable[[str], Path], open_page: Callable[..., Any], width: int, scheme: str, kind: str
) -> None:
    page, seen = open_page(written(kind), width, scheme)
    assert seen == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(FIND_PROBLEMS) == []
    assert page.evaluate(FIND_PALE_TEXT) == []


def test_dark_is_dark(written: Callable[[str], Path], open_page: Callable[..., Any]) -> None:
    path = written("one seed")
    colors = [open_page(path, 1280, s)[0].evaluate("getComputedStyle(document.body).backgroundColor")
              for s in ("light", "dark")]  # fmt: skip
    assert colors == ["rgb(255, 255, 255)", "rgb(19, 21, 24)"]


@pytest.mark.parametrize("kind", ["one seed", "detector", "study of pairs"])
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


@pytest.mark.parametrize("kind", ["one seed", "detector", *STUDIES])
def test_print_fits_the_paper(written: Callable[[str], Path], open_page: Callable[..., Any], kind: str) -> None:
    page, _ = open_page(written(kind), 700, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["one seed", "detector", "study of pairs"])
def test_keyboard_reaches_what_scrolls(
    written: Callable[[str], Path], open_page: Callable[..., Any], kind: str
) -> None:
    page, _ = open_page(written(kind), 390, "light")
    stuck = """() => [...document.querySelectorAll("*")].filter(e => e.scrollWidth > e.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"""
    assert page.evaluate(stuck) == 0
