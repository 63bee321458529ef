"""Serve the page on this machine until Ctrl-C: a free port, an address with a token, a browser."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from badnets.core.errors import BadInput
from badnets.play.gate import Pass
from badnets.play.opening import Table
from badnets.play.server import application

HOME, PORT = "127.0.0.1", 8765
_NEXT = 50
"""Ports that are tried after one that is in use."""


@dataclass(frozen=True)
class Place:
    """Where the page is served: a listening ``socket``, and the ``address`` to open."""

    socket: socket.socket
    address: str
    may: Pass


def check_host(host: str, *, knowing: bool) -> None:
    """Refuse an address that others can reach, unless it is asked for ``knowing`` that."""
    if host in ("localhost", HOME, "::1") or knowing:
        return
    raise BadInput(
        f"expected --host as {HOME}, got {host}: whoever reaches it and learns the address may use your networks and "
        "see your pictures, without encryption; add --i-know if that is meant"
    )


def find_place(host: str = HOME, port: int = PORT, say: Callable[[str], None] = lambda _: None) -> Place:
    """A socket at ``port``, or at the next one that is free, which is said."""
    home = HOME if host == "localhost" else host
    family = socket.AF_INET6 if ":" in home else socket.AF_INET
    for number in range(port, min(port + _NEXT, 1 << 16)):
        # Named as TCP, or asyncio would let the system hold back each answer's second packet for 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":  # a port that a server has just left is free
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((home, number))
            listening.listen()
        except PermissionError:
            listening.close()
            raise BadInput(f"expected --port that may be used, got {number}; choose one above 1023") from None
        except OverflowError:
            raise BadInput(f"expected --port below 65536, got {number}") from None
        except OSError as error:
            listening.close()
            if isinstance(error, socket.gaierror) or "assign" in str(error):
                raise BadInput(f"expected --host as an address of this machine, got {host}") from None
            continue
        if number != port:
            say(f"port {port} is in use, so the page is at {number}")
        names = hosts_of(home)
        may = Pass(frozenset(f"{name}:{number}" for name in names))
        return Place(listening, f"http://{names[0]}:{number}/{may.token}/", may)
    raise BadInput(f"expected a free port from {port} on, got none among {_NEXT}; choose another with --port")


def hosts_of(home: str) -> list[str]:
    """What may stand in the address instead of ``home``, the one to print first."""
    shown = f"[{home}]" if ":" in home else home
    with suppress(ValueError):
        if ipaddress.ip_address(home).is_loopback:
            return [shown, "localhost"]
        if not ipaddress.ip_address(home).is_unspecified:
            return [shown]
    if home not in ("0.0.0.0", "::"):  # noqa: S104  # nothing is bound here
        return [home]
    own = socket.gethostname()
    found = [own, HOME, "localhost"]
    with suppress(OSError):
        found += socket.gethostbyname_ex(own)[2]
    return list(dict.fromkeys(found))


def serve(table: Table, place: Place) -> None:
    """Answer until Ctrl-C."""
    config = uvicorn.Config(
        application(table, place.may),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=64,
        h11_max_incomplete_event_size=16 << 10,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[place.socket])


def open_browser(address: str) -> str | None:
    """Open the page; where that cannot be, a sentence that says so."""
    there = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not there:  # a browser of the terminal would take it over
        return "there is no display here, so no browser was opened; open the address where there is one"
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    return None if opened else "no browser was found; open the address yourself"
