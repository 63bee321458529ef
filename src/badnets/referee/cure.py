"""From a finding to a cure: which repair is recommended for what an audit found, and the pictures that it is measured
on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from badnets.core.progress import Watcher
from badnets.defenses.repair import Repair
from badnets.defenses.repairs import make_repair
from badnets.records.certificate import Certificate
from badnets.records.finding import AuditedClass, Finding
from badnets.referee.case import Opened, RepairCase, check_findings, open_case
from badnets.referee.certify import certified
from badnets.referee.store import Clock

PER_CLASS = 5
"""Clean pictures of a class below which labels say little, so that a repair that uses none is recommended."""


def cured(case: RepairCase, finding: Finding, place: Path, watcher: Watcher | None = None) -> Certificate:
    """Repair ``case.model`` in the recommended way by a ``finding`` that lies at ``place``; as ``certify``."""
    clock, watch = Clock(), watcher or Watcher()
    opened = open_case(case, watch)
    method = recommended(opened, finding, place)
    check_findings(method, case.model)
    watch.say(f"repairing with {method.kind}")
    return certified(opened, method, clock)


def recommended(opened: Opened, finding: Finding, place: Path) -> Repair:
    """The repair for what was found. Where there are few pictures of a class: ``distill``, which uses no labels; else
    ``unlearn`` with the trigger, or ``invert`` where there is none. Without a backdoor in the finding its most
    suspicious class is repaired, and where it has none, what the repair itself suspects."""
    network, pictures = opened.network, len(opened.bench.defender)
    few = pictures < PER_CLASS * network.classes
    settings: dict[str, Any] = {}
    if finding.verdict == "backdoored":
        settings["finding"] = [str(place)]
    elif (top := most_suspicious(finding)) is not None:
        settings["classes"] = [top.label]
    if finding.verdict == "backdoored" and (finding.kind == "all-to-all" or finding.target is None or not few):
        return make_repair("invert" if finding.trigger is None else "unlearn", settings)
    return make_repair("distill" if few or not settings else "invert", settings)


def most_suspicious(finding: Finding) -> AuditedClass | None:
    """The class with the highest score of the first detector, or where there are none, with the smallest trigger; None
    where nothing is known of any."""
    kind = str(finding.detectors[0].get("kind")) if finding.detectors else ""
    for name, sign in ((kind, 1.0), (f"{kind}_size", -1.0)):
        values = [(one.scores.get(name), one) for one in finding.classes]
        known = [(sign * value, -one.label, one) for value, one in values if value is not None]
        if known:
            return max(known, key=lambda one: one[:2])[2]
    return None
