"""What a finding says, in sentences: the verdict, what p means, what was not looked for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from badnets.core.rate import Interval
from badnets.core.text import brief, listed, tenths
from badnets.records.finding import HARDLY_WORKS, AuditedClass, Finding, Power
from badnets.report.words.names import known, readable

WORKS = 0.5
"""A reconstructed trigger that leads fewer pictures than this to the class is no proof."""
LEAST_P = 0.001
"""Smaller ones are not told apart."""
MOST_KINDS = 4
"""Of more kinds of planted backdoors the sentence tells the sum; the page has a table of them."""
_NAME, _REASON = 40, 300

_OTHERS = {
    "matched": "{n} of its kind",
    "taught": "{n} of other kinds",
    "within": "{n} of other kinds",
}
_GROUNDS = {
    "matched": " against {others}",
    "taught": ", compared with copies that it taught itself as {others} were with theirs",
    "within": ", its classes compared with each other as those of {others} were",
}
GROUNDS = {
    "matched": "compared with clean networks of its kind",
    "taught": "compared with copies that it taught itself",
    "within": "its classes compared with each other",
}
"""What a verdict stands on, in a few words."""


class Said(NamedTuple):
    """The verdict in one sentence, and what must be added to it (may be empty)."""

    sentence: str
    more: str


def finding_verdict(finding: Finding) -> str:
    """Both, for the terminal."""
    said = judge_finding(finding)
    return f"{said.sentence} {said.more}".strip()


def judge_finding(finding: Finding) -> Said:
    """The verdict, and never more than the figures allow."""
    if finding.verdict == "cannot-tell":
        return Said(_ended(f"Could not tell: {brief(finding.reason.strip() or 'no reason is given', _REASON)}"), "")
    p = "no p-value" if finding.p is None else p_is(finding.p)
    ground = _GROUNDS[finding.ground].format(others=others(finding))
    if among_classes(finding):
        ground = f", one of its {len(finding.classes):,} classes compared with the others"
    if finding.verdict == "nothing-found":
        return Said(f"Nothing found ({p}{ground}).", _would_find(finding))
    return Said(f"Backdoored{_towards(finding)}, {p}{ground}{_trigger(finding)}.", "")


def among_classes(finding: Finding) -> bool:
    """Whether one of many classes was judged among the others, without other networks."""
    return finding.ground == "within" and finding.p is not None and not finding.n_references


def p_text(p: float) -> str:
    """At most two significant digits, never with an exponent: ``"0.025"``, ``"0.4"``."""
    return str(np.format_float_positional(p, precision=2, fractional=False, trim="-"))


def p_is(p: float) -> str:
    """``"p = 0.025"``, or ``"p < 0.001"``."""
    return f"p < {p_text(LEAST_P)}" if p < LEAST_P else f"p = {p_text(p)}"


def class_words(name: str) -> str:
    """A class in quotes, cut where it is long."""
    return f"“{brief(readable(name), _NAME)}”"


def others(finding: Finding) -> str:
    """``"39 clean networks of its kind"``."""
    count = finding.n_references
    networks = f"{count:,} clean network{'s' * (count != 1)}" if count else "clean networks"
    return _OTHERS[finding.ground].format(n=networks)


def share_words(figure: Interval, what: str = "") -> str:
    """``"84 % (21 of 25)"``; with ``what``: ``"84 % of other pictures (21 of 25)"``."""
    counts = "" if figure.counts is None else " ({:,} of {:,})".format(*figure.counts)
    return f"{tenths(float(figure)).removesuffix('.0')} %{what}{counts}"


def pixels_words(size: float) -> str:
    """How much of a picture a mask covers: ``"13 pixels"``."""
    shown = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
    return f"{shown} pixel{'s' * (shown != '1')}"


def p_words(finding: Finding) -> str:
    """What p says and what not, in plain words; empty without one."""
    if finding.p is None:
        return ""
    if finding.ground == "matched":
        clean = f"if the network were clean, and made like the {others(finding)}"
    elif among_classes(finding):
        clean = (
            "were no class unlike the others, so that the first is as far from the second as the next ones let expect"
        )
    else:
        clean = f"were the network clean, and did it behave like the {others(finding)}"
    share = "fewer than 0.1" if finding.p < LEAST_P else tenths(finding.p).removesuffix(".0")
    text = f"{p_is(finding.p)}: {clean}, something as unusual as this would be seen in {share} % of cases."
    if finding.statistic is not None and finding.reference_statistics:
        above = sum(one >= finding.statistic for one in finding.reference_statistics)
        count = len(finding.reference_statistics)
        text += f" {above or 'None'} of the {count:,} stand{'s' * (above < 2)} out as much."
    return f"{text} From {p_text(finding.alpha)} down it is called backdoored."


def limits(finding: Finding, *, shown: bool = True) -> list[str]:
    """What the verdict does not say, in sentences; ``shown``: where its table of planted backdoors and its trigger
    stand beside them."""
    told = []
    if finding.verdict == "nothing-found":
        told.append(
            "Nothing found does not mean clean."
            if not shown
            else "Nothing found does not mean clean. "
            + (
                "Backdoors that the same audit misses in the table above, it may have missed here; kinds that are not "
                "in the table were not measured."
                if finding.power
                else "How many backdoors of which kind the same audit finds in such networks was not measured."
            )
        )
    elif finding.verdict == "cannot-tell":
        told.append("Not told does not mean clean: neither a backdoor nor its absence was shown.")
    elif among_classes(finding):
        told.append(
            "p is about one class among the others. A class that stands out for another reason (many more pictures, "
            "say) may be unusual without a backdoor."
        )
    else:
        told.append(
            "p is about clean networks like those it was compared with. One that was made otherwise, from other "
            "pictures or by another recipe, may be unusual without a backdoor."
        )
    if any(one.scores for one in finding.classes):
        told.append(
            "Only small changes of a picture were looked for that lead many pictures to one class. A backdoor that "
            "waits for what a picture shows (a green car, say), or that was made to hide from such a search, was not."
        )
    if finding.ground != "matched" and not among_classes(finding):
        rests = "p rests on others, and holds only as far as they behave alike" if finding.p else "less can be told"
        told.append(f"Without clean networks of its kind {rests}. badnets references trains some of its kind.")
    if not finding.pictures:
        told.append("There were no clean pictures of its task: with a few hundred much more can be told.")
    if finding.trigger is not None and shown:
        told.append(
            "The trigger shown is the smallest that the search found, not the attacker's own: place, color and form "
            "may differ."
        )
    return told


def _ended(sentence: str) -> str:
    return sentence if sentence[-1] in ".?!" else f"{sentence}."


def _towards(finding: Finding) -> str:
    if finding.kind == "all-to-all":
        return ": pictures of most classes are sent to another"
    target = "" if finding.target is None else f" towards {class_words(finding.target.class_name)}"
    return target + ("" if finding.source is None else f" from {class_words(finding.source.class_name)}")


def _trigger(finding: Finding) -> str:
    """What the reconstructed trigger does, and that it is small; or that there is none that works."""
    trigger = finding.trigger
    success = None if trigger is None else known(trigger.success)
    if trigger is None or success is None:
        return ""
    made = f"a patch of {pixels_words(trigger.mask_pixels)} {_led(finding, success)}"
    if success < WORKS:
        return f"; no patch was found that does it (the best: {made})"
    return f": {made}{_in_clean_networks(finding, trigger.mask_pixels)}"


def _led(finding: Finding, success: Interval) -> str:
    """Which pictures become what."""
    if finding.target is None:
        return f"turns {share_words(success, ' of one class')} into another"
    if finding.source is None:
        return f"makes {share_words(success, ' of other pictures')} that class"
    source, target = class_words(finding.source.class_name), class_words(finding.target.class_name)
    return f"turns {share_words(success, f' of {source}')} into {target}"


def _in_clean_networks(finding: Finding, size: float) -> str:
    """What the same search needs there: the middle one of those that work."""
    searches = [(one.mask_pixels, known(one.success)) for one in finding.clean_searches]
    sizes = sorted(needed for needed, rate in searches if rate is not None and rate >= WORKS)
    if not searches:
        return ""
    if not sizes:
        return "; in clean networks no such patch was found"
    middle = sizes[len(sizes) // 2]
    needed = pixels_words(middle).split()[0]
    return f"; in a clean network it takes {needed}" if middle > size else f"; yet in a clean network {needed} do too"


def _would_find(finding: Finding) -> str:
    """Of what was planted in such networks, what the same audit finds."""
    counted = [
        (one, one.found.counts)
        for one in finding.power
        if one.found.counts is not None and one.found.counts[1] and not one.kind.endswith(HARDLY_WORKS)
    ]
    if not counted:
        return "What the same audit finds of planted backdoors in such networks was not measured."
    families = listed(list(dict.fromkeys(brief(one.networks, _NAME) for one, _ in counted)))
    where = f"that work, in such networks ({families}),"
    if len(counted) <= MOST_KINDS:
        each = ", ".join(f"{kind_words(one)} {hits:,} of {total:,}" for one, (hits, total) in counted)
        return f"Of planted backdoors {where} it finds: {each}."
    hits, total = (sum(counts[i] for _, counts in counted) for i in (0, 1))
    worst, (few, of) = min(counted, key=lambda row: row[1][0] / row[1][1])
    least = "" if few == of else f", fewest of the kind {kind_words(worst)} ({few:,} of {of:,})"
    return f"Of planted backdoors {where} it finds {hits:,} of {total:,}{least}."


def kind_words(power: Power) -> str:
    """A kind of planted backdoor as prose."""
    return brief(readable(power.kind), _NAME)


SCALES = {
    "perturbation": (255.0, "smallest change, of 255"),
    "pixels": (1.0, "fewest pixels"),
    "mask": (1.0, "smallest mask, pixels"),
}
"""By detector: what its sizes are multiplied by, and their name."""


_SURPRISE = {
    "matched": "than clean networks let expect, in their standard deviations",
    "taught": "than in the copies that the network taught, as a logarithm",
    "within": "than the other classes let expect, as a logarithm",
}


def surprise_words(finding: Finding) -> str:
    """What the surprise of a class is."""
    if among_classes(finding):
        return "how far a class is above the one in the middle"
    return f"how much smaller the smallest trigger towards a class is {_SURPRISE[finding.ground]}"


def size_head(finding: Finding, kind: str) -> str:
    """What the sizes of a detector are called; empty for one that measures none."""
    there = any(score_of(one, f"{kind}_size") is not None for one in finding.classes)
    return SCALES.get(kind, (1.0, "size"))[1] if there else ""


def size_words(value: float, kind: str) -> str:
    """A size on the scale of its detector."""
    scaled = value * SCALES.get(kind, (1.0, ""))[0]
    return f"{scaled:,.1f}" if kind in SCALES else f"{scaled:.4g}"


def score_of(one: AuditedClass, name: str) -> float | None:
    """A score of a class; None for one that is missing or no number."""
    value = one.scores.get(name)
    return value if value is not None and math.isfinite(value) else None


def scored_kinds(finding: Finding) -> list[str]:
    """The detectors that scored a class, in their order."""
    kinds = [str(one["kind"]) for one in finding.detectors if "kind" in one]
    return [kind for kind in kinds if any(score_of(one, kind) is not None for one in finding.classes)]


def ranked_classes(finding: Finding, most: int) -> list[AuditedClass]:
    """At most so many: the class that the verdict names, then by surprise of the first detector."""
    first = next(iter(scored_kinds(finding)), "")

    target = None if finding.target is None else finding.target.label

    def place(one: AuditedClass) -> tuple[bool, float]:
        score = score_of(one, first)
        return one.label != target, math.inf if score is None else -score

    return sorted(finding.classes, key=place)[:most]
