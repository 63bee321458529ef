"""The site: a page for every study and run of ``results/``, the definitions, and an index: ``make site``.

It lies in ``docs/site/``, is not committed, and needs no server: every link is relative, and nothing is loaded from
elsewhere.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from badnets.records.read import RECORD, read_record
from badnets.records.run import RunRecord
from badnets.records.study import StudyRecord, StudyRow
from badnets.report import render_page, render_study, verdict
from badnets.report.pages.study import findings
from badnets.report.words.values import tally
from badnets.studies.registry import study_words

ROOT = Path(__file__).resolve().parents[1]
DOCS = Path(__file__).resolve().parent
SITE = DOCS / "site"
_NAV = '<nav class="site"><a href="index.html">All studies</a> <a href="definitions.html">Definitions</a></nav>'
_BASE = """{% extends "base.html.j2" %}
{% block footer %}<p>Made by badnets. This page loads nothing and runs nothing.</p>{% endblock %}
{% block body %}{{ body }}{% endblock %}"""
_INDEX = """<header><p class="eyebrow">badnets</p>
<h1>What was published of BadNets, and what came out when it was done again</h1>
<p>{{ tally }}</p></header>
<main>
<h2>Studies</h2>
{% for e in studies %}<section><h3><a href="{{ e.file }}">{{ e.title }}</a></h3><p>{{ e.sentence }}</p>
<p class="muted">{{ e.about }}</p></section>
{% endfor %}
<h2>Single runs</h2>
{% for e in runs %}<section><h3><a href="{{ e.file }}">{{ e.title }}</a></h3><p>{{ e.sentence }}</p></section>
{% endfor %}
</main>"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A page in the index: its file, its title, what was found, and what was published."""

    file: str
    title: str
    sentence: str
    about: str = ""


def build(results: Path = ROOT / "results", site: Path = SITE) -> list[Path]:
    """Write the whole site anew; returns its pages, the index first."""
    if site.exists():
        shutil.rmtree(site)
    site.mkdir(parents=True)
    studies: list[Entry] = []
    runs: list[Entry] = []
    rows: list[StudyRow] = []
    for path in sorted(results.glob(f"*/{RECORD}")):
        record, file = read_record(path), f"{path.parent.name}.html"
        if isinstance(record, StudyRecord):
            words = study_words(record.study)
            _write(site / file, render_study(record, **words))
            entry = Entry(file=file, title=words["title"], sentence=findings(record.rows)[0], about=words["published"])
            studies.append(entry)
            rows += [row for row in record.rows if row.published is not None]
        elif isinstance(record, RunRecord):
            _write(site / file, render_page(record, {}))
            runs.append(Entry(file=file, title=record.name, sentence=verdict(record)))
    definitions = _markdown((DOCS / "definitions.md").read_text(encoding="utf-8"))
    _write(site / "definitions.html", _page("Definitions", f'<main class="text">{definitions}</main>'))
    index = Environment(autoescape=True, undefined=StrictUndefined).from_string(_INDEX)
    body = index.render(studies=studies, runs=runs, tally=tally(rows) if rows else "Nothing is recorded yet.")
    _write(site / "index.html", _page("Studies", body))
    return [site / "index.html", site / "definitions.html", *(site / entry.file for entry in (*studies, *runs))]


def _markdown(text: str) -> str:
    """Our own Markdown as HTML; tables scroll inside a box of their own."""
    html: str = MarkdownIt("commonmark").enable("table").render(text)
    box = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    return html.replace("<table>", box).replace("</table>", "</table></div>")


def _page(title: str, body: str) -> str:
    """A page in the style of the others."""
    loader = ChoiceLoader([DictLoader({"page": _BASE}), PackageLoader("badnets.report.pages")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    html: str = environment.get_template("page").render(title=title, body=Markup(body))  # noqa: S704  # made above
    return html


def _write(path: Path, html: str) -> None:
    """With the links to the rest of the site on top."""
    path.write_text(html.replace("<body>\n", f"<body>\n{_NAV}\n", 1), encoding="utf-8")


if __name__ == "__main__":
    print(f"wrote {len(build())} pages; open {SITE.relative_to(ROOT)}/index.html")
    sys.exit()
