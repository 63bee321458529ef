"""The keys of a catalogue: those of ``badnets keygen``, as TUF knows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Role

from badnets.core.errors import BadInput
from badnets.core.files import read_bytes
from badnets.core.limits import TEXT
from badnets.trust.extra import needed
from badnets.trust.keys import Ask, fingerprint_of_pem, open_private, open_public


@dataclass(frozen=True)
class Party:
    """A key: its public half, and where it is at hand what signs with it, which is never shown."""

    path: Path
    public: SSlibKey
    signer: CryptoSigner | None = field(repr=False, default=None)

    @property
    def id(self) -> str:
        """What TUF calls it."""
        return str(self.public.keyid)

    def __str__(self) -> str:
        return f"key {self.fingerprint[:16]}"

    @property
    def fingerprint(self) -> str:
        """What ``badnets keygen`` calls it."""
        return fingerprint_of_pem(self.public.keyval["public"])


Pool = dict[str, Party]
"""Keys by their ids: those at hand."""


def party(path: Path, ask: Ask | None = None) -> Party:
    """The key at ``path``, a private or a public one. Raises ``BadInput`` for what is none, or no curve of ours."""
    private = path.is_file() and b"PRIVATE KEY" in read_bytes(path, TEXT, "a key (PEM)")
    if private:
        signer = CryptoSigner(open_private(path, ask).key)
        return Party(path, signer.public_key, signer)
    content = open_public(path).path.read_bytes()
    public = needed("cryptography.hazmat.primitives.serialization").load_pem_public_key(content)
    return Party(path, SSlibKey.from_crypto(public))


def pool_of(paths: Iterable[Path], ask: Ask | None = None) -> Pool:
    """The private keys at ``paths``. Raises ``BadInput`` for public ones."""
    found = [party(path, ask) for path in paths]
    for one in found:
        if one.signer is None:
            raise BadInput(f"expected a private key to sign with at {one.path}, got a public one")
    return {one.id: one for one in found}


def sign(made: Metadata[Any], name: str, role: Role, pool: Pool) -> None:
    """Sign ``made`` anew with the keys of the ``pool`` that ``role`` has. Raises ``BadInput`` where they are fewer than
    its threshold."""
    made.signatures.clear()
    at_hand = [pool[one] for one in role.keyids if one in pool]
    if len(at_hand) < role.threshold:
        raise BadInput(
            f"expected {role.threshold} private key{'s' * (role.threshold != 1)} of the role {name}, got "
            f"{len(at_hand)}; nothing was written"
        )
    for one in at_hand:
        if one.signer is not None:
            made.sign(one.signer, append=True)


def can_sign(role: Role, pool: Pool) -> bool:
    """Whether there are keys enough at hand."""
    return sum(one in pool for one in role.keyids) >= role.threshold
