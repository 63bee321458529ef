"""A small run, its table, and a page that is really served."""

from __future__ import annotations

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
