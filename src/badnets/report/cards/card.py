"""A readable card of a network: one page, or Markdown with the same facts."""

from __future__ import annotations

import re

from badnets.core.text import neutral, short_figure
from badnets.report.cards.facts import Part, metrics, parts, title
from badnets.report.cards.known import Known
from badnets.report.cards.seals import seals
from badnets.report.charts.figures import Mark
from badnets.report.pages.parts import render

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&@$])")
_LINKS = re.compile(r"(?i)\b(www)\.|:(?=//)")


def render_card(known: Known) -> str:
    """The page as HTML text."""
    figures = metrics(known)
    groups = list(dict.fromkeys(one.of for one in figures))
    return render(
        "card.html.j2",
        title=known.description.file.name,
        declared=known.declared,
        planted=known.planted,
        sentence=title(known),
        seals=seals(known),
        groups=[(of, [Mark(one.name, one.role, one.figure) for one in figures if one.of == of]) for of in groups],
        parts=parts(known),
    )


def markdown_card(known: Known) -> str:
    """The same as Markdown; what strangers wrote is text in it, never markup."""
    lines = [f"# {_plain(known.description.file.name)}", ""]
    if known.declared is not None:
        lines += [f"> **Warning:** {_plain(f'{known.declared} ({known.planted})')}.", ""]
    lines += [_plain(title(known)), "", "| seal | | |", "|---|---|---|"]
    lines += [f"| {one.kind} | **{one.state}** | {_plain(one.words)} |" for one in seals(known)]
    lines += ["", "## How good it is", "", *_figures(known)]
    for part in parts(known):
        lines += ["", f"## {part.title}", "", *_part(part)]
    return neutral("\n".join(lines), keep="\n") + "\n"


def _figures(known: Known) -> list[str]:
    found = metrics(known)
    if not found:
        return ["Not measured, as far as is known."]
    rows = [f"| {_plain(m.name)} | {_plain(short_figure(m.figure))} | {_plain(m.of)} |" for m in found]
    return ["| figure | value (95 % interval) | on |", "|---|---|---|", *rows]


def _part(part: Part) -> list[str]:
    lines = ["| | |", "|---|---|", *(f"| {_plain(name)} | {_plain(value)} |" for name, value in part.rows)]
    for sentence in part.sentences:
        lines += ["", _plain(sentence)]
    if part.listed:
        lines += ["", f"Classes: {', '.join(map(_plain, part.listed))}."]
    return lines


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: on one line, without markup and without links that nobody meant."""
    marked = _MARKS.sub(r"\\\1", neutral(" ".join(text.split())))
    return _LINKS.sub(lambda found: f"{found[1]}\\." if found[1] else "\\:", marked)
