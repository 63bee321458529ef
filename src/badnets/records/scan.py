"""What a scan of network files found: what could run code or reach outside when one is opened, and where it stands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from badnets.records.model import Model

Severity = Literal["unsafe", "unknown"]
Judgement = Literal["safe", "unsafe", "unknown"]


class ScanFinding(Model):
    """One thing in one file."""

    file: str
    member: str = Field(description="the part of the file, archives in archives with ! between them; empty: itself")
    offset: int | None = Field(description="bytes from the begin of that part, unpacked; null where it has no place")
    what: str = Field(description="what it is, by name")
    why: str = Field(description="why that matters")
    do: str = Field(description="what to do about it")
    rule: str = Field(description="which rule found it (docs/trust.md)")
    severity: Severity = Field(
        description="unsafe: it runs code or reaches outside when the usual framework opens it; unknown: nobody can say"
    )


class Scan(Model):
    """``badnets scan --json``. ``verdict`` is the worst of the findings; ``files`` were looked at, ``skipped`` lie in
    the folder and are no networks."""

    format: Literal["badnets/scan/1"] = "badnets/scan/1"
    verdict: Judgement
    findings: tuple[ScanFinding, ...]
    files: int
    skipped: int = 0
