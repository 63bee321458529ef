"""Who signs, and by what that is verified: a key, a certificate, a token, or a name that Sigstore vouches for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from badnets.core.errors import BadInput, first_line
from badnets.core.text import brief
from badnets.trust.keys import PrivateKey, PublicKey

PATIENCE = 30.0
"""Seconds in which Sigstore's servers have to answer; its library would try for minutes."""


def _reached(ask: Callable[[], Any]) -> Any:
    """What ``ask``, which asks Sigstore's servers, gives. Raises ``BadInput`` where they do not answer."""
    answers: list[Any] = []
    errors: list[Exception] = []

    def asking() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 (of its library, and of what that asks over the network by)
            errors.append(error)

    thread = Thread(target=asking, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if answers:
        return answers[0]
    got = brief(first_line(errors[0])) if errors else f"nothing in {PATIENCE:.0f} seconds"
    raise BadInput(f"expected Sigstore's servers to answer, got {got}; that way needs the network")


class Signer(Protocol):
    """Something to sign with: it makes the library's configuration ready."""

    def ready(self, config: Any) -> Any:
        """The configuration, with its key."""

    def __str__(self) -> str:
        """Who signs."""


class Verifier(Protocol):
    """Something to verify with, and whose it is."""

    def ready(self, config: Any) -> Any:
        """The configuration, with its key."""

    def __str__(self) -> str:
        """Who has signed, where it verifies."""


@dataclass(frozen=True)
class KeySigner:
    """With a private key of an elliptic curve."""

    key: PrivateKey

    def ready(self, config: Any) -> Any:
        """See ``Signer``."""
        return config.use_elliptic_key_signer(private_key=self.key.path, password=self.key.password)

    def __str__(self) -> str:
        return f"key {self.key.fingerprint[:16]}"


@dataclass(frozen=True)
class CertificateSigner:
    """With a private key (not encrypted), the certificate of its public one, and those that lead from it to a root."""

    key: Path
    certificate: Path
    chain: tuple[Path, ...] = ()

    def ready(self, config: Any) -> Any:
        """See ``Signer``."""
        return config.use_certificate_signer(
            private_key=self.key, signing_certificate=self.certificate, certificate_chain=self.chain
        )

    def __str__(self) -> str:
        return f"the certificate {brief(self.certificate.name)}"


@dataclass(frozen=True)
class TokenSigner:
    """With a key that stays in a token (PKCS 11): its URI, and libraries (or folders with them) that lead to tokens;
    with a certificate, the certificates that lead from it to a root.

    Raises ``BadInput`` for a URI with a PIN in it, which everybody on the machine could read, and for what leads to no
    key.
    """

    uri: str
    modules: tuple[Path, ...] = ()
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.uri.startswith("pkcs11:"):
            raise BadInput(f"expected a token as a URI (pkcs11:token=...;object=...), got {brief(self.uri)!r}")
        if "pin-value" in self.uri:
            raise BadInput(
                "expected a token's URI without its PIN, got one with pin-value, which all on this machine can read; "
                "put it into a file and name that (?pin-source=file:/...)"
            )

    def ready(self, config: Any) -> Any:
        """See ``Signer``."""
        modules = [str(one) for one in self.modules]
        try:
            if self.certificate is None:
                return config.use_pkcs11_signer(pkcs11_uri=self.uri, module_paths=modules)
            return config.use_pkcs11_certificate_signer(
                pkcs11_uri=self.uri,
                signing_certificate=self.certificate,
                certificate_chain=self.chain,
                module_paths=modules,
            )
        except RuntimeError as error:
            raise BadInput(f"expected the package PyKCS11 for tokens, got none ({first_line(error)})") from None
        except Exception as error:  # noqa: BLE001 (each library of a token has words of its own)
            raise BadInput(f"expected a key in a token at {brief(self.uri)}, got {brief(first_line(error))}") from None

    def __str__(self) -> str:
        return "a key in a token"


@dataclass(frozen=True)
class SigstoreSigner:
    """With a name that Sigstore vouches for, for some minutes: by an identity ``token`` (OpenID Connect), that of the
    place where it runs, or a browser. The signature and the name become public, in its log."""

    token: str | None = None

    def ready(self, config: Any) -> Any:
        """See ``Signer``."""
        ambient = self.token is None
        return _reached(lambda: config.use_sigstore_signer(identity_token=self.token, use_ambient_credentials=ambient))

    def __str__(self) -> str:
        return "a name that Sigstore vouches for"


@dataclass(frozen=True)
class KeyVerifier:
    """With a public key."""

    key: PublicKey

    def ready(self, config: Any) -> Any:
        """See ``Verifier``."""
        return config.use_elliptic_key_verifier(public_key=self.key.path)

    def __str__(self) -> str:
        return str(self.key)


@dataclass(frozen=True)
class ChainVerifier:
    """With the certificates at the end of the chain that are trusted (its root, and those between)."""

    chain: tuple[Path, ...]

    def ready(self, config: Any) -> Any:
        """See ``Verifier``."""
        return config.use_certificate_verifier(certificate_chain=self.chain)

    def __str__(self) -> str:
        return f"a certificate that {brief(', '.join(one.name for one in self.chain))} vouches for"


@dataclass(frozen=True)
class SigstoreVerifier:
    """With the name that must have signed (a mail address, the URL of a workflow), and who knew it by that name."""

    identity: str
    issuer: str

    def ready(self, config: Any) -> Any:
        """See ``Verifier``."""
        return _reached(lambda: config.use_sigstore_verifier(identity=self.identity, oidc_issuer=self.issuer))

    def __str__(self) -> str:
        return f"{brief(self.identity)} (by {brief(self.issuer)}, in Sigstore)"
