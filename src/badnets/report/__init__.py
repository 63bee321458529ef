"""From a run record to one self-contained page, a terminal table, and comparisons. No torch in here."""

from __future__ import annotations

from badnets.report.pages.compare import compare_table, render_compare
from badnets.report.pages.page import render_page, write_page
from badnets.report.pages.study import render_study, write_study
from badnets.report.pages.table import terminal_table
from badnets.report.words.verdict import verdict

__all__ = [
    "compare_table",
    "render_compare",
    "render_page",
    "render_study",
    "terminal_table",
    "verdict",
    "write_page",
    "write_study",
]
