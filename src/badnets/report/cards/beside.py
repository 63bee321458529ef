"""The seals of a page: of the network file that lies beside it, if one does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.networks.files.description import Description, Opened, described_file, described_header
from badnets.records.certificate import Certificate
from badnets.records.finding import Finding
from badnets.records.run import RunRecord
from badnets.report.cards.known import known_of
from badnets.report.cards.seals import Seal, seals

_Record = RunRecord | Finding | Certificate


def seals_beside(folder: Path, record: _Record, model: Path | None = None) -> tuple[Seal, ...]:
    """Those of the network that ``record`` is about (of a repair: the repaired one), where the very bytes lie in
    ``folder`` (or, audited, in the one above it), or are ``model``: empty where none do."""
    finding = record if isinstance(record, Finding) else None
    for file in _places(folder, record, model):
        if not _is_file(file) or not _is_of(record, file):
            continue
        try:
            description = described_header(file)
        except BadInput:  # another program's; the audit has opened it
            if finding is None:
                return ()
            description = _audited(file, finding)
        place = folder if isinstance(record, RunRecord) else file
        return seals(replace(known_of(place, description), finding=finding))
    return ()


def _is_of(record: _Record, file: Path) -> bool:
    """Whether the bytes are those of the record; a run's were compared when it was read."""
    if isinstance(record, RunRecord):
        return True
    if isinstance(record, Finding):
        return file_digest(file) == record.network_sha256
    return file_digest(file) == record.files.get(PurePath(record.network).name)


def _is_file(path: Path) -> bool:
    """Whether a file is there; a stranger's name may be none that this system can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _places(folder: Path, record: _Record, model: Path | None) -> Iterator[Path]:
    """Where it may be. Of what a stranger's record says only the last part of a name counts, so that it leads nowhere
    else."""
    if model is not None:
        yield from (model, model / "network.safetensors")
    if not isinstance(record, Finding):
        yield folder / PurePath(record.network).name
        return
    name = PurePath(record.model).name
    for place in (folder / name, folder.resolve().parent / name):
        yield from (place, place / "network.safetensors")


def _audited(file: Path, finding: Finding) -> Description:
    """Of a file of another program, which was opened to be audited."""
    code = finding.architecture.startswith("file:")
    ran = "with code that somebody named" if code else "by the audit; nothing in it was run"
    return described_file(file, format="", opened=Opened(None if code else True, ran))
