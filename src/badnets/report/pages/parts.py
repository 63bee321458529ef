"""Parts that several pages have: rates, differences, training curves, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from badnets.core.files import dumps
from badnets.core.text import percent
from badnets.report.charts.curves import curve_figure, curves
from badnets.report.charts.figures import Role, difference_track, glyph, mark, span, track
from badnets.report.pages.table import FIGURE_SPACE, counts, padded
from badnets.report.words.facts import Record, format_difference, listing, mapping, points, readable, result
from badnets.report.words.measures import Measure
from badnets.report.words.toml import toml_text

_LONGEST_TEXT = 200


def rates(found: Sequence[tuple[Measure, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each figure of ``table.measured``: drawn, and written."""
    width = max((len(percent(rate["high"])) for _, rate in found), default=0)
    rows = []
    for measure, rate in found:
        drawn = mark(rate, measure.role, hollow=measure.reference, name=measure.name)
        rows.append(
            {
                "name": measure.name,
                "note": measure.note,
                "glyph": glyph(measure.role, hollow=measure.reference),
                "track": track([drawn]),
                "value": percent(rate["value"]),
                "low": percent(rate["low"]),
                "high": padded(rate["high"], width),
                "counts": " ".join(counts(rate)),
            }
        )
    return rows


Named = tuple[str, str, Role]


def differences(record: Record, named: Sequence[Named]) -> list[dict[str, Any]]:
    """A row for each paired difference that this record has; ``named`` are key, name and role."""
    found = [(name, role, d) for key, name, role in named if (d := result(record, key)) is not None]
    width = max((len(points(d["high"])) for _, _, d in found), default=0)
    rows = []
    for name, role, difference in found:
        reach = f"{100 * span(difference):g}"
        rows.append(
            {
                "name": name,
                "glyph": glyph(role),
                "track": difference_track(difference, role, name),
                "value": points(difference["value"]),
                "low": points(difference["low"]),
                "high": points(difference["high"]).rjust(width, FIGURE_SPACE),
                "reach": reach,
                "text": format_difference(difference),
            }
        )
    return rows


def training(record: Record) -> dict[str, Any] | None:
    """The curves of loss and, of classifiers, accuracy; None without any."""
    trained = listing(record, "training")
    loss, accuracy = curves(trained, "loss"), curves(trained, "accuracy")
    figures = []
    if loss:
        figures.append({"title": "Training loss", "svg": curve_figure(loss, title="Training loss", percent=False)})
    if accuracy:
        title = "Training accuracy, %"
        figures.append({"title": title, "svg": curve_figure(accuracy, title=title, percent=True)})
    if not figures:
        return None
    return {"figures": figures, "reference": any(c.reference for c in [*loss, *accuracy])}


def repeat(record: Record) -> dict[str, Any]:
    """What the template ``repeat.html.j2`` shows: command, spec, environment, times, files; empty where unknown."""
    environment = mapping(record, "environment")
    versions = [(str(k), str(v)) for k, v in mapping(environment, "versions").items() if v is not None]
    made = [
        *versions,
        *((k, str(v)) for k, v in environment.items() if k != "versions" and v is not None),
        *((k, str(record[k])) for k in ("commit",) if record.get(k)),
    ]
    times = [
        {"name": readable(k), "seconds": f"{v:,.1f}"}
        for k, v in mapping(record, "timings_s").items()
        if isinstance(v, int | float)
    ]
    resolved = _abridged(mapping(record, "resolved"))
    return {
        "command": str(record.get("command") or ""),
        "spec": _spec_text(record.get("spec")),
        "resolved": toml_text(resolved) if resolved else "",
        "made": made,
        "times": times,
        "files": [(str(k), str(v)) for k, v in mapping(record, "files").items()],
        "determinism": str(record.get("determinism") or ""),
    }


def _abridged(value: Any) -> Any:
    """The same with very long texts cut: a trigger carries its picture inside it, and nobody reads that."""
    if isinstance(value, Mapping):
        return {k: _abridged(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_abridged(v) for v in value]
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:40]}… ({len(value):,} characters, whole in the record)"
    return value


def _spec_text(spec: Any) -> str:
    """The spec as given: TOML for a table, text as it is, JSON for anything else."""
    if not spec:
        return ""
    if isinstance(spec, Mapping):
        return toml_text(_abridged(spec))
    return spec if isinstance(spec, str) else dumps(spec)
