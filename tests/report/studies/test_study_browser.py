"""Pages of studies, and the whole site, in a real browser."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.records.study import StudyRecord
from badnets.report import write_study

ROOT = Path(__file__).resolve().parents[3]
LOOKS = ("light", "dark", "another font")
KINDS = ("study of pairs", "quick study", "study of labels", "study of repairs")
WIDTHS = (1200, 390)
Open = Callable[..., Any]
Problems = Callable[[Any], list[str]]
UNFOLD = "document.querySelectorAll('details').forEach(d => d.open = true)"
NAMES = "[...document.querySelectorAll('table.sortable tbody:first-of-type tr:not(.group) th')].map(e => e.textContent)"

pytestmark = pytest.mark.browser


@pytest.fixture
def written(
    tmp_path: Path,
    g1_study: Callable[..., StudyRecord],
    u1_study: Callable[..., StudyRecord],
    repairs_study: StudyRecord,
) -> Callable[[str], Path]:
    """``written("quick study")``: the path of a page."""
    made = {
        "study of pairs": lambda: g1_study(5),
        "quick study": lambda: g1_study(2, quick=True),
        "study of labels": lambda: u1_study(3),
        "study of repairs": lambda: repairs_study,
    }
    return lambda kind: write_study(made[kind](), tmp_path / "page.html", title=kind, published="In words. " * 20)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages of the site, the index first."""
    pytest.importorskip("markdown_it", reason="the markdown-it-py package is not installed")
    build = runpy.run_path(str(ROOT / "docs" / "make_site.py"))["build"]
    pages: list[Path] = build(ROOT / "results", tmp_path_factory.mktemp("site") / "site")
    return pages


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("width", WIDTHS)
def test_page_is_whole(
    written: Callable[[str], Path], open_page: Open, problems: Problems, width: int, look: str, kind: str
) -> None:
    page, seen = open_page(written(kind), width, look)
    page.evaluate(UNFOLD)
    assert seen == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert problems(page) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_a_page_has_no_barriers(
    written: Callable[[str], Path], open_page: Open, barriers: Problems, look: str, kind: str
) -> None:
    page, _ = open_page(written(kind), 390, look)
    page.evaluate(UNFOLD)
    assert barriers(page) == []


def test_small_pictures_are_shown_at_whole_number_scale(written: Callable[[str], Path], open_page: Open) -> None:
    path = written("study of pairs")
    for width in WIDTHS:
        page, _ = open_page(path, width, "light")
        found = page.evaluate("[...document.images].map(i => i.getBoundingClientRect().width / i.naturalWidth)")
        assert found
        assert all(abs(scale - round(scale)) < 1e-6 for scale in found)
        assert page.evaluate("getComputedStyle(document.images[0]).imageRendering") == "pixelated"


@pytest.mark.parametrize("kind", KINDS)
def test_print_fits_the_paper_and_is_unfolded(written: Callable[[str], Path], open_page: Open, kind: str) -> None:
    page, _ = open_page(written(kind), 700, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_table_is_sorted_by_click(written: Callable[[str], Path], open_page: Open) -> None:
    page, _ = open_page(written("study of repairs"), 1200, "light")
    given = page.evaluate(NAMES)
    assert given[0] == "rnp"
    page.click("text='attack success left, %'")  # the smallest is the best
    assert page.evaluate(NAMES) == ["fine-tune", "nad", "anp", "i-bau", "unbroken" * 3, "rnp"]
    page.click("text='attack success left, %'")
    assert page.evaluate(NAMES) == ["unbroken" * 3, "i-bau", "anp", "nad", "fine-tune", "rnp"]  # without figures: last
    assert page.evaluate("[...document.querySelectorAll('[aria-sort]')].map(e => e.ariaSort)") == ["descending"]
    page.click("text='robust accuracy, %'")  # the largest is the best
    assert page.evaluate(NAMES)[0] == "fine-tune"
    page.click("text='method'")
    assert page.evaluate(NAMES) == sorted(given)
    assert page.evaluate("document.querySelectorAll('table.sortable .group').length") == 2


def test_a_table_is_sorted_by_keyboard(written: Callable[[str], Path], open_page: Open) -> None:
    page, _ = open_page(written("study of repairs"), 390, "light")
    page.focus("table.sortable thead th:nth-child(5) button")
    assert page.evaluate("document.activeElement.textContent") == "seconds"
    for key, first in (("Enter", "fine-tune"), ("Space", "unbroken" * 3)):
        page.keyboard.press(key)
        assert page.evaluate(NAMES)[0] == first
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("reactivated")


def test_a_wide_table_scrolls_and_keeps_its_names_in_sight(written: Callable[[str], Path], open_page: Open) -> None:
    page, _ = open_page(written("study of repairs"), 390, "light")
    name = "document.querySelector('table.sortable tbody tr:not(.group) th').getBoundingClientRect().left"
    before = page.evaluate(name)
    moved = "document.querySelector('.scroll').scrollTo(200, 0), document.querySelector('.scroll').scrollLeft"
    assert page.evaluate(moved) > 100
    assert abs(page.evaluate(name) - before) <= 1
    stuck = """() => [...document.querySelectorAll("*")].filter(e => e.scrollWidth > e.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"""
    assert page.evaluate(stuck) == 0


@pytest.mark.slow  # every page of the site, three times
@pytest.mark.parametrize(("width", "look"), [(1200, "light"), (390, "dark"), (390, "another font")])
def test_the_site_is_whole_and_every_link_leads_somewhere(
    site: list[Path], open_page: Open, problems: Problems, width: int, look: str
) -> None:
    assert len(site) >= 3
    linked: set[str] = set()
    for path in site:
        page, seen = open_page(path, width, look)
        page.evaluate(UNFOLD)
        assert seen == [], path.name
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path.name
        assert problems(page) == [], path.name
        links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        for link in links:
            file, _, anchor = link.partition("#")
            assert not file or (path.parent / file).is_file(), (path.name, link)
            assert not anchor or page.locator(f"[id='{anchor}']").count(), (path.name, link)
        linked.update(links)
        page.close()
    assert {path.name for path in site} <= linked


def test_the_index_leads_to_a_study_and_back(site: list[Path], open_page: Open) -> None:
    page, _ = open_page(site[0], 1200, "light")
    page.click("text='What repairs and abstainers do to the same BadNets'")
    assert page.url.endswith("/repairs.html")
    page.click("text='All studies'")
    assert page.url.endswith("/index.html")
