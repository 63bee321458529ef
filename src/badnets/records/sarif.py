"""A scan in the words of SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from badnets.core import VERSION
from badnets.core.text import neutral
from badnets.records.scan import Scan, ScanFinding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"unsafe": "error", "unknown": "warning"}


def as_sarif(scan: Scan) -> dict[str, Any]:
    """One run of one tool, with a rule for each kind of finding."""
    rules = {found.rule: found for found in scan.findings}
    driver = {
        "name": "badnets",
        "semanticVersion": VERSION,
        "informationUri": "https://github.com/badnets/badnets",
        "rules": [_rule(name, found) for name, found in sorted(rules.items())],
    }
    results = [_result(found) for found in scan.findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(name: str, found: ScanFinding) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": found.why},
        "help": {"text": found.do},
        "defaultConfiguration": {"level": _LEVELS[found.severity]},
    }


def _result(found: ScanFinding) -> dict[str, Any]:
    """Bytes are counted in the file itself; of a member in it they are told in the text alone."""
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(found.file)}}
    at = "" if found.offset is None else f" at byte {found.offset:,}"
    if found.offset is not None and not found.member:
        place["region"] = {"byteOffset": found.offset}
    location: dict[str, Any] = {"physicalLocation": place}
    if found.member:
        location["logicalLocations"] = [{"fullyQualifiedName": neutral(found.member), "kind": "member"}]
        at = f" in {found.member}{at}"
    return {
        "ruleId": found.rule,
        "level": _LEVELS[found.severity],
        "message": {"text": neutral(f"{found.what}{at}: {found.why}; {found.do}")},
        "locations": [location],
    }


def _uri(file: str) -> str:
    """As a reference that any character may stand in."""
    return quote(PurePath(file).as_posix(), errors="surrogatepass")
