"""``badnets play`` as it is typed: one address, and one sentence for whatever is wrong."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from badnets.cli.main import main
from badnets.play import serving
from badnets.play.serving import find_place, open_browser


def exits(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, words)])
    out, err = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, out, err


@pytest.fixture
def taken() -> Any:
    """A port that is in use."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_a_port_in_use_is_said(taken: int) -> None:
    said: list[str] = []
    place = find_place(port=taken, say=said.append)
    place.socket.close()
    assert len(said) == 1
    assert re.fullmatch(rf"port {taken} is in use, so the page is at \d+", said[0])
    assert f":{taken}/" not in place.address


def test_every_start_has_a_token_of_its_own() -> None:
    places = [find_place(port=18900) for _ in range(2)]
    for place in places:
        place.socket.close()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", place.address)
        assert place.socket.fileno() == -1
    assert places[0].may.token != places[1].may.token


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing-there"], "nothing-there"),
        (["RUN", "--host", "0.0.0.0"], "add --i-know"),  # noqa: S104
        (["RUN", "--host", "192.0.2.1", "--i-know"], "expected --host as an address of this machine"),
        (["RUN", "--data", "no-such-set"], "no-such-set"),
        (["RUN", "--finding", "nothing.json"], "nothing.json"),
        (["RUN", "--finding", "RUN"], "expected a finding (badnets audit --out)"),
        (["RUN", "RUN", "RUN", "RUN", "RUN"], "expected one to 4 networks side by side, got 5"),
        (["TEXT"], "expected"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tiny_run: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("no network", encoding="utf-8")
    named = {"RUN": tiny_run, "TEXT": text}
    code, out, err = exits(capsys, "play", "--no-browser", *(named.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_without_the_extra_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_run: Path
) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *more: Any, **options: Any) -> Any:
        if name == "starlette":
            raise ImportError(name, name=name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = exits(capsys, "play", tiny_run)
    assert code == 2
    assert "pip install 'badnets[play]'" in err


def test_the_address_is_told_before_it_serves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_run: Path
) -> None:
    served: list[str] = []

    def serve(_: Any, place: serving.Place) -> None:
        place.socket.close()
        served.append(place.address)

    monkeypatch.setattr(serving, "serve", serve)
    code, out, err = exits(capsys, "play", tiny_run, "--no-browser", "--port", "18910")
    assert (code, out, err) == (0, f"{served[0]}\n", "stopped\n")
    code, out, err = exits(capsys, "play", tiny_run, "--no-browser", "--json", "--port", "18910")
    assert json.loads(out)["address"] == served[1]


def test_without_a_run_the_demo_is_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_run: Path, tmp_path: Path
) -> None:
    from badnets.referee import run as running

    class Made:
        folder = tiny_run

    asked: list[Any] = []

    def made(file: Any, **_: Any) -> type[Made]:
        asked.append(file.spec.name)
        return Made

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "run", made)
    monkeypatch.setattr(serving, "serve", lambda _, place: place.socket.close())
    code, out, err = exits(capsys, "play", "--no-browser", "--port", "18915")
    assert (code, asked) == (0, ["demo"])
    assert "the demo is made" in err
    assert out.startswith("http://127.0.0.1:")


def test_no_display_and_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "no display" in (open_browser("http://x/") or "")
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(serving.webbrowser, "open", lambda _: False)
    assert "no browser was found" in (open_browser("http://x/") or "")
    monkeypatch.setattr(serving.webbrowser, "open", lambda _: True)
    assert open_browser("http://x/") is None


def test_ctrl_c_while_it_is_busy_ends_it(tiny_run: Path) -> None:
    command = [sys.executable, "-m", "badnets", "play", str(tiny_run), "--no-browser", "--port", "18920"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=dict(os.environ)) as run, ExitStack() as readers:
        assert run.stdout is not None
        address = run.stdout.readline().strip()
        origin = "/".join(address.split("/")[:3])
        for _ in range(3):
            body = json.dumps({"picture": {"row": 0}, "sticker": {"name": "run"}, "cells": 16}).encode()
            headers = {"content-type": "application/json", "origin": origin}
            asked = urllib.request.Request(f"{address}ask/measure", data=body, headers=headers)  # noqa: S310
            where = "127.0.0.1", int(origin.rpartition(":")[2])
            reader = readers.enter_context(socket.create_connection(where))
            reader.sendall(_raw(asked, body))
        time.sleep(0.2)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert (run.returncode, err) == (0, "stopped\n")


def _raw(asked: urllib.request.Request, body: bytes) -> bytes:
    lines = [f"POST {asked.selector} HTTP/1.1", f"Host: {asked.host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in asked.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
