"""Downloading from a catalogue with an attacker in between: each attack is refused, in the sentence that names it."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
from tests.trust.attacker import (
    NETWORK,
    OTHER,
    SHAPES,
    SIGNS,
    Between,
    Publisher,
    Sent,
    got,
    on_targets,
    refused,
    root_of,
    serving,
)
from tuf.api.metadata import Metadata

from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput
from badnets.trust.catalogue import names, publish, shelf
from badnets.trust.catalogue.fetching import Fetcher
from badnets.trust.catalogue.getting import Trusted, opened
from badnets.trust.catalogue.publish import Keys


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body[:-1] + b"!", "refused, changed: expected signs/v1.safetensors with SHA-256"),
        (
            lambda body: body[:1000],
            f"refused, cut short: expected {len(NETWORK):,} bytes of {SIGNS}, as signed, got 1,000",
        ),
        (lambda body: OTHER, f"refused, swapped: expected {SIGNS}, got the bytes of {SHAPES} in its place"),
        (lambda body: body + b"!", f"refused, endless: expected {len(NETWORK):,} bytes"),
        (lambda body: Sent(endless=lambda: itertools.repeat(b"x" * 65536)), "refused, endless"),
    ],
    ids=["tampered", "truncated", "swapped", "longer", "endless"],
)
def test_other_bytes(change: Any, words: str, publisher: Publisher, server: Between, tmp_path: Path) -> None:
    server.attack = on_targets(change)
    # Another network is longer than the one that is asked for only where it is cut to its size.
    publisher.add(SHAPES, OTHER)
    if "swapped" in words:
        publisher.add(SIGNS, bytes(len(OTHER)))
    refused(words, server.url, tmp_path / "x", root_of(publisher))
    assert not list((cache_dir() / "catalogues" / "files").glob("*.safetensors"))


def test_an_older_version_whose_signature_is_good(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    old = publisher.copy(tmp_path / "old")
    got(server.url, tmp_path / "x", root_of(publisher))
    publisher.add(SIGNS, b"better")
    got(server.url, tmp_path / "y")
    server.folder = old.folder
    refused("refused, rolled back", server.url, tmp_path / "z")
    refused("refused, rolled back", server.url, tmp_path / "z", root_of(publisher))


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_mix_and_match(role: str, publisher: Publisher, server: Between, tmp_path: Path) -> None:
    number = len(list((publisher.folder / "metadata").glob(f"*.{role}.json")))
    old = (publisher.folder / "metadata" / f"{number - 1}.{role}.json").read_bytes()
    server.attack = lambda path, body: old if path == f"/metadata/{number}.{role}.json" else body
    refused("refused, mixed or changed", server.url, tmp_path / "x", root_of(publisher))


def test_a_freeze(publisher: Publisher, server: Between, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "now", lambda: names.now() - timedelta(days=8))
    publish.refresh(publisher.folder, publisher.pool("online"))
    told = refused("refused, expired", server.url, tmp_path / "x", root_of(publisher))
    assert "timestamp.json is expired" in told
    assert not list((cache_dir() / "catalogues").glob("*"))  # a first use that fails pins nothing


@pytest.mark.parametrize(("years", "words"), [(2, "refused, the clock is behind"), (-2, "refused, expired")])
def test_a_clock_two_years_off(
    years: int, words: str, publisher: Publisher, server: Between, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever downloads it is the same whether the own clock or the publisher's is off."""
    monkeypatch.setattr(shelf, "now", lambda: names.now() + timedelta(days=365 * years))
    publish.refresh(publisher.folder, publisher.pool("online"))
    refused(words, server.url, tmp_path / "x", root_of(publisher))


def test_a_clock_that_went_back(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got(str(publisher.folder), tmp_path / "x", root_of(publisher))
    (seen,) = cache_dir().rglob("seen.json")
    seen.write_text(json.dumps({"time": (names.now() + timedelta(days=700)).isoformat()}))
    refused("refused, the clock is behind", str(publisher.folder), tmp_path / "y")


def test_a_revoked_key(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    got(server.url, tmp_path / "x", root_of(publisher))
    publish.rotate(publisher.folder, publisher.key("online"), publisher.key("fresh"), publisher.pool("root1", "root2"))
    path = publisher.folder / "metadata" / "timestamp.json"
    stolen = Metadata.from_file(str(path))
    stolen.signed.version += 1
    stolen.sign(publisher.key("online").signer)
    honest = path.read_bytes()
    path.write_bytes(stolen.to_bytes())
    refused("refused, too few signatures", server.url, tmp_path / "y")
    path.write_bytes(honest)
    got(server.url, tmp_path / "y")


def test_a_threshold_that_is_not_met(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    got(server.url, tmp_path / "x", root_of(publisher))
    root = Metadata.from_file(str(publisher.folder / "metadata" / "1.root.json"))
    root.signed.version, root.signed.roles["timestamp"].keyids = 2, [publisher.key("thief").id]
    root.signed.keys[publisher.key("thief").id] = publisher.key("thief").public
    root.sign(publisher.key("root1").signer)
    root.to_file(str(publisher.folder / "metadata" / "2.root.json"))
    told = refused("refused, too few signatures", server.url, tmp_path / "y")
    assert "root was signed by 1/2 keys" in told


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b" " * 20_000, "refused, endless"),
        (b"[" * 16_000, "refused, damaged"),
        (b"\x1f\x8b" + b"\0" * 1000, "refused, damaged"),
        (b'{"signatures": [], "signed": {"_type": "timestamp"}}', "refused, damaged"),
        (Sent(endless=lambda: itertools.repeat(b"{" * 4096)), "refused, endless"),
        (Sent(b"{", announced=500), "got a part (the connection broke"),
    ],
    ids=["large", "deep", "packed", "empty", "endless", "broken"],
)
def test_metadata_that_is_none(sent: Any, words: str, publisher: Publisher, server: Between, tmp_path: Path) -> None:
    server.attack = lambda path, body: sent if path == "/metadata/timestamp.json" else body
    refused(words, server.url, tmp_path / "x", root_of(publisher))


def test_next_to_nothing_forever(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    def drops() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b" "

    server.attack = on_targets(lambda body: Sent(endless=drops))
    fetcher = Fetcher(server.url, grace=0.2)
    refused("refused, too slow", server.url, tmp_path / "x", root_of(publisher), fetcher=fetcher)


def test_redirections(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    with serving(publisher.folder) as elsewhere:
        server.attack = lambda path, body: Sent(to=elsewhere.url + path)
        refused("refused, redirected: expected files from 127.0.0.1", server.url, tmp_path / "x", root_of(publisher))
        assert not elsewhere.asked
    for to in ("file:///etc/passwd", "https://127.0.0.1/", "ftp://127.0.0.1/"):
        sent = Sent(to=to)
        server.attack = lambda path, body: sent  # noqa: B023 (asked before the next turn)
        refused("refused, redirected", server.url, tmp_path / "x", root_of(publisher))
    shutil.copytree(publisher.folder / "targets", publisher.folder / "moved")
    moved = f"{server.url}/moved/"
    server.attack = lambda path, body: Sent(to=moved + path[9:]) if path.startswith("/targets/") else body
    got(server.url, tmp_path / "x", root_of(publisher))  # to itself it may


def test_no_changed_byte_passes(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    """Of each file that is served one byte is another: it is refused, or the right network comes all the same."""
    paths = [path for path, _ in _asked(publisher, server, tmp_path)]
    draw = random.Random(7)  # noqa: S311 (the same each time)
    for number, path in enumerate(paths * 6):

        def flipped(asked: str, body: bytes, path: str = path) -> bytes:
            if asked != path or not body:
                return body
            at = draw.randrange(len(body))
            return body[:at] + bytes([body[at] ^ 1 << draw.randrange(8)]) + body[at + 1 :]

        server.attack = flipped
        shutil.rmtree(cache_dir())
        out = tmp_path / "flipped" / str(number)
        try:
            got(server.url, out, root_of(publisher))
        except BadInput as told:
            assert str(told).startswith("refused, "), told
            assert not out.exists()
        else:
            assert out.read_bytes() == NETWORK


def _asked(publisher: Publisher, server: Between, tmp_path: Path) -> list[tuple[str, str | None]]:
    got(server.url, tmp_path / "first", root_of(publisher))
    return [one for one in server.asked if "2.root" not in one[0]]


def test_delegated_names(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    publish.delegate(publisher.folder, "alice", "alice/*", Keys([publisher.key("alice")]), publisher.pool("online"))
    refused("expected an entry of", server.url, tmp_path / "x", root_of(publisher), name="nobody/1")
    publisher.add("alice/1", b"hers", by="alice")
    got(server.url, tmp_path / "s", root_of(publisher))
    publish.refresh(publisher.folder, publisher.pool("online"))
    found = got(server.url, tmp_path / "x", name="alice/1")
    assert (found.entry.role, (tmp_path / "x").read_bytes()) == ("alice", b"hers")
    with opened(server.url, Trusted()) as catalogue:
        found_by = {one.name: one.role for one in catalogue.listed().entries}
        assert found_by == {SIGNS: "targets", SHAPES: "targets", "alice/1": "alice"}
    # She offers a name that is not like hers; nobody is led to her for it.
    made = Metadata.from_file(str(publisher.folder / "metadata" / "1.alice.json"))
    made.signed.targets["bob/1"] = made.signed.targets.pop("alice/1")
    made.signed.targets["bob/1"].path = "bob/1"
    made.signed.version = 2
    made.sign(publisher.key("alice").signer)
    (publisher.folder / "metadata" / "2.alice.json").write_bytes(made.to_bytes())
    publish.refresh(publisher.folder, publisher.pool("online"))
    refused("expected an entry of", server.url, tmp_path / "y", name="bob/1")
    with opened(server.url, Trusted()) as catalogue:
        assert {one.name for one in catalogue.listed().entries} == {SIGNS, SHAPES}
