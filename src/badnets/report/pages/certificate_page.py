"""The page of a repair: is the backdoor gone, what proves it, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping

from badnets.core.rate import Interval, Rate
from badnets.records.blocks import Role
from badnets.records.certificate import Certificate
from badnets.report.charts.curves import step_figure
from badnets.report.pages.certificate_table import ROWS, TUNED_AGAIN
from badnets.report.pages.parts import Drawn, Line, lines, repeat
from badnets.report.pages.templating import render
from badnets.report.words.certificate_words import judge_certificate
from badnets.report.words.measures import MEASURES
from badnets.report.words.names import Nouns, known, readable, upper

_MOST_CURVES = 4


def render_certificate(certificate: Certificate) -> str:
    """The page as HTML text."""
    return render(
        "certificate.html.j2",
        title=f"{readable(str(certificate.method['kind']))} of {certificate.model}",
        verdict=judge_certificate(certificate),
        summary=_summary(certificate),
        groups=_groups(certificate),
        hollow=certificate.clean_network is not None,
        differences=_differences(certificate),
        notes=certificate.notes,
        again=certificate.reactivation,
        steps=_steps(certificate),
        undone=any(row.get("kept") is False for row in certificate.trace),
        facts=_facts(certificate),
        repeat=repeat(certificate),
        definitions=[m for m in MEASURES if m.key in {key for key, _, _ in ROWS}],
    )


def _summary(certificate: Certificate) -> str:
    had = f"{certificate.pictures:,} clean pictures" if certificate.pictures else "without data"
    named = (certificate.data_name, certificate.architecture, str(certificate.method["kind"]))
    return " · ".join((*named, had, f"{certificate.seconds:,.1f} s"))


def _groups(certificate: Certificate) -> list[tuple[str, list[Line]]]:
    """For each measure its rows: before, after, a clean network's; the success by target, and after re-tuning."""
    sides = [("before", certificate.before, False), ("after", certificate.after, False)]
    if (control := certificate.clean_network) is not None:
        sides.append(("a clean network", control.before, True))
        sides.append(("a clean network, after the same repair", control.after, True))
    found = []
    for key, name, role in ROWS:
        found.append((name, lines((words, role, getattr(side, key), hollow) for words, side, hollow in sides)))
        if key == "asr":
            found += _more_success(certificate)
    return [(name, rows) for name, rows in found if rows]


def _more_success(certificate: Certificate) -> list[tuple[str, list[Line]]]:
    nouns, again = Nouns.of(certificate), certificate.reactivation
    found = []
    for one in certificate.targets or ():
        both: list[tuple[str, Role, Interval | None, bool]]
        both = [("before", "triggered", one.before, False), ("after", "triggered", one.after, False)]
        found.append((f"attack success, {nouns.name(one.target)}", lines(both)))
    if again is not None:
        tuned = ((words, getattr(again, who), who == "clean_network") for who, words in TUNED_AGAIN)
        found.append(
            ("attack success after re-tuning", lines((words, "triggered", f, hollow) for words, f, hollow in tuned))
        )
    return found


def _differences(certificate: Certificate) -> list[Line]:
    control, again = certificate.clean_network, certificate.reactivation
    other = None if control is None else control.after_minus_before.clean_accuracy
    tuned = None if again is None else again.difference
    own = [(name, role, getattr(certificate.after_minus_before, key, None), False) for key, name, role in ROWS]
    return lines(
        [
            *own,
            ("clean accuracy of a clean network", "clean", other, False),
            ("after re-tuning: attack success, less a clean network's", "triggered", tuned, False),
        ]
    )


def _steps(certificate: Certificate) -> list[Drawn]:
    """The rates that the method noted at each step, as curves; steps that are not in the result are hollow."""
    figures = []
    names = dict.fromkeys(name for row in certificate.trace for name in row if _noted(row[name]) is not None)
    for name in list(names)[:_MOST_CURVES]:
        noted = [
            (k + 1, _noted(row.get(name)), row.get("kept") is not False) for k, row in enumerate(certificate.trace)
        ]
        line = [(float(step), float(rate), kept) for step, rate, kept in noted if rate is not None]
        if len(line) > 1:
            figures.append(Drawn(f"{upper(readable(name))}, %", step_figure(readable(name), line)))
    return figures


def _noted(value: object) -> Rate | None:
    """A rate in a method's own notes."""
    return known(Rate.from_json(value)) if isinstance(value, Mapping) and {"hits", "total"} <= value.keys() else None


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:12]))
        return f"{shown}, ... ({len(value)})" if len(value) > 12 else shown or "none"
    return "by the method" if value is None else str(value)


def _facts(certificate: Certificate) -> list[tuple[str, str]]:
    """What was chosen, and the method's settings."""
    stopped = "at the end of its budget" if certificate.stopped == "budget" else certificate.stopped
    facts = {
        "chosen": certificate.chosen,
        "stopped": stopped,
        "network": certificate.network,
        "compared with": certificate.truth.trigger_from or certificate.truth.triggered,
    }
    settings = [
        ("method" if name == "kind" else readable(name), _setting(value)) for name, value in certificate.method.items()
    ]
    return [*((name, value) for name, value in facts.items() if value), *settings]
