"""The page of a study as text: complete, escaped, honest, and content with a record that lacks anything."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.core.files import write_json
from badnets.core.rate import Rate
from badnets.report import render_study_page, write_study_page
from badnets.report.charts.figures import Mark, window, window_track
from badnets.report.charts.study_figures import CLEAN_LABEL, SWEEP, codes_charts, share_chart
from badnets.report.charts.study_filters import filter_grids
from badnets.report.pages.study_rows import figures_of, findings, ledger_groups
from badnets.report.pages.study_tables import class_errors, pair_maps

EVIL = "<script>alert(1)</script>\"'&"
HEADINGS = (
    "Published and ours", "How much poison", "With true labels", "Every pair", "All to all", "What the first layer",
    "What the last layer", "How to repeat it",
)  # fmt: skip

Study = Callable[..., dict[str, Any]]


def row(what: str = "a: b", **changes: Any) -> dict[str, Any]:
    plain = {"what": what, "variant": "published", "published": 0.9, "published_source": "paper", "verified": True,
             "why": "", "unit": "rate", "ours": 0.91, "low": 0.9, "high": 0.92, "n_seeds": 5}  # fmt: skip
    return {**plain, **changes}


def said(*rows: dict[str, Any]) -> list[str]:
    return findings(figures_of({"rows": list(rows)}))


def test_write_study_page_puts_one_small_file_into_the_folder(tmp_path: Path, g1_study: Study) -> None:
    write_json(tmp_path / "record.json", g1_study(5))
    path = write_study_page(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.stat().st_size < 300_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["record.json", "report.html"]
    write_json(tmp_path / "record.json", {"format": "badnets/run/1"})
    with pytest.raises(BadInput, match="badnets/study/1"):
        write_study_page(tmp_path)


def test_what_the_record_has_is_on_the_page_and_nothing_else(g1_study: Study, u1_study: Study) -> None:
    g1, u1 = (unescape(render_study_page(r)) for r in (g1_study(5), u1_study(3)))
    assert [h in g1 for h in HEADINGS] == [True, True, False, True, True, True, True, True]
    assert [h in u1 for h in HEADINGS] == [True, False, True, False, False, False, False, True]
    assert "badnets reproduce gu2017-mnist --seeds 5" in g1
    assert "Prefer the pattern: 3 of 16 (number 1, 2, 3)" in g1
    assert "None of 16 prefers the pattern" in g1
    for text in (g1, u1):
        assert text.count("<h1") == text.count("<main>") == 1
        assert text.count("<table") == text.count("<caption")
        assert "default-src 'none'" in text
        assert not re.search(r"<script|https?://|@import|url\(", text)
    assert all(re.findall(r'<img [^>]*alt="[^"]+"', g1))
    assert g1.count("<img") == 33  # sixteen filters of two networks, and the pattern


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ([True, True], "All 2 published figures are borne out."),
        ([True], "The published figure is borne out."),
        ([True, False, None], "1 of 3 published figures is borne out, 1 is not, and of 1 it can't be said."),
        ([False, False], "None of 2 published figures is borne out, 2 are not."),
        ([None], "None of 1 published figure is borne out, of 1 it can't be said."),
        ([], "Nothing was measured in this study."),
    ],
)
def test_the_finding_counts_what_is_borne_out(verdicts: list[bool | None], says: str) -> None:
    assert said(*(row(verified=v) for v in verdicts))[0] == says


def test_the_finding_names_what_failed_and_what_nobody_published() -> None:
    failed = [row(f"group: figure {i}", verified=False, published=0.95) for i in range(5)]
    sentences = said(row(), *failed, row(published=None), row(published=None, verified=None))
    assert sentences[0] == "1 of 6 published figures is borne out, 5 are not."
    assert sentences[1].startswith("Not borne out: group: figure 0 (91.00 %, published 95.00 %); group: figure 1 (")
    assert sentences[1].endswith("; and 2 more.")
    assert sentences[2] == (
        "2 further figures have no published number beside them; a bound of our own was set for 1 and is kept by 1."
    )
    assert said(row(published=None)) == ["There is no published figure to set ours beside."]


@given(st.lists(st.sampled_from([True, False, None]), min_size=2, max_size=9))
def test_no_figure_is_lost_in_the_count(verdicts: list[bool | None]) -> None:
    sentence = said(*(row(verified=v) for v in verdicts))[0]
    numbers = [int(n) for n in re.findall(r"\d+", sentence)]
    counts = {v: verdicts.count(v) for v in (True, False, None)}
    assert ("All" in sentence) == (counts[True] == len(verdicts))
    assert len(verdicts) in numbers
    for answer, words in ((False, r"(\d+) (?:is|are) not"), (None, r"of (\d+) it can't be said")):
        found = re.search(words, sentence)
        assert (int(found[1]) if found else 0) == counts[answer]


def test_rows_of_one_prefix_stand_together() -> None:
    rows = [row("a: x"), row("b, 50 %: y"), row("units that move, clean network"), row("a: z, w"), row("alone")]
    groups = ledger_groups(figures_of({"rows": rows}))
    assert [(g["name"], [r["measure"] for r in g["rows"]]) for g in groups] == [
        ("a", ["x", "z, w"]),
        ("b, 50 %", ["y"]),
        ("units that move", ["clean network"]),
        ("", ["alone"]),
    ]


def test_numbers_of_a_column_meet_at_the_decimal_point() -> None:
    rows = [row(), row(unit="difference", ours=-0.0003, low=-0.001, high=0.002), row(unit="units of 512", ours=87.0)]
    (group,) = ledger_groups(figures_of({"rows": rows}))
    assert [(r["ours"]["whole"], r["ours"]["rest"]) for r in group["rows"]] == [
        ("91", ".00 %"),
        ("\N{MINUS SIGN}0", ".03 pt"),
        ("87", ""),
    ]
    assert [r["draw"] is None for r in group["rows"]] == [False, False, True]
    assert [r["verdict"]["word"] for r in group["rows"]] == ["yes"] * 3


def test_clean_and_triggered_figures_are_told_apart() -> None:
    rows = [row("a: clean error minus the clean network's"), row("a: triggered error minus the clean error"),
            row("a: the same on a clean network")]  # fmt: skip
    (group,) = ledger_groups(figures_of({"rows": rows}))
    first, second, third = (r["draw"]["track"] for r in group["rows"])
    assert "mark clean" in first
    assert "mark triggered" in second
    assert "mark triggered hollow" in third
    assert first.count('class="published"') == 1


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=4))
def test_an_axis_of_its_own_holds_its_row(values: list[float]) -> None:
    low, high = window(values)
    assert low <= min(values) + 1e-9
    assert high >= max(values) - 1e-9
    assert high - low >= 0.002 - 1e-9
    mark = Mark(value=values[0], low=min(values), high=max(values), role="clean", label="m")
    drawn = window_track(mark, (low, high), published=values[-1])
    assert all(0 <= float(x) <= 100 for x in re.findall(r'x[12]?="(-?[\d.]+)%"', drawn))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_an_axis_of_a_rate_stays_within_0_and_1(values: list[float]) -> None:
    low, high = window(values)
    assert low >= 0
    assert high <= 1 + 1e-9


def test_sweep_puts_points_at_their_shares(g1_study: Study, u1_study: Study) -> None:
    sweep = share_chart(g1_study(5)["figures"]["sweep"], SWEEP, title="t", axis="share")
    labels = share_chart(u1_study(3)["figures"]["clean_label"], CLEAN_LABEL, title="t", axis="share")
    assert sweep is not None
    assert labels is not None
    assert not sweep["bent"]
    assert labels["bent"]  # 1 to 50 %
    assert sweep["svg"].count('class="mark clean"') == sweep["svg"].count('class="mark triggered"') == 3
    assert "error on clean pictures: 0.7" in sweep["svg"]
    assert ">50 %</text>" in labels["svg"]
    assert not sweep["cut"]


def test_an_interval_out_of_all_proportion_is_cut_and_that_is_said(g1_study: Study) -> None:
    record = g1_study(5)
    record["figures"]["sweep"][0]["clean_error"] |= {"low": 0.0, "high": 0.9}
    text = render_study_page(record)
    assert "Intervals that leave the drawing are cut" in text
    assert "Intervals that leave" not in render_study_page(g1_study(5))


def test_one_seed_has_no_whiskers_to_explain() -> None:
    point = {"share": 0.1, "perturbed": {"value": 0.5, "low": 0.5, "high": 0.5}}
    chart = share_chart([point], CLEAN_LABEL, title="t", axis="share")
    assert chart is not None
    assert not chart["spread"]
    assert [entry["name"] for entry in chart["legend"]] == ["perturbed, then stamped"]
    assert share_chart([None, {"share": 0.1}], CLEAN_LABEL, title="t", axis="share") is None


def test_pairs_that_were_not_trained_are_blank() -> None:
    entries = [
        {"source": 0, "target": 2, "asr": Rate(998, 1000).to_json()},
        {"source": 1, "target": 0, "asr": Rate(1000, 1000).to_json()},
        {"source": 2, "target": 1, "asr": Rate(0, 0).to_json()},
        {"source": "x", "target": 1, "asr": Rate(1, 1).to_json()},
    ]
    (drawn,) = pair_maps({"pattern": entries, "pixel": []})
    assert drawn["svg"].count("<rect") == 3  # two cells and the frame
    assert "0 → 2: 0.20 % (2 of 1,000)" in drawn["svg"]
    assert drawn["pooled"] == "2 of 2,000 triggered pictures of 2 pairs do not become the wanted class"
    assert drawn["worst"] == ["0 → 2: 0.20 %"]
    assert drawn["full"] == "1.00"


def test_classes_share_an_axis_that_holds_the_worst() -> None:
    entry = {"class": 9, "becomes": 0, "clean_error": Rate(9, 1000).to_json(), "triggered_error": None}
    table = class_errors([entry, None])
    assert table is not None
    assert table["axis"] == ["1", "2 %"]
    assert table["rows"][0]["name"] == "9 → 0"
    assert 'x="45%"' in table["rows"][0]["bars"]  # 0.9 % of 2 %
    assert table["rows"][0]["triggered_error"] is None


def test_filters_share_one_grey_scale_and_name_the_chosen() -> None:
    weights = np.zeros((2, 5, 5))
    weights[1, 2, 2] = -0.5
    found = filter_grids({"BadNet": {"weights": weights.tolist(), "preference": [0.96, 0.94]}, "clean": None})
    assert found is not None
    (grid,) = found["grids"]
    assert [cell["prefers"] for cell in grid["cells"]] == [True, False]
    assert grid["chosen"] == ["1"]
    assert filter_grids({"BadNet": {"weights": [[1, 2], [3]], "preference": []}}) is None


def test_units_that_moved_are_diamonds() -> None:
    codes = {"BadNet": {"clean": [0.0, 1.0, 0.2], "triggered": [2.0, 1.0, 0.2], "moved": [0]}, "other": {"clean": [1]}}
    (chart,) = codes_charts(codes)
    assert chart["svg"].count("z") >= 1
    moved = re.search(r'<path d="([^"]+)" class="units moved">', chart["svg"])
    still = re.search(r'<path d="([^"]+)" class="units">', chart["svg"])
    assert moved is not None
    assert still is not None
    assert (moved[1].count("M"), still[1].count("M")) == (1, 2)
    assert "3 units; 1 of them are marked" in chart["svg"]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(p for key, entry in inner for p in _paths(entry, (*path, key)))]


def _at(record: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        record = record[key]
    return record


@pytest.mark.parametrize("kind", ["g1_study", "u1_study"])
def test_any_null_or_missing_entry_is_coped_with(kind: str, request: pytest.FixtureRequest) -> None:
    record = request.getfixturevalue(kind)(2)
    record["rows"], record["trials"] = record["rows"][:2], {}
    for rows in (*record.get("tables", {}).get("pairs", {}).values(), record.get("tables", {}).get("all-to-all", [])):
        del rows[2:]
    for entry in record["figures"].get("codes", {}).values():
        entry.update({key: values[:3] for key, values in entry.items()})
    for entry in record["figures"].get("filters", {}).values():
        entry.update({key: values[:2] for key, values in entry.items()})
    inside_a_rate = {"low", "high", "hits", "total"}  # a rate is whole, or its value is null
    paths = [p for p in _paths(record) if p and not (p[-1] in inside_a_rate and p[0] == "tables")]
    for path in paths:
        broken = copy.deepcopy(record)
        _at(broken, path[:-1])[path[-1]] = None
        assert "</html>" in render_study_page(broken), path
        if isinstance(path[-1], str) and len(path) <= 2:  # deeper, null and missing are read alike
            del _at(broken, path[:-1])[path[-1]]
            assert "</html>" in render_study_page(broken), path
    assert "Nothing was measured" in render_study_page({})


def _poison_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _poison_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_poison_text(v) for v in value]
    return EVIL if isinstance(value, str) else value


def test_all_text_is_escaped(g1_study: Study) -> None:
    evil = _poison_text(g1_study(5))
    for table in (evil["tables"]["pairs"], evil["figures"]["filters"], evil["figures"]["codes"]):
        table[EVIL] = table.pop(next(iter(table)))
    text = render_study_page(evil)
    assert "<script" not in text
    assert "alert(1)" in text
