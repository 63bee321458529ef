"""Publishing a catalogue: its life, whose signatures it takes, and what is refused before anything is written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.trust.attacker import NETWORK, SHAPES, SIGNS, Publisher
from tuf.api.metadata import DelegatedRole

from badnets.core import files as files_module
from badnets.core.errors import BadInput
from badnets.trust.catalogue import names, publish, shelf
from badnets.trust.catalogue.getting import Trusted, get, opened
from badnets.trust.catalogue.names import check_name, patterns_of
from badnets.trust.catalogue.publish import Keys
from badnets.trust.catalogue.signers import pool_of
from badnets.trust.keys import PASSWORD, make_keys


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def refused(words: str, folder: Path) -> Iterator[None]:
    """Refused with these words, and not a byte of the catalogue is another."""
    before = state(folder)
    with pytest.raises(BadInput) as told:
        yield
    assert words in str(told.value)
    assert state(folder) == before


def versions(publisher: Publisher) -> dict[str, int]:
    return {one.name: one.version for one in shelf.read(publisher.folder).listed().roles}


def names_in(publisher: Publisher) -> list[str]:
    return [one.name for one in shelf.read(publisher.folder).listed().entries]


def test_its_life(publisher: Publisher, tmp_path: Path) -> None:
    assert names_in(publisher) == [SHAPES, SIGNS]
    assert versions(publisher) == {"root": 1, "targets": 3, "snapshot": 3, "timestamp": 3}
    publisher.add(SHAPES, b"newer")
    publish.remove(publisher.folder, SIGNS, publisher.pool("online"))
    assert names_in(publisher) == [SHAPES]
    left = [path.name for path in (publisher.folder / "targets").rglob("*") if path.is_file()]
    assert [name[65:] for name in left] == [SHAPES]  # its older bytes and the other's card are gone, too
    with refused("expected an entry of the catalogue", publisher.folder):
        publish.remove(publisher.folder, SIGNS, publisher.pool("online"))
    change = publish.refresh(publisher.folder, publisher.pool("online"), days=2)
    assert change.versions == {"root": 1, "targets": 5, "snapshot": 6, "timestamp": 6}
    assert timedelta(days=1.9) < change.expires["timestamp"] - names.now() <= timedelta(days=2)
    change = publish.refresh(publisher.folder, publisher.pool("online"))  # it stays with that
    assert timedelta(days=1.9) < change.expires["timestamp"] - names.now() <= timedelta(days=2)
    before = change.root_sha256
    change = publish.rotate(
        publisher.folder, publisher.key("online"), publisher.key("new"), publisher.pool("root1", "root2")
    )
    assert change.versions == {"root": 2, "targets": 6, "snapshot": 8, "timestamp": 8}
    assert change.root_sha256 != before
    with refused("expected 1 private key of the role targets, got 0", publisher.folder):
        publisher.add(SIGNS, NETWORK)
    publisher.add(SIGNS, NETWORK, by="new")
    with opened(str(publisher.folder), Trusted(root=publisher.folder / "metadata" / "1.root.json")) as catalogue:
        get(SIGNS, catalogue, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NETWORK


def test_what_is_about_to_expire_is_signed_anew(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    later = names.now() + timedelta(days=200)
    monkeypatch.setattr(publish, "now", lambda: later)
    monkeypatch.setattr(shelf, "now", lambda: later)
    change = publish.refresh(publisher.folder, publisher.pool("online", "root1", "root2"))
    assert change.versions == {"root": 2, "targets": 4, "snapshot": 4, "timestamp": 4}
    assert change.expires["root"] == later + timedelta(days=365)


def test_keys_that_are_revoked(publisher: Publisher, tmp_path: Path) -> None:
    with refused("expected the role snapshot to be left with 1 or more keys, got 0", publisher.folder):
        publish.revoke(publisher.folder, publisher.key("online"), publisher.pool("root1", "root2", "online"))
    with refused("expected a key that has a role", publisher.folder):
        publish.revoke(publisher.folder, publisher.key("nobody"), publisher.pool("root1", "root2", "online"))
    two = Publisher(tmp_path / "two", publisher.keys)
    online = Keys([publisher.key("a"), publisher.key("b")])
    publish.init(two.folder, Keys([publisher.key(f"root{n}") for n in (1, 2, 3)], 2), online, online)
    publish.revoke(two.folder, publisher.key("a"), publisher.pool("root1", "root3", "b"))
    with refused("got 0; nothing was written", two.folder):
        two.add(SIGNS, NETWORK, by="a")
    two.add(SIGNS, NETWORK, by="b")
    publish.revoke(two.folder, publisher.key("root2"), publisher.pool("root1", "root3", "b"))
    assert versions(two)["root"] == 3
    with refused("expected the role root to be left with 2 or more keys, got 1", two.folder):
        publish.revoke(two.folder, publisher.key("root1"), publisher.pool("root1", "root3", "b"))


def test_thresholds(publisher: Publisher, tmp_path: Path) -> None:
    with refused("expected 1 private key of the role snapshot, got 0", publisher.folder):
        publish.refresh(publisher.folder, publisher.pool("root1"))
    one = Keys([publisher.key("a")])
    for threshold in (0, 3):
        with pytest.raises(BadInput, match="expected a threshold from 1 to the 2 keys of root"):
            publish.init(tmp_path / "no", Keys([publisher.key("root1"), publisher.key("root2")], threshold), one, one)
    with pytest.raises(BadInput, match="expected root keys that have no other role"):
        publish.init(tmp_path / "no", Keys([publisher.key("a")]), one, one)
    assert not (tmp_path / "no").exists()


def test_delegation(publisher: Publisher) -> None:
    hers = Keys([publisher.key("alice"), publisher.key("carol")], 2)
    publish.delegate(publisher.folder, "alice", "alice/*", hers, publisher.pool("online"))
    with refused("expected a new delegation", publisher.folder):
        publish.delegate(publisher.folder, "alice", "x/*", hers, publisher.pool("online"))
    for role, pattern in (("root", "x/*"), ("a/b", "x/*"), ("bob", "../*"), ("bob", "/x")):
        with refused("expected a name", publisher.folder):
            publish.delegate(publisher.folder, role, pattern, hers, publisher.pool("online"))
    with refused("expected 2 private keys of the role alice, got 0", publisher.folder):
        publisher.add("alice/1", NETWORK)
    file = publisher.keys / "network"
    change = publish.add(publisher.folder, "alice/1", file, publisher.pool("alice", "carol"))
    assert [(one.role, one.lacks) for one in change.waiting] == [("alice", ())]
    assert publish.refresh(publisher.folder, publisher.pool("online")).waiting == ()
    assert "alice/1" in names_in(publisher)
    keys = publisher.pool("online", "alice", "carol", "dora")
    publish.rotate(publisher.folder, publisher.key("carol"), publisher.key("dora"), keys)
    assert versions(publisher)["alice"] == 2
    change = publish.revoke(publisher.folder, publisher.key("alice"), keys)
    assert "ended the delegation alice" in change.did
    assert "alice/1" not in names_in(publisher)
    # One of the same name later goes on from its version: whoever knew the old one would refuse an older one.
    publish.delegate(publisher.folder, "alice", "alice/*", Keys([publisher.key("dora")]), publisher.pool("online"))
    publish.add(publisher.folder, "alice/1", file, publisher.pool("online", "dora"))
    assert versions(publisher)["alice"] == 3


@pytest.mark.parametrize("until", range(4))
def test_a_process_that_is_killed_leaves_the_old_state(
    until: int, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of targets, snapshot, root and timestamp only the first ``until`` are written."""
    written: list[Path] = []
    whole = files_module.whole_file

    def dies(path: Path, mode: int = 0o644) -> Any:
        if len(written) == until:
            raise KeyboardInterrupt
        written.append(path)
        return whole(path, mode)

    keys = publisher.pool("root1", "root2", "online")
    with monkeypatch.context() as patch:
        patch.setattr(shelf, "whole_file", dies)
        with pytest.raises(KeyboardInterrupt):
            publish.rotate(publisher.folder, publisher.key("online"), publisher.key("next"), keys)
    trusted = Trusted(root=publisher.folder / "metadata" / "1.root.json")
    if until < 3:
        with opened(str(publisher.folder), trusted) as catalogue:
            get(SIGNS, catalogue, tmp_path / "x")
        publish.rotate(publisher.folder, publisher.key("online"), publisher.key("next"), keys)
    else:  # the root is there, and one more step ends it
        publish.refresh(publisher.folder, publisher.pool("next"))
    with opened(str(publisher.folder), trusted) as catalogue:
        get(SIGNS, catalogue, tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == NETWORK


def test_a_full_disk(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, copy: Path) -> None:
        copy.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy))

    before = state(publisher.folder)
    monkeypatch.setattr(publish.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        publisher.add("new", NETWORK)
    assert state(publisher.folder) == before
    assert not [path for path in (publisher.folder / "targets").iterdir() if path.name.startswith(".")]


def test_files_that_are_none(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(publisher.keys / "network")
    os.mkfifo(tmp_path / "pipe")
    pool = publisher.pool("online")
    for name, words in (("link", "got a symbolic link"), ("pipe", "got something else"), ("nothing", "got an error")):
        with refused(words, publisher.folder):
            publish.add(publisher.folder, "new", tmp_path / name, pool)
        with refused(words, publisher.folder):
            publish.add(publisher.folder, "new", publisher.keys / "network", pool, companions={"card": tmp_path / name})
    for content in ("", "# Signs"):
        (publisher.keys / "card.md").write_text(content)
        with refused("expected attestations" if not content else "expected JSON in line 1 of", publisher.folder):
            given = {"attestations": publisher.keys / "card.md"}
            publish.add(publisher.folder, "new", publisher.keys / "network", pool, companions=given)
    for name in ("../x", "/x", "a b", "", "signs/.x"):
        with refused("expected a name", publisher.folder):
            publish.add(publisher.folder, name, publisher.keys / "network", pool)
    with refused("which goes with", publisher.folder):
        publish.add(publisher.folder, f"{SIGNS}.card.md", publisher.keys / "network", pool)


def test_folders_that_are_none(publisher: Publisher, tmp_path: Path) -> None:
    one = Keys([publisher.key("a")])
    with refused("expected a new or an empty folder", publisher.folder):
        publish.init(publisher.folder, Keys([publisher.key("root1")]), one, one)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="expected a new or an empty folder"):
        publish.init(tmp_path / "link", Keys([publisher.key("root1")]), one, one)
    with pytest.raises(BadInput, match="got no root"):
        publish.refresh(tmp_path, publisher.pool("online"))
    metadata = publisher.folder / "metadata"
    (metadata / "9.targets.json").write_bytes(b"{}")
    with refused("expected metadata of TUF", publisher.folder):
        publisher.add("new", NETWORK)
    (metadata / "9.targets.json").unlink()
    (metadata / "3.targets.json").rename(metadata / "kept")
    with refused("which its snapshot names, got 2", publisher.folder):
        publisher.add("new", NETWORK)
    (metadata / "3.targets.json").symlink_to("kept")
    with refused("got a symbolic link", publisher.folder):
        publisher.add("new", NETWORK)
    (metadata / "3.targets.json").unlink()
    changed = json.loads((metadata / "kept").read_bytes())
    changed["signed"]["targets"]["evil"] = next(iter(changed["signed"]["targets"].values()))
    (metadata / "3.targets.json").write_text(json.dumps(changed, sort_keys=True, separators=(",", ":")))
    with refused("which its snapshot names, got 2", publisher.folder):  # nobody signs what somebody else put there
        publisher.add("new", NETWORK)
    metadata.rename(tmp_path / "moved")
    metadata.symlink_to(tmp_path / "moved")
    with refused("got a symbolic link", publisher.folder):
        publisher.add("new", NETWORK)


def test_keys_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    key = ec.generate_private_key(ec.SECP256K1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "curve").write_bytes(pem)
    make_keys(tmp_path / "locked", password=b"correct horse")
    for name, words in (
        ("curve", "expected a key of the curve"),
        ("locked", f"expected the password of .* in {PASSWORD}"),
        ("locked.pub", "expected a private key to sign with"),
        ("nothing", "got nothing"),
    ):
        with pytest.raises(BadInput, match=words):
            pool_of([tmp_path / name])
    monkeypatch.setenv(PASSWORD, "battery staple")
    with pytest.raises(BadInput, match="got a wrong one") as told:
        pool_of([tmp_path / "locked"])
    assert "battery" not in str(told.value)


@given(name=st.text(max_size=30))
def test_a_name_is_a_file_name_or_refused(name: str) -> None:
    try:
        check_name(name)
    except BadInput:
        return
    assert ".." not in name.split("/")
    assert name.isascii()
    assert not Path(name).is_absolute()
    assert Path("a", name).resolve().is_relative_to(Path("a").resolve())


def test_patterns() -> None:
    def covers(pattern: str, name: str) -> bool:
        return DelegatedRole("r", ["k"], 1, terminating=True, paths=patterns_of(pattern)).is_delegated_path(name)

    assert covers("signs/*", SIGNS)
    assert covers("signs/*.pt", "signs/x.pt.card.md")
    assert not covers("signs/*", "signs/x/y")
    assert not covers("*", SIGNS)
