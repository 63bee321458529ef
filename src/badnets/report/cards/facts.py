"""What a card says, as rows of text and figures: the page and the Markdown are made of them, and so is the bill of
materials. What is not known says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from badnets.core.rate import Interval
from badnets.core.text import CELL, VALUE, brief
from badnets.records.blocks import Role
from badnets.report.cards.known import Known
from badnets.report.pages.parts import setting
from badnets.report.words.certificate_words import certificate_verdict
from badnets.report.words.finding_words import finding_verdict, limits, p_words
from badnets.report.words.names import MEASURES, known, measured

UNKNOWN = "not known"
TO_FILL = "to fill in"
_MOST_CLASSES = 50
TASKS = {"classify": "image classification", "locate": "classification and a box", "detect": "object detection"}
BLANKS = {
    "licence of the weights": "an SPDX identifier, or the text",
    "licence of the training data": "an SPDX identifier, or the text",
    "published by": "a person or an organization, and how to reach them",
    "meant for": "who should use it, and for what",
    "not meant for": "what it was not tried on",
}
"""What no file says, and whoever publishes a network should."""

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """A section of a card: rows of a name and a value, then sentences, then what there are many of."""

    title: str
    rows: Rows = ()
    sentences: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A figure: its field and name, on which pictures it was counted, and who says so."""

    key: str
    name: str
    role: Role
    figure: Interval
    of: str


def title(of: Known) -> str:
    """What the network is, in one sentence."""
    names, size = of.class_names, input_words(of)
    if of.architecture is None or names is None:
        return f"A network ({_format(of)}) that does not say which it is, nor what it tells apart."
    verbs = {"detect": "finds objects of", "locate": "tells apart and locates"}
    does, classes = (
        verbs.get(of.description.task or "", "tells apart"),
        f"{len(names):,} class{'es' * (len(names) != 1)}",
    )
    return f"{brief(of.architecture, 80)}: {does} {classes} in pictures{f' of {size}' if size else ''}."


def metrics(of: Known) -> tuple[Metric, ...]:
    """Every figure that somebody measured on this network, with its interval."""
    found = []
    if (run := of.run) is not None:
        seeds = "" if len(run.seeds) == 1 else f", {len(run.seeds)} seeds"
        told = f"test pictures of {brief(run.data_name)}{seeds} (its run)"
        found += [Metric(m.key, m.name, m.role, f, told) for m, f in measured(run) if not m.reference]
    if (certificate := of.certificate) is not None:
        told = f"test pictures of {brief(certificate.data_name)} (its repair)"
        after = ((m, known(getattr(certificate.after, m.key, None))) for m in MEASURES)
        found += [Metric(m.key, m.name, m.role, f, told) for m, f in after if f is not None]
    if (finding := of.finding) is not None and (rate := known(finding.accuracy)) is not None:
        name = brief((finding.data or {}).get("name") or "data that is not named")
        found.append(Metric("clean_accuracy", "clean accuracy", "clean", rate, f"clean pictures of {name} (its audit)"))
    return tuple(found)


def parts(of: Known) -> tuple[Part, ...]:
    """The sections of a card, but for the figures."""
    made = [make(of) for make in (_what, _origin, _audit, _repair, _file)]
    blanks = Part("Licence and use", tuple((name, f"{TO_FILL}: {what}") for name, what in BLANKS.items()))
    return tuple(part for part in (*made, blanks) if part.rows)


def _what(of: Known) -> Part:
    told, names = of.description, of.class_names
    normal = ", ".join(f"{mean:.4g} / {std:.4g}" for mean, std in zip(told.mean, told.std, strict=False))
    rows = (
        ("architecture", of.architecture or UNKNOWN),
        ("arguments", _settings(told.arguments) if told.arguments else ""),
        ("its tensors fit", ", ".join(told.fits)),
        ("task", TASKS.get(told.task or "", UNKNOWN)),
        ("input", input_words(of) or UNKNOWN),
        ("less mean / over deviation", normal),
        ("classes", UNKNOWN if names is None else f"{len(names):,}"),
        ("numbers in its tensors", UNKNOWN if told.numbers is None else f"{told.numbers:,}"),
    )
    shown = [brief(name, 60) for name in (names or ())[:_MOST_CLASSES]]
    left = len(names or ()) - len(shown)
    return Part("What it is", _filled(rows), told.says, (*shown, *([f"and {left:,} more"] if left else [])))


def _origin(of: Known) -> Part:
    run = of.run
    recipe = (run and run.resolved.get("recipe")) or of.said("recipe") or {}
    rows = (
        ("made by", of.said("made_by") or (run and "badnets") or UNKNOWN),
        ("training data", (run and run.data_name) or of.said("data") or UNKNOWN),
        ("digest of the data", run and run.data_digest),
        ("seed", of.said("seed") if run is None else ", ".join(map(str, run.seeds))),
        ("recipe", _settings(recipe) if isinstance(recipe, dict) else ""),
        ("poisoned", run and run.poisoned and f"{run.poisoned.rows:,} of {run.poisoned.of:,} {run.poisoned.unit}"),
        ("backdoor", of.declared and of.planted),
        ("made from the file", of.said("file")),
        ("SHA-256 of that file", of.said("sha256")),
        ("repaired by", _method(of.said("repaired"))),
        ("guarded by", _method(of.said("guarded"))),
        ("code", run and run.commit),
        ("command", run and run.command),
    )
    return Part("Where it comes from", _filled(rows))


def _audit(of: Known) -> Part:
    finding = of.finding
    if finding is None:
        return Part("Audit", (("audit", "none at hand; badnets audit makes one"),))
    data = finding.data or {}
    rows = (
        ("day", finding.date or UNKNOWN),
        ("verdict", finding.verdict.replace("-", " ")),
        ("pictures", f"{finding.pictures:,} of {data.get('name') or UNKNOWN}" if finding.pictures else "none"),
        ("digest of the pictures", finding.data_digest),
        ("looked with", ", ".join(str(one.get("kind")) for one in finding.detectors)),
        ("command", finding.command),
    )
    said = (finding_verdict(finding), p_words(finding), *limits(finding, shown=False))
    return Part("Audit", _filled(rows), tuple(one for one in said if one))


def _repair(of: Known) -> Part:
    if (certificate := of.certificate) is None:
        return Part("Repair")
    rows = (
        ("method", _method(certificate.method)),
        ("repaired from", certificate.model),
        ("clean pictures used", f"{certificate.pictures:,}"),
        ("digest of the data", certificate.data_digest),
        ("command", certificate.command),
    )
    return Part("Repair", _filled(rows), (certificate_verdict(certificate),))


def _file(of: Known) -> Part:
    told, signed = of.description, of.signed
    rows = (
        ("name", told.file.name),
        ("SHA-256", told.sha256),
        ("bytes", f"{told.size:,}"),
        ("format", _format(of)),
        ("signature", signed.signature.name if signed.signature else "none"),
        ("attestations", signed.attestations.name if signed.attestations else "none"),
        *((f"attested, {one.kind}", f"{'' if one.ok else 'not taken: '}{one.summary}") for one in signed.attested),
    )
    return Part("The file", _filled(rows))


def _filled(rows: Sequence[tuple[str, Any]]) -> Rows:
    """Those that say something."""
    there = ((name, value) for name, value in rows if not (value is None or value is False or value == ""))
    return tuple((brief(name, VALUE), brief(value, CELL)) for name, value in there)


def input_words(of: Known) -> str:
    """``"28 x 28 pixels, 1 channel"``; empty where it is not known."""
    if of.input_size is None:
        return ""
    channels, height, width = of.input_size
    return f"{height} x {width} pixels, {channels} channel{'s' * (channels != 1)}"


def _format(of: Known) -> str:
    return {"badnets/network/1": "safetensors with badnets' header"}.get(of.description.format, of.description.format)


def _method(value: Any) -> str:
    """A method with its settings, as a file says it."""
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    rest = {name: one for name, one in value.items() if name != "kind"}
    return f"{value.get('kind', UNKNOWN)}{f' ({_settings(rest)})' if rest else ''}"


def _settings(value: dict[str, Any]) -> str:
    """Those that are set."""
    return ", ".join(f"{name} {setting(one)}" for name, one in value.items() if one not in (None, [], {}))
