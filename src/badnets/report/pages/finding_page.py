"""The page of an audit."""

from __future__ import annotations

from badnets.records.finding import Finding


def render_finding(finding: Finding) -> str:
    """The page as HTML text."""
    from badnets.report.words.finding_words import finding_verdict

    return f"<html><body><h1>{finding_verdict(finding)}</h1></body></html>"
