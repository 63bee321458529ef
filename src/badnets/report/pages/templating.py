"""The templates: everything that goes into them is escaped, and a name they lack is an error."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from badnets.core.text import bare, tenths
from badnets.report.charts.figures import bars, difference_track, glyph, span, track
from badnets.report.pages.table import counts, right
from badnets.report.words.names import readable, upper

_TEMPLATES = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(bars=bars, difference_track=difference_track, glyph=glyph, span=span, track=track)
    environment.filters.update(bare=bare, capital=upper, counts=counts, readable=readable, right=right, tenths=tenths)
    return environment


def render(template: str, **values: object) -> str:
    """One page with the style sheet inside it; templates know the drawings of ``charts.figures``."""
    return _environment().get_template(template).render(**values)
