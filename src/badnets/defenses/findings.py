"""What findings of audits tell a defender: the class that a backdoor aims at, where it starts from, and its trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from badnets.core.errors import BadInput
from badnets.core.text import brief, listed
from badnets.defenses.stamps import ANY, Stamp, stamp_of_picture
from badnets.networks.network import ImageNetwork
from badnets.records.finding import Finding, png_content
from badnets.records.read import FINDING, read_as

FindingPaths = Annotated[
    tuple[str, ...], Field(description="findings of badnets audit, files or folders: their classes are the suspects")
]


@dataclass(frozen=True, eq=False)
class Lead:
    """What is suspected: stamps that send pictures of the class ``source`` (None: of all others) to ``target``, by
    number (``ANY``: to any class but their own); ``stamp`` is one of them, if one is known."""

    target: int
    source: int | None = None
    stamp: Stamp | None = None

    def words(self, names: Sequence[str]) -> str:
        """For people, with the ``names`` of the classes."""
        target = "any class but the own" if self.target == ANY else names[self.target]
        return target if self.source is None else f"{target}, from {names[self.source]}"


def read_finding(path: Path) -> Finding:
    """The finding in a file, or in the folder that ``badnets audit --out`` wrote."""
    file = path / FINDING if path.is_dir() else path
    if not file.exists():
        raise BadInput(f"expected a finding (badnets audit --out) at {path}, got none; check the path ('finding')")
    return read_as(file, Finding)


def check_same(paths: Sequence[str], sha256: str | None) -> None:
    """Refuse findings of another network than the file with this digest; None where it has no file."""
    for path in paths:
        known = read_finding(Path(path)).network_sha256
        if sha256 is not None and known is not None and known != sha256:
            raise BadInput(
                f"{path}: expected a finding of this network (SHA-256 {sha256[:8]}), got one of another ({known[:8]}); "
                "audit this one (badnets audit --out)"
            )


def leads(paths: Sequence[str], network: ImageNetwork, *, trigger: bool = False) -> list[Lead]:
    """What the findings at ``paths`` tell of ``network``.

    Raises ``BadInput`` for a finding that names nothing (or, with ``trigger``, has no trigger), and for one of a
    network with other classes or input.
    """
    found = [_lead(path, read_finding(Path(path)), network, trigger=trigger) for path in paths]
    return sorted(found, key=lambda one: (one.target, -1 if one.source is None else one.source))


def targets(paths: Sequence[str], network: ImageNetwork, method: str) -> list[int]:
    """The classes that the findings at ``paths`` name, each once: for a ``method`` that asks for classes alone."""
    known = leads(paths, network)
    if any(one.target == ANY for one in known):
        raise BadInput(
            f"{method}: expected findings that name a class, got one of a backdoor from all classes to others; use "
            "the repair unlearn"
        )
    return sorted({one.target for one in known})


def _lead(path: str, finding: Finding, network: ImageNetwork, *, trigger: bool) -> Lead:
    if finding.class_names != network.class_names:
        got = f"{len(finding.class_names)} others ({brief(listed(finding.class_names[:3]), 60)}, ...)"
        raise BadInput(f"{path}: expected a finding with the network's {network.classes} classes, got {got}")
    if finding.input_size != network.input_size:
        got = f"{finding.input_size}; audit this network (badnets audit --out)"
        raise BadInput(f"{path}: expected a finding for input of {network.input_size}, got {got}")
    if finding.verdict != "backdoored":
        raise BadInput(
            f"{path}: expected a finding of a backdoor, got {finding.verdict!r}; audit with more (--references), "
            "or name a class yourself (--method invert --set classes='[...]')"
        )
    if trigger and finding.trigger is None:
        raise BadInput(
            f"{path}: expected a finding with a trigger, got one without; audit with clean pictures (badnets audit "
            "--data ... --out)"
        )
    labels = [None if one is None else one.label for one in (finding.target, finding.source)]
    for label in labels:
        if label is not None and not 0 <= label < network.classes:
            raise BadInput(f"{path}: expected a class from 0 to {network.classes - 1}, got {label}; it may be damaged")
    target, source = labels
    known = finding.trigger
    stamp = None if known is None else stamp_of_picture(_content(path, known.picture), network.input_size, path)
    if target is None or finding.kind == "all-to-all":
        return Lead(ANY, stamp=stamp)
    return Lead(target, source, stamp)


def _content(path: str, picture: str) -> bytes:
    try:
        return png_content(picture)
    except ValueError:
        raise BadInput(
            f"{path}: expected a PNG as a data URI in trigger, got something else; it may be damaged"
        ) from None
