"""``badnets catalogue`` and ``badnets get``: exit codes, what a program reads, one sentence for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Badnets

from badnets.trust.keys import PASSWORD

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
NAME = "signs/v1.safetensors"


@pytest.fixture
def published(badnets: Badnets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one network, and the keys root1, root2 and online beside it."""
    monkeypatch.setenv(PASSWORD, "correct horse")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BADNETS_CATALOGUE", raising=False)
    for name in ("root1", "root2", "online", "new"):
        badnets.done("keygen --json", name)
    badnets.done("catalogue init c --root-key root1 --root-key root2 --root-threshold 2 --key online")
    (tmp_path / "network").write_bytes(b"weights" * 1000)
    (tmp_path / "card.md").write_text("# Signs")
    said = badnets.done(f"catalogue add c {NAME} network --key online --card card.md --days 30")
    assert said.out.startswith(f"added {NAME}  (published: root 1, targets 2")
    assert "horse" not in said.out + said.err
    return tmp_path / "c"


def test_get(badnets: Badnets, published: Path, tmp_path: Path) -> None:
    said = badnets.done(f"get {NAME} --from c --root c/metadata/1.root.json --json")
    value = said.json
    assert {"format", "source", "root_sha256", "entry", "files"} == set(value)
    assert (value["format"], value["entry"]["name"]) == ("badnets/got/1", NAME)
    assert value["files"] == {"network": "v1.safetensors", "card": "v1.safetensors.card.md"}
    assert (tmp_path / "v1.safetensors").read_bytes() == b"weights" * 1000
    said = badnets.done(f"get {NAME} --from c --out mine.pt")
    assert "offered by   targets" in said.out
    assert (tmp_path / "mine.pt.card.md").read_text() == "# Signs"
    (target,) = published.rglob("*.v1.safetensors")
    target.write_bytes(b"trojans" * 1000)
    for kept in (tmp_path / "cache" / "catalogues" / "files").iterdir():
        kept.unlink()
    badnets.refused("refused, changed: expected signs/v1.safetensors", f"get {NAME} --from c --out other.pt")
    assert not (tmp_path / "other.pt").exists()


def test_attestations_are_told(badnets: Badnets, published: Path, tiny_run: Path, tmp_path: Path) -> None:
    network = tiny_run / "network.safetensors"
    badnets.done(f"attest {tiny_run} --for {network} --key new --attestations said.jsonl")
    badnets.done(f"sign {network} --key new --signature network.sig")
    badnets.refused(
        "expected attestations of the bytes", "catalogue add c x network --key online --attestations said.jsonl"
    )
    badnets.done(f"catalogue add c mine {network} --key online --attestations said.jsonl --signature network.sig")
    said = badnets.done("catalogue show c mine")
    assert "provenance: g1-cnn trained by badnets on digits" in said.out
    badnets.done("get mine --from c --root c/metadata/1.root.json")
    assert "verified  mine" in badnets.done("verify mine --key new.pub").out
    said = badnets("verify mine --key new.pub --require provenance")
    assert said.code == 1
    assert "the policy accepts none in which a backdoor was planted" in said.out
    planted = '[keys.new]\npublic_key = "new.pub"\n[provenance]\nplanted = true\n'
    (tmp_path / "policy.toml").write_text(planted)
    badnets.done(f"verify mine --policy {tmp_path / 'policy.toml'} --require provenance")


def test_list(badnets: Badnets, published: Path) -> None:
    said = badnets.done("catalogue list c")
    assert NAME in said.out
    assert "7,000" in said.out
    assert "root 1  holds until" in said.out
    assert "2 of 2 keys" in said.out
    assert "by its own root" in said.out
    said = badnets.done("catalogue list c --json --root c/metadata/1.root.json")
    assert (said.json["format"], said.json["pinned"]) == ("badnets/catalogue/1", True)
    assert [one["name"] for one in said.json["entries"]] == [NAME]
    said = badnets.done(f"catalogue show c {NAME} --json")
    assert said.json["size"] == 7000
    badnets.refused("did you mean 'signs/v1.safetensors'", "catalogue show c signs/v2.safetensors")


def test_its_life(badnets: Badnets, published: Path, tmp_path: Path) -> None:
    said = badnets.done("catalogue rotate c online.pub new --key root1 --key root2 --json")
    assert said.json["versions"] == {"root": 2, "targets": 3, "snapshot": 3, "timestamp": 3}
    badnets.done("keygen alice")
    badnets.done("catalogue delegate c alice alice/* --role-key alice.pub --key new")
    said = badnets.done("catalogue add c alice/1 network --key alice")
    assert "waiting  alice 1 for what belongs to it, or the timestamp's key, signed by key " in said.out
    assert "badnets catalogue refresh publishes it, with the timestamp's key" in said.out
    badnets.done("catalogue refresh c --key new --days 3")
    badnets.done("get alice/1 --from c --root c/metadata/1.root.json")
    said = badnets.done("catalogue revoke c alice.pub --key new")
    assert "ended the delegation alice" in said.out
    badnets.refused("expected an entry of", "get alice/1 --from c --out x")
    badnets.done(f"catalogue remove c {NAME} --key new")
    badnets.refused("it has none", f"get {NAME} --from c --out x")


def test_several_who_sign(badnets: Badnets, published: Path, tmp_path: Path) -> None:
    said = badnets.done("catalogue rotate c root1.pub new.pub --key root1")
    assert "waiting  root 2 for 1 of key " in said.out
    assert "; and 2 of key " in said.out
    assert "by its own keys to sign (badnets catalogue sign), signed by key " in said.out
    assert "gives root the key " in said.out
    badnets.done(f"get {NAME} --from c --root c/metadata/1.root.json")
    value = badnets.done("catalogue sign c --json").json
    assert (value["did"], value["versions"]["root"]) == ("nothing done", 1)
    (waits,) = value["waiting"]
    assert set(waits) == {"role", "version", "says", "signed", "lacks"}
    assert [one["count"] for one in waits["lacks"]] == [1, 2]
    badnets.done("catalogue sign c --key root2")
    said = badnets.done("catalogue sign c --key new")
    assert "badnets catalogue refresh publishes it" in said.out
    assert badnets.done("catalogue refresh c --key online --json").json["versions"]["root"] == 2
    badnets.done(f"get {NAME} --from c --out y.safetensors")
    badnets.done("catalogue rotate c root2.pub root1 --key root2")
    assert "dropped what waited of root" in badnets.done("catalogue drop c").out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("get x", "expected --from or BADNETS_CATALOGUE"),
        ("get x --from c", "expected --root or --fingerprint at the first use of"),
        ("get ../x --from c --root c/metadata/1.root.json", "which leads out of it"),
        ("get x --from http://example.org --fingerprint 12", "expected https for example.org"),
        ("get x --from nowhere --root c/metadata/1.root.json", "expected a catalogue at"),
        ("get x --from c --root network", "expected a root (root.json) at network"),
        ("get x --from c --root c --fingerprint 12", "got both"),
        ("catalogue add nowhere x network --key online", "got no root"),
        ("catalogue add c ../x network --key online", "which leads out of it"),
        ("catalogue add c x nothing --key online", "expected a file at nothing"),
        ("catalogue add c x network --key nobody", "got nothing"),
        ("catalogue add c x network --key root1", "expected 1 private key of the role targets, got 0"),
        ("catalogue add c x network", "missing option '--key'"),
        ("catalogue remove c x --key online", "expected an entry of the catalogue"),
        ("catalogue init c --root-key root1 --key online", "expected a new or an empty folder"),
        ("catalogue rotate c online.pub new.pub --key nobody", "got nothing"),
        ("catalogue sign c --key online", "expected something that waits for signatures in c, got nothing"),
        ("catalogue sign c --role x", "expected something of x that waits"),
        ("catalogue sign nowhere", "got no root"),
        ("catalogue drop c", "expected something that waits for signatures in c, got nothing"),
        ("catalogue revoke c online.pub --key root1 --key root2", "badnets catalogue rotate puts another"),
        ("catalogue frob c", "expected a command, got 'catalogue frob'"),
        ("catalogue ad c", "did you mean 'catalogue add'?"),
        ("catalogues", "did you mean 'catalogue "),
        (
            "catalogue add --carrd x",
            "expected an option of badnets catalogue add, got '--carrd'; did you mean '--card'",
        ),
        ("-- -x", "no such option: -x"),
    ],
)
def test_bad_input(line: str, told: str, badnets: Badnets, published: Path) -> None:
    badnets.refused(told, line)


def test_a_wrong_password(badnets: Badnets, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "battery staple")
    said = badnets("catalogue refresh c --key online")
    assert said.code == 2
    assert "got a wrong one" in said.message
    assert "battery" not in said.err
    monkeypatch.delenv(PASSWORD)
    badnets.refused(f"expected the password of online in {PASSWORD}", "catalogue refresh c --key online")


def test_without_the_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['tuf'] = None; from badnets.cli.main import main;main(['get', 'x', '--from', 'c'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'badnets[trust]'" in done.stderr
