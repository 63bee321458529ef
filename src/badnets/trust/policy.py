"""Which keys may say what, how old an audit may be, and which verdicts pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from badnets.core.errors import BadInput
from badnets.core.toml import read_toml
from badnets.core.validation import explain
from badnets.records.finding import Verdict
from badnets.records.model import Model
from badnets.records.verification import CheckedAttestation, Kind
from badnets.trust.attestations import Attestation
from badnets.trust.keys import PublicKey, open_public

Right = Literal["signature", "provenance", "audit", "repair"]


class KeyRule(Model):
    """One key: its file (beside the policy), and what it may say."""

    public_key: str = Field(description="PEM file, relative to the policy")
    may: tuple[Right, ...] = Field(default=("signature", "provenance", "audit", "repair"), min_length=1)


class AuditRule(Model):
    """What an audit must be like."""

    max_age_days: float | None = Field(default=None, gt=0)
    verdicts: tuple[Verdict, ...] = Field(default=("nothing-found",), min_length=1)


class ProvenanceRule(Model):
    """What the making of a network must be like."""

    planted: bool = Field(default=False, description="whether one in which a backdoor was planted on purpose passes")


class PolicyFile(Model):
    """``policy.toml``."""

    keys: dict[str, KeyRule] = Field(min_length=1)
    audit: AuditRule = AuditRule()
    provenance: ProvenanceRule = ProvenanceRule()


@dataclass(frozen=True)
class Policy:
    """The keys by what they may say, and the rules for what they say."""

    may: dict[PublicKey, tuple[Right, ...]]
    audit: AuditRule = field(default_factory=AuditRule)
    provenance: ProvenanceRule = field(default_factory=ProvenanceRule)

    def keys(self, right: Right | None = None) -> list[PublicKey]:
        """Those that may say it (None: anything)."""
        return [key for key, rights in self.may.items() if right is None or right in rights]

    @classmethod
    def trusting(cls, key: PublicKey) -> Policy:
        """One key may say everything; an audit has to have found nothing, and no backdoor may be planted."""
        return cls({key: ("signature", "provenance", "audit", "repair")})


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file, with its keys opened. Raises ``BadInput`` for what is none."""
    table = read_toml(path, "a policy", "docs/trust.md shows one")
    try:
        file = PolicyFile.model_validate(table)
    except ValidationError as error:
        raise BadInput(f"{path}: {explain(error, PolicyFile.model_json_schema, table)}") from None
    rules = {open_public(path.parent / rule.public_key, name): rule.may for name, rule in file.keys.items()}
    return Policy(rules, file.audit, file.provenance)


def judge(
    attestations: Sequence[Attestation], sha256: str, policy: Policy, now: datetime | None = None
) -> list[CheckedAttestation]:
    """Each attestation: whether its key may say it, it is about these bytes, and satisfies the policy."""
    return [_judged(one, sha256, policy, now or datetime.now(timezone.utc)) for one in attestations]


def missing(required: Sequence[Kind], checked: Sequence[CheckedAttestation]) -> list[str]:
    """A sentence for each kind that is required and that no attestation gives."""
    told = []
    for kind in required:
        some = [one for one in checked if one.kind == kind]
        if not any(one.ok for one in some):
            told.append(f"no {kind} that the policy accepts" + (f": {some[-1].summary}" if some else " is there"))
    return told


def _judged(one: Attestation, sha256: str, policy: Policy, now: datetime) -> CheckedAttestation:
    wrong = _wrong(one, sha256, policy, now)
    summary = one.summary if wrong is None else f"{one.summary}; {wrong}"
    return CheckedAttestation(kind=one.kind or one.type, ok=wrong is None, signer=str(one.signer), summary=summary)


def _wrong(one: Attestation, sha256: str, policy: Policy, now: datetime) -> str | None:
    """Why it does not count."""
    if sha256 not in one.subjects:
        return "it is about other bytes"
    if one.kind is None:
        return "its kind is not known"
    if one.kind not in policy.may[one.signer]:
        return f"{one.signer} may not say that"
    if one.kind == "provenance" and one.planted and not policy.provenance.planted:
        return "the policy accepts none in which a backdoor was planted"
    return _wrong_audit(one, policy.audit, now) if one.kind == "audit" else None


def _wrong_audit(one: Attestation, rule: AuditRule, now: datetime) -> str | None:
    if one.predicate.get("verdict") not in rule.verdicts:
        return f"the policy accepts {', '.join(rule.verdicts)}"
    if rule.max_age_days is None:
        return None
    if one.date is None or one.date > now + timedelta(days=1):
        return "its date cannot be right"
    old = now - one.date > timedelta(days=rule.max_age_days)
    return f"it is older than {rule.max_age_days:g} days" if old else None
