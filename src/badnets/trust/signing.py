"""Signatures over a network file, a run's folder or a folder of data: OpenSSF model-signing bundles, which its command
``model_signing`` and others read and write too.

A bundle is Sigstore's (v0.3, JSON): an in-toto statement that has the SHA-256 of every file, in a DSSE envelope. The
names of files inside a folder are signed; that of a single file, or of the folder itself, is not.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.core.files import file_digest, identity_of, parse_json, read_bytes, temporary_folder, write_text
from badnets.core.limits import TEXT
from badnets.core.text import brief
from badnets.records.verification import CheckedFile
from badnets.trust.extra import needed
from badnets.trust.parties import Signer, Verifier

IN_FOLDER, BESIDE = "model.sig", ".sig"
"""Where a signature is by default: in a folder, or beside a file."""
ATTESTED_IN_FOLDER, ATTESTED_BESIDE = "attestations.intoto.jsonl", ".intoto.jsonl"
"""Where attestations are."""
GIT = (".git", ".gitattributes", ".github", ".gitignore")
"""What the format leaves out of every folder."""
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Checked:
    """What a signature says of what lies there: whose it is (None: nobody's that is trusted), the files, what it does
    not cover, and why it does not hold."""

    signer: str | None
    files: tuple[CheckedFile, ...]
    not_covered: tuple[str, ...]
    reasons: tuple[str, ...]


def signature_of(model: Path) -> Path:
    """Where the signature of a file or a folder is, unless another place is named."""
    return model / IN_FOLDER if model.is_dir() else model.with_name(model.name + BESIDE)


def attestations_of(model: Path) -> Path:
    """Where the attestations of a file or a folder are, unless another place is named."""
    return model / ATTESTED_IN_FOLDER if model.is_dir() else model.with_name(model.name + ATTESTED_BESIDE)


def sign(model: Path, signer: Signer, signature: Path | None = None) -> tuple[Path, tuple[CheckedFile, ...]]:
    """Sign ``model``, a file or a folder with all that is in it but its signature and attestations. Returns where the
    signature is, and what was signed.

    Raises ``BadInput`` for symbolic links, for what cannot be read, and for a folder that changes meanwhile; then
    nothing is written.
    """
    signing, hashing = needed("model_signing.signing"), needed("model_signing.hashing")
    place = signature or signature_of(model)
    before = _states(model)
    left_out = _left_out(model, place)
    config = _ready(signer, signing.Config())
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=left_out))
    with temporary_folder() as elsewhere:  # a file more in the folder would be signed with it
        made = elsewhere / IN_FOLDER
        try:
            config.sign(model, made)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 (of a token, of Sigstore, of the library)
            raise BadInput(f"expected {model} to be signed by {signer}, got {brief(first_line(error))}") from None
        if _states(model) != before:
            raise BadInput(f"expected {model} to stay as it is while it is signed, got one that changed; try again")
        write_text(place, made.read_text("utf-8"))
    return place, _same(model, signed_digests(place))


def verify(model: Path, verifier: Verifier, signature: Path | None = None) -> Checked:
    """Whether ``model`` is what was signed, and by whom. Raises ``BadInput`` where there is no signature, or something
    else in its place."""
    verifying = needed("model_signing.verifying")
    place = signature or signature_of(model)
    signed = signed_digests(place)
    _states(model)
    names = _not_covered(model, place)
    missed: tuple[CheckedFile, ...] = ()
    config = _ready(verifier, verifying.Config())
    try:
        config.verify(model, place)
    except ValueError as error:
        if not str(error).startswith("Signature mismatch"):
            return _refused(signed, names, f"not signed by {verifier}: {_plain(error)}")
        missed = tuple(_compared(model, signed, place))
    except OSError:  # what cannot be read is not judged
        raise
    except Exception as error:  # noqa: BLE001 (the libraries' own kinds: a signature that does not fit its key)
        return _refused(signed, names, f"not signed by {verifier}: {_plain(error)}")
    if not missed:
        return Checked(str(verifier), _same(model, signed), names, ())
    wrong = [f"{one.name} {_WORDS[one.state]}" for one in missed if one.state != "same"]
    return Checked(str(verifier), missed, names, tuple(wrong) or ("what was signed is not what lies there",))


def _ready(party: Signer | Verifier, config: Any) -> Any:
    """The library's configuration with what somebody signs or verifies with."""
    try:
        return party.ready(config)
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001 (files that are no keys or certificates, in the library's words)
        raise BadInput(f"expected {party} to be usable, got {brief(first_line(error))}") from None


_WORDS = {
    "changed": "differs from what was signed",
    "missing": "was signed and is missing",
    "extra": "is extra: it was not signed",
    "not read": "cannot be read",
}


def _same(model: Path, signed: dict[str, str]) -> tuple[CheckedFile, ...]:
    """All files, as they were signed; a single one has no name in the signature."""
    single = model.is_file()
    return tuple(CheckedFile(name=model.name if single else n, state="same", sha256=s) for n, s in signed.items())


def _refused(signed: dict[str, str], names: tuple[str, ...], reason: str) -> Checked:
    files = tuple(CheckedFile(name=name, state="not read", sha256=sha) for name, sha in signed.items())
    return Checked(None, files, names, (reason,))


def _plain(error: BaseException) -> str:
    """A library's word for it."""
    said = first_line(error)
    if type(error).__name__ == "InvalidSignature" or "Key mismatch" in said:
        return "it was made with another key, or changed since"
    return brief(said)


def _compared(model: Path, signed: dict[str, str], place: Path) -> Iterator[CheckedFile]:
    """Each file, where something is another than was signed."""
    if model.is_file():
        (sha,) = signed.values() if len(signed) == 1 else ("",)
        same = file_digest(model) == sha
        yield CheckedFile(name=model.name, state="same" if same else "changed", sha256=sha or None)
        return
    there = {path.relative_to(model).as_posix(): path for path in _files(model)}
    left_out = (*(path.as_posix() for path in _left_out(model, place)), *GIT)
    for name, sha in signed.items():
        path = there.pop(name, None)
        state = "missing" if path is None else "same" if file_digest(path) == sha else "changed"
        yield CheckedFile(name=name, state=state, sha256=sha)  # type: ignore[arg-type]
    for name in there:
        if not any(name == one or name.startswith(f"{one}/") for one in left_out):
            yield CheckedFile(name=name, state="extra", sha256=None)


def _not_covered(model: Path, place: Path) -> tuple[str, ...]:
    """What lies there and is left out of every signature, or of this one."""
    if model.is_file():
        return ("the file's own name",)
    outside = [one for one in (*(p.as_posix() for p in _left_out(model, place)), *GIT) if (model / one).exists()]
    return ("the folder's own name", *outside)


def _left_out(model: Path, place: Path) -> tuple[Path, ...]:
    """Of a folder: the signature itself, and what is added after it."""
    if model.is_file():
        return ()
    inside = place.resolve().is_relative_to(model.resolve())
    own = [place.resolve().relative_to(model.resolve())] if inside else []
    return tuple(dict.fromkeys([*own, Path(IN_FOLDER), Path(ATTESTED_IN_FOLDER)]))


def _files(model: Path) -> list[Path]:
    return [model] if model.is_file() else sorted(path for path in _below(model) if not path.is_dir())


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a folder. Raises ``OSError`` for a folder in it that cannot be read: it may hold anything."""

    def unreadable(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=unreadable) if folder.is_dir() else ():
        yield from (Path(place, name) for name in (*folders, *names))


def _states(model: Path) -> dict[Path, tuple[int, ...]]:
    """What changes when a file does, of each; links and what is no file are refused."""
    if not model.exists():
        raise BadInput(f"expected a file or a folder at {model}, got nothing; check the path")
    states = {}
    for path in [model, *_below(model)]:
        try:
            found = path.lstat()
        except OSError as error:
            raise BadInput(f"expected {path} to be readable, got an error ({error.strerror})") from None
        if stat.S_ISLNK(found.st_mode):
            raise BadInput(f"expected files at {path}, got a symbolic link: what it leads to can change; copy it")
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(f"expected files at {path}, got something else; name regular files")
        states[path] = identity_of(found)
    if not states:
        raise BadInput(f"expected files in {model}, got an empty folder")
    return states


def claimed_signer(place: Path) -> str:
    """Whose a bundle says that it is; nobody has looked at its signature yet."""
    material = _bundle(place).get("verificationMaterial")
    key = material.get("publicKey") if isinstance(material, dict) else None
    hint = key.get("hint") if isinstance(key, dict) else None
    if isinstance(hint, str) and hint:
        return f"key {hint[:16]}..."
    return "a certificate" if isinstance(material, dict) and "x509CertificateChain" in material else "an unknown key"


def _bundle(place: Path) -> dict[str, Any]:
    """The bundle in a file."""
    try:
        bundle = parse_json(read_bytes(place, TEXT, "a signature"), place)
    except FileNotFoundError:
        raise BadInput(f"expected a signature at {place}, got nothing; badnets sign makes one") from None
    kind = bundle.get("mediaType") if isinstance(bundle, dict) else None
    if kind != BUNDLE:
        got = brief(kind) if isinstance(kind, str) else "something else"
        newer = "; it may be of a newer version" if isinstance(kind, str) and "sigstore.bundle" in kind else ""
        raise BadInput(f"expected a signature bundle ({BUNDLE}) in {place}, got {got}{newer}")
    return dict(bundle)


def signed_digests(place: Path) -> dict[str, str]:
    """The SHA-256 of each file, by name, of a bundle whose signature nobody has looked at yet."""
    bundle = _bundle(place)
    try:
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        if statement["predicateType"] != PREDICATE:
            raise BadInput(
                f"expected a signature of a model ({PREDICATE}) in {place}, got {brief(statement['predicateType'])}"
            )
        resources = statement["predicate"]["resources"]
        return {str(one["name"]): str(one["digest"]) for one in resources}
    except (LookupError, TypeError, ValueError, binascii.Error, RecursionError):
        raise BadInput(f"expected a signature bundle in {place}, got one that is damaged") from None
