"""Records from their files, each as its type; what is wrong with one is told in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from badnets.core.errors import BadInput
from badnets.core.files import file_digest, read_json
from badnets.core.validation import explain
from badnets.records.certificate import Certificate, GuardRecord
from badnets.records.model import Model
from badnets.records.results import Comparison, Evaluation
from badnets.records.run import RunRecord
from badnets.records.study import StudyRecord

RECORD = "record.json"
_MODELS: tuple[type[Model], ...] = (RunRecord, StudyRecord, Certificate, GuardRecord, Evaluation, Comparison)
FORMATS: Mapping[str, type[Model]] = {str(model.model_fields["format"].default): model for model in _MODELS}
"""Every record by the format that its JSON names."""
M = TypeVar("M", bound=Model)


def read_record(path: Path) -> Model:
    """The record in a folder (a run's, a study's) or in a file, as its type.

    Raises BadInput for a place without one, a newer or unknown format, and content that is not a record.
    """
    file = path / RECORD if path.is_dir() else path
    if not file.exists() and any((path / name).exists() for name in ("trials", "work")):
        raise BadInput(
            f"expected a finished study in {path}, got one that is half written; let `badnets reproduce` finish it, "
            "or see what there is with --so-far"
        )
    if not file.exists():
        raise BadInput(f"expected a run or a study (a folder with {RECORD}) at {path}, got none; check the path")
    value: Any = read_json(file)
    name = value.get("format") if isinstance(value, dict) else None
    model = FORMATS.get(str(name))
    if model is None:
        raise BadInput(_unknown_format(file, name))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = explain(error, model.model_json_schema, value)
        raise BadInput(f"{file} ({name}): {problem}; the file may be damaged") from None


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
    check_files(path if path.is_dir() else path.parent, record.files)
    return record


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a file of a record that is another one than the record says; ``files`` has SHA-256 by name. Files that
    are not there are left to those who need them: committed records have none."""
    for name, wanted in files.items():
        path = folder / name
        if path.is_file() and file_digest(path) != wanted:
            raise BadInput(
                f"expected {path} to be the file that its record describes, got another one (its SHA-256 differs); "
                "restore it, or make the run anew"
            )


def _unknown_format(file: Path, name: Any) -> str:
    family, _, version = str(name).rpartition("/")
    known = {kind: number for kind, _, number in (known.rpartition("/") for known in FORMATS)}
    if version.isdigit() and int(version) > int(known.get(family, version)):
        return f"expected {family}/{known[family]} in {file}, got the newer {name}; update badnets to read it"
    return f"expected a record ({', '.join(FORMATS)}) in {file}, got format {name!r}"
