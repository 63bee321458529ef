"""What several pages have: rows of figures, a spec as text, and the templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from badnets.core.rate import Interval
from badnets.core.text import bare, neutral, tenths
from badnets.records.blocks import Role
from badnets.records.model import JSON
from badnets.records.verified import doubts
from badnets.report.charts.figures import Mark, bars, difference_track, glyph, span, track
from badnets.report.pages.table import counts, right
from badnets.report.words.names import known, readable, upper

TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_TEXT = 200


def marks(*given: tuple[str, Role, Interval | None, bool]) -> list[Mark]:
    """A row for each (name, role, figure, hollow) of which anything was counted."""
    return [Mark(name, role, there, hollow) for name, role, f, hollow in given if (there := known(f)) is not None]


def setting(value: object) -> str:
    """A setting of a method as text; of a long list the begin."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:12]))
        return f"{shown}, ... ({len(value)})" if len(value) > 12 else shown or "none"
    return "by the method" if value is None else str(value)


def toml_text(value: JSON) -> str:
    """TOML of a spec, to read on the page and to paste into a file. Null entries are left out: TOML has none; very long
    texts are cut: a trigger carries its picture inside it, and nobody reads that."""
    return tomli_w.dumps(_abridged(value)).strip()


def _abridged(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _abridged(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_abridged(entry) for entry in value if entry is not None]
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:40]}… ({len(value):,} characters, whole in the record)"
    return value


# Everything that goes into a template is escaped, and a name that it lacks is an error.
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.globals.update(bars=bars, difference_track=difference_track, glyph=glyph, span=span, track=track)
_ENVIRONMENT.filters.update(
    bare=bare, capital=upper, counts=counts, readable=readable, right=right, tenths=tenths, toml=toml_text
)


def render(template: str, **values: object) -> str:
    """One page with the style sheet inside it; ``record`` is what ``repeat.html.j2`` tells how to repeat, ``seals`` is
    the line that the page begins with (none by default). What was not verified is said on top; no character of a name
    may hide or reverse others."""
    record = values.get("record")
    found = doubts() or ("its record was made of files that failed their digest",) * (
        getattr(record, "verified", None) is False
    )
    page = _ENVIRONMENT.get_template(template).render(**{"doubts": found, "seals": (), **values})
    return neutral(page, keep="\t\n")
