"""What a finding says, in sentences."""

from __future__ import annotations

from badnets.core.text import brief
from badnets.records.finding import Finding
from badnets.report.words.names import upper

GROUNDS = {
    "matched": "against {n} clean networks of its kind",
    "taught": "against copies that it taught itself; {n} other clean networks say what is usual",
    "within": "its classes against each other; {n} other clean networks say what is usual",
}


def finding_verdict(finding: Finding) -> str:
    """The verdict in a sentence."""
    if finding.verdict == "cannot-tell":
        return f"Could not tell whether it is backdoored: {finding.reason}."
    ground = GROUNDS[finding.ground].format(n=finding.n_references)
    p = f"p = {finding.p:.2g}" if finding.p is not None else "no p-value"
    if finding.verdict == "nothing-found":
        return f"Nothing found ({p} {ground}).{_would_find(finding)}"
    return f"Backdoored{_towards(finding)}, {p} {ground}{_trigger(finding)}."


def _towards(finding: Finding) -> str:
    if finding.kind == "all-to-all":
        return ": pictures of every class are sent to another"
    target = "" if finding.target is None else f" towards “{brief(finding.target.class_name, 40)}”"
    source = "" if finding.source is None else f" from “{brief(finding.source.class_name, 40)}”"
    return f"{target}{source}"


def _trigger(finding: Finding) -> str:
    trigger = finding.trigger
    if trigger is None:
        return ""
    of = "other pictures" if finding.source is None else "pictures of that class"
    made = f": a mask of {trigger.mask_pixels:.3g} pixels sends {trigger.success} of {of} there"
    if finding.clean_searches:
        sizes = sorted(one.mask_pixels for one in finding.clean_searches)
        made += f"; in a clean network it takes {sizes[len(sizes) // 2]:.3g}"
    return made


def _would_find(finding: Finding) -> str:
    """Of what was planted in such networks, what the same audit finds."""
    if not finding.power:
        return ""
    parts = []
    for one in finding.power:
        hits, total = one.found.counts or (0, 0)
        parts.append(f"of {one.kind} {hits} of {total}")
    return f" {upper(f'of planted backdoors in {finding.power[0].networks} it finds: ' + ', '.join(parts))}."
