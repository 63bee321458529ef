"""The page of a detector's run: what it showed, the pictures that prove it, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from badnets.report.charts.figures import glyph, key
from badnets.report.charts.pictures import Pictures, pick
from badnets.report.charts.sights import Seen, seen, sight
from badnets.report.charts.svg import element
from badnets.report.pages.detector_classes import detector_class_rows
from badnets.report.pages.parts import Named, differences, rates, repeat, training
from badnets.report.pages.table import measured
from badnets.report.pages.templating import render
from badnets.report.words.facts import Record, at, backdoors, listing, mapping, rule, run_name, summary, trigger_words
from badnets.report.words.measures import measures_of
from badnets.report.words.verdict import judge

MOST_PICTURES = 4
_DIFFERENCES: tuple[Named, ...] = (
    ("asr_minus_reference", "attack success, against a clean detector", "triggered"),
    ("map50_minus_reference", "mAP at IoU 0.5, against a clean detector", "clean"),
)


def render_detector_page(record: Record, pictures: Pictures) -> str:
    """The page as HTML text; ``pictures`` are the arrays of ``pictures.npz``, and may be empty."""
    found = measured(record)
    shown = _examples(record, pictures)
    return render(
        "detector.html.j2",
        title=run_name(record),
        verdict=judge(record),
        summary=summary(record),
        planted=str(at(record, "poisoned", "sentence") or "").replace("->", "→"),
        proof=shown[:1],
        examples=shown[1:],
        precision=rates([(m, r) for m, r in found if "interval" in r]),
        rates=rates([(m, r) for m, r in found if "interval" not in r]),
        seeds=max((len(r.get("seeds") or ()) for _, r in found), default=0),
        differences=differences(record, _DIFFERENCES),
        training=training(record),
        classes=detector_class_rows(record),
        repeat=repeat(record),
        definitions=[
            {"name": m.name, "meaning": m.meaning}
            for m in measures_of(detector=True, rule=str(rule(record).get("kind")))
            if m in {one for one, _ in found}
        ],
        glyphs={
            "clean": glyph("clean"),
            "found": glyph("clean", square=True),
            "clean_reference": glyph("clean", hollow=True),
            "triggered": glyph("triggered"),
            "triggered_reference": glyph("triggered", hollow=True),
            **{state: _key(state) for state in ("right", "wrong", "missed")},
        },
    )


def _key(state: str) -> Markup:
    """A piece of a box's line, for the legend."""
    return key(element("rect", x=-6, y=-5, width=12, height=10, class_=f"box {state}"))


def _examples(record: Record, pictures: Pictures) -> list[dict[str, Any]]:
    """Each picture without and with the trigger; the first is one on which the trigger changes what is seen."""
    planted = backdoors(record)
    words = trigger_words(mapping(planted[0], "trigger")) if len(planted) == 1 else "the trigger"
    found = []
    for example in listing(record, "examples"):
        pair = [pick(pictures, name, at(example, "picture")) for name in ("clean", "triggered")]
        if pair[0] is None or pair[1] is None:
            continue
        title = str(at(example, "title") or "a test picture")
        sides = [
            _side(example, pair[0], "", "without the trigger", f"{title} without the trigger"),
            _side(example, pair[1], "triggered", f"with {words}", f"{title} with {words}"),
        ]
        found.append({"title": title, "sides": sides, "changed": _changed(example)})
    return sorted(found, key=lambda one: not one["changed"])[:MOST_PICTURES]  # stable: the record's order otherwise


def _side(example: Mapping[str, Any], pixels: Any, which: str, caption: str, alt: str) -> dict[str, Any]:
    own, other = _names(which)
    true = listing(example, "true")
    rows = seen(true, listing(example, own))
    shown, boxes = sight(pixels, alt, rows)
    compared = isinstance(at(example, other), list)
    reference = seen(true, listing(example, other)) if compared else []
    return {
        "image": shown,
        "boxes": boxes,
        "caption": caption,
        "compared": compared,
        "rows": _beside(rows, reference, len(true)),
    }


def _names(which: str) -> tuple[str, str]:
    """What this detector and a clean one see is called in an example."""
    return (which, f"reference_{which}") if which else ("clean", "reference_clean")


def _beside(own: Sequence[Seen], reference: Sequence[Seen], true: int) -> list[dict[str, Any]]:
    """A row for each true object with both answers, then for what one of the two sees elsewhere."""
    rows = [
        {"there": one.there, "own": one, "reference": reference[k] if reference else None}
        for k, one in enumerate(own[:true])
    ]
    rows += [{"there": one.there, "own": one, "reference": None} for one in own[true:]]
    return rows + [{"there": one.there, "own": None, "reference": one} for one in reference[true:]]


def _changed(example: Mapping[str, Any]) -> bool:
    """Whether the detector says something else with the trigger, of an object that it names rightly without."""
    true = listing(example, "true")
    before, after = (seen(true, listing(example, name)) for name in ("clean", "triggered"))
    if any(b.state == "right" and a.state != "right" for b, a in zip(before[: len(true)], after, strict=False)):
        return True
    return sum(one.state == "wrong" for one in after) > sum(one.state == "wrong" for one in before)
