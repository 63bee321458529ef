"""From a record to one self-contained page, a terminal table, and a sentence. No torch in here."""

from __future__ import annotations

from badnets.report.pages.certificate_page import render_certificate
from badnets.report.pages.finding_page import render_finding
from badnets.report.pages.page import render_compare, render_page, write_page
from badnets.report.pages.study import render_study, write_study
from badnets.report.pages.table import certificate_table, compare_table, terminal_table
from badnets.report.words.certificate_words import certificate_verdict
from badnets.report.words.finding_words import finding_verdict
from badnets.report.words.verdict import verdict

__all__ = [
    "certificate_table",
    "certificate_verdict",
    "compare_table",
    "finding_verdict",
    "render_certificate",
    "render_compare",
    "render_finding",
    "render_page",
    "render_study",
    "terminal_table",
    "verdict",
    "write_page",
    "write_study",
]
