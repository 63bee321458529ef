"""The pictures of a run: the one that proves the sentence, and the grid of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from badnets.report.charts.figures import Role, glyph
from badnets.report.charts.pictures import Picture, Pictures, Pixels, difference, gain, pick, picture, under_mask
from badnets.report.charts.svg import element, share
from badnets.report.words.facts import Record, backdoors, listing, mapping, picture_of, readable, tenths, trigger_words
from badnets.report.words.judged import Kind

MOST_EXAMPLES = 6
_HERO = {"wide": 192, "narrow": 104}
_SMALL = {"wide": 96, "narrow": 72}


def proof(record: Record, pictures: Pictures, kind: Kind) -> dict[str, Any] | None:
    """Clean picture, trigger, triggered picture, and what both networks say; None without such a picture.

    For a working backdoor it is the first example on which it works, else simply the first.
    """
    usable = [e for e in listing(record, "examples") if _pair(e, pictures) is not None]
    if not usable:
        return None
    working = [e for e in usable if _works(e)] if kind in ("backdoor", "weak", "unproved") else []
    example = (working or usable)[0]
    clean, triggered = _pixels(example, pictures)
    trigger = pictures.get("trigger")
    words = _trigger(record)
    alone = picture(trigger, f"The trigger alone: {words}", **_HERO) if trigger is not None else None
    true = readable(example.get("true", "?"))
    return {
        "shown": picture_of(record, example.get("true", "?")),
        "trigger": words,
        "clean": picture(clean, f"A clean test picture of the class {true}", **_HERO),
        "alone": alone,
        "triggered": picture(triggered, f"The same picture of the class {true} with {words}", **_HERO),
        "answers": _answers(example),
    }


def grid(record: Record, pictures: Pictures) -> dict[str, Any] | None:
    """The examples in four pictures each: clean, trigger, with trigger, difference; None without any."""
    usable = [e for e in listing(record, "examples") if _pair(e, pictures) is not None][:MOST_EXAMPLES]
    if not usable:
        return None
    pairs = [_pixels(example, pictures) for example in usable]
    strength = min(gain(clean, triggered) for clean, triggered in pairs)
    rows = [_row(record, example, pictures, pair, strength) for example, pair in zip(usable, pairs, strict=True)]
    return {"rows": rows, "strength": f"{strength:.2g}", "left_out": len(listing(record, "examples")) - len(rows)}


def _row(
    record: Record, example: Mapping[str, Any], pictures: Pictures, pair: tuple[Pixels, Pixels], strength: float
) -> dict[str, Any]:
    clean, triggered = pair
    true, words = readable(example.get("true", "?")), _trigger(record)
    mask = pick(pictures, "mask", example.get("picture"))
    shown: list[tuple[str, Picture]] = [("clean", picture(clean, f"Clean picture: {true}", **_SMALL))]
    if mask is not None:
        alone = under_mask(triggered, mask)
        shown.append(("trigger", picture(alone, f"What {words} covers of this picture", **_SMALL)))
    shown.append(("with trigger", picture(triggered, f"The {true} with {words}", **_SMALL)))
    change = difference(clean, triggered, strength)
    shown.append(("difference", picture(change, f"Difference between the two pictures of {true}", **_SMALL)))
    return {
        "title": readable(example.get("title") or true),
        "true": true,
        "pictures": shown,
        "answers": _answers(example),
    }


def _pair(example: Any, pictures: Pictures) -> tuple[Pixels, Pixels] | None:
    if not isinstance(example, Mapping):
        return None
    clean = pick(pictures, "clean", example.get("picture"))
    triggered = pick(pictures, "triggered", example.get("picture"))
    if clean is None or triggered is None or clean.shape != triggered.shape:
        return None
    return clean, triggered


def _pixels(example: Any, pictures: Pictures) -> tuple[Pixels, Pixels]:
    """Both pictures of an example that is known to have them."""
    pair = _pair(example, pictures)
    if pair is None:
        raise LookupError("the example has no pictures")
    return pair


def _works(example: Mapping[str, Any]) -> bool:
    """Right without the trigger, wrong with it."""
    clean, triggered = mapping(example, "clean").get("label"), mapping(example, "triggered").get("label")
    return clean == example.get("true") and triggered not in (None, clean)


def _trigger(record: Record) -> str:
    planted = backdoors(record)
    return trigger_words(mapping(planted[0], "trigger")) if len(planted) == 1 else "the trigger"


def _answers(example: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """What each network says to each picture, None where it was not asked."""
    named: tuple[tuple[str, Role, bool], ...] = (
        ("clean", "clean", False),
        ("triggered", "triggered", False),
        ("reference_clean", "clean", True),
        ("reference_triggered", "triggered", True),
    )
    return {key: _answer(example, key, role, hollow) for key, role, hollow in named}


def _answer(example: Mapping[str, Any], key: str, role: Role, hollow: bool) -> dict[str, Any] | None:
    given = mapping(example, key)
    if given.get("label") is None:
        return None
    stated = given.get("confidence")
    confidence = float(stated) if isinstance(stated, int | float) else None
    return {
        "label": readable(given["label"]),
        "confidence": "" if confidence is None else f"{tenths(confidence)} %",
        "bar": "" if confidence is None else _bar(confidence, role),
        "glyph": glyph(role, hollow=hollow),
        "wrong": given["label"] != example.get("true"),
    }


def _bar(confidence: float, role: Role) -> Markup:
    """How sure the network is; the number beside it says the same."""
    back = element("rect", width="100%", height=4, class_="grid-fill")
    front = element("rect", width=share(min(1.0, max(0.0, confidence))), height=4, class_=role)
    return element("svg", back, front, class_="sure", width="100%", height=4, aria_hidden="true")
