"""All that is known of a network: its file, what lies beside it, what an audit or a repair says. Nothing is made up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from badnets.core.errors import BadInput
from badnets.core.text import SENTENCE, brief
from badnets.networks.files.description import Description
from badnets.records.certificate import Certificate
from badnets.records.finding import Finding
from badnets.records.read import RECORD, read_record, read_verified
from badnets.records.run import RunRecord
from badnets.trust.attestations import check_about
from badnets.trust.look import Look, look
from badnets.trust.policy import Policy

T = TypeVar("T")
_ON_PURPOSE = "this network carries a backdoor on purpose"
_KINDS: dict[str, type[Finding | Certificate]] = {"finding": Finding, "certificate": Certificate}


@dataclass(frozen=True, kw_only=True)
class Known:
    """Of the network that ``description`` is of: the ``run`` that made it, a ``finding`` and a ``certificate`` about
    the very bytes, each if there is one; and whose signatures lie beside it. Of what the file does not say, the others'
    word counts."""

    description: Description
    signed: Look
    run: RunRecord | None = None
    finding: Finding | None = None
    certificate: Certificate | None = None

    @property
    def architecture(self) -> str | None:
        """By its name; None where nobody says it."""
        found = None if self.finding is None else self.finding.architecture
        run = None if self.run is None else str(self.run.resolved.get("network"))
        return _first(self.description.architecture, found, run)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """In the network's order."""
        others = (None if one is None else one.class_names for one in (self.finding, self.run))
        return _first(self.description.class_names, *others)

    @property
    def input_size(self) -> tuple[int, int, int] | None:
        """Channels, height, width."""
        return _first(self.description.input_size, None if self.finding is None else self.finding.input_size)

    @property
    def declared(self) -> str | None:
        """That it carries a backdoor on purpose, as the file itself says or the record of its run; None where neither
        does. ``planted`` tells which."""
        if self.description.provenance.get("backdoor"):
            return f"{_ON_PURPOSE}, its own file says"
        if self.run is not None and self.run.poisoned is not None:
            return f"{_ON_PURPOSE}, the record of its run says"
        return None

    @property
    def planted(self) -> str:
        """What was planted, in the words of the file or of the record; where they have none, that they have none."""
        said = self.said("backdoor", "planted")
        if said is None and self.run is not None and self.run.poisoned is not None:
            said = self.run.poisoned.sentence
        return brief(said or "which one is not said", SENTENCE).replace("->", "\N{RIGHTWARDS ARROW}")

    def said(self, *names: str) -> Any:
        """A field inside fields of what the file says of how it was made; None where there is none."""
        value: Any = self.description.provenance
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value


def known_of(
    model: Path,
    description: Description,
    *,
    finding: Path | None = None,
    certificate: Path | None = None,
    trusted: Policy | None = None,
) -> Known:
    """What is known of ``model``, a file or the folder around it. Raises ``BadInput`` for a ``finding`` or a
    ``certificate`` (files or folders) of other bytes."""
    file, sha256 = description.file, description.sha256
    return Known(
        description=description,
        signed=look(model, file, sha256, trusted),
        run=_run_beside(file, sha256),
        finding=_about("finding", finding, file, sha256),  # type: ignore[arg-type]  # of this kind, it was looked at
        certificate=_about("certificate", certificate, file, sha256),  # type: ignore[arg-type]
    )


def _run_beside(file: Path, sha256: str) -> RunRecord | None:
    """The record in the file's folder, if it is of a run that made these very bytes; other records are left alone."""
    if not (file.parent / RECORD).is_file():
        return None
    try:
        record = read_record(file.parent / RECORD)
    except BadInput:
        return None
    return record if isinstance(record, RunRecord) and record.files.get(file.name) == sha256 else None


def _about(kind: str, path: Path | None, file: Path, sha256: str) -> Finding | Certificate | None:
    if path is None:
        return None
    record = read_verified(path)
    wanted = _KINDS[kind]
    if not isinstance(record, wanted):
        got = type(record).model_fields["format"].default
        raise BadInput(f"expected {wanted.model_fields['format'].default} as {kind!r}, got {got} at {path}")
    check_about(record, file, sha256)
    return record


def _first(*values: T | None) -> T | None:
    """The first that is known."""
    return next((value for value in values if value is not None), None)
