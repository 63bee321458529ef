"""The terminal table of a study."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from badnets.studies.tables import study_table


def shown(record: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=160, no_color=True).print(study_table(record))
    return [line.strip() for line in stream.getvalue().splitlines() if line.strip()]


def test_every_row_is_shown_with_published_ours_and_verdict(record: dict[str, Any]) -> None:
    lines = shown(record)
    assert lines[0] == "made-up"
    assert lines[1].split() == ["what", "variant", "published", "ours", "seeds", "verified"]
    assert [line.split()[-1] for line in lines[3:]] == ["yes", "no", "-", "yes", "-"]
    assert " ".join(lines[3].split()) == "baseline: clean accuracy published 99.50 % 99.10 % (97.83 to 100.00) 2 yes"
    assert "0.09 %" in lines[4]
    assert "0.30 % (0.10 to 0.88)" in lines[4]
    assert "+0.02 points (\N{MINUS SIGN}0.11 to +0.15)" in lines[6]
    assert lines[7].split()[-4:] == ["yes", "yes", "1", "-"]


def test_the_quick_form_says_so_and_names_are_no_markup(record: dict[str, Any]) -> None:
    lines = shown({**record, "quick": True})
    assert lines[0] == "made-up (quick)"
    assert any("[red]" in line for line in lines)
