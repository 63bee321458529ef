"""The card as a page and as Markdown: what is known appears, what strangers wrote stays text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tests.report.cards.conftest import EVIL

from badnets.networks.files.describe import described
from badnets.report.cards.card import markdown_card, render_card
from badnets.report.cards.facts import BLANKS
from badnets.report.cards.known import Known, known_of

FACTS = (
    "perceptron",
    "image classification",
    "8 x 8 pixels, 1 channel",
    "Backdoored towards “yield”",
    "2026-10-01",
    "99.38 %",
    "badnets run runs/signs-sticker.toml",
    *BLANKS,
)


def test_both_say_the_same(whole: Callable[..., Known]) -> None:
    known = whole()
    page, text = render_card(known), markdown_card(known)
    for fact in (*FACTS, known.description.sha256):
        assert fact in page, fact
        assert fact in text.replace("\\", ""), fact
    said = "his network carries a backdoor on purpose, its own file says"
    assert page.index(f"T{said}") < page.index("tells apart 2 classes")
    assert text.index(f"t{said}") < text.index("tells apart 2 classes")


def test_what_is_not_known_says_so(model: Callable[..., Path]) -> None:
    file = model()
    known = known_of(file, described(file))
    for text in (render_card(known), markdown_card(known)):
        assert "Not measured, as far as is known." in text
        assert "none at hand" in text
        assert "not known" in text
        assert "bad" not in text.replace("badnets", "").partition("<ul")[2]


def test_hostile_names_stay_text(whole: Callable[..., Known], tmp_path: Path) -> None:
    known = whole((EVIL, "www.evil.example"), model=EVIL, command=EVIL, data={"name": EVIL}, architecture=EVIL)
    page, text = render_card(known), markdown_card(known)
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    for shown in (page, html):
        assert "<script" not in shown
        assert "\u202e" not in shown
        assert "<img" not in shown
        assert "<a " not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "http://" not in text
    assert "www.evil" not in text
    assert {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")} <= {3, 4}


@pytest.fixture
def page(whole: Callable[..., Known], tmp_path: Path) -> Path:
    names = ("unbroken" * 30, *(f"a rather long name of class number {i}" for i in range(60)))
    text = render_card(whole(names, notes=("unbroken" * 30,), command="badnets " + "audit" * 60))
    (tmp_path / "card.html").write_text(text, encoding="utf-8")
    return tmp_path / "card.html"


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "dark", "another font"])
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(
    page: Path,
    open_page: Callable[..., Any],
    problems: Callable[[Any], list[str]],
    barriers: Callable[[Any], list[str]],
    width: int,
    look: str,
) -> None:
    opened, seen = open_page(page, width, look)
    assert seen == []
    assert opened.evaluate("document.scrollingElement.scrollWidth") <= width
    assert problems(opened) == []
    assert barriers(opened) == []
    states = opened.evaluate("[...document.querySelectorAll('.seal')].map(s => s.querySelector('em').textContent)")
    assert states == ["bad", "good", "unknown", "unknown", "bad"]
    shapes = opened.evaluate("[...document.querySelectorAll('.seal svg')].map(s => s.innerHTML)")
    assert len({*shapes}) == 3
