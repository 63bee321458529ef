"""The page of an audit: the verdict, the trigger beside those of clean networks, where the network stands among them,
class by class, what the audit would have found, and what it does not say."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from badnets.core.errors import BadInput, first_line
from badnets.core.rate import Number
from badnets.core.text import SENTENCE, brief
from badnets.data.formats.decode import DAMAGED, decode_stamp
from badnets.records.blocks import Role
from badnets.records.finding import AuditedClass, CleanSearch, Finding, FoundTrigger, png_content
from badnets.report.cards.seals import Seal
from badnets.report.charts.figures import Mark
from badnets.report.charts.strip import strip
from badnets.report.charts.svg import nice_ticks
from badnets.report.pages.parts import render, setting
from badnets.report.pages.pictures import Picture, Pixels, picture
from badnets.report.words.finding_words import (
    GROUNDS,
    among_classes,
    class_words,
    judge_finding,
    kind_words,
    limits,
    others,
    p_words,
    pixels_words,
    ranked_classes,
    score_of,
    scored_kinds,
    share_words,
    size_head,
    size_words,
    surprise_words,
)
from badnets.report.words.names import known, readable, upper
from badnets.report.words.values import show_tick

MOST_ROWS = 100
_MOST_SEARCHES = 6
_LONGEST_NAME = 60
_HERO = {"wide": 192, "narrow": 104}
_SMALL = {"wide": 96, "narrow": 72}
_LEAST_VIEW = 24  # pixels of a picture of which a part is shown
_SIZES = {
    "perturbation": "Smallest change: the root mean square of the smallest change that leads several pictures to the "
    "class, where 255 is from black to white."
}


class Proof(NamedTuple):
    """The trigger as pictures, (picture, caption, answer, whether it is the trigger's doing) each: the equation. And
    the trigger beside those of the same search in clean networks: (picture, whose, size, success); ``zoomed`` where
    only their surroundings are shown."""

    equation: list[tuple[Picture, str, str, bool]]
    beside: list[tuple[Picture, str, str, str]]
    zoomed: bool


class Row(NamedTuple):
    """A class: its number (where its name is another) and name, its mark on the axis, and for each detector its
    surprise and size as text."""

    number: str
    name: str
    mark: Mark | None
    cells: list[tuple[str, str]]
    named: bool


class Classes(NamedTuple):
    """The rows, of ``total``; ``heads`` are (surprise, size) of each detector; ``ticks`` of the axis of the first."""

    rows: list[Row]
    total: int
    heads: list[tuple[str, str]]
    axis: tuple[float, float]
    ticks: list[str]
    grid: list[float]
    words: str


def render_finding(finding: Finding, seals: Sequence[Seal] = ()) -> str:
    """The page as HTML text; ``seals`` are those of the network that lies beside it. Raises BadInput for pictures that
    are none."""
    return render(
        "finding.html.j2",
        title=f"audit of {brief(finding.model or 'a network', 120)}",
        verdict=judge_finding(finding),
        summary=_summary(finding),
        proof=_proof(finding),
        stands=p_words(finding),
        others=upper(others(finding)),
        strip=_strip(finding),
        classes=_classes(finding),
        power=_power(finding),
        tried=_tried(finding),
        notes=[brief(note, SENTENCE) for note in finding.notes],
        limits=limits(finding),
        cures=_cures(finding) if finding.verdict == "backdoored" else [],
        record=finding,
        seals=seals,
    )


def _summary(finding: Finding) -> str:
    rate = known(finding.accuracy)
    read = "without clean pictures" if not finding.pictures else f"{finding.pictures:,} clean pictures"
    return " · ".join(
        (
            brief(finding.architecture, _LONGEST_NAME),
            f"{len(finding.class_names):,} classes",
            read if rate is None else f"accuracy {share_words(rate)} on clean pictures",
            *([GROUNDS[finding.ground]] if finding.p is not None or finding.n_references else []),
            f"{finding.seconds:,.1f} s",
        )
    )


def _proof(finding: Finding) -> Proof | None:
    trigger = finding.trigger
    if trigger is None:
        return None
    found = _pixels(trigger.picture)
    alone, zoomed = _enlarged([found])
    alt = "The trigger that was worked out; the checkered ground shows through where it leaves a picture as it is"
    words = "the trigger that was worked out" + ", enlarged" * zoomed
    equation = [(picture(alone[0], alt, **_HERO), words, "", False)]
    if trigger.before is not None and trigger.after is not None:
        first, then = trigger.answers or ("", "")
        before = picture(_pixels(trigger.before), f"A clean picture{_read_as(first)}", **_HERO)
        after = picture(_pixels(trigger.after), f"The same picture with the trigger{_read_as(then)}", **_HERO)
        equation = [
            (before, "a clean picture", first and _short(first), False),
            *equation,
            (after, "with the trigger", then and _short(then), first != then),
        ]
    searches = finding.clean_searches[:_MOST_SEARCHES]
    every: list[FoundTrigger | CleanSearch] = [trigger, *searches]
    if not searches:
        return Proof(equation, [], zoomed=zoomed)
    stamps, zoomed = _enlarged([_pixels(one.picture) for one in every])
    beside = []
    for one, stamp in zip(every, stamps, strict=True):
        who = "this network" if one is trigger else "a clean network"
        size = pixels_words(one.mask_pixels)
        reached = "of no pictures" if known(one.success) is None else share_words(one.success)
        beside.append((picture(stamp, f"Trigger found in {who}: {size}", **_SMALL), who, size, reached))
    return Proof(equation, beside, zoomed=zoomed)


def _enlarged(stamps: list[Pixels]) -> tuple[list[Pixels], bool]:
    """The surroundings of each trigger, all of one size, where the pictures are large and the triggers small; and
    whether that is so. In a whole picture of 224 pixels a few could not be seen."""
    boxes = [_box(stamp[:, :, 3]) for stamp in stamps]
    side = max(_LEAST_VIEW, *(2 * max(bottom - top, right - left) for top, bottom, left, right in boxes))
    if 2 * side > min(min(stamp.shape[:2]) for stamp in stamps):
        return stamps, False
    views = []
    for stamp, (top, bottom, left, right) in zip(stamps, boxes, strict=True):
        height, width = stamp.shape[:2]
        y = min(max((top + bottom - side) // 2, 0), height - side)
        x = min(max((left + right - side) // 2, 0), width - side)
        views.append(stamp[y : y + side, x : x + side])
    return views, True


def _box(mask: Pixels) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) around what is at least a tenth as strong as the strongest; all where nothing is."""
    strong = mask >= max(int(mask.max(initial=0)) / 10, 1)
    rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
    if not len(rows):
        return 0, mask.shape[0], 0, mask.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _read_as(name: str) -> str:
    return f", which the network reads as {class_words(name)}" if name else ""


def _short(name: str) -> str:
    return brief(readable(name), _LONGEST_NAME)


def _pixels(uri: str) -> Pixels:
    """The picture of a data URI (h, w, 4), which is written anew: what is on a page is what was looked at."""
    try:
        return decode_stamp(png_content(uri), "a picture of the finding")
    except DAMAGED as error:
        got = brief(first_line(error), 120)
        raise BadInput(f"expected PNG pictures as data URIs in the finding, got something else ({got})") from None


def _strip(finding: Finding) -> Markup | None:
    values = [one for one in finding.reference_statistics if math.isfinite(one)]
    if finding.statistic is None or not math.isfinite(finding.statistic) or not values:
        return None
    return strip(
        finding.statistic,
        values,
        name="this network",
        what=upper(others(finding)),
        axis="standard deviations",
        title="This network among clean ones",
    )


def _classes(finding: Finding) -> Classes | None:
    """The class that is named, then the others by surprise of the first detector; None where nothing was compared."""
    kinds = scored_kinds(finding)
    if not kinds:
        return None
    first = kinds[0]
    shown = ranked_classes(finding, MOST_ROWS)
    target = None if finding.target is None else finding.target.label
    there = [score for one in shown if (score := score_of(one, first)) is not None]
    ticks = nice_ticks(min(0.0, *there), max(0.0, *there), count=2)
    low, high = ticks[0], ticks[-1]
    many = len(kinds) > 1
    told = " ".join(_SIZES[kind] for kind in kinds if kind in _SIZES)
    return Classes(
        rows=[_row(one, kinds, named=one.label == target) for one in shown],
        total=len(finding.classes),
        heads=[(f"{readable(k)}: surprise" if many else "surprise", size_head(finding, k)) for k in kinds],
        axis=(low, high),
        ticks=[show_tick(tick, "number") if len(ticks) == 3 or tick in (low, high) else "" for tick in ticks],
        grid=[(tick - low) / (high - low) for tick in ticks],
        words=f"Surprise: {surprise_words(finding)}. {told}".strip(),
    )


def _row(one: AuditedClass, kinds: list[str], *, named: bool) -> Row:
    score = score_of(one, kinds[0])
    role: Role = "triggered" if named else "clean"
    mark = None if score is None else Mark(_short(one.class_name), role, Number(round(score, 2)))
    cells = []
    for kind in kinds:
        own, size = score_of(one, kind), score_of(one, f"{kind}_size")
        cells.append(("" if own is None else _signed(own), "" if size is None else size_words(size, kind)))
    name = _short(one.class_name)
    return Row("" if name == str(one.label) else str(one.label), name, mark, cells, named)


def _signed(value: float) -> str:
    return f"{value:+,.2f}".replace("-", "\N{MINUS SIGN}")


def _power(finding: Finding) -> list[tuple[str, list[Mark]]]:
    """What the same audit finds of planted backdoors, by family of networks, and which clean networks it accuses."""
    groups: dict[str, list[Mark]] = {}
    for one in finding.power:
        if (found := known(one.found)) is not None:
            right = known(one.named) if one.named is not None else None
            note = "" if right is None else f"with the right class {share_words(right)}"
            group = groups.setdefault(f"backdoors found in {brief(one.networks, _LONGEST_NAME)}", [])
            group.append(Mark(kind_words(one), "triggered", found, note=note))
    for one in finding.false_alarms:
        if (found := known(one.found)) is not None:
            group = groups.setdefault("clean networks taken for backdoored", [])
            group.append(Mark(brief(one.networks, _LONGEST_NAME), "clean", found, hollow=True))
    return list(groups.items())


def _tried(finding: Finding) -> list[tuple[str, str]]:
    """The detectors with their settings, and what they had to look at."""
    data = finding.data or {}
    named = _data_name(finding) or "data of your own"
    pictures = f"{finding.pictures:,} of {named}" if finding.pictures else "none"
    facts = [
        ("reason", brief(finding.reason, 300)),
        ("clean pictures", pictures),
        ("compared with", "its own classes" if among_classes(finding) else _compared(finding)),
    ]
    for one in finding.detectors:
        settings = ", ".join(f"{readable(k)} {setting(v)}" for k, v in one.items() if k != "kind")
        facts.append(("detector", brief(f"{one.get('kind', '?')}{f' ({settings})' * bool(settings)}", 200)))
    facts += [("day", finding.date)] if finding.date else []
    facts += [("seed", str(finding.seed)), ("input", " by ".join(map(str, finding.input_size)))]
    if data and finding.data_digest:
        facts.append(("data digest", finding.data_digest))
    if finding.network_sha256:
        facts.append(("network SHA-256", finding.network_sha256))
    return facts


def _compared(finding: Finding) -> str:
    return others(finding) if finding.n_references else "nothing"


def _data_name(finding: Finding) -> str:
    data = finding.data or {}
    return brief(data.get("path") or data.get("name") or "", 200)


def _cures(finding: Finding) -> list[tuple[str, str]]:
    """What to do next, as commands."""
    model, clean = shlex.quote(finding.model or "MODEL"), shlex.quote(_data_name(finding) or "CLEAN")
    given, more = f"{model} --data {clean}", " \\\n  "
    return [
        ("Take it out by the cheapest way that works", f"badnets cure {given}"),
        (
            "Unlearn the trigger that was found",
            f"badnets repair {given}{more}--method unlearn --finding finding.json{more}--out repaired.safetensors",
        ),
        (
            "Or keep the network and refuse the class",
            f"badnets guard {given}{more}--method refuse-class --finding finding.json{more}--out guarded.safetensors",
        ),
    ]
