"""Downloading from a catalogue with an attacker in between: each attack is refused, in the sentence that names it."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import os
import random
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
from tests.trust.attacker import NETWORK, OTHER, SHAPES, SIGNS, Between, Publisher, Sent, serving
from tests.trust.certificates import for_server
from tuf.api.metadata import Metadata

from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.records.catalogue import Got
from badnets.trust.catalogue import download as download_module
from badnets.trust.catalogue import getting, names, publish, shelf
from badnets.trust.catalogue.fetching import Fetcher, address
from badnets.trust.catalogue.getting import Trusted, get, opened
from badnets.trust.catalogue.publish import Keys


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    folder = tmp_path_factory.mktemp("publisher")
    (folder / "keys").mkdir()
    made = Publisher(folder / "catalogue", folder / "keys")
    made.begin()
    return made


@pytest.fixture
def publisher(begun: Publisher, tmp_path: Path) -> Publisher:
    return begun.copy(tmp_path / "catalogue")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(publisher: Publisher) -> Iterator[Between]:
    with serving(publisher.folder) as between:
        yield between


def root_of(publisher: Publisher) -> Trusted:
    return Trusted(root=publisher.folder / "metadata" / "1.root.json")


def got(url: str, out: Path, trusted: Trusted | None = None, name: str = SIGNS, **more: Any) -> Got:
    with opened(url, trusted or Trusted(), **more) as catalogue:
        return get(name, catalogue, out)


def refused(words: str, url: str, out: Path, trusted: Trusted | None = None, name: str = SIGNS, **more: Any) -> str:
    """Refused with these words, and nothing is there of it. Returns the sentence."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(BadInput) as told:
        got(url, out, trusted, name, **more)
    assert words in str(told.value)
    assert len(str(told.value)) <= 400
    assert [path for path in sorted(out.parent.iterdir()) if path.name != "cache"] == [
        path for path in before if path.name != "cache"
    ]
    return str(told.value)


@pytest.mark.parametrize("by", ["folder", "server"])
def test_get(by: str, publisher: Publisher, server: Between, tmp_path: Path) -> None:
    source = str(publisher.folder) if by == "folder" else server.url
    told: list[tuple[str, int, int]] = []
    watcher = Watcher(progress=lambda what, done, total, _: told.append((what, done, total)))
    found = got(source, tmp_path / "mine.safetensors", root_of(publisher), watcher=watcher)
    assert (tmp_path / "mine.safetensors").read_bytes() == NETWORK
    assert (tmp_path / "mine.safetensors.card.md").read_text() == "# Signs"
    assert (found.entry.name, found.entry.role, found.entry.size) == (SIGNS, "targets", len(NETWORK))
    assert set(found.files) == {"network", "card"}
    assert (f"getting {SIGNS}", len(NETWORK), len(NETWORK)) in told
    server.asked.clear()
    got(source, tmp_path / "again.safetensors")  # its root is pinned, and its bytes are in the cache
    assert (tmp_path / "again.safetensors").read_bytes() == NETWORK
    assert not [path for path, _ in server.asked if path.startswith("/targets/")]


def on_targets(change: Any) -> Any:
    return lambda path, body: change(body) if path.startswith("/targets/signs/") else body


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


def test_https(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = for_server(tmp_path)
    with serving(publisher.folder, certificate) as server:
        refused("refused, another server", server.url, tmp_path / "x", root_of(publisher))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        got(server.url, tmp_path / "x", root_of(publisher))


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


def test_an_entry_whose_time_is_over(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.add(SIGNS, NETWORK, days=3)
    got(str(publisher.folder), tmp_path / "x", root_of(publisher))
    monkeypatch.setattr(getting, "now", lambda: names.now() + timedelta(days=4))
    refused(f"refused, expired: {SIGNS} was offered until", str(publisher.folder), tmp_path / "y")


def test_resumes(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    server.attack = on_targets(lambda body: Sent(body[:40_000], announced=len(body)))
    refused("got a part", server.url, tmp_path / "x", root_of(publisher))
    assert [start for path, start in server.asked if "/signs/" in path] == [None, "bytes=40000-", "bytes=40000-"]
    server.attack, server.asked = on_targets(lambda body: body), []
    got(server.url, tmp_path / "x")
    assert "bytes=40000-" in [start for _, start in server.asked]
    assert (tmp_path / "x").read_bytes() == NETWORK


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("left", [b"other bytes", bytes(len(NETWORK)), bytes(2 * len(NETWORK))])
def test_what_was_left_may_be_wrong(
    ranges: bool, left: bytes, publisher: Publisher, server: Between, tmp_path: Path
) -> None:
    server.ranges = ranges
    place = cache_dir() / "catalogues" / "files" / f"{hashlib.sha256(NETWORK).hexdigest()}.partial"
    place.parent.mkdir(parents=True)
    place.write_bytes(left)
    got(server.url, tmp_path / "x", root_of(publisher))
    assert (tmp_path / "x").read_bytes() == NETWORK
    assert not place.exists()


def test_a_damaged_cache_is_not_handed_out(publisher: Publisher, tmp_path: Path) -> None:
    got(str(publisher.folder), tmp_path / "x", root_of(publisher))
    (cache_dir() / "catalogues" / "files" / hashlib.sha256(NETWORK).hexdigest()).write_bytes(bytes(len(NETWORK)))
    got(str(publisher.folder), tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == NETWORK


def test_the_root_is_pinned(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    refused("expected --root or --fingerprint at the first use", server.url, tmp_path / "x")
    root = (publisher.folder / "metadata" / "1.root.json").read_bytes()
    mark = hashlib.sha256(root).hexdigest()
    refused("another root: expected one of SHA-256", server.url, tmp_path / "x", Trusted(fingerprint="0" * 64))
    refused("fingerprint of 64 hexadecimal digits", server.url, tmp_path / "x", Trusted(fingerprint="12"))
    got(server.url, tmp_path / "x", Trusted(fingerprint=f"SHA256:{mark.upper()}"))
    other = Publisher(tmp_path / "other", publisher.keys)
    alone = Keys([publisher.key("another")])
    publish.init(other.folder, Keys([publisher.key("else")]), alone, alone)
    refused("refused, another root: expected the one that is pinned", server.url, tmp_path / "y", root_of(other))
    with serving(other.folder) as elsewhere:
        refused("refused, too few signatures", elsewhere.url, tmp_path / "y", root_of(publisher))
    publish.rotate(
        publisher.folder, publisher.key("root1"), publisher.key("root3"), publisher.pool("root1", "root2", "online")
    )
    second = Trusted(root=publisher.folder / "metadata" / "2.root.json")
    got(server.url, tmp_path / "y", second)  # the pinned one leads to it
    got(server.url, tmp_path / "z")


def test_delegated_names(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    publish.delegate(publisher.folder, "alice", "alice/*", Keys([publisher.key("alice")]), publisher.pool("online"))
    refused("expected an entry of", server.url, tmp_path / "x", root_of(publisher), name="nobody/1")
    publisher.add("alice/1", b"hers", by="alice")
    got(server.url, tmp_path / "s", root_of(publisher))
    publish.refresh(publisher.folder, publisher.pool("online"))
    found = got(server.url, tmp_path / "x", name="alice/1")
    assert (found.entry.role, (tmp_path / "x").read_bytes()) == ("alice", b"hers")
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


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("http://example.org/c", "expected https for example.org, got http"),
        ("http://localhost.example.org/c", "expected https"),
        ("ftp://example.org/c", "expected a folder, https"),
        ("https://user:secret@example.org/c", "without password"),
        ("https://example.org/c?token=1", "without password, query"),
        ("https://[/c", "expected an address"),
        ("https:///c", "expected a folder, https"),
        ("file://host/c", "expected a folder, https"),
    ],
)
def test_addresses(source: str, words: str) -> None:
    with pytest.raises(BadInput, match="expected") as told:
        address(source)
    assert words in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc/passwd", "a//b", "", ".x", "a\\b", "a b", "a/", "x" * 201])
def test_names_that_lead_elsewhere(name: str, publisher: Publisher, tmp_path: Path) -> None:
    refused("expected a name", str(publisher.folder), tmp_path / "x", root_of(publisher), name=name)


def test_where_it_may_go(publisher: Publisher, tmp_path: Path) -> None:
    source, out = str(publisher.folder), tmp_path / "x"
    out.write_text("mine")
    refused("--force overwrites it", source, out, root_of(publisher))
    assert out.read_text() == "mine"
    with opened(source, Trusted()) as catalogue:
        get(SIGNS, catalogue, out, force=True)
        get(SIGNS, catalogue, out)  # the same bytes are there
    (tmp_path / "link").symlink_to(out)
    refused("got a symbolic link", source, tmp_path / "link")
    refused("got a folder", source, publisher.folder)


def test_a_full_disk(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(wanted: Any, partial: Path, *_: Any) -> None:
        partial.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))

    with monkeypatch.context() as patch:
        patch.setattr(download_module, "_transfer_once", full)
        with pytest.raises(OSError, match="No space left"):
            got(str(publisher.folder), tmp_path / "x", root_of(publisher))
    assert not list((cache_dir() / "catalogues" / "files").iterdir())
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 9))
    refused(f"expected room for the {len(NETWORK):,} bytes", str(publisher.folder), tmp_path / "x")


def test_what_is_no_catalogue(publisher: Publisher, server: Between, tmp_path: Path) -> None:
    refused("expected a catalogue at", str(tmp_path / "nowhere"), tmp_path / "x", root_of(publisher))
    refused("expected a root at", server.url, tmp_path / "x", Trusted(root=tmp_path / "no.json"))
    (tmp_path / "no.json").write_text("{}")
    refused("got something else", server.url, tmp_path / "x", Trusted(root=tmp_path / "no.json"))
    refused("to answer, got", "http://127.0.0.1:9", tmp_path / "x", root_of(publisher))
    (publisher.folder / "metadata" / "timestamp.json").unlink()
    refused("got none, or one with files missing", server.url, tmp_path / "x", root_of(publisher))
    os.mkfifo(publisher.folder / "metadata" / "timestamp.json")
    refused("got a pipe", str(publisher.folder), tmp_path / "x", root_of(publisher))


def test_no_key_is_told(publisher: Publisher, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        publisher.add(SIGNS, b"new")
        got(str(publisher.folder), tmp_path / "x", root_of(publisher))
    secret = (publisher.keys / "online").read_text().splitlines()[1]
    written = [path for top in (publisher.folder, cache_dir()) for path in top.rglob("*") if path.is_file()]
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert secret not in caplog.text
    assert secret not in repr(publisher.key("online"))
