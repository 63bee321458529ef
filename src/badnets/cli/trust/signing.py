"""``badnets keygen``, ``sign``, ``verify`` and ``attest``: who made a network, and whether anybody changed it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import Ended, command, in_options
from badnets.core.errors import BadInput
from badnets.core.secrets import secret

if TYPE_CHECKING:
    from badnets.records.verification import Verification
    from badnets.trust.parties import Signer, Verifier
    from badnets.trust.policy import Policy

_SIGSTORE_TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105 (the name of a setting of the environment)
SIGNED = Argument(help="A network file, a run's folder, or any folder.")
SIGNATURE = Option(None, help="Where the signature is [MODEL.sig, or model.sig in the folder].")
ATTESTATIONS = Option(
    None, help="Where attestations are [MODEL.intoto.jsonl, or attestations.intoto.jsonl in the folder]."
)


@command
def keygen_command(
    path: Path = Argument(help="Where the private key goes; the public one is PATH.pub."),
    curve: str = Option("P-256", help="P-256, P-384 or P-521."),
    no_password: bool = Option(False, "--no-password", help="Do not encrypt the private key."),
) -> Iterator[Any]:
    """Make a pair of keys to sign with; the password comes from BADNETS_KEY_PASSWORD, or is asked for."""
    from badnets.trust.keys import PASSWORD, make_keys

    password: str | None = None
    if not no_password:
        password = secret(PASSWORD) or _ask(f"new password of {path}", twice=True)
        if not password:
            raise BadInput(f"expected a password in {PASSWORD} or typed, got an empty one; --no-password leaves it out")
    with in_options(keygen_command):
        public = make_keys(path, curve=curve, password=password.encode() if password else None)  # type: ignore[arg-type]
    yield {"format": "badnets/keys/1", "private": str(path), "public": str(public.path), "sha256": public.fingerprint}
    yield f"private key  {path}  (keep it; whoever has it signs in your name)"
    yield f"public key   {public.path}  (give it to others)"
    yield f"SHA-256      {public.fingerprint}"


@command
def sign_command(
    model: Path = SIGNED,
    key: Path | None = Option(None, help="Your private key (PEM, badnets keygen)."),
    token: str | None = Option(None, metavar="URI", help="A key in a token instead (pkcs11:..., without its PIN)."),
    module: list[Path] = Option([], help="Libraries that lead to tokens, or folders with them."),
    sigstore: bool = Option(
        False, "--sigstore", help="With a name that Sigstore vouches for (needs the network); it becomes public."
    ),
    certificate: Path | None = Option(None, help="The certificate of the key, if people shall verify by that."),
    chain: list[Path] = Option([], help="Certificates from it towards a root."),
    signature: Path | None = SIGNATURE,
) -> Iterator[Any]:
    """Sign a network or a folder, so that others can verify who made it and that nobody changed it."""
    from badnets.trust.signing import sign

    if sum((key is not None, token is not None, sigstore)) != 1:
        raise BadInput("expected one of --key, --token and --sigstore to sign with")
    if (chain and certificate is None) or (certificate is not None and sigstore):
        raise BadInput("expected --certificate of a key, and --chain beside it")
    signer = _signer(key, token, module, certificate, chain)
    place, files = sign(model, signer, signature)
    named = [one.to_json() for one in files]
    yield {"format": "badnets/signature/1", "signature": str(place), "signer": str(signer), "files": named}
    yield f"signed     {len(files):,} file{'s' * (len(files) != 1)} of {model}, by {signer}"
    yield f"signature  {place}"


@command
def verify_command(
    model: Path = SIGNED,
    key: Path | None = Option(None, help="The public key of who should have signed it."),
    policy: Path | None = Option(None, help="Which keys may say what, and what an audit must be like (TOML)."),
    chain: list[Path] = Option([], help="Certificates that are trusted, where it was signed with one."),
    identity: str | None = Option(None, help="Who should have signed it with Sigstore (a mail address, a workflow)."),
    issuer: str | None = Option(None, help="Who knows that name (a URL), with --identity."),
    require: list[str] = Option([], help="What must be attested: provenance, audit, repair; may be repeated."),
    signature: Path | None = SIGNATURE,
    attestations: Path | None = ATTESTATIONS,
) -> Iterator[Any]:
    """Who signed it, whether it was changed since, and what is attested of it. Exits with 1 where it does not hold."""
    from badnets.trust.verify import verified

    trusted, verifiers = trusting(key, policy, chain, identity, issuer)
    with in_options(verify_command):
        found = verified(model, verifiers, trusted, require=require, signature=signature, attestations=attestations)
    yield Ended(found.to_json(), 0 if found.ok else 1)
    yield from _told(found)


@command
def attest_command(
    record: Path = Argument(metavar="RECORD", help="A run's folder, a finding or a certificate."),
    model: Path = Option(..., "--for", help="The network file that it is about."),
    key: Path = Option(..., help="Your private key (PEM, badnets keygen)."),
    attestations: Path | None = ATTESTATIONS,
) -> Iterator[Any]:
    """Sign what a run, an audit or a repair says of the very bytes of a network, and put it beside them."""
    from badnets.records.read import read_verified
    from badnets.trust.attestations import attest
    from badnets.trust.keys import open_private
    from badnets.trust.signing import attestations_of

    told, place = read_verified(record), attestations or attestations_of(model)
    statement = attest(told, model, open_private(key, asking()), place)
    (subject,) = statement["subject"]
    yield {"format": "badnets/attestation/1", "attestations": str(place), "statement": statement}
    yield f"attested  {statement['predicateType']}"
    yield f"of        {subject['name']} (SHA-256 {subject['digest']['sha256'][:16]}...)"
    yield f"in        {place}"


def _signer(
    key: Path | None, token: str | None, modules: list[Path], certificate: Path | None, chain: list[Path]
) -> Signer:
    """Who signs."""
    from badnets.trust.keys import open_private
    from badnets.trust.parties import CertificateSigner, KeySigner, SigstoreSigner, TokenSigner

    if token is not None:
        return TokenSigner(token, tuple(modules), certificate, tuple(chain))
    if key is None:
        return SigstoreSigner(secret(_SIGSTORE_TOKEN))
    opened = open_private(key, None if certificate else asking())
    return CertificateSigner(key, certificate, tuple(chain)) if certificate else KeySigner(opened)


def trusting(
    key: Path | None,
    policy: Path | None,
    chain: Sequence[Path] = (),
    identity: str | None = None,
    issuer: str | None = None,
) -> tuple[Policy, list[Verifier]]:
    """Whom to believe: a policy, a key, a chain of certificates, or a name in Sigstore."""
    from badnets.trust.keys import open_public
    from badnets.trust.parties import ChainVerifier, KeyVerifier, SigstoreVerifier
    from badnets.trust.policy import Policy, read_policy

    if sum((key is not None, policy is not None, bool(chain), identity is not None)) != 1:
        raise BadInput("expected one of --key, --policy, --chain and --identity, so that it is known whom to believe")
    if (identity is None) != (issuer is None):
        raise BadInput("expected --identity and --issuer together, got one of them")
    if identity is not None and issuer is not None:
        return Policy({}), [SigstoreVerifier(identity, issuer)]
    if chain:
        return Policy({}), [ChainVerifier(tuple(chain))]
    trusted = Policy.trusting(open_public(key)) if key is not None else read_policy(policy)  # type: ignore[arg-type]
    return trusted, [KeyVerifier(one) for one in trusted.keys("signature")]


def _told(found: Verification) -> Iterator[str]:
    yield f"{'verified' if found.ok else 'NOT VERIFIED'}  {found.model}"
    yield from (f"  because    {reason}" for reason in found.reasons)
    if found.signer:
        count = len(found.files)
        yield f"  signed     by {found.signer}, {count:,} file{'s' * (count != 1)}"
    for one in found.attestations:
        word = "attested " if one.ok else "not taken"
        yield f"  {word}  {one.kind}: {one.summary} (by {one.signer or 'an unknown key'})"
    if found.not_covered:
        yield f"  no word    of {', '.join(found.not_covered)}"


def asking() -> Any:
    """How a person is asked; None where nobody sits there."""
    return _ask if sys.stdin.isatty() else None


def _ask(what: str, *, twice: bool = False) -> str:
    from getpass import getpass

    if not sys.stdin.isatty():
        from badnets.trust.keys import PASSWORD

        raise BadInput(f"expected a password in {PASSWORD}, got none; nobody can be asked here")
    typed = getpass(f"{what}: ")
    if twice and getpass("again: ") != typed:
        raise BadInput("expected the same password twice, got two")
    return typed
