"""``badnets keygen``, ``sign``, ``verify`` and ``attest``: exit codes, what a program reads; no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Badnets

from badnets.trust.keys import PASSWORD

pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")


@pytest.fixture
def alice(badnets: Badnets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PASSWORD, "correct horse")
    said = badnets("keygen --json", tmp_path / "alice")
    assert said.code == 0, said.err
    assert said.json["private"] == str(tmp_path / "alice")
    assert "horse" not in said.out + said.err
    return tmp_path / "alice"


def test_sign_and_verify(badnets: Badnets, alice: Path, tmp_path: Path) -> None:
    model = tmp_path / "network.pt"
    model.write_bytes(b"weights")
    said = badnets("sign", model, "--key", alice)
    assert said.code == 0, said.err
    assert "horse" not in said.out + said.err
    said = badnets("verify --json", model, "--key", f"{alice}.pub")
    assert said.code == 0
    assert {"format", "ok", "signer", "files", "attestations", "reasons"} <= set(said.json)
    assert (said.json["format"], said.json["ok"]) == ("badnets/verification/1", True)
    model.write_bytes(b"weightz")
    said = badnets("verify", model, "--key", f"{alice}.pub")
    assert said.code == 1
    assert "NOT VERIFIED" in said.out
    assert "network.pt differs from what was signed" in said.out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("verify network.pt", "one of --key, --policy, --chain and --identity"),
        ("verify network.pt --identity alice", "--identity and --issuer together"),
        ("sign network.pt", "one of --key, --token and --sigstore"),
        ("sign network.pt --token pkcs11:token=a?pin-value=1", "without its PIN"),
        ("verify network.pt --key nobody.pub", "got nothing"),
        ("sign network.pt --key nobody", "got nothing"),
        ("sign nowhere --key {alice}", "got nothing"),
        ("sign network.pt --key {alice} --chain x.pem", "--certificate of a key, and --chain beside it"),
        ("verify network.pt --key {alice}.pub --require luck", "expected --require of"),
        ("verify network.pt --key {alice}", "got a private one"),
        ("keygen {alice}", "never overwritten"),
        ("keygen other --curve P-1", "expected a curve of P-256"),
        ("attest nowhere --for network.pt --key {alice}", "expected a run"),
    ],
)
def test_bad_input(
    line: str, told: str, badnets: Badnets, alice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.pt").write_bytes(b"weights")
    said = badnets(line.format(alice=alice))
    assert said.code == 2
    assert told in said.err
    assert said.err.count("\n") == 1


def test_a_wrong_password(badnets: Badnets, alice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network.pt").write_bytes(b"weights")
    monkeypatch.setenv(PASSWORD, "battery staple")
    said = badnets("sign", tmp_path / "network.pt", "--key", alice)
    assert said.code == 2
    assert "got a wrong one" in said.err
    assert "battery" not in said.err
    monkeypatch.delenv(PASSWORD)
    said = badnets("sign", tmp_path / "network.pt", "--key", alice)
    assert f"expected the password of {alice} in {PASSWORD}" in said.err
    assert not (tmp_path / "network.pt.sig").exists()
