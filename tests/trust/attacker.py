"""A catalogue to be attacked: who publishes it, a server of its files, and somebody who stands between."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.records.catalogue import Got
from badnets.trust.catalogue import publish
from badnets.trust.catalogue.getting import Trusted, get, opened
from badnets.trust.catalogue.publish import Keys
from badnets.trust.catalogue.signers import Party, Pool, party
from badnets.trust.keys import make_keys

NETWORK, OTHER = bytes(range(256)) * 400, b"another network" * 5000
SIGNS, SHAPES = "signs/v1.safetensors", "shapes.safetensors"


@dataclass
class Publisher:
    """A catalogue in ``folder`` with two root keys, both of which have to sign, and one for the rest."""

    folder: Path
    keys: Path

    def key(self, name: str) -> Party:
        """The key of that name, made at its first use."""
        path = self.keys / name
        if not path.exists():
            make_keys(path)
        return party(path)

    def pool(self, *names: str) -> Pool:
        """Several keys."""
        return {one.id: one for one in map(self.key, names)}

    def begin(self) -> None:
        """The catalogue with two networks; one of them has a card."""
        online = Keys([self.key("online")])
        publish.init(self.folder, Keys([self.key("root1"), self.key("root2")], 2), online, online)
        self.add(SIGNS, NETWORK, card="# Signs")
        self.add(SHAPES, OTHER)

    def add(self, name: str, content: bytes, *, by: str = "online", card: str = "", days: float | None = None) -> None:
        """Offer ``content``."""
        (self.keys / "network").write_bytes(content)
        (self.keys / "card.md").write_text(card)
        companions = {"card": self.keys / "card.md"} if card else {}
        publish.add(self.folder, name, self.keys / "network", self.pool(by), companions=companions, days=days)

    def copy(self, folder: Path) -> Publisher:
        """The same in another place, as it is now."""
        shutil.copytree(self.folder, folder)
        return Publisher(folder, self.keys)


@dataclass(frozen=True)
class Sent:
    """What is sent instead: bytes, from a generator if they have no end, or a redirection."""

    body: bytes = b""
    endless: Callable[[], Iterator[bytes]] | None = None
    to: str = ""
    announced: int | None = None


@dataclass
class Between:
    """Serves ``folder`` at ``url``; ``attack`` may change what is sent for a path. ``asked``: paths, and where from."""

    folder: Path
    url: str = ""
    ranges: bool = True
    attack: Callable[[str, bytes], Sent | bytes] = lambda path, body: body
    asked: list[tuple[str, str | None]] = field(default_factory=list)


def _handler(between: Between) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            between.asked.append((self.path, asked))
            place = between.folder / self.path.lstrip("/")
            sent = between.attack(self.path, place.read_bytes() if place.is_file() else b"")
            if not place.is_file() and sent == b"":
                self.send_error(404)
                return
            self._send(sent if isinstance(sent, Sent) else Sent(sent), asked)

        def _send(self, sent: Sent, asked: str | None) -> None:
            start = int(asked[6:-1]) if asked and between.ranges and not sent.endless else 0
            self.send_response(302 if sent.to else 206 if start else 200)
            if sent.to:
                self.send_header("Location", sent.to)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(sent.body) - 1}/{len(sent.body)}")
            if not sent.endless:
                self.send_header("Content-Length", str((sent.announced or len(sent.body)) - start))
            self.end_headers()
            try:
                for block in sent.endless() if sent.endless else [sent.body[start:]]:
                    self.wfile.write(block)
            except OSError:  # whoever asked went away
                self.close_connection = True

    return Handler


@contextmanager
def serving(folder: Path, certificate: Path | None = None) -> Iterator[Between]:
    """A server on this machine; with a ``certificate`` (and its key) by https."""
    between = Between(folder)

    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(between))
    server.daemon_threads = True
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    between.url = f"http{'s' * (certificate is not None)}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield between
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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


def on_targets(change: Any) -> Any:
    """An attack on the bytes of one network alone."""
    return lambda path, body: change(body) if path.startswith("/targets/signs/") else body
