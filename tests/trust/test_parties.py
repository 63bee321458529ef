"""Who else may sign than the holder of a key in a file: a chain of certificates, a token, and Sigstore."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from badnets.core.errors import BadInput
from badnets.trust.keys import make_keys, open_private, open_public
from badnets.trust.parties import KeySigner, KeyVerifier, SigstoreSigner, SigstoreVerifier, TokenSigner
from badnets.trust.signing import sign, verify

pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")


def test_a_certificate_chain(folder: Path, tmp_path: Path) -> None:
    from tests.trust.certificates import chain_of

    from badnets.trust.parties import CertificateSigner, ChainVerifier

    made, other = chain_of(tmp_path / "one"), chain_of(tmp_path / "two")
    sign(folder, CertificateSigner(made.key, made.certificate, (made.root,)))
    checked = verify(folder, ChainVerifier((made.root,)))
    assert not checked.reasons, checked.reasons
    assert "root.pem" in str(checked.signer)
    assert verify(folder, ChainVerifier((other.root,))).signer is None


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a key in a token that software plays."""
    pytest.importorskip("PyKCS11", reason="PyKCS11 is not installed")
    library = next(iter(Path("/usr/lib").glob("**/libsofthsm2.so")), None)
    if library is None or shutil.which("softhsm2-util") is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("needs SoftHSM and OpenSC (apt install softhsm2 opensc)")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    (tmp_path / "pin").write_text("1234")
    begin = ["softhsm2-util", "--init-token", "--free", "--label", "alice", "--pin", "1234", "--so-pin", "5678"]
    pair = ["pkcs11-tool", "--module", str(library), "--login", "--pin", "1234", "--token-label", "alice"]
    for command in (begin, [*pair, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "key", "--id", "01"]):
        subprocess.run(command, check=True, capture_output=True)
    public = tmp_path / "public.der"
    read = [*pair, "--read-object", "--type", "pubkey", "--label", "key", "--output-file", str(public)]
    subprocess.run(read, check=True, capture_output=True)
    return f"pkcs11:token=alice;object=key?module-path={library}&pin-source=file:{tmp_path / 'pin'}"


def test_a_key_that_stays_in_a_token(token: str, folder: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_der_public_key((tmp_path / "public.der").read_bytes())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
    sign(folder, TokenSigner(token))
    assert not verify(folder, KeyVerifier(open_public(tmp_path / "public.pem"))).reasons
    with pytest.raises(BadInput, match="expected a key in a token"):
        sign(folder, TokenSigner(token.replace("object=key", "object=other")))


def test_tokens_without_their_pin_in_sight() -> None:
    with pytest.raises(BadInput, match="without its PIN"):
        TokenSigner("pkcs11:token=alice;object=key?pin-value=1234")
    with pytest.raises(BadInput, match="as a URI"):
        TokenSigner("alice")


def test_sigstore_is_asked_by_the_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network here: what the library is told, and what is said when nobody answers."""
    from model_signing import signing, verifying

    asked: list[dict[str, object]] = []

    def signs(self: signing.Config, **given: object) -> signing.Config:
        asked.append(given)
        return self

    monkeypatch.setattr(signing.Config, "use_sigstore_signer", signs)
    config = signing.Config()  # type: ignore[no-untyped-call]  # the library leaves it untyped
    SigstoreSigner("token").ready(config)
    SigstoreSigner().ready(config)
    assert asked == [
        {"identity_token": "token", "use_ambient_credentials": False},
        {"identity_token": None, "use_ambient_credentials": True},
    ]

    def nobody(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(verifying.Config, "use_sigstore_verifier", nobody)
    make_keys(folder.parent / "key")
    sign(folder, KeySigner(open_private(folder.parent / "key")))
    with pytest.raises(BadInput, match="expected Sigstore's servers to answer, got no route"):
        verify(folder, SigstoreVerifier("alice@example.org", "https://accounts.example.org"))


@pytest.mark.parametrize(
    "line", ["sign network.pt --sigstore", "verify network.pt --identity a@b.c --issuer https://b.c"]
)
@pytest.mark.parametrize("silent", [False, True])
def test_sigstore_without_a_network(line: str, silent: bool, tmp_path: Path) -> None:
    """One sentence, soon, whether the way is closed or nothing ever comes back."""
    make_keys(tmp_path / "key")
    (tmp_path / "network.pt").write_bytes(b"weights")
    sign(tmp_path / "network.pt", KeySigner(open_private(tmp_path / "key")))
    if line.startswith("sign"):
        (tmp_path / "network.pt.sig").unlink()
    hurry = "from badnets.trust import parties; parties.PATIENCE = 1.0; " if silent else ""
    code = f"import sys; {hurry}from badnets.cli.main import main; main(sys.argv[1:])"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if silent:
            nobody.listen()
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        env = {**os.environ, "HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "HOME": str(tmp_path)}
        env |= {"XDG_DATA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        command = [sys.executable, "-c", code, *line.split()]
        said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=110)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("badnets: expected Sigstore's servers to answer, got ")
    assert said.stderr.count("\n") == 1
    if line.startswith("sign"):
        assert not (tmp_path / "network.pt.sig").exists()
