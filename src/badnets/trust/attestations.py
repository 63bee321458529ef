"""Attestations: what a run, an audit or a repair says of the very bytes of a network, signed.

Each is an in-toto statement (v1) whose subject is the SHA-256 of the network file, in a DSSE envelope; a file has one
on each line, as in-toto's bundles do.

Source: in-toto Attestation Framework v1; SLSA provenance v1 (for *provenance*).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.core.files import dumps, file_digest, parse_json, read_bytes, write_text
from badnets.core.limits import TEXT
from badnets.core.text import brief, percent
from badnets.records.certificate import Certificate
from badnets.records.finding import Finding
from badnets.records.model import JSON, Environment, Record
from badnets.records.read import network_file
from badnets.records.run import RunRecord
from badnets.records.verification import Kind
from badnets.trust.extra import needed
from badnets.trust.keys import PrivateKey, PublicKey

STATEMENT, PAYLOAD = "https://in-toto.io/Statement/v1", "application/vnd.in-toto+json"
OURS = "https://github.com/badnets/badnets/attestations"
MOST = 1000
"""Attestations in one file, at most."""
_NOBODY = PublicKey(Path(), "")
"""Stands for whoever may have signed what is only read."""


@dataclass(frozen=True)
class Attestation:
    """A statement whose signature holds: what ``kind`` of thing (None: one that badnets does not know), of which
    ``subjects`` (SHA-256), what it says, and by which key."""

    kind: Kind | None
    type: str
    subjects: tuple[str, ...]
    predicate: JSON
    signer: PublicKey

    @property
    def date(self) -> datetime | None:
        """When it was attested; None where it does not say."""
        try:
            date = datetime.fromisoformat(str(self.predicate.get("date")))
        except ValueError:
            return None
        return date if date.tzinfo else None

    @property
    def planted(self) -> bool:
        """Whether it says that a backdoor was planted on purpose."""
        return _planted(self.predicate)

    @property
    def summary(self) -> str:
        """One sentence."""
        return _SUMMARIES[self.kind](self.predicate) if self.kind else f"says what badnets does not know ({self.type})"


def _provenance(run: RunRecord) -> JSON:
    """How a run made the network, in SLSA's words."""
    material = [{"name": run.data_name, "digest": {"badnets": run.data_digest}}]
    return {
        "buildDefinition": {
            "buildType": f"{OURS}/run/v1",
            "externalParameters": {"spec": run.resolved, "seeds": list(run.seeds)},
            "internalParameters": {"determinism": run.determinism, "digest": run.digest},
            "resolvedDependencies": material,
        },
        "runDetails": {
            "builder": {"id": f"{OURS}/badnets", "version": run.environment.versions},
            "metadata": {"invocationId": run.digest, "commit": run.commit, "command": run.command},
        },
    }


def _audit(finding: Finding) -> JSON:
    """What an audit found, on what, and what it would have found."""
    found = finding.to_json()
    kept = ("verdict", "reason", "ground", "n_references", "kind", "pictures", "data_digest", "detectors", "notes")
    said = {name: found[name] for name in kept}
    p = {"p": None if finding.p is None else f"{finding.p:.6g}", "alpha": f"{finding.alpha:g}"}
    target = {"target": None if finding.target is None else finding.target.class_name}
    power = [{"kind": one.kind, "networks": one.networks, "found": str(one.found)} for one in finding.power]
    return {**said, **p, **target, "power": power, **_made(finding.environment, finding.commit)}


def _repair(certificate: Certificate) -> JSON:
    """What a repair changed, and the certificate's figures."""
    found = certificate.to_json()
    said = {name: found[name] for name in ("method", "truth", "before", "after", "data_digest", "chosen")}
    return {**_without_floats(said), **_made(certificate.environment, certificate.commit)}


def _made(environment: Environment, commit: str | None) -> JSON:
    return {"tool": {"name": "badnets", "version": environment.versions.get("badnets")}, "commit": commit}


def _without_floats(value: Any) -> Any:
    """Numbers with a point as text: canonical JSON, which catalogues use, has none."""
    if isinstance(value, dict):
        return {name: _without_floats(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_floats(one) for one in value]
    return f"{value:.10g}" if isinstance(value, float) else value


@dataclass(frozen=True)
class _Form:
    kind: Kind
    type: str
    say: Callable[[Any], JSON]


_FORMS: dict[type[Record], _Form] = {
    RunRecord: _Form("provenance", "https://slsa.dev/provenance/v1", _provenance),
    Finding: _Form("audit", f"{OURS}/audit/v1", _audit),
    Certificate: _Form("repair", f"{OURS}/repair/v1", _repair),
}
_A: dict[Kind, str] = {"provenance": "the record", "audit": "an audit", "repair": "a repair"}
_KINDS: dict[str, Kind] = {form.type: form.kind for form in _FORMS.values()}


def digests_of(record: Record) -> set[str]:
    """The SHA-256 of the networks that a record is about."""
    if isinstance(record, Finding):
        return {record.network_sha256} if record.network_sha256 else set()
    files: dict[str, str] = getattr(record, "files", {})
    return {sha for name, sha in files.items() if name.endswith(".safetensors")}


def check_about(record: Record, file: Path, sha256: str) -> None:
    """Refuse the ``record`` of a run, an audit or a repair that is not about the bytes of ``file``."""
    known = digests_of(record)
    if sha256 not in known:
        told = f"of {min(known)[:16]}..." if known else "that names none"
        raise BadInput(
            f"expected {_A[_FORMS[type(record)].kind]} of the bytes of {file} (SHA-256 {sha256[:16]}...), got one "
            f"{told}; it says nothing of this file"
        )


def statement_of(record: Record, model: Path) -> JSON:
    """What is signed: the ``record`` of a run, an audit or a repair, about the network file ``model``. Raises
    ``BadInput`` for other records, and for one that is about other bytes."""
    form = _FORMS.get(type(record))
    if form is None:
        got = type(record).model_fields["format"].default
        raise BadInput(f"expected the record of a run, a finding or a certificate to attest, got {got}")
    file = network_file(model)
    sha = file_digest(file)
    check_about(record, file, sha)
    date = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
    return {
        "_type": STATEMENT,
        "subject": [{"name": file.name, "digest": {"sha256": sha}}],
        "predicateType": form.type,
        "predicate": {**_without_floats(form.say(record)), "date": date},
    }


def attest(record: Record, model: Path, key: PrivateKey, place: Path) -> JSON:
    """Sign the statement of ``record`` about ``model``, and add it to the file ``place``. Returns the statement."""
    statement = statement_of(record, model)
    dsse, signers = needed("securesystemslib.dsse"), needed("securesystemslib.signer")
    envelope = dsse.Envelope(dumps(statement, indent=None).encode(), PAYLOAD, {})
    envelope.sign(signers.CryptoSigner(key.key))
    lines = [*(_lines(place) if place.exists() else ()), dumps(envelope.to_dict(), indent=None)]
    write_text(place, "\n".join(lines) + "\n")
    return statement


def read_attestations(place: Path, keys: Sequence[PublicKey]) -> tuple[list[Attestation], int]:
    """Those in a file that one of ``keys`` has signed, and how many others there are. Raises ``BadInput`` for what is
    no such file."""
    found, others = [], 0
    for number, line in enumerate(_lines(place), 1):
        made = _opened(parse_json(line.encode(), f"line {number} of {place}"), keys, f"line {number} of {place}")
        found += [made] if made else []
        others += made is None
    return found, others


def count_attestations(place: Path) -> int:
    """How many lie in a file, whoever made them. Raises ``BadInput`` for what is no such file."""
    return len(_lines(place))


def claims(place: Path, called: Path) -> list[tuple[tuple[str, ...], str]]:
    """What a file of attestations (in errors ``called`` so) says, and of which bytes (SHA-256), whoever has signed it.
    Raises ``BadInput`` for what is no such file."""
    found = []
    for number, line in enumerate(_lines(place, called), 1):
        where = f"line {number} of {called}"
        one = _statement(_envelope(parse_json(line.encode(), where), where), _NOBODY, where)
        found.append((one.subjects, f"{one.kind or 'unknown'}: {one.summary}"))
    return found


def _lines(place: Path, called: Path | None = None) -> list[str]:
    called = called or place
    try:
        lines = [line for line in read_bytes(place, TEXT, "attestations").decode("utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise BadInput(f"expected attestations at {called}, got nothing; badnets attest makes some") from None
    except ValueError:
        raise BadInput(f"expected attestations in {called}, got something else") from None
    if len(lines) > MOST:
        raise BadInput(f"expected at most {MOST} attestations in {called}, got {len(lines):,}")
    return lines


def _envelope(value: Any, where: str) -> Any:
    try:
        return needed("securesystemslib.dsse").Envelope.from_dict(value)
    except Exception as error:  # noqa: BLE001 (a stranger's JSON in a library's hands)
        raise BadInput(f"expected an attestation in {where}, got something else ({first_line(error)})") from None


def _opened(value: Any, keys: Sequence[PublicKey], where: str) -> Attestation | None:
    """The attestation, if one of ``keys`` has signed it."""
    signers = needed("securesystemslib.signer")
    serialization = needed("cryptography.hazmat.primitives.serialization")
    errors = needed("securesystemslib.exceptions")
    envelope = _envelope(value, where)
    for key in keys:
        public = signers.SSlibKey.from_crypto(serialization.load_pem_public_key(key.path.read_bytes()))
        try:
            envelope.verify([public], 1)
        except (errors.VerificationError, errors.UnverifiedSignatureError, ValueError):
            continue
        return _statement(envelope, key, where)
    return None


def _statement(envelope: Any, key: PublicKey, where: str) -> Attestation:
    wrong = BadInput(f"expected an in-toto statement (v1) in {where}, got something else, though it is signed")
    try:
        statement = json.loads(envelope.payload)
        subjects = tuple(str(one["digest"]["sha256"]) for one in statement["subject"])
        kind, predicate = str(statement["predicateType"]), dict(statement["predicate"])
        form = envelope.payload_type, statement["_type"]
    except (LookupError, TypeError, ValueError, RecursionError):
        raise wrong from None
    if form != (PAYLOAD, STATEMENT):
        raise wrong
    return Attestation(_KINDS.get(kind), brief(kind), subjects, predicate, key)


def _planted(predicate: JSON) -> bool:
    spec = _at(predicate, "buildDefinition", "externalParameters", "spec")
    return bool(_at(spec, "backdoor") or _at(spec, "more_backdoors"))


def _say_provenance(predicate: JSON) -> str:
    spec = _at(predicate, "buildDefinition", "externalParameters", "spec")
    data, network = _at(spec, "data", "name"), _at(spec, "network")
    planted = "; a backdoor was planted on purpose" if _planted(predicate) else ""
    return f"{brief(network)} trained by badnets on {brief(data)}{planted}"


def _say_audit(predicate: JSON) -> str:
    p = f", p = {brief(predicate['p'])}" if predicate.get("p") is not None else ""
    target = f" towards {brief(predicate['target'])}" if predicate.get("target") else ""
    day = brief(str(predicate.get("date"))[:10])
    return f"{brief(predicate.get('verdict'))}{target}{p}, ground {brief(predicate.get('ground'))}, {day}"


def _say_repair(predicate: JSON) -> str:
    asr = [_at(predicate, when, "asr", "value") for when in ("before", "after")]
    told = ""
    if all(isinstance(one, str) for one in asr):
        before, after = (percent(float(one)) for one in asr)
        told = f", attack success {before} to {after} %"
    return f"repaired by {brief(_at(predicate, 'method', 'kind'))}{told}"


_SUMMARIES: dict[Kind, Callable[[JSON], str]] = {
    "provenance": _say_provenance,
    "audit": _say_audit,
    "repair": _say_repair,
}


def _at(value: Any, *names: str) -> Any:
    """A field inside fields; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
