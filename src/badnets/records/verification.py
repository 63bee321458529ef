"""What ``badnets verify`` says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from badnets.records.model import Model

Kind = Literal["provenance", "audit", "repair"]


class CheckedFile(Model):
    """A file that a signature is about, or that lies where it should not."""

    name: str
    state: Literal["same", "changed", "missing", "extra", "not read"]
    sha256: str | None = Field(description="as signed; null for an extra file")


class CheckedAttestation(Model):
    """One attestation: whether it is signed by a known key, is about these bytes, and satisfies the policy."""

    kind: str
    ok: bool
    signer: str | None
    summary: str


class Verification(Model):
    """``badnets verify --json``. ``reasons``: why it is not ok, the first one first."""

    format: Literal["badnets/verification/1"] = "badnets/verification/1"
    ok: bool
    model: str
    signature: str
    signer: str | None
    files: tuple[CheckedFile, ...]
    not_covered: tuple[str, ...] = Field(description="what lies there and was not signed")
    attestations: tuple[CheckedAttestation, ...]
    reasons: tuple[str, ...]
