"""A small run, its table, and a page that is really served."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from badnets.cli.main import main
from badnets.play.gate import Pass
from badnets.play.opening import Table, open_table
from badnets.play.server import application
from badnets.play.serving import Place, find_place

TINY = (
    "--data digits --size 16 --network g1-cnn --epochs 1 --rate 0.3 --set recipe.batch=128 --set recipe.precision=fp32"
)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, _session_cache: Path) -> Path:
    """The folder of a small experiment, a second long: digits of 16 x 16 and the four-pixel pattern."""
    folder = tmp_path_factory.mktemp("play") / "tiny"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("BADNETS_CACHE", str(_session_cache))
        with pytest.raises(SystemExit) as stopped:
            main(["attack", *TINY.split(), "--device", "cpu", "--out", str(folder), "--json"])
    assert stopped.value.code == 0
    return folder


@pytest.fixture(scope="session")
def table(tiny_run: Path, _session_cache: Path) -> Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BADNETS_CACHE", str(_session_cache))
        return open_table([tiny_run])


HOST = "127.0.0.1:8765"


def file_of(picture: Image.Image, format: str = "PNG", **more: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, format, **more)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def saved(uri: str, path: Path) -> Path:
    path.write_bytes(base64.b64decode(uri.partition(",")[2]))
    return path


class Asker:
    """Asks as the page would: ``asker("answer", picture=...)`` gives the answer; ``refused`` what is said instead."""

    def __init__(self, table: Table) -> None:
        self.table, self.may = table, Pass(frozenset({HOST}))
        self.client = TestClient(application(table, self.may), base_url=f"http://{HOST}", raise_server_exceptions=False)

    def post(self, name: str, body: Any = None, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        sent = {"origin": f"http://{HOST}", "content-type": "application/json", **(headers or {})}
        how = {"json": body or {}} if "content" not in more else {}
        return self.client.post(f"/{self.may.token}/ask/{name}", headers=sent, **how, **more)

    def __call__(self, name: str, **body: Any) -> Any:
        answer = self.post(name, body)
        assert answer.status_code == 200, answer.text
        if answer.headers["content-type"] == "application/json":
            return answer.json()
        *steps, last = map(json.loads, answer.text.splitlines())  # of what takes its time
        assert [step["done"] for step in steps] == sorted({step["done"] for step in steps})
        assert {step["all"] for step in steps} == {steps[0]["all"]}
        return last["answer"]

    def refused(self, name: str, status: int = 400, **body: Any) -> str:
        answer = self.post(name, body)
        assert answer.status_code == status, answer.text
        return str(answer.json()["problem"])


@pytest.fixture
def asker(table: Table) -> Asker:
    return Asker(table)


@pytest.fixture(scope="session")
def served() -> Callable[..., Any]:
    """``with served(table) as place``: the page at ``place.address`` until the end, or ``place.stop()``."""

    @contextmanager
    def start(table: Table, place: Place | None = None) -> Iterator[Place]:
        place = place or find_place(port=18765)
        server = uvicorn.Server(uvicorn.Config(application(table, place.may), log_level="error", lifespan="off"))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # of older uvicorn
        thread = threading.Thread(target=lambda: server.run(sockets=[place.socket]), daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        try:
            yield place
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)

    return start


ANSWERED = "html[data-answered]"
Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def place(served: Any, table: Table) -> Iterator[Place]:
    with served(table) as running:
        yield running


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """``opened(address, width, look)``: a page that has its first answer; ``page.seen`` has errors and requests."""
    contexts = []

    def start(address: str, width: int = 1280, look: str = "light", *, answered: bool = True, **more: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=look, accept_downloads=True, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # a busy machine is no fault of the page
        page.seen = []
        page.on("console", lambda message: page.seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: page.seen.append(f"error: {error}"))
        page.on("request", lambda request: page.seen.append(f"request: {request.url}"))
        page.goto(address)
        if answered:
            page.wait_for_selector(ANSWERED)
        return page

    yield start
    for context in contexts:
        context.close()


def until(page: Any, condition: str) -> None:
    """Wait for a condition in the page; its own policy forbids the eval that playwright's waiting needs."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {page.locator('#problem').inner_text()} {page.seen[-5:]}"
        page.wait_for_timeout(40)


def settled(page: Any) -> None:
    """Wait until nothing is asked any more."""
    last = None
    while last != (last := page.evaluate("document.documentElement.dataset.answered")):
        page.wait_for_timeout(250)


def first(page: Any, card: int = 0) -> str:
    return str(page.locator(".card .first").nth(card).inner_text())


def frame(page: Any) -> dict[str, float]:
    return {
        side: float(page.locator("#over .frame").nth(1).get_attribute(side)) for side in ("x", "y", "width", "height")
    }
