"""Records from their files, each as its type; what is wrong with one is told in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_json, write_json
from badnets.core.text import VALUE, brief
from badnets.core.toml import check_depth
from badnets.core.validation import explain
from badnets.records.certificate import Certificate, GuardRecord
from badnets.records.finding import Finding
from badnets.records.model import Record
from badnets.records.results import Comparison, Evaluation
from badnets.records.run import RunRecord
from badnets.records.study import StudyRecord
from badnets.records.verified import check_files, check_seal

RECORD = "record.json"
FINDING = "finding.json"
"""What an audit leaves in its folder, in place of a record."""
_MODELS: tuple[type[Record], ...] = (
    RunRecord,
    StudyRecord,
    Certificate,
    GuardRecord,
    Evaluation,
    Comparison,
    Finding,
)
FORMATS: Mapping[str, type[Record]] = {str(model.model_fields["format"].default): model for model in _MODELS}
"""Every record by the format that its JSON names."""
M = TypeVar("M", bound=Record)


def read_record(path: Path) -> Record:
    """The record in a folder (a run's, a study's, an audit's) or in a file, as its type.

    Raises BadInput for a place without one, a newer or unknown format, and content that is not a record.
    """
    file = path / RECORD if path.is_dir() else path
    if path.is_dir() and not file.exists() and (path / FINDING).exists():
        file = path / FINDING
    if not file.exists() and any((path / name).exists() for name in ("trials", "work")):
        raise BadInput(
            f"expected a finished study in {path}, got one that is half written; let `badnets reproduce` finish it, "
            "or see what there is with --so-far"
        )
    if not file.exists():
        raise BadInput(f"expected a run or a study (a folder with {RECORD}) at {path}, got none; check the path")
    value: Any = read_json(file)
    name = value.get("format") if isinstance(value, dict) else None
    name = brief(name, VALUE) if isinstance(name, str) else name
    model = FORMATS.get(str(name))
    if model is None:
        raise BadInput(_unknown_format(file, name))
    try:
        check_depth(value, str(file))
        record = model.model_validate(value)
        made_by = getattr(record, "environment", None)
        check_seal(file, value, "0" if made_by is None else made_by.versions.get("badnets"))
    except ValidationError as error:
        problem = explain(error, model.model_json_schema, value)
        raise BadInput(f"{file} ({name}): {problem}; the file may be damaged") from None
    except (ValueError, OverflowError, RecursionError, ArithmeticError) as error:  # numbers and texts beyond all use
        raise BadInput(
            f"{file} ({name}): expected a record, got an error ({first_line(error)}); it may be damaged"
        ) from None
    return record


def read_as(path: Path, kind: type[M]) -> M:
    """The same, of one kind: a run where a study is asked for is refused."""
    record = read_record(path)
    if not isinstance(record, kind):
        wanted, got = kind.model_fields["format"].default, getattr(record, "format", type(record).__name__)
        raise BadInput(f"expected format {wanted!r} in {path}, got {got!r}")
    return record


def read_run(path: Path) -> RunRecord:
    """The record of a run's folder (or of its ``record.json``), whose files are those that it describes."""
    record = read_as(path, RunRecord)
    check_files(_folder(path), record.files)
    return record


def read_verified(path: Path) -> Record:
    """The record in a folder or a file as its type, whose files, where they lie beside it, are those it describes."""
    record = read_record(path)
    check_files(_folder(path), getattr(record, "files", {}))
    return record


def network_file(model: Path) -> Path:
    """Where the network is: a file, or in a folder; that of a run is the one that its record describes."""
    if not model.is_dir():
        return model
    if (model / RECORD).exists():
        read_run(model)
    return model / "network.safetensors"


@contextmanager
def parts_that_fit(where: object) -> Iterator[None]:
    """Around what is made of records: one may have the right types everywhere and no sense (no class names, say), which
    comes up anywhere; it is the record's fault."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        got = brief(f"{type(error).__name__}: {first_line(error)}", VALUE)
        raise BadInput(f"expected parts that fit together in the record of {where}, got others ({got})") from error


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def write_record(path: Path, record: Record) -> None:
    """The one way in which a record comes to its file: whole or not at all, with its digest."""
    write_json(path, record.to_json())


def _unknown_format(file: Path, name: Any) -> str:
    family, _, version = str(name).rpartition("/")
    known = {kind: number for kind, _, number in (known.rpartition("/") for known in FORMATS)}
    if version.isdecimal() and int(version) > int(known.get(family, version)):
        return f"expected {family}/{known[family]} in {file}, got the newer {name}; update badnets to read it"
    return f"expected a record ({', '.join(FORMATS)}) in {file}, got format {name!r}"
