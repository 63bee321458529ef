"""What a scan found, in sentences: a line for each finding, and the sum."""

from __future__ import annotations

from badnets.core.text import brief
from badnets.records.scan import Scan, ScanFinding

_NAME = 160


def finding_line(found: ScanFinding) -> str:
    """``"unsafe   model.pt!archive/data.pkl at 64: calls os.system, which runs commands. Do not open it; ..."``."""
    why = f"{found.why[:1].upper()}{found.why[1:]}"
    return f"{found.severity:<8} {place_of(found)}: {found.what}. {why}; {found.do}"


def place_of(found: ScanFinding) -> str:
    """Where it stands: file, member, byte."""
    member = f"!{found.member}" if found.member else ""
    at = "" if found.offset is None else f" at {found.offset}"
    return f"{brief(found.file, _NAME)}{brief(member, _NAME)}{at}"


def scan_verdict(scan: Scan) -> str:
    """The sum in a sentence."""
    looked = f"{scan.files:,} file{'' if scan.files == 1 else 's'}"
    left = f" ({scan.skipped:,} in the folder are no networks)" if scan.skipped else ""
    if scan.verdict == "safe":
        what = "nothing found that runs code or reaches outside when it is opened" if scan.files else "no network found"
        return f"safe: {looked}{left}, {what}"
    bad = len({found.file for found in scan.findings})
    unsafe = sum(found.severity == "unsafe" for found in scan.findings)
    counts = f"{unsafe:,} unsafe and {len(scan.findings) - unsafe:,} unknown"
    return f"{scan.verdict}: {bad:,} of {looked}{left}: {counts} findings"
