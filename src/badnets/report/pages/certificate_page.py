"""The page of a repair: is the backdoor gone, what proves it, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from badnets.core.text import percent
from badnets.report.charts.axes import Frame
from badnets.report.charts.figures import Role, difference_track, glyph, mark, nice_ticks, span, track
from badnets.report.charts.svg import element, number
from badnets.report.pages.certificate_table import ROWS, TUNED_AGAIN
from badnets.report.pages.parts import repeat
from badnets.report.pages.table import FIGURE_SPACE, padded
from badnets.report.pages.templating import render
from badnets.report.words.certificate_words import judge_certificate
from badnets.report.words.facts import Record, at, listing, mapping, points, rate, readable, source_name
from badnets.report.words.measures import MEASURES

_FRAME = Frame(width=480, height=220)
_MOST_CURVES = 4
_AGAIN = "attack success after re-tuning"


def render_certificate(certificate: Record) -> str:
    """The page as HTML text, from a certificate's JSON (``badnets repair --json``)."""
    method = mapping(certificate, "method")
    groups = _groups(certificate)
    return render(
        "certificate.html.j2",
        title=f"{readable(method.get('kind') or 'repair')} of {certificate.get('model') or 'a network'}",
        verdict=judge_certificate(certificate),
        summary=_summary(certificate),
        groups=groups,
        hollow=any(row["hollow"] for group in groups for row in group["rows"]),
        differences=_differences(certificate),
        notes=[str(note) for note in listing(certificate, "notes")],
        again=mapping(certificate, "reactivation"),
        steps=_steps(certificate),
        settings=[("method" if name == "kind" else readable(name), _setting(value)) for name, value in method.items()],
        facts=_facts(certificate),
        repeat=repeat({**certificate, "resolved": {"method": method, "data": mapping(certificate, "data")}}),
        definitions=[{"name": m.name, "meaning": m.meaning} for m in MEASURES if m.key in dict.fromkeys(_keys())],
        glyphs={
            "clean": glyph("clean"),
            "triggered": glyph("triggered"),
            "clean_reference": glyph("clean", hollow=True),
            "triggered_reference": glyph("triggered", hollow=True),
        },
    )


def _keys() -> list[str]:
    return [key for key, _, _ in ROWS]


def _summary(certificate: Record) -> str:
    source = source_name({"resolved": {"data": certificate.get("data")}})
    used = certificate.get("pictures")
    had = f"{used:,} clean pictures" if isinstance(used, int) and used else "without data"
    seconds = certificate.get("seconds")
    took = f"{seconds:,.1f} s" if isinstance(seconds, int | float) else ""
    parts = [
        source,
        str(certificate.get("architecture") or ""),
        str(at(certificate, "method", "kind") or ""),
        had,
        took,
    ]
    return " · ".join(part for part in parts if part)


def _groups(certificate: Record) -> list[dict[str, Any]]:
    """For each measure its rows: before, after, a clean network's; and the success after re-tuning."""
    control = mapping(certificate, "clean_network")
    found = []
    for key, name, role in ROWS:
        rows = [
            _row(owner, side, key, role, words, hollow=hollow)
            for owner, hollow, side, words in (
                (certificate, False, "before", "before"),
                (certificate, False, "after", "after"),
                (control, True, "before", "a clean network"),
                (control, True, "after", "a clean network, after the same repair"),
            )
            if rate(owner, side, key) is not None
        ]
        if rows:
            found.append({"name": name, "rows": rows})
        if key == "asr" and rate(certificate, "reactivation", "repaired") is not None:
            found.append({"name": _AGAIN, "rows": _tuned_again(certificate)})
    return found


def _tuned_again(certificate: Record) -> list[dict[str, Any]]:
    return [
        _row(certificate, "reactivation", key, "triggered", words, hollow=key == "clean_network")
        for key, words in TUNED_AGAIN
        if rate(certificate, "reactivation", key) is not None
    ]


def _row(owner: Record, side: str, key: str, role: Role, words: str, *, hollow: bool) -> dict[str, Any]:
    share = rate(owner, side, key) or {}
    return {
        "name": words,
        "hollow": hollow,
        "glyph": glyph(role, hollow=hollow),
        "track": track([mark(share, role, hollow=hollow, name=f"{key.replace('_', ' ')}, {words}")]),
        "value": percent(share["value"]),
        "low": percent(share["low"]),
        "high": padded(share["high"]),
        "counts": f"{share['hits']:,} of {share['total']:,}",
    }


def _differences(certificate: Record) -> list[dict[str, Any]]:
    control = mapping(certificate, "clean_network")
    named: list[tuple[str, Role, Mapping[str, Any] | None]] = [
        (name, role, rate(certificate, "after_minus_before", key)) for key, name, role in ROWS
    ]
    named.append(("clean accuracy of a clean network", "clean", rate(control, "after_minus_before", "clean_accuracy")))
    again = rate(certificate, "reactivation", "difference")
    named.append(("after re-tuning: attack success, less a clean network's", "triggered", again))
    known = [(name, role, d) for name, role, d in named if d is not None]
    width = max((len(points(d["high"])) for _, _, d in known), default=0)
    return [
        {
            "name": name,
            "glyph": glyph(role),
            "track": difference_track(d, role, name),
            "value": points(d["value"]),
            "low": points(d["low"]),
            "high": points(d["high"]).rjust(width, FIGURE_SPACE),
            "reach": f"{100 * span(d):g}",
        }
        for name, role, d in known
    ]


def _steps(certificate: Record) -> dict[str, Any] | None:
    """The rates that the method noted at each step, as curves; steps that are not in the result are hollow."""
    trace = [row for row in listing(certificate, "trace") if isinstance(row, Mapping)]
    names = dict.fromkeys(name for row in trace for name in row if rate(row, name) is not None)
    figures = []
    for name in list(names)[:_MOST_CURVES]:
        found = [(i + 1, rate(row, name), row.get("kept") is not False) for i, row in enumerate(trace)]
        line = [(float(step), float(share["value"]), kept) for step, share, kept in found if share is not None]
        if len(line) > 1:
            figures.append({"title": f"{_upper(readable(name))}, %", "svg": _curve(readable(name), line)})
    undone = any(row.get("kept") is False for row in trace)
    return {"figures": figures, "undone": undone} if figures else None


def _curve(name: str, line: list[tuple[float, float, bool]]) -> Markup:
    lowest, highest = min(y for _, y, _ in line), max(y for _, y, _ in line)
    ticks = [t for t in nice_ticks(lowest, max(highest, lowest + 0.02)) if t <= 1]
    first, last = line[0][0], line[-1][0]
    across, down = _FRAME.across(first, last, inset=8), _FRAME.down(ticks[0], max(ticks[-1], highest))
    path = "M" + "L".join(f"{number(across(x))} {number(down(y))}" for x, y, _ in line)
    stride = max(1, -(-int(last - first) // 8))
    marks = [float(x) for x in range(int(last), int(first) - 1, -stride)][::-1]
    return _FRAME.chart(
        *_FRAME.rows((down(t), f"{100 * t:g}") for t in ticks),
        *_FRAME.columns(((across(x), f"{x:g}") for x in marks), "step"),
        element("path", d=path, class_="trend clean"),
        *(
            element("circle", cx=across(x), cy=down(y), r=2.5, class_=f"mark clean{'' if kept else ' hollow'}")
            for x, y, kept in line
        ),
        title=f"{name} at each step",
        described=f"From {percent(line[0][1])} % at the first step to {percent(line[-1][1])} % at the last.",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:12]))
        return f"{shown}, ... ({len(value)})" if len(value) > 12 else shown or "none"
    return "by the method" if value is None else str(value)


def _facts(certificate: Record) -> list[tuple[str, str]]:
    stopped = certificate.get("stopped")
    known = {
        "chosen": certificate.get("chosen"),
        "stopped": "at the end of its budget" if stopped == "budget" else stopped,
        "network": certificate.get("network"),
        "compared with": at(certificate, "truth", "trigger_from") or at(certificate, "truth", "triggered"),
    }
    return [(name, str(value)) for name, value in known.items() if value]
