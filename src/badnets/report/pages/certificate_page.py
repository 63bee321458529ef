"""The page of a repair: is the backdoor gone, what proves it, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from badnets.core.rate import Rate
from badnets.records.certificate import Certificate
from badnets.report.cards.seals import Seal
from badnets.report.charts.figures import Mark
from badnets.report.charts.lines import step_figure
from badnets.report.pages.parts import marks, render, setting
from badnets.report.pages.table import ROWS, TUNED_AGAIN
from badnets.report.words.certificate_words import judge_certificate
from badnets.report.words.names import MEASURES, Nouns, readable, upper

_MOST_CURVES = 4


def render_certificate(certificate: Certificate, seals: Sequence[Seal] = ()) -> str:
    """The page as HTML text; ``seals`` are those of the repaired network that lies beside it."""
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
        record=certificate,
        seals=seals,
        definitions=[m for m in MEASURES if m.key in {key for key, _, _ in ROWS}],
    )


def _summary(certificate: Certificate) -> str:
    had = f"{certificate.pictures:,} clean pictures" if certificate.pictures else "without data"
    named = (certificate.data_name, certificate.architecture, str(certificate.method["kind"]))
    return " · ".join((*named, had, f"{certificate.seconds:,.1f} s"))


def _groups(certificate: Certificate) -> list[tuple[str, list[Mark]]]:
    """For each measure its rows: before, after, a clean network's; the success by target, and after re-tuning."""
    sides = [("before", certificate.before, False), ("after", certificate.after, False)]
    if (control := certificate.clean_network) is not None:
        sides.append(("a clean network", control.before, True))
        sides.append(("a clean network, after the same repair", control.after, True))
    nouns, again = Nouns.of(certificate), certificate.reactivation
    groups = []
    for key, name, role in ROWS:
        groups.append((name, marks(*((words, role, getattr(side, key), hollow) for words, side, hollow in sides))))
        if key != "asr":
            continue
        for one in certificate.targets or ():
            both = marks(("before", role, one.before, False), ("after", role, one.after, False))
            groups.append((f"attack success, {nouns.name(one.target)}", both))
        if again is not None:
            tuned = marks(*((words, role, getattr(again, who), who == "clean_network") for who, words in TUNED_AGAIN))
            groups.append(("attack success after re-tuning", tuned))
    return [(name, rows) for name, rows in groups if rows]


def _differences(certificate: Certificate) -> list[Mark]:
    control, again, changes = certificate.clean_network, certificate.reactivation, certificate.after_minus_before
    other = None if control is None else control.after_minus_before.clean_accuracy
    tuned = None if again is None else again.difference
    return marks(
        *((name, role, getattr(changes, key, None), False) for key, name, role in ROWS),
        ("clean accuracy of a clean network", "clean", other, False),
        ("after re-tuning: attack success, less a clean network's", "triggered", tuned, False),
    )


def _steps(certificate: Certificate) -> list[tuple[str, Markup]]:
    """The rates that the method noted at each step, as curves; steps that are not in the result are hollow."""
    lines: dict[str, list[tuple[float, float, bool]]] = {}
    for step, row in enumerate(certificate.trace, 1):
        rates = {k: v for k, v in row.items() if isinstance(v, Mapping) and {"hits", "total"} <= v.keys()}
        for name, rate in ((k, Rate.from_json(v)) for k, v in rates.items() if v["total"]):
            lines.setdefault(name, []).append((float(step), float(rate), row.get("kept") is not False))
    return [
        (f"{upper(readable(name))}, %", step_figure(readable(name), line))
        for name, line in list(lines.items())[:_MOST_CURVES]
        if len(line) > 1
    ]


def _facts(certificate: Certificate) -> list[tuple[str, str]]:
    """What was chosen, and the method's settings."""
    facts = [
        ("chosen", certificate.chosen),
        ("stopped", "at the end of its budget" if certificate.stopped == "budget" else certificate.stopped),
        ("network", certificate.network),
        ("compared with", certificate.truth.trigger_from or certificate.truth.triggered),
    ]
    settings = certificate.method.items()
    return [
        *((name, value) for name, value in facts if value),
        *(("method" if name == "kind" else readable(name), setting(value)) for name, value in settings),
    ]
