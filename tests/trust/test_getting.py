"""Downloading from a catalogue: pinned roots, resumed downloads, the cache, places, and what is no catalogue."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
from tests.trust.attacker import NETWORK, SIGNS, Between, Publisher, Sent, got, on_targets, refused, root_of, serving
from tests.trust.certificates import for_server

from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.trust.catalogue import download as download_module
from badnets.trust.catalogue import getting, names, publish
from badnets.trust.catalogue.fetching import address
from badnets.trust.catalogue.getting import Trusted, get, opened
from badnets.trust.catalogue.publish import Keys


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


def test_https(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = for_server(tmp_path)
    with serving(publisher.folder, certificate) as server:
        refused("refused, another server", server.url, tmp_path / "x", root_of(publisher))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        got(server.url, tmp_path / "x", root_of(publisher))


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
