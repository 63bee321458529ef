"""The page of a study as text: complete, escaped, honest; and what it says of the published figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.rate import Estimate, Rate
from badnets.records.blocks import Bar, Bars, Column, Line, Sheets, Table
from badnets.records.read import read_record
from badnets.records.study import State, StudyRecord, StudyRow
from badnets.report import render_study, write_study
from badnets.report.charts.figures import Mark, window, window_track
from badnets.report.pages.study import findings, ledger_groups

EVIL = "<script>alert(1)</script>\"'&"
STATES: tuple[State, ...] = get_args(State)
RESULTS = Path(__file__).resolve().parents[3] / "results"
G1 = ("Published and ours", "How much poison it takes", "Error on triggered pictures, pattern", "All to all",
      "What the first layer", "What the last layer", "How to repeat it")  # fmt: skip

Study = Callable[..., StudyRecord]


def row(what: str = "a: b", **changes: Any) -> StudyRow:
    plain = {"what": what, "variant": "published", "published": 0.9, "published_source": "paper", "state": "borne out",
             "why": "", "unit": "rate", "ours": 0.91, "low": 0.9, "high": 0.92, "n_seeds": 5}  # fmt: skip
    return StudyRow(**{**plain, **changes})


def page(record: StudyRecord, **words: Any) -> str:
    return render_study(record, **{"title": "A study", "published": "They said so.", **words})


def test_write_study_puts_one_small_file_where_it_is_asked_for(tmp_path: Path, g1_study: Study) -> None:
    path = write_study(g1_study(5), tmp_path / "report.html", title="A study", published="")
    assert path.stat().st_size < 300_000
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_the_record_has_is_on_the_page_and_nothing_else(g1_study: Study, u1_study: Study) -> None:
    g1, u1 = (unescape(page(record)) for record in (g1_study(5), u1_study(3)))
    assert all(heading in g1 for heading in G1)
    assert [heading in u1 for heading in (G1[1], "With true labels: success by share", G1[-1])] == [False, True, True]
    assert "badnets reproduce gu2017-mnist --seeds 5" in g1
    assert "Outlined: 3 of 16" in g1
    assert "gu2017-mnist · 5 seeds · 120 trainings" in g1
    for text in (g1, u1):
        assert text.count("<h1") == text.count("<main>") == 1
        assert text.count("<table") == text.count("<caption")
        assert "default-src 'none'" in text
        assert not re.search(r"<script|https?://|@import|url\(", text)
        assert "runs nothing" in text
    assert all(re.findall(r'<img [^>]*alt="[^"]+"', g1))
    assert g1.count("<img") == 32  # sixteen filters of two networks


def test_the_figure_comes_first_and_the_rows_are_folded(g1_study: Study) -> None:
    text = page(g1_study(5))
    places = [
        text.index(words) for words in ("How much poison", "They said so.", "All to all", "<details>", "How to repeat")
    ]
    assert places == sorted(places)
    assert "<details open>" in page(g1_study(5).model_copy(update={"blocks": ()}))  # or the page would be empty


def test_only_a_page_with_a_table_runs_a_script_and_only_that_one(repairs_study: StudyRecord) -> None:
    text = page(repairs_study)
    assert text.count("<script>") == 1
    assert "script-src 'sha256-" in text
    assert "sorts its tables by itself" in text


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/record.json")), ids=lambda path: path.parent.name)
def test_every_committed_study_has_a_page(path: Path) -> None:
    record = read_record(path)
    if isinstance(record, StudyRecord):
        text = unescape(page(record))
        assert all(re.split("[:,] ", one.what)[-1] in text for one in record.rows)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ("++", "All 2 published figures are borne out."),
        ("+", "The published figure is borne out."),
        ("+-?", "1 of 3 published figures is borne out, 1 is not, of 1 it can't be said."),
        (
            "++-o??",
            "2 of 6 published figures are borne out, 1 is not, 1 was not run as published, of 2 it can't be said.",
        ),
        ("oo", "None of 2 published figures is borne out, 2 were not run as published."),
        ("--", "None of 2 published figures is borne out, 2 are not."),
        ("?", "None of 1 published figure is borne out, of 1 it can't be said."),
        ("", "Nothing was measured in this study."),
    ],
)
def test_the_finding_counts_what_is_borne_out(states: str, says: str) -> None:
    assert findings([row(state=STATES["+-o?".index(state)]) for state in states])[0] == says


def test_the_finding_names_what_failed_and_what_nobody_published() -> None:
    failed = [row(f"group: figure {i}", state="not borne out", published=0.95) for i in range(5)]
    sentences = findings([row(), *failed, row(published=None), row(published=None, state="not judged")])
    assert sentences[0] == "1 of 6 published figures is borne out, 5 are not."
    assert sentences[1].startswith("Not borne out: group: figure 0 (91.00 %, published 95.00 %); group: figure 1 (")
    assert sentences[1].endswith("; and 2 more.")
    assert sentences[2] == (
        "2 further figures have no published number beside them; a bound of our own was set for 1 and is kept by 1."
    )
    own = [row(published=None), row(published=None, state="not borne out")]
    assert findings(own) == ["1 of 2 figures keep the bound that was set; nothing was published to set beside them."]
    assert findings([row(published=None, state="not judged")]) == ["There is no published figure to set ours beside."]


@given(st.lists(st.sampled_from(STATES), min_size=2, max_size=9))
def test_no_figure_is_lost_in_the_count(states: list[State]) -> None:
    sentence = findings([row(state=state) for state in states])[0]
    assert ("All" in sentence) == (states.count("borne out") == len(states))
    assert len(states) in [int(n) for n in re.findall(r"\d+", sentence)]
    words = (r"(\d+) (?:is|are) not\b", r"(\d+) (?:was|were) not run", r"of (\d+) it can't be said")
    for state, pattern in zip(STATES[1:], words, strict=True):
        found = re.search(pattern, sentence)
        assert (int(found[1]) if found else 0) == states.count(state)


def test_a_verdict_is_a_word_and_a_sign_and_never_only_a_color() -> None:
    (group,) = ledger_groups([row(state=state) for state in STATES] + [row(published=None, state="not judged")])
    words = [line.word for line in group.lines]
    assert words == ["yes", "no", "not run as published", "not judged", "nothing published"]
    assert len({line.sign for line in group.lines[:4]}) == 4


def test_rows_of_one_prefix_stand_together() -> None:
    rows = [row("a: x"), row("b, 50 %: y"), row("units that move, clean network"), row("a: z, w"), row("alone")]
    groups = ledger_groups(rows)
    assert [(group.name, [line.measure for line in group.lines]) for group in groups] == [
        ("a", ["x", "z, w"]),
        ("b, 50 %", ["y"]),
        ("units that move", ["clean network"]),
        ("", ["alone"]),
    ]


def test_single_rows_that_begin_alike_are_one_group() -> None:
    groups = ledger_groups(
        [row("net: before"), row("net, nad: after"), row("net, anp: after"), row("other, nad: after")]
    )
    assert [(group.name, [line.measure for line in group.lines]) for group in groups] == [
        ("net", ["before", "nad: after", "anp: after"]),
        ("other, nad", ["after"]),
    ]


def test_figures_of_a_group_share_an_axis_for_each_unit() -> None:
    ends = ((-0.03, -0.1, 0.2), (0.1, 0.0, 0.2))
    first, second = (
        row(unit="difference", published=None, ours=ours, low=low, high=high) for ours, low, high in ends
    )  # fmt: skip
    rows = [row(), row(ours=0.5, low=0.4, high=0.6), first, row(unit="units of 512", ours=87.0), second]
    (group,) = ledger_groups(rows)
    assert [line.ends for line in group.lines] == [("0", "100 %"), None, ("\N{MINUS SIGN}20", "+40 pt"), None, None]
    assert [line.track is None for line in group.lines] == [False, False, False, True, False]
    assert 'x="91%"' in str(group.lines[0].track)
    assert 'x="50%"' in str(group.lines[1].track)


def test_numbers_of_a_column_meet_at_the_decimal_point() -> None:
    rows = [row(), row(unit="difference", ours=-0.0003, low=-0.001, high=0.002), row(unit="units of 512", ours=87.0)]
    (group,) = ledger_groups(rows)
    assert [line.ours for line in group.lines] == [("91", ".00 %"), ("\N{MINUS SIGN}0", ".03 pt"), ("87", "")]
    assert [line.word for line in group.lines] == ["yes"] * 3


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=4))
def test_an_axis_holds_its_rows(values: list[float]) -> None:
    low, high = window(values)
    assert low <= min(values) + 1e-9
    assert high >= max(values) - 1e-9
    assert high - low >= 0.002 - 1e-9
    mark = Mark("m", "clean", Estimate(values[0], (min(values), max(values))))
    drawn = window_track(mark, (low, high), title="m", published=values[-1])
    assert all(0 <= float(x) <= 100 for x in re.findall(r'x[12]?="(-?[\d.]+)%"', drawn))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_an_axis_of_a_rate_stays_within_0_and_1(values: list[float]) -> None:
    low, high = window(values)
    assert low >= 0
    assert high <= 1 + 1e-9


def test_all_text_is_escaped(study_of: Study) -> None:
    blocks = [
        Bars(title=EVIL, note=EVIL, bars=(Bar(name=EVIL, what=EVIL, figure=Rate(1, 2), role="clean"),)),
        Table(title=EVIL, rows=EVIL, groups=EVIL, columns=(Column(name=EVIL, unit="text"),),
              lines=(Line(group=EVIL, name=EVIL, cells=(EVIL,)), Line(name=EVIL, note=EVIL))),
        Sheets(title=EVIL, files=(EVIL,)),
    ]  # fmt: skip
    record = study_of(EVIL, [row(f"{EVIL}: {EVIL}", published_source=EVIL, why=EVIL)], blocks)
    text = page(record, title=EVIL, published=EVIL, trial_word=EVIL, sheets=[EVIL])
    assert text.count("<script") == 1  # our own
    assert text.count("alert(1)") > 20
    assert not re.search(r'="[^"]*<script', text)


def test_contact_sheets_are_linked_only_from_beside_them(tmp_path: Path, repairs_study: StudyRecord) -> None:
    (tmp_path / "contact-sheet-a.png").write_bytes(b"a face")
    words = {"title": "A study", "published": ""}
    text = write_study(repairs_study, tmp_path / "report.html", **words).read_text()
    assert re.search(r'<a href="contact-sheet-a.png">', text)
    assert "<img" not in text
    (tmp_path / "elsewhere").mkdir()
    assert "contact-sheet" not in write_study(repairs_study, tmp_path / "elsewhere" / "page.html", **words).read_text()
