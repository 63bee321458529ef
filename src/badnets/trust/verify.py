"""A signature, and what is attested, held against whom one believes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.records.read import network_file
from badnets.records.verification import CheckedAttestation, Kind, Verification
from badnets.trust.attestations import read_attestations
from badnets.trust.parties import Verifier
from badnets.trust.policy import Policy, judge, missing
from badnets.trust.signing import Checked, attestations_of, signature_of, verify


def verified(
    model: Path,
    verifiers: Sequence[Verifier],
    policy: Policy,
    *,
    require: Sequence[str] = (),
    signature: Path | None = None,
    attestations: Path | None = None,
) -> Verification:
    """Whether ``model`` is what one of ``verifiers`` has signed, and whether everything that is required of it is
    attested as the policy wants it. Raises ``BadInput`` where there is no signature, and for unknown kinds."""
    unknown = [one for one in require if one not in get_args(Kind)]
    if unknown:
        raise BadInput(f"expected 'require' of {', '.join(get_args(Kind))}, got {unknown[0]!r}")
    if not verifiers:
        raise BadInput("expected a key that may sign in the policy, got none")
    checked, reasons = held(model, verifiers, signature)
    said = attested(model, policy, attestations)
    lacking = missing(require, said)  # type: ignore[arg-type]
    return Verification(
        ok=not reasons and not lacking,
        model=str(model),
        signature=str(signature or signature_of(model)),
        signer=checked.signer,
        files=checked.files,
        not_covered=checked.not_covered,
        attestations=tuple(said),
        reasons=(*reasons, *lacking),
    )


def held(model: Path, verifiers: Sequence[Verifier], signature: Path | None = None) -> tuple[Checked, tuple[str, ...]]:
    """What the signature says by the first of ``verifiers`` that has made it, and why it does not hold (empty: it
    does)."""
    tried = [verify(model, verifier, signature) for verifier in verifiers]
    checked = next((one for one in tried if one.signer), tried[0])
    if not checked.signer and len(tried) > 1:
        return checked, (f"not signed by any of {', '.join(map(str, verifiers))}",)
    return checked, checked.reasons


def attested(model: Path, policy: Policy, attestations: Path | None) -> list[CheckedAttestation]:
    """What is attested; and what is signed by nobody that is known."""
    place = attestations or attestations_of(model)
    if attestations is None and not place.exists():
        return []
    known, others = read_attestations(place, policy.keys())
    said = judge(known, file_digest(network_file(model)), policy)
    by_others = [
        CheckedAttestation(kind="unknown", ok=False, signer=None, summary="signed by a key that is not known")
        for _ in range(others)
    ]
    return [*said, *by_others]
