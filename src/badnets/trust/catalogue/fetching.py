"""Bytes from a folder, a server on this machine, or one that proves who it is (https): never from another host than was
named, never more than was asked for, and never forever."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from badnets.core.errors import BadInput
from badnets.core.files import check_regular, expanded
from badnets.core.text import brief

TIMEOUT = 20.0
"""Seconds without an answer after which a server counts as absent."""
GRACE, SLOWEST = 30.0, 1000.0
"""After so many seconds at least so many bytes a second have to have come."""
_BLOCK = 1 << 16


def address(source: str) -> str:
    """The URL of a catalogue, without a slash at its end; that of a folder is ``file:``.

    Raises ``BadInput`` for http to other machines, for other schemes, and for addresses with a password, a query or a
    part, which would stand in logs.
    """
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if not scheme:
        return expanded(source).resolve().as_uri().rstrip("/")
    try:
        parts = urlsplit(source)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadInput(f"expected an address of a catalogue, got {brief(source)!r} ({error})") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadInput(f"expected an address without password, query and #, got one with, at {brief(host)}")
    if scheme == "http" and not _loopback(host):
        raise BadInput(f"expected https for {brief(host)}, got http, which is for this machine alone")
    if scheme not in ("file", "http", "https") or (scheme != "file" and not host) or (scheme == "file" and host):
        raise BadInput(f"expected a folder, https, file, or http to this machine, got {brief(source)!r}")
    return (scheme + source[len(scheme) :]).rstrip("/")


def _loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Answer:
    """What is on its way: the byte that it begins at, and blocks."""

    start: int
    blocks: Iterator[bytes]


class Fetcher(FetcherInterface):
    """Fetches what lies below ``home``, the URL of a catalogue."""

    def __init__(self, home: str, *, timeout: float = TIMEOUT, grace: float = GRACE, slowest: float = SLOWEST) -> None:
        self.home, self.timeout, self.grace, self.slowest = home, timeout, grace, slowest
        handlers: list[Any] = [_SameHost(home)]
        if home.startswith("http:"):  # no proxy stands between this machine and itself
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self.opened(url) as answer:
            yield from answer.blocks

    @contextmanager
    def opened(self, url: str, start: int = 0) -> Iterator[Answer]:
        """What is at ``url``, from the byte ``start`` on where the server can do that. Raises ``DownloadHTTPError``
        where there is nothing, ``DownloadError`` where the connection breaks, and ``BadInput`` where nobody answers."""
        try:
            with self._file(url, start) if url.startswith("file:") else self._http(url, start) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 400:  # to another scheme, or round in circles
                got = brief(error.reason)
                raise BadInput(f"refused, redirected: {brief(self.home)} sends elsewhere ({got})") from None
            raise DownloadHTTPError(f"{error.code} {error.reason}", error.code) from None
        except urllib.error.URLError as error:
            got = brief(error.reason)
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                got = brief(error.reason.verify_message)
                raise BadInput(
                    f"refused, another server: the certificate of {brief(self.home)} fails ({got})"
                ) from None
            raise BadInput(f"expected {brief(self.home)} to answer, got {got}; check the address") from None
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise DownloadError(f"the connection broke ({brief(str(error) or type(error).__name__)})") from None

    @contextmanager
    def _file(self, url: str, start: int) -> Iterator[Answer]:
        path = Path(urllib.request.url2pathname(urlsplit(url).path))
        try:
            check_regular(path)
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            raise DownloadHTTPError(f"there is no {path.name}", 404) from None
        except OSError as error:
            raise BadInput(f"expected {path} to be readable, got an error ({error.strerror})") from None
        with file:
            file.seek(start)
            yield Answer(start, self._paced(file, None))

    @contextmanager
    def _http(self, url: str, start: int) -> Iterator[Answer]:
        request = urllib.request.Request(url, headers={"User-Agent": "badnets", "Accept-Encoding": "identity"})  # noqa: S310 (see address)
        if start:
            request.add_header("Range", f"bytes={start}-")
        with self._opener.open(request, timeout=self.timeout) as response:
            sent = str(response.headers.get("Content-Range", ""))  # a server may send another part, or all
            begin = start if response.status == 206 and sent.startswith(f"bytes {start}-") else 0
            length = response.headers.get("Content-Length")
            yield Answer(begin, self._paced(response, int(length) if str(length).isdigit() else None))

    def _paced(self, file: IO[bytes] | http.client.HTTPResponse, length: int | None) -> Iterator[bytes]:
        """Blocks as they come; an error where they come too slowly, or end before what was announced."""
        begun, done = time.monotonic(), 0
        while block := file.read1(_BLOCK):  # type: ignore[union-attr]  # what is there, without waiting for all of it
            done += len(block)
            yield block
            passed = time.monotonic() - begun
            if passed > self.grace and done < self.slowest * passed:
                raise SlowRetrievalError(f"{done:,} bytes came in {passed:.0f} seconds")
        if length is not None and done < length:
            raise DownloadError(f"the connection broke after {done:,} of {length:,} bytes")


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Goes along with a server that sends elsewhere on itself only."""

    def __init__(self, home: str) -> None:
        self.home = _host(home)

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See ``HTTPRedirectHandler``."""
        there = _host(newurl)
        if there != self.home:
            fp.close()
            raise BadInput(
                f"refused, redirected: expected files from {self.home[1]}, got sent to {brief('://'.join(there))}; if "
                "the catalogue moved, name its new address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
