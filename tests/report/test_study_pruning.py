"""Pruning curves, bars and tables of methods on a study's page."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from badnets.core.files import write_json
from badnets.core.rate import Rate
from badnets.report.charts.study_pruning import Series, pruning_chart, pruning_charts, rate_bars
from badnets.report.pages.study_lists import list_tables
from badnets.report.pages.study_page import render_study_page, write_study_page

EVIL = "<script>alert(1)</script>"


def curve(field: str = "clean_accuracy", *, of: int = 4) -> list[dict[str, Any]]:
    return [{"channels": n, field: Rate(of - n, of).to_json(), "asr": Rate(of, of).to_json()} for n in range(of + 1)]


def published() -> list[dict[str, Any]]:
    return [{"channels": n, "clean_accuracy": {"value": 1 - n / 8}, "asr": {"value": 1.0}} for n in range(1, 5)]


def record(**more: Any) -> dict[str, Any]:
    return {"format": "badnets/study/1", "study": "vora2023-goodnet", "seeds": 3, "rows": [], **more}


def test_curves_of_one_chart_are_drawn_together_the_second_style_dashed() -> None:
    charts = pruning_charts({"ours, one": curve(), "published, one": published(), "ours, two": curve("test")})
    assert [chart["name"] for chart in charts] == ["one", "two"]
    first, second = charts
    assert [entry["name"] for entry in first["legend"]] == [
        "clean accuracy, ours",
        "attack success, ours",
        "clean accuracy, published",
        "attack success, published",
    ]
    assert first["svg"].count("trend clean dashed") == first["svg"].count("trend triggered dashed") == 1
    assert "dashed" not in second["svg"]
    assert first["spread"]
    assert not pruning_charts({"published, one": published()})[0]["spread"]
    assert "clean accuracy, ours: 100.00 % at 0, 75.00 % at 1" in unescape(first["svg"])


def test_a_chart_places_its_points_by_hand() -> None:
    series = Series(role="clean", style="ours", name="x", points=((0, 1.0, None, None), (60, 0.0, None, None)))
    svg = pruning_chart([series], title="t")["svg"]
    assert 'd="M56 12L422 240"' in svg  # the corners of the frame, six units off its sides
    assert "fill-opacity" not in svg  # no interval, no area
    banded = Series(role="triggered", style="ours", name="x", points=((0, 0.5, 0.25, 0.75), (60, 0.5, 0.0, 1.0)))
    assert 'd="M56 69L422 12L422 240L56 183Z"' in pruning_chart([banded], title="t")["svg"]


@pytest.mark.parametrize(
    "broken", [{}, {"a, b": None}, {"a, b": [None, 3, {"channels": "x"}]}, {"a, b": [{"channels": 1, "asr": None}]}]
)
def test_what_is_no_curve_draws_nothing(broken: dict[str, Any]) -> None:
    assert pruning_charts(broken) == []


def test_bars_carry_the_published_line_and_number() -> None:
    rows = [
        {"name": "2 points", "clean": Rate(3, 4).to_json(), "clean_published": 0.9, "triggered": Rate(1, 4).to_json()},
        {"name": "nothing"},
    ]
    (chart,) = rate_bars([{"title": "Pruned", "rows": rows}, {"title": "empty", "rows": []}, None])
    (row,) = chart["rows"]
    assert row["bars"].count('class="published"') == 1
    assert 'x1="90%"' in row["bars"]
    assert row["clean"]["interval"].split() == ["published", "90.00"]
    assert row["triggered"]["interval"] == ""


def test_tables_of_methods_group_by_network_and_say_why_there_is_no_figure() -> None:
    figure = {"value": -0.01, "low": -0.02, "high": 0.0}
    lines = [
        {"network": "lab3", "method": "nad", "lost": figure, "seconds": {"value": 12.34}, "cured": True},
        {"network": "other", "method": "anp", "note": "has no batch normalization"},
        {"network": "lab3", "method": "clp", "refused": "no norms"},
    ]
    (table,) = list_tables({"repairs": lines, "pairs": [{"a": 1}], "abstainers": None})
    assert table["texts"] == ["method"]
    assert [group["name"] for group in table["groups"]] == ["lab3", "other"]
    done, refused = table["groups"][0]["rows"]
    shown = dict(zip(table["figures"], done["figures"], strict=True))
    assert shown["clean accuracy lost, points"]["value"].strip() == "\N{MINUS SIGN}1.00"
    assert shown["seconds"]["value"] == "12.3"
    assert shown["cured"]["value"] == "yes"
    assert refused["note"] == "no norms"
    assert table["groups"][1]["rows"][0]["note"] == "has no batch normalization"


def test_a_page_has_what_its_record_has_escaped() -> None:
    rows = [{"name": EVIL, "clean": Rate(1, 2).to_json()}]
    full = record(
        figures={"pruning": {f"ours, {EVIL}": curve()}, "bars": [{"title": EVIL, "rows": rows}]},
        tables={"repairs": [{"network": EVIL, "method": EVIL, "note": EVIL}]},
        trials={"a": {}, "b": {}},
    )
    page = render_study_page(full, sheets=["contact-sheet-lab3.png"])
    assert EVIL not in page
    for words in ("Channel by channel", "The tables as bars", "What each repair does", "Faces and answers", "2 trials"):
        assert words in page
    bare = render_study_page(record())
    for words in ("Channel by channel", "The tables as bars", "What each repair does", "Faces and answers"):
        assert words not in bare


def test_contact_sheets_are_linked_only_from_beside_them(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", record())
    (tmp_path / "contact-sheet-lab3.png").write_bytes(b"a face")
    page = write_study_page(tmp_path).read_text()
    assert re.search(r'<a href="contact-sheet-lab3.png">', page)
    assert "<img" not in page
    elsewhere = write_study_page(tmp_path, tmp_path / "elsewhere" / "page.html").read_text()
    assert "contact-sheet" not in elsewhere
