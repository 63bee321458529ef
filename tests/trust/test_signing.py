"""Signatures: what was signed verifies, anything else does not, and others' tools read and write the same."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.records.verification import CheckedFile
from badnets.trust import keys as keys_module
from badnets.trust.keys import PASSWORD, PrivateKey, PublicKey, make_keys, open_private, open_public
from badnets.trust.parties import KeySigner, KeyVerifier
from badnets.trust.signing import Checked, sign, signature_of, verify

pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrivateKey, PublicKey]:
    place = tmp_path_factory.mktemp("keys") / "alice"
    make_keys(place)
    return open_private(place), open_public(place.with_name("alice.pub"))


def states(checked: Checked) -> dict[str, str]:
    return {one.name: one.state for one in checked.files}


def test_what_was_signed_verifies(pair: tuple[PrivateKey, PublicKey], folder: Path) -> None:
    place, files = sign(folder, KeySigner(pair[0]))
    assert place == folder / "model.sig" == signature_of(folder)
    checked = verify(folder, KeyVerifier(pair[1]))
    assert not checked.reasons
    assert checked.files == files
    assert states(checked) == dict.fromkeys(("network.safetensors", "record.json", "set/0.png"), "same")
    assert checked.signer == f"key {pair[1].fingerprint[:16]}"
    assert checked.not_covered == ("the folder's own name", "model.sig")
    assert {path.name for path in folder.iterdir()} == {"set", "record.json", "network.safetensors", "model.sig"}


@given(at=st.integers(0, 255), bit=st.integers(0, 7), name=st.sampled_from(["network.safetensors", "record.json"]))
def test_any_bit_that_is_flipped_is_told(
    pair: tuple[PrivateKey, PublicKey], tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, name: str
) -> None:
    run = tmp_path_factory.mktemp("flipped")
    (run / "network.safetensors").write_bytes(bytes(range(256)))
    (run / "record.json").write_text("{}" * 128)
    sign(run, KeySigner(pair[0]))
    content = bytearray((run / name).read_bytes())
    content[at] ^= 1 << bit
    (run / name).write_bytes(content)
    checked = verify(run, KeyVerifier(pair[1]))
    assert checked.reasons == (f"{name} differs from what was signed",)
    assert states(checked)[name] == "changed"


@given(at=st.integers(0, 10_000), to=st.integers(0, 255))
def test_a_signature_in_which_a_byte_is_changed_says_the_same_or_nothing(
    pair: tuple[PrivateKey, PublicKey], tmp_path_factory: pytest.TempPathFactory, at: int, to: int
) -> None:
    run = tmp_path_factory.mktemp("signature") / "network.pt"
    run.write_bytes(b"weights")
    place, files = sign(run, KeySigner(pair[0]))
    content = bytearray(place.read_bytes())
    content[at % len(content)] = to
    place.write_bytes(content)
    try:
        checked = verify(run, KeyVerifier(pair[1]))
    except BadInput:
        return
    assert checked.reasons or checked.files == files


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda run: (run / "new.bin").write_bytes(b"1"), ("new.bin is extra: it was not signed",)),
        (lambda run: (run / "record.json").unlink(), ("record.json was signed and is missing",)),
        (
            lambda run: (run / "record.json").rename(run / "other.json"),
            ("record.json was signed and is missing", "other.json is extra: it was not signed"),
        ),
        (
            lambda run: (run / "record.json").write_bytes((run / "set" / "0.png").read_bytes()),
            ("record.json differs from what was signed",),
        ),
    ],
)
def test_the_first_file_that_differs_is_named(
    pair: tuple[PrivateKey, PublicKey], folder: Path, change: object, told: tuple[str, ...]
) -> None:
    sign(folder, KeySigner(pair[0]))
    change(folder)  # type: ignore[operator]
    assert verify(folder, KeyVerifier(pair[1])).reasons == told


def test_a_name_is_signed_inside_a_folder_alone(pair: tuple[PrivateKey, PublicKey], tmp_path: Path) -> None:
    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    one.write_bytes(b"weights")
    place, files = sign(one, KeySigner(pair[0]))
    assert files == (CheckedFile(name="one.pt", state="same", sha256=files[0].sha256),)
    one.rename(other)
    checked = verify(other, KeyVerifier(pair[1]), place)
    assert not checked.reasons
    assert "the file's own name" in checked.not_covered


def test_another_key_has_not_signed_it(pair: tuple[PrivateKey, PublicKey], folder: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "bob", curve="P-521")
    sign(folder, KeySigner(pair[0]))
    checked = verify(folder, KeyVerifier(open_public(tmp_path / "bob.pub")))
    assert checked.signer is None
    assert "not signed by" in checked.reasons[0]


def test_a_signature_of_another_file(pair: tuple[PrivateKey, PublicKey], tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
        sign(tmp_path / name, KeySigner(pair[0]))
    checked = verify(tmp_path / "a", KeyVerifier(pair[1]), tmp_path / "b.sig")
    assert checked.reasons == ("a differs from what was signed",)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_model_signing_verifies_ours_and_we_verify_its(curve: str, folder: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "key", curve=curve)  # type: ignore[arg-type]
    key, public = tmp_path / "key", tmp_path / "key.pub"
    command = [sys.executable, "-m", "model_signing"]
    place, _ = sign(folder, KeySigner(open_private(key)))
    theirs = [*command, "verify", "key", str(folder), "--signature", str(place), "--public_key", str(public)]
    assert "succeeded" in subprocess.run(theirs, check=True, capture_output=True, text=True).stdout
    other = tmp_path / "theirs.sig"
    theirs = [*command, "sign", "key", str(folder), "--signature", str(other), "--private_key", str(key)]
    subprocess.run(theirs, check=True, capture_output=True)
    checked = verify(folder, KeyVerifier(open_public(public)), other)
    assert not checked.reasons
    assert "model.sig" in states(checked)  # theirs signs what lies there, our signature too


def test_a_folder_that_changes_while_it_is_signed(
    pair: tuple[PrivateKey, PublicKey], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_signing import signing

    usual = signing.Config.sign

    def meanwhile(self: object, model: Path, place: Path) -> None:
        usual(self, model, place)  # type: ignore[arg-type]
        (folder / "record.json").write_text("{}")

    monkeypatch.setattr(signing.Config, "sign", meanwhile)
    with pytest.raises(BadInput, match="one that changed"):
        sign(folder, KeySigner(pair[0]))
    assert not signature_of(folder).exists()


def test_links_pipes_and_empty_folders_are_not_signed(pair: tuple[PrivateKey, PublicKey], folder: Path) -> None:
    (folder / "link").symlink_to(folder / "record.json")
    with pytest.raises(BadInput, match="symbolic link"):
        sign(folder, KeySigner(pair[0]))
    (folder / "link").unlink()
    sign(folder, KeySigner(pair[0]))
    os.mkfifo(folder / "pipe")
    with pytest.raises(BadInput, match="got something else"):
        verify(folder, KeyVerifier(pair[1]))
    (folder.parent / "empty").mkdir()
    with pytest.raises(BadInput, match="empty folder"):
        sign(folder.parent / "empty", KeySigner(pair[0]))
    with pytest.raises(BadInput, match="got nothing"):
        sign(folder.parent / "nowhere", KeySigner(pair[0]))


def test_what_cannot_be_read_is_neither_signed_nor_judged(
    pair: tuple[PrivateKey, PublicKey], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in it that cannot be read may hold anything: it is not passed over (played: root can read all)."""
    sign(folder, KeySigner(pair[0]))
    usual = os.scandir

    def refusing(place: str | Path = ".") -> object:
        if Path(place).name == "set":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return usual(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        for act in (lambda: sign(folder, KeySigner(pair[0])), lambda: verify(folder, KeyVerifier(pair[1]))):
            with pytest.raises(PermissionError, match="set"):
                act()

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "network.safetensors")

    from model_signing import verifying

    monkeypatch.setattr(verifying.Config, "verify", closed)
    with pytest.raises(PermissionError, match="network"):
        verify(folder, KeyVerifier(pair[1]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "expected a signature at"),
        ("no JSON", "expected JSON"),
        ("{}", "got something else"),
        ('{"mediaType": "application/vnd.dev.sigstore.bundle.v0.9+json"}', "newer version"),
        ('{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}', "damaged"),
        ("[" * 10_000, "expected JSON"),
    ],
)
def test_what_is_no_signature(pair: tuple[PrivateKey, PublicKey], folder: Path, content: str | None, told: str) -> None:
    if content is not None:
        (folder / "model.sig").write_text(content)
    with pytest.raises(BadInput, match=told):
        verify(folder, KeyVerifier(pair[1]))


def test_a_full_disk_leaves_nothing(
    pair: tuple[PrivateKey, PublicKey], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("badnets.trust.signing.write_text", full)
    with pytest.raises(OSError, match="No space"):
        sign(folder, KeySigner(pair[0]))
    assert not signature_of(folder).exists()


def test_keys_are_for_their_owner_and_stay(tmp_path: Path) -> None:
    public = make_keys(tmp_path / "key", password=b"secret")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    assert len(public.fingerprint) == 64
    with pytest.raises(BadInput, match="never overwritten"):
        make_keys(tmp_path / "key")


def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(tmp_path / "key", password=b"secret")
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(BadInput, match=f"in {PASSWORD}, got none"):
        open_private(tmp_path / "key")
    opened = open_private(tmp_path / "key", lambda _: "secret")
    assert "secret" not in repr(opened)
    assert opened.fingerprint == open_public(tmp_path / "key.pub").fingerprint
    monkeypatch.setenv(PASSWORD, "wrong")
    with pytest.raises(BadInput, match="got a wrong one") as told:
        open_private(tmp_path / "key")
    assert "wrong one" in str(told.value)
    monkeypatch.setenv(PASSWORD, "secret")
    (tmp_path / "file").write_text("x")
    place, _ = sign(tmp_path / "file", KeySigner(open_private(tmp_path / "key")))
    assert b"secret" not in place.read_bytes()


def test_other_keys_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    def write(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str) -> Path:
        hidden = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        (tmp_path / name).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
        return tmp_path / name

    with pytest.raises(BadInput, match="secp256k1"):
        open_private(write(ec.generate_private_key(ec.SECP256K1()), "bitcoin"))
    with pytest.raises(BadInput, match="RSA"):
        open_private(write(rsa.generate_private_key(65537, 2048), "rsa"))
    with pytest.raises(BadInput, match="got nothing"):
        open_private(tmp_path / "none")
    make_keys(tmp_path / "key")
    with pytest.raises(BadInput, match="got a private one"):
        open_public(tmp_path / "key")
    with pytest.raises(BadInput, match="expected a private key"):
        open_private(tmp_path / "key.pub")
    (tmp_path / "text").write_text("hello")
    for opened in (open_private, open_public):
        with pytest.raises(BadInput, match="something else"):
            opened(tmp_path / "text")


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr("badnets.trust.extra.import_module", absent)
    with pytest.raises(BadInput, match=r"pip install 'badnets\[trust\]'"):
        keys_module.make_keys(tmp_path / "key")


def test_json_of_a_bundle_is_what_others_expect(pair: tuple[PrivateKey, PublicKey], folder: Path) -> None:
    place, _ = sign(folder, KeySigner(pair[0]))
    bundle = json.loads(place.read_text())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == pair[1].fingerprint
