"""What strangers wrote, made harmless."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.files import dumps
from badnets.core.text import brief, escaped, neutral

HARMFUL = "\x00\x07\t\n\r\x1b\x7f\x80\x9b\u061c\u200e\u202e\u2028\u2029\u2066\ufeff\ud800\udcff\U000e0041"


@pytest.mark.parametrize("letter", HARMFUL)
def test_each_harmful_character_becomes_a_visible_one(letter: str) -> None:
    assert neutral(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"
    assert neutral(f"a{letter}b", keep=letter) == f"a{letter}b"


@pytest.mark.parametrize("text", ["plain", "Größe", "停止", "ایست", "क्‍ष", "👩‍🚒", "", "±15°"])
def test_what_people_write_stays(text: str) -> None:
    assert neutral(text) == text
    assert escaped(f'"{text}"') == f'"{text}"'


@given(st.text(st.characters(), max_size=300), st.integers(1, 50))
def test_never_longer_than_asked_for(text: str, most: int) -> None:
    shown = neutral(text, most)
    assert len(shown) == min(len(text), most)
    assert neutral(shown) == shown


def test_the_begin_and_the_end_stay() -> None:
    assert brief("expected " + "x" * 1000 + "; check the path", 41).startswith("expected xxx")
    assert brief("expected " + "x" * 1000 + "; check the path", 41).endswith("check the path")


@given(st.text(max_size=50))
def test_json_is_the_same_value_without_harmful_characters(text: str) -> None:
    shown = dumps({text: [text]}, indent=None)
    assert json.loads(shown) == {text: [text]}
    assert neutral(shown) == shown
    for encoding in ("ascii", "latin-1", "utf-8"):
        assert json.loads(escaped(shown, encoding).encode(encoding).decode(encoding)) == {text: [text]}
