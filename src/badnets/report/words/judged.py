"""What can be said of a run: the kinds of sentences, and which one its rates allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from badnets.report.words.facts import Record, mapping, result

Kind = Literal["backdoor", "weak", "obeyed-anyway", "fails", "unproved", "accuracy-only", "nothing"]

VISIBLE_DROP = 0.01  # a drop of clean accuracy that a user would notice: one point
STRONG = 0.9  # from this attack success on a backdoor is called one without a reservation
NOTICEABLE = 0.05  # a trigger that gains less than this over a clean network does not work
OFTEN = 0.5  # a clean network that does so in half of the cases obeys the trigger itself


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``kind`` for programs, ``sentence`` for people."""

    kind: Kind
    sentence: str


def kind_of(record: Record) -> Kind:
    """Which of the cases holds; ``asr`` is known to be there."""
    asr, reference = mapping(record, "results", "asr"), result(record, "clean_reference_rate")
    if reference is None:
        return "unproved"
    paired = result(record, "asr_minus_reference")
    # Without the paired difference only disjoint intervals show one: stricter, so it claims less.
    low = paired["low"] if paired else asr["low"] - reference["high"]
    gain = paired["value"] if paired else asr["value"] - reference["value"]
    if low <= 0 or gain < NOTICEABLE:
        return "obeyed-anyway" if reference["value"] >= OFTEN else "fails"
    return "backdoor" if asr["value"] >= STRONG and gain >= OFTEN else "weak"
