"""Signatures of several people in several places: what waits for them is seen by nobody who downloads, until enough
have signed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
from tests.trust.attacker import NETWORK, SIGNS, Between, Publisher, got, refused, root_of, serving
from tuf.api.metadata import Metadata

from badnets.core.errors import BadInput
from badnets.records.catalogue import CatalogueChange, Lacking
from badnets.trust.catalogue import names, publish, shelf
from badnets.trust.catalogue.publish import Keys, drop, sign_staged
from badnets.trust.catalogue.signers import party

BETTER = b"better"


@pytest.fixture
def shared(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A catalogue whose entries two of alice, bob and carol have to sign."""
    made = Publisher(tmp_path / "shared", publisher.keys)
    roots = Keys([made.key("root1"), made.key("root2")], 2)
    three = Keys([made.key(name) for name in ("alice", "bob", "carol")], 2)
    online = made.key("online")
    publish.init(made.folder, roots, three, Keys([online]))
    (made.keys / "network").write_bytes(NETWORK)
    publish.add(made.folder, SIGNS, made.keys / "network", made.pool("alice", "bob", "online"))
    return made


@pytest.fixture
def served(shared: Publisher) -> Iterator[Between]:
    with serving(shared.folder) as between:
        yield between


def staged(publisher: Publisher) -> set[str]:
    return {path.stem for path in (publisher.folder / "staged").glob("*.json")}


def versions(publisher: Publisher) -> dict[str, int]:
    return {one.name: one.version for one in shelf.read(publisher.folder).listed().roles}


def lacking(change: CatalogueChange) -> dict[str, list[int]]:
    return {one.role: [lack.count for lack in one.lacks] for one in change.waiting}


def downloaded(url: str, out: Path, publisher: Publisher) -> bytes:
    got(url, out, root_of(publisher))
    return out.read_bytes()


def test_an_entry_that_two_have_to_sign(shared: Publisher, served: Between, tmp_path: Path) -> None:
    (shared.keys / "network").write_bytes(BETTER)
    before = {path.name for path in (shared.folder / "metadata").iterdir()}
    change = publish.add(shared.folder, SIGNS, shared.keys / "network", shared.pool("alice", "online"))
    (waits,) = change.waiting
    assert (waits.role, waits.version, waits.signed) == ("targets", 3, (shared.key("alice").fingerprint,))
    assert waits.lacks == (Lacking(count=1, of=tuple(shared.key(name).fingerprint for name in ("bob", "carol"))),)
    assert waits.says[0].startswith(f"replaces {SIGNS} (SHA-256 ")
    assert change.versions["targets"] == 2
    assert downloaded(served.url, tmp_path / "x", shared) == NETWORK
    assert {path.name for path in (shared.folder / "metadata").iterdir()} == before
    # The timestamp is refreshed meanwhile, and that publishes nothing of it.
    publish.refresh(shared.folder, shared.pool("online"))
    assert downloaded(served.url, tmp_path / "x", shared) == NETWORK
    change = sign_staged(shared.folder, shared.pool("carol"))
    assert (change.did, lacking(change)) == (f"signed targets by {shared.key('carol')}", {"targets": []})
    assert downloaded(served.url, tmp_path / "x", shared) == NETWORK  # the timestamp's key is elsewhere
    change = publish.refresh(shared.folder, shared.pool("online"))
    assert (change.versions["targets"], change.waiting, staged(shared)) == (3, (), set())
    assert downloaded(served.url, tmp_path / "y", shared) == BETTER
    assert not [path for path in served.asked if "staged" in path[0]]


def test_the_last_one_publishes_if_the_timestamps_key_is_at_hand(
    shared: Publisher, served: Between, tmp_path: Path
) -> None:
    publish.remove(shared.folder, SIGNS, shared.pool("bob"))
    assert downloaded(served.url, tmp_path / "x", shared) == NETWORK
    change = sign_staged(shared.folder, shared.pool("carol", "online"))
    assert (change.versions["targets"], change.waiting) == (3, ())
    refused("it has none", served.url, tmp_path / "y", root_of(shared))
    assert not [path for path in (shared.folder / "targets").rglob("*") if path.is_file()]


def test_a_root_by_people_far_apart(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    """A key that has every role but the root is put in another's place: nothing of it is published by halves."""
    change = publish.rotate(publisher.folder, publisher.key("online"), publisher.key("new"), publisher.pool("root1"))
    assert lacking(change) == {"root": [1], "targets": []}
    assert any(one.startswith("takes the key ") for waits in change.waiting for one in waits.says)
    got(server.url, tmp_path / "x", root_of(publisher))
    publish.refresh(publisher.folder, publisher.pool("online"))  # the old key goes on until then
    assert change.versions["root"] == 1
    assert staged(publisher) == {"root", "targets"}
    copy = publisher.copy(tmp_path / "elsewhere")
    assert lacking(sign_staged(copy.folder, publisher.pool("root2"))) == {"root": [], "targets": []}
    change = sign_staged(publisher.folder, publisher.pool("new"), copy=copy.folder)
    assert change.did == f"signed root by {publisher.key('root2')}"
    assert (change.versions["root"], change.versions["targets"], change.waiting) == (2, 4, ())
    got(server.url, tmp_path / "y")
    with pytest.raises(BadInput, match="expected 1 private key of the role snapshot, got 0"):
        publish.refresh(publisher.folder, publisher.pool("online"))
    publish.refresh(publisher.folder, publisher.pool("new"))


def test_a_new_root_key_has_to_sign_too(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    public = publisher.key("root3").path.with_name("root3.pub")
    change = publish.rotate(publisher.folder, publisher.key("root1"), party(public), publisher.pool("root1", "online"))
    assert lacking(change) == {"root": [1, 2]}  # by the old root's keys, and by its own
    assert lacking(sign_staged(publisher.folder, publisher.pool("root2"))) == {"root": [1]}
    got(server.url, tmp_path / "x", root_of(publisher))
    change = sign_staged(publisher.folder, publisher.pool("root3", "online"))
    assert (change.versions["root"], change.waiting) == (2, ())
    got(server.url, tmp_path / "y")


def test_a_catalogue_begun_by_people_far_apart(publisher: Publisher, tmp_path: Path) -> None:
    new = Publisher(tmp_path / "new", publisher.keys)
    there = party(publisher.key("root2").path.with_name("root2.pub"))
    online = Keys([publisher.key("online")])
    change = publish.init(new.folder, Keys([publisher.key("root1"), there], 2), online, online)
    assert (change.versions, change.root_sha256, lacking(change)) == ({}, None, {"root": [1], "targets": []})
    for act in (
        lambda: publish.refresh(new.folder, publisher.pool("online")),
        lambda: shelf.read(new.folder).listed(),
    ):
        with pytest.raises(BadInput, match="whose first root waits for signatures"):
            act()
    with pytest.raises(BadInput, match="delete the folder"):
        drop(new.folder)
    assert lacking(sign_staged(new.folder, publisher.pool("root2"))) == {"root": [], "targets": []}
    assert not list((new.folder / "metadata").iterdir())
    assert sign_staged(new.folder, publisher.pool("online")).versions["root"] == 1
    new.add(SIGNS, NETWORK)
    assert downloaded(str(new.folder), tmp_path / "x", new) == NETWORK


def test_nobody_signs_by_the_way_what_somebody_else_has_staged(shared: Publisher) -> None:
    """One key must not be enough: whoever has one stages something, and waits for the next honest change."""
    file = shared.keys / "network"
    publish.add(shared.folder, "evil", file, shared.pool("alice"))
    for keys in (("bob", "carol", "online"), ("alice",)):
        with pytest.raises(BadInput, match="expected nothing of targets that waits for signatures"):
            publish.add(shared.folder, "good", file, shared.pool(*keys))
    change = drop(shared.folder, "targets")
    assert (change.did, staged(shared)) == ("dropped what waited of targets", set())
    publish.add(shared.folder, "good", file, shared.pool("bob", "carol", "online"))
    assert {one.name for one in shelf.read(shared.folder).listed().entries} == {SIGNS, "good"}


def test_who_adds_a_signature(shared: Publisher, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"that waits for signatures in .*, got nothing"):
        sign_staged(shared.folder, shared.pool("alice"))
    publish.add(shared.folder, "new", shared.keys / "network", shared.pool("alice"))
    for name in ("alice", "root1", "nobody"):
        with pytest.raises(BadInput, match=r"expected a signature that targets in .* still lacks"):
            sign_staged(shared.folder, shared.pool(name))
    with pytest.raises(BadInput, match="expected something of root that waits"):
        sign_staged(shared.folder, shared.pool("root1"), role="root")
    assert lacking(sign_staged(shared.folder, {})) == {"targets": [1]}  # it is only shown
    other = shared.copy(tmp_path / "other")
    drop(other.folder)
    publish.add(other.folder, "other", shared.keys / "network", shared.pool("bob"))
    with pytest.raises(BadInput, match="expected the same targets in"):
        sign_staged(shared.folder, {}, copy=other.folder)
    with pytest.raises(BadInput, match="expected metadata at"):
        sign_staged(shared.folder, {}, copy=tmp_path / "nowhere")
    for name in ("evil", "targets"):
        place = shared.folder / "staged" / f"{name}.json"
        made = Metadata.from_file(str(shared.folder / "staged" / "targets.json"))
        made.signed.version += 1
        place.write_bytes(made.to_bytes())
        with pytest.raises(BadInput, match="badnets catalogue drop takes it back"):
            sign_staged(shared.folder, shared.pool("bob"))
        if name == "evil":
            place.unlink()
    drop(shared.folder)
    (shared.folder / "staged").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="got a symbolic link"):
        sign_staged(shared.folder, shared.pool("bob"))


def test_a_signature_that_does_not_hold_counts_for_nothing(shared: Publisher, served: Between, tmp_path: Path) -> None:
    publish.add(shared.folder, SIGNS, shared.keys / "network", shared.pool("alice"))
    place = shared.folder / "staged" / "targets.json"
    made = json.loads(place.read_bytes())
    made["signatures"].append({"keyid": shared.key("bob").id, "sig": made["signatures"][0]["sig"]})
    place.write_bytes(Metadata.from_dict(made).to_bytes())
    assert lacking(sign_staged(shared.folder, {})) == {"targets": [1]}
    publish.refresh(shared.folder, shared.pool("online"))
    assert versions(shared)["targets"] == 2
    assert downloaded(served.url, tmp_path / "x", shared) == NETWORK
    sign_staged(shared.folder, shared.pool("bob", "online"))
    assert versions(shared)["targets"] == 3


def test_what_expires_is_signed_anew_by_several(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    later = names.now() + timedelta(days=200)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "now", lambda: later)
        patch.setattr(shelf, "now", lambda: later)
        change = publish.refresh(publisher.folder, publisher.pool("root1", "online"))
    assert lacking(change) == {"root": [1], "targets": []} or lacking(change) == {"root": [1]}
    assert change.versions["timestamp"] == 4
    assert change.expires["timestamp"] > later
    assert sign_staged(publisher.folder, publisher.pool("root2", "online")).versions["root"] == 2


@pytest.mark.parametrize("until", range(4))
def test_a_process_that_is_killed_while_it_publishes(
    until: int, shared: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared.keys / "network").write_bytes(BETTER)
    publish.add(shared.folder, SIGNS, shared.keys / "network", shared.pool("alice"))
    sign_staged(shared.folder, shared.pool("bob"))
    whole, done = shelf.whole_file, shelf.keep_staged
    written: list[Path] = []

    def dies(path: Path) -> object:
        if len(written) == until:
            raise KeyboardInterrupt
        written.append(path)
        return whole(path)

    def never(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "whole_file", dies)
        patch.setattr(shelf, "keep_staged", never if until == 3 else done)
        with pytest.raises(KeyboardInterrupt):
            publish.refresh(shared.folder, shared.pool("online"))
    assert downloaded(str(shared.folder), tmp_path / "x", shared) == (BETTER if until == 3 else NETWORK)
    change = publish.refresh(shared.folder, shared.pool("online"))
    assert (change.versions["targets"], change.waiting, staged(shared)) == (3, (), set())
    assert downloaded(str(shared.folder), tmp_path / "y", shared) == BETTER
    shutil.rmtree(shared.folder)
