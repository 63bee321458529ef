"""Figures and names as text: percentages that never round to 100 or 0 when they are neither, points with their sign;
and what strangers wrote, made harmless (``neutral``, ``escaped``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SENTENCE, LINE, CELL, VALUE = 400, 2000, 300, 120
"""The most letters of a sentence on the terminal, a line of a result, a table's cell, a value in a sentence."""
_FORMATS = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
_C0, _C1 = "\x00-\x1f", "\x7f-\x9f"
_HARMFUL = re.compile(f"[{_C0}{_C1}{_FORMATS}]")
_RAW_IN_JSON = re.compile(f"[{_C1}{_FORMATS}]")  # json.dumps sees to those below a space


def neutral(text: str, most: int | None = None, *, keep: str = "") -> str:
    """``text`` for a terminal or a page: each character that would move, hide or reverse others (control, C1, bidi and
    other invisible ones, lone surrogates), but for those to ``keep``, becomes a visible one, and what is longer than
    ``most`` letters is shortened in the middle."""
    shown = text if most is None else brief(text, most)
    return _HARMFUL.sub(lambda found: found[0] if found[0] in keep else "\N{REPLACEMENT CHARACTER}", shown)


def brief(value: object, most: int = 80) -> str:
    """What comes from outside, as text of at most so many letters: the begin and the end of a longer one."""
    text = str(value)
    if len(text) <= most:
        return text
    ahead = most // 2
    return f"{text[:ahead]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (most - ahead - 1) :]}"


def escaped(json: str, encoding: str = "utf-8") -> str:
    r"""JSON text with ``\uXXXX`` in place of the characters that ``neutral`` replaces, and of those that the
    ``encoding`` lacks: the same value."""
    shown = _RAW_IN_JSON.sub(_escape, json)
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        return re.sub("[^\x00-\x7f]", _escape, shown)
    return shown


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def percent(value: float | None) -> str:
    """``"99.94"``: hundredths of a percent; never rounded up to 100 or down to 0 when it is neither."""
    if value is None:
        return "none"
    shown = f"{100 * value:.2f}"
    if shown == "100.00" and value < 1:
        return "99.99"
    return "0.01" if shown == "0.00" and value > 0 else shown


def points(value: float | None) -> str:
    """A difference of rates in percentage points, ``"+0.05"``, with a true minus sign."""
    if value is None:
        return "none"
    shown = f"{100 * value:+.2f}"
    return ("0.00" if float(shown) == 0 else shown).replace("-", "\N{MINUS SIGN}")


def tenths(value: float) -> str:
    """``"99.4"``: tenths of a percent, for sentences; hundredths where tenths would say 100 or 0 and it is neither."""
    shown = f"{100 * value:.1f}"
    certain = (shown == "100.0" and value < 1) or (shown == "0.0" and value > 0)
    return percent(value) if certain else shown


def gap(value: float, *, sign: bool = False) -> str:
    """The size of a difference in points, for sentences: ``"0.4"``, ``"0.04"``, with ``sign`` ``"+0.4"``."""
    size = abs(100 * value)
    shown = f"{size:.{1 if size >= 0.1 or not size else 2}f}"
    if not sign or not float(shown):
        return shown
    return ("+" if value > 0 else "\N{MINUS SIGN}") + shown


def bare(figure: Any) -> tuple[str, str, str]:
    """Value and both ends of an ``Interval`` of ``core/rate.py``, in percent or, of a difference, in points."""
    write = points if figure.unit == "difference" else percent
    return write(figure.value), write(figure.low), write(figure.high)


def short_figure(figure: Any) -> str:
    """For a column that names its unit: ``"99.94 % (99.91 to 99.96)"``, ``"+0.05 (-0.01 to +0.11)"``."""
    value, low, high = bare(figure)
    return f"{value}{'' if figure.unit == 'difference' else ' %'} ({low} to {high})"


def format_figure(figure: Any) -> str:
    """An ``Interval`` of ``core/rate.py``: ``"99.94 % (99.91 to 99.96; 59,964 of 60,000)"``, ``"+0.05 points (-0.01 to
    +0.11)"``, ``"0.97"``."""
    if figure.value is None:
        return "no inputs (0 of 0)"
    if figure.unit == "number":
        known = figure.low is not None and figure.high is not None
        return f"{figure.value:.4g}" + (f" ({figure.low:.4g} to {figure.high:.4g})" if known else "")
    value, low, high = bare(figure)
    if figure.unit == "difference":
        return f"{value} points ({low} to {high})"
    behind = f"{figure.n_seeds} seeds" if figure.n_seeds > 1 else "one seed"
    if figure.counts is not None:
        behind = "{:,} of {:,}".format(*figure.counts) + (f" in {behind}" if figure.n_seeds > 1 else "")
    return f"{value} % ({low} to {high}; {behind})"


def listed(names: Sequence[str]) -> str:
    """``"a, b, c and 2 more"``: the first three."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
