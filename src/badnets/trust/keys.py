"""Keys to sign with and to verify with: PEM files with elliptic curves. All cryptography is the library's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_bytes, whole_file
from badnets.core.limits import TEXT
from badnets.core.secrets import secret
from badnets.trust.extra import needed

PASSWORD = "BADNETS_KEY_PASSWORD"  # noqa: S105 (the name of a setting of the environment)
"""The environment's word for the password of a private key."""
Curve = Literal["P-256", "P-384", "P-521"]
CURVES: dict[str, Curve] = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""Those that signatures may use, by the names that the library has for them."""
Ask = Callable[[str], str]
"""How a person is asked for a password, given what for."""


@dataclass(frozen=True)
class PublicKey:
    """A key to verify with: where it is, its ``fingerprint`` (SHA-256 of its PEM, hex), and its name in a policy."""

    path: Path
    fingerprint: str
    name: str | None = None

    def __str__(self) -> str:
        short = f"key {self.fingerprint[:16]}"
        return f"{self.name} ({short})" if self.name else short


@dataclass(frozen=True)
class PrivateKey:
    """A key to sign with, opened; its password is not kept, and neither is shown where this is printed."""

    path: Path
    fingerprint: str
    key: Any = field(repr=False)
    password: bytes | None = field(repr=False, default=None)


def make_keys(path: Path, *, curve: Curve = "P-256", password: bytes | None = None) -> PublicKey:
    """A new pair: the private key at ``path`` (PEM, PKCS 8, for its owner's eyes alone), with ``password`` encrypted,
    the public one beside it, with ``.pub`` at its end. Raises ``BadInput`` where one of them is there already."""
    serialization, ec = needed("cryptography.hazmat.primitives.serialization"), _curves()
    if curve not in get_args(Curve):
        raise BadInput(f"expected a curve of {', '.join(get_args(Curve))}, got {curve!r}")
    public = path.with_name(f"{path.name}.pub")
    for one in (path, public):
        if one.exists() or one.is_symlink():
            raise BadInput(f"expected a free place for a key at {one}, got a file; a key is never overwritten")
    key = ec.generate_private_key(getattr(ec, curve.replace("P-", "SECP") + "R1")())
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    with whole_file(public) as partial:
        partial.write_bytes(_pem(key.public_key()))
    with whole_file(path, mode=0o600) as partial:
        partial.write_bytes(private)
    return PublicKey(public, fingerprint(key.public_key()))


def open_private(path: Path, ask: Ask | None = None) -> PrivateKey:
    """The private key at ``path``. An encrypted one is opened with the password in the environment
    (``BADNETS_KEY_PASSWORD``), or that a person gives to ``ask``.

    Raises ``BadInput`` for what is no such key, for another curve, and for a wrong password.
    """
    serialization = needed("cryptography.hazmat.primitives.serialization")
    content = _content(path, "a private key (PEM)")
    given = secret(PASSWORD)
    password = given.encode() if given is not None and b"ENCRYPTED" in content else None
    if password is None and b"ENCRYPTED" in content:
        if ask is None:
            raise BadInput(f"expected the password of {path} in {PASSWORD}, got none; nobody can be asked here")
        password = ask(f"password of {path}").encode()
    try:
        key = serialization.load_pem_private_key(content, password)
    except (ValueError, TypeError) as error:
        if password is not None and "password" in str(error).lower():
            raise BadInput(f"expected the password of {path}, got a wrong one") from None
        raise BadInput(f"expected a private key (PEM) in {path}, got something else ({_plain(error)})") from None
    except Exception as error:  # noqa: BLE001 (UnsupportedAlgorithm and the like, whose module is private)
        raise BadInput(
            f"expected a private key (PEM) in {path}, got one that cannot be read ({_plain(error)})"
        ) from None
    _check_curve(key, path)
    return PrivateKey(path, fingerprint(key.public_key()), key, password)


def open_public(path: Path, name: str | None = None) -> PublicKey:
    """The public key at ``path``. Raises ``BadInput`` for what is none, and for another curve."""
    content = _content(path, "a public key (PEM)")
    if b"PRIVATE KEY" in content:
        raise BadInput(f"expected a public key in {path}, got a private one; it stays with whoever signs (use .pub)")
    try:
        key = needed("cryptography.hazmat.primitives.serialization").load_pem_public_key(content)
    except Exception as error:  # noqa: BLE001 (UnsupportedAlgorithm and the like, whose module is private)
        raise BadInput(f"expected a public key (PEM) in {path}, got something else ({_plain(error)})") from None
    _check_curve(key, path)
    return PublicKey(path, fingerprint(key), name)


def fingerprint(public: Any) -> str:
    """SHA-256 (hex) of a public key as PEM: what signature bundles call it, too."""
    return hashlib.sha256(_pem(public)).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """The same of one that is PEM already, as catalogues keep it."""
    return hashlib.sha256(pem.encode()).hexdigest()


def _pem(public: Any) -> bytes:
    serialization = needed("cryptography.hazmat.primitives.serialization")
    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _plain(error: Exception) -> str:
    """A library's word for it, without what to read about it."""
    return first_line(error).partition(". See ")[0].rstrip(".")


def _check_curve(key: Any, path: Path) -> None:
    curve = getattr(getattr(key, "curve", None), "name", None)
    if curve not in CURVES:
        got = f"the curve {curve}" if curve else type(key).__name__.lstrip("_")
        raise BadInput(f"expected a key of the curve {', '.join(CURVES.values())} in {path}, got {got}")


def _curves() -> Any:
    return needed("cryptography.hazmat.primitives.asymmetric.ec")


def _content(path: Path, wanted: str) -> bytes:
    try:
        return read_bytes(path, TEXT, wanted)
    except FileNotFoundError:
        raise BadInput(f"expected {wanted} at {path}, got nothing; badnets keygen makes one") from None
    except OSError as error:
        raise BadInput(f"expected {wanted} at {path}, got an error ({error.strerror})") from None
