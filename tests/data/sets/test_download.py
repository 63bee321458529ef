"""Against a server on this machine: resume, wrong content, no server."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.data.request import Request
from badnets.data.sets.download import Remote, UnreachableError, content_sha256, fetch, fetch_all, locate

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What it answers with and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: list[str | None] = field(default_factory=list)
    honors_range: bool = True
    cut_after: int | None = None  # the first answer breaks off after so many bytes


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            if self.path != "/file":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.honors_range else 0
            if start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut, state.cut_after = state.cut_after, None
            self.wfile.write(body[:cut])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def remote(server: Server, *, sha256: str = SHA256, path: str = "/file", unpacked: bool = False) -> Remote:
    return Remote(file="data.bin", urls=(server.url + path,), sha256=sha256, unpacked=unpacked)


def test_downloads_checks_and_reports(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    path = fetch(remote(server), tmp_path, progress=lambda *step: steps.append(step), timeout=5)
    assert path == tmp_path / "data.bin"
    assert path.read_bytes() == CONTENT
    assert steps[-1] == ("downloading data.bin", len(CONTENT), len(CONTENT))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".data.bin.sha256", "data.bin"]
    assert fetch(remote(server), tmp_path, timeout=5) == path
    assert len(server.ranges) == 1


def test_resumes_a_partial_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.partial").write_bytes(CONTENT[:1000])
    assert fetch(remote(server), tmp_path, timeout=5).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_broken_connection_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.cut_after = 5000
    assert fetch(remote(server), tmp_path, timeout=5).read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert len(server.ranges) == 2


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.honors_range = False
    (tmp_path / "data.bin.partial").write_bytes(b"x" * 1000)
    assert fetch(remote(server), tmp_path, timeout=5).read_bytes() == CONTENT


@pytest.mark.parametrize("old", [b"x" * 1000, b"x" * (len(CONTENT) + 5), CONTENT])
def test_partial_file_of_another_version_is_replaced(server: Server, tmp_path: Path, old: bytes) -> None:
    (tmp_path / "data.bin.partial").write_bytes(old)
    assert fetch(remote(server), tmp_path, timeout=5).read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"expected SHA-256 {'0' * 64} of data.bin from .*, got {SHA256}"):
        fetch(remote(server, sha256="0" * 64), tmp_path, timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_unpacked_content_is_checked(server: Server, tmp_path: Path) -> None:
    server.content = gzip.compress(CONTENT, compresslevel=1, mtime=3)
    assert fetch(remote(server, unpacked=True), tmp_path, timeout=5).exists()
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(server.content[:-9])
    assert content_sha256(damaged, unpacked=True) == "damaged"


def test_second_address_is_tried(server: Server, tmp_path: Path) -> None:
    both = Remote(file="data.bin", urls=(server.url + "/absent", server.url + "/file"), sha256=SHA256)
    assert fetch(both, tmp_path, timeout=5).read_bytes() == CONTENT


def test_missing_file_says_so(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="404"):
        fetch(remote(server, path="/absent"), tmp_path, timeout=5)


def test_without_network_the_error_says_what_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [Remote(file=f, urls=(f"http://127.0.0.1:{port}/{f}",), sha256=SHA256) for f in ("a.gz", "b.gz")]
    (tmp_path / "a.gz").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        fetch_all("cifar10", files, tmp_path, timeout=5)
    text = str(caught.value)
    assert text.startswith(f"expected cifar10 in {tmp_path}, got no network (http://127.0.0.1:{port}/b.gz: ")
    assert text.endswith("); put b.gz there or give its path")


def test_only_web_addresses() -> None:
    with pytest.raises(BadInput, match="http"):
        Remote(file="x", urls=("file:///etc/passwd",), sha256=SHA256)


def _data_in(place: Path) -> Path | None:
    return place / "data.bin" if (place / "data.bin").is_file() else None


@pytest.mark.parametrize("damage", ["flipped", "cut off"])
def test_a_damaged_download_is_fetched_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """It was right when it came; what became of it on the disk is noticed whenever it is looked for."""
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    monkeypatch.delenv("BADNETS_DATA", raising=False)

    def found() -> bytes:
        place = locate("set", Request(name="set"), _data_in, wanted="a file", folders=(), remotes=[remote(server)])
        return place.read_bytes()

    assert found() == found() == CONTENT
    assert len(server.ranges) == 1
    there = tmp_path / "data" / "set" / "data.bin"
    there.write_bytes(b"x" + CONTENT[1:] if damage == "flipped" else CONTENT[:100])
    with pytest.warns(CacheWarning, match="damaged in the cache, and fetched anew"):
        assert found() == CONTENT
    assert sorted(path.name for path in there.parent.iterdir()) == [".data.bin.sha256", "data.bin"]


def test_without_network_a_damaged_download_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    monkeypatch.delenv("BADNETS_DATA", raising=False)
    there = tmp_path / "data" / "set" / "data.bin"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"other")
    (there.parent / ".data.bin.sha256").write_text(SHA256)
    absent = Remote(file="data.bin", urls=("http://127.0.0.1:9/data.bin",), sha256=SHA256)
    with pytest.warns(CacheWarning), pytest.raises(BadInput, match=r"put data\.bin there"):
        locate("set", Request(name="set"), _data_in, wanted="a file", folders=(), remotes=[absent])


def test_what_the_user_put_into_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    monkeypatch.delenv("BADNETS_DATA", raising=False)
    there = tmp_path / "data" / "set" / "data.bin"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"other")
    absent = Remote(file="data.bin", urls=("http://127.0.0.1:9/data.bin",), sha256=SHA256)
    assert locate("set", Request(name="set"), _data_in, wanted="a file", folders=(), remotes=[absent]) == there
