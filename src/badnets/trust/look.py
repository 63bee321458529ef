"""What lies beside a network by way of signatures and attestations, with or without somebody to believe."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.records.verification import CheckedAttestation
from badnets.trust.attestations import count_attestations
from badnets.trust.parties import KeyVerifier
from badnets.trust.policy import Policy
from badnets.trust.signing import attestations_of, claimed_signer, signature_of, signed_digests
from badnets.trust.verify import attested, held

_NOT_CHECKED = "not checked against anybody you trust"
_NO_EXTRA = "not checked: pip install 'badnets[trust]'"


@dataclass(frozen=True, kw_only=True)
class Look:
    """``holds``: whether a signature is there that somebody believed has made (None: nobody knows), in ``words``.
    ``whole``: it holds, and covers a whole folder. ``signature`` and ``attestations`` are their places; of the latter
    those that were ``attested`` as far as one can tell, and how many are ``unchecked``."""

    holds: bool | None
    words: str
    whole: bool = False
    signature: Path | None = None
    attestations: Path | None = None
    attested: tuple[CheckedAttestation, ...] = ()
    unchecked: int = 0


def look(model: Path, file: Path, sha256: str, trusted: Policy | None = None) -> Look:
    """At what lies beside ``model``, a file or the folder around its network ``file`` of this SHA-256. Where something
    else lies there it is told, and nothing raised; ``BadInput`` for a policy in which nobody may sign."""
    places = (model, file) if model.is_dir() else (model,)
    signed = next((one for one in places if signature_of(one).exists()), None)
    said = next((one for one in places if attestations_of(one).exists()), None)
    holds: bool | None
    if trusted is not None:
        holds, words = _believing(signed, file, trusted)
    else:
        holds, words = (None, "not signed") if signed is None else _claim(signed, file.name, sha256)
    attestations = None if said is None else attestations_of(said)
    checked: tuple[CheckedAttestation, ...] = ()
    unchecked = 0
    if said is not None and attestations is not None:
        try:
            checked = tuple(attested(said, trusted, attestations)) if trusted else ()
            unchecked = 0 if trusted else count_attestations(attestations)
        except BadInput as error:
            checked = (CheckedAttestation(kind="unknown", ok=False, signer=None, summary=brief(str(error), 200)),)
    return Look(
        holds=holds,
        words=words,
        whole=bool(holds and signed is not None and signed.is_dir()),
        signature=None if signed is None else signature_of(signed),
        attestations=attestations,
        attested=checked,
        unchecked=unchecked,
    )


def _claim(signed: Path, name: str, sha256: str) -> tuple[bool | None, str]:
    """What a signature says itself: anybody can have made it, but it may be of other bytes."""
    place = signature_of(signed)
    try:
        digests, signer = signed_digests(place), claimed_signer(place)
    except BadInput as error:
        return False, brief(str(error), 200)
    known = digests.get(name) if signed.is_dir() else next(iter(digests.values()), None)
    if known != sha256:
        return False, f"the signature beside it ({brief(place.name)}) is of other bytes"
    return None, f"by {signer}, {_NOT_CHECKED if find_spec('model_signing') else _NO_EXTRA}"


def _believing(signed: Path | None, file: Path, trusted: Policy) -> tuple[bool, str]:
    """Whether one of those who are believed has signed it."""
    verifiers = [KeyVerifier(one) for one in trusted.keys("signature")]
    if not verifiers:
        raise BadInput("expected a key that may sign in the policy, got none")
    if signed is None:
        return False, "not signed by anybody: there is no signature"
    try:
        found, reasons = held(signed, verifiers)
    except BadInput as error:
        return False, brief(str(error), 200)
    if not reasons and any(one.name == file.name for one in found.files):
        return True, f"by {found.signer}, and not changed since"
    return False, brief("; ".join(reasons) or "the signature does not cover the network", 200)
