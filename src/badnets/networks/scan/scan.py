"""``scan``: what could run code, or reach outside, when a file is opened by the framework that it is for."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from badnets.core.errors import BadInput, first_line
from badnets.core.files import check_regular
from badnets.core.limits import OBJECTS
from badnets.core.text import VALUE, brief
from badnets.networks.files.header import safetensors_header
from badnets.networks.scan.hdf5 import read_hdf5
from badnets.networks.scan.look import Look, Part
from badnets.networks.scan.onnx import read_onnx
from badnets.networks.scan.pickled import look_for_buried, read_npy, read_pickle
from badnets.networks.scan.programs import read_json, read_script
from badnets.networks.scan.sniffing import FOREIGN, HEAD, NETWORKS, forms_of, last_of, named_form, suffix_of
from badnets.networks.scan.unpacking import DAMAGE, read_stream, read_tar
from badnets.networks.scan.zips import BadArchiveError, read_zip
from badnets.records.scan import Judgement, Scan, ScanFinding

_BROKEN = (BadArchiveError, LookupError, RuntimeError, *DAMAGE)
"""What a reader raises on a file that is not whole."""
_ROLES = ("data.pkl", "constants.pkl", "attributes.pkl")
"""Names of members that are pickles whatever they begin with."""


def scan(path: Path | str) -> Scan:
    """Scan a file, or all networks in a folder and the folders in it; links to folders are not followed.

    Raises ``BadInput`` for what is not there, cannot be read, is no file or folder, or is empty.
    """
    path = Path(path)
    try:
        return _scan_folder(path) if path.is_dir() else _scan_one(path)
    except OSError as error:
        got = f"{error.strerror or first_line(error)}"
        raise BadInput(f"expected a network file or a folder that can be read at {path}, got: {got}") from None


def _scan_one(path: Path) -> Scan:
    if not path.exists():
        got = "a link that leads nowhere" if path.is_symlink() else "nothing"
        raise BadInput(f"expected a network file or a folder at {path}, got {got}; check the path")
    return _summed([_scan_file(path, str(path)).findings], 0)


def _scan_folder(folder: Path) -> Scan:
    found: list[list[ScanFinding]] = []
    skipped = 0
    for file in _files(folder):
        look = _in_folder(file, file.relative_to(folder).as_posix())
        if look.known or suffix_of(file.name) in NETWORKS:
            found.append(look.findings)
        else:
            skipped += 1
    return _summed(found, skipped)


def _files(folder: Path) -> Iterator[Path]:
    """All that lies in a folder and is no folder, and links to folders, in order."""
    count = 0

    def refuse(error: OSError) -> None:
        raise BadInput(f"expected a folder that can be read at {error.filename}, got: {error.strerror}") from None

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        count += len(files) + len(folders)
        OBJECTS.check(count, folder)
        yield from (Path(place, name) for name in sorted(files))
        yield from (Path(place, name) for name in folders if Path(place, name).is_symlink())


def _in_folder(file: Path, shown: str) -> Look:
    """What is found in one of many. What cannot be read is told, and hides no other."""
    look = Look(file, shown, 0)
    here = Part(b"", 0, 0, shown)
    try:
        if file.exists() and not file.is_dir():
            return _scan_file(file, shown)
        look.known = True
        look.tell(here, "outside-link", "a link to a folder" if file.is_dir() else "a link that leads nowhere")
    except (BadInput, OSError) as error:
        look.tell(here, "damaged", getattr(error, "strerror", None) or first_line(error))
    return look


def _scan_file(path: Path, shown: str) -> Look:
    """What is found in one file, called ``shown`` in it."""
    check_regular(path, "a network file")
    look = Look(path, shown, path.stat().st_size)
    if not look.size:
        raise BadInput(f"expected a network file at {path}, got an empty one; get it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        whole = Part(data, 0, len(data), path.name)
        look.known = _visit(whole, look)
        if not look.known:
            look.tell(whole, "not-read", "a file of no form that is known here")
    return look


def _visit(part: Part, look: Look) -> bool:
    """Look at one part in every form that it may have, and at all in it; whether it is known what it is."""
    head, claimed = part.read(0, HEAD), named_form(part.name)
    forms = forms_of(head, part.name)
    if (
        not part.depth
        and not {"zip", "tar"} & set(forms)
        and part.data.find(b"PK\x05\x06", max(0, part.end - HEAD - 22), part.end) >= 0
    ):
        forms.append("zip")  # behind something else: what reads archives finds it
    if last_of(part.name) in _ROLES and "pickle" not in forms:
        forms.append("pickle")
    if claimed and part.size and (not forms or (forms, claimed) == (["onnx"], "foreign")):
        forms = [claimed]  # other protobufs may begin as ONNX does
    before, known = len(look.findings), False
    for form in forms:
        sure = form == claimed or last_of(part.name) in _ROLES or (form == forms[0] and _is_plain(form, head, part))
        known |= sure
        _read(form, part, look, sure=sure)
    if not forms and part.depth:
        _guarded(part, look, lambda: look_for_buried(part, look))
    return known or len(look.findings) > before


def _is_plain(form: str, head: bytes, part: Part) -> bool:
    """Whether a part without a telling name says by its first bytes what it is: numbers or texts may begin so too."""
    return (not part.depth or suffix_of(part.name) in NETWORKS) and (form != "pickle" or head[:1] == b"\x80")


def _read(form: str, part: Part, look: Look, *, sure: bool) -> None:
    """Look at a part in one form. Where it is not ``sure`` to have that, damage only says that it has not."""
    read = partial(read_pickle, sure=sure) if form == "pickle" else _READERS[form]

    def through() -> None:
        try:
            for inner in read(part, look):
                _visit(inner, look)
        except _BROKEN as error:
            if sure:
                look.tell(
                    part, "damaged", f"{_WORDS.get(form, form)} that cannot be read ({brief(first_line(error), 80)})"
                )

    _guarded(part, look, through)


def _guarded(part: Part, look: Look, work: Callable[[], None]) -> None:
    """What asks for more than the budget, or than there is, is told."""
    try:
        work()
    except BadInput as error:
        look.tell(part, "too-much", brief(str(error).partition("; ")[0], VALUE))
    except (MemoryError, RecursionError) as error:
        look.tell(part, "too-much", f"more than fits into memory ({type(error).__name__})")


def _read_safetensors(part: Part, look: Look) -> Iterator[Part]:
    """A header that every reader reads alike, and no byte that it does not tell of."""
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        at += size
        return part.read(at - size, size)

    try:
        safetensors_header(Path(look.file), read, part.size)
    except BadInput as error:
        look.tell(part, "header", str(error).removeprefix(f"{look.file}: "))
    return iter(())


def _read_native(part: Part, look: Look) -> Iterator[Part]:
    look.tell(part, "native-code", "a library or a program of the machine")
    return iter(())


def _read_packed(part: Part, look: Look) -> Iterator[Part]:
    look.tell(part, "not-read", "packed in a way that is not read; unpack it first")
    return iter(())


def _read_foreign(part: Part, look: Look) -> Iterator[Part]:
    """A network of a form that is not read: by its name. TensorFlow's operators for files are looked for."""
    head = part.read(0, HEAD)
    known = next((one for one in FOREIGN if one.start(head) or suffix_of(part.name) in one.suffixes), FOREIGN[0])
    look.tell(part, "not-read", f"{known.what}; {known.advice}")
    for name in _TENSORFLOW:
        at = part.data.find(name, part.start, part.end) if suffix_of(part.name) == ".pb" else -1
        if at >= 0:
            look.tell(part, "program-outside", f"the operator {name.decode()}", offset=at - part.start)
    return iter(())


_TENSORFLOW = (b"ReadFile", b"WriteFile", b"PyFunc", b"EagerPyFunc", b"LoadLibrary", b"MatchingFiles")
"""Operators of TensorFlow that reach outside."""
_READERS: dict[str, Callable[[Part, Look], Iterator[Part]]] = {
    "safetensors": _read_safetensors,
    "zip": read_zip,
    "tar": read_tar,
    "stream": read_stream,
    "hdf5": read_hdf5,
    "onnx": read_onnx,
    "npy": read_npy,
    "native": _read_native,
    "packed": _read_packed,
    "foreign": _read_foreign,
    "script": read_script,
    "json": read_json,
}
_WORDS = {
    "zip": "an archive",
    "tar": "a tar archive",
    "stream": "a packed file",
    "hdf5": "an HDF5 file",
    "onnx": "an ONNX network",
    "npy": "an array of numpy",
    "json": "a description",
}


def _summed(found: list[list[ScanFinding]], skipped: int) -> Scan:
    findings = tuple(one for file in found for one in file)
    severities = {one.severity for one in findings}
    verdict: Judgement = "unsafe" if "unsafe" in severities else "unknown" if severities else "safe"
    return Scan(verdict=verdict, findings=findings, files=len(found), skipped=skipped)
