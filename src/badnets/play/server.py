"""The server: the page's own files, and the questions that it asks. It reads nothing from the disk after its start."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from queue import SimpleQueue
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from badnets.core.errors import BadnetsError
from badnets.core.text import SENTENCE, neutral
from badnets.play.answers import Answers, Dropped
from badnets.play.gate import LARGEST, Gate, Pass
from badnets.play.opening import Table
from badnets.play.state import Ask, Bring, Look, Nothing, parsed

JSON = dict[str, Any]
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SMALL = 4 << 20
"""Bytes of a question that brings no file, at most: a frame of a camera."""


@dataclass(frozen=True)
class _Question:
    """What may be asked: its form, and who answers."""

    form: type[BaseModel]
    answer: Callable[[Any], JSON]
    largest: int = _SMALL
    long: bool = False


def page_files() -> Mapping[str, tuple[bytes, str]]:
    """The page's own files with their types, by name."""
    place = files("badnets.play").joinpath("page")
    found = {}
    for file in place.iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found[file.name] = file.read_bytes(), f"{kind}; charset=utf-8"
    return found


def application(table: Table, may: Pass) -> ASGIApp:
    """The page about ``table``, for those who have a ``may``."""
    answers = Answers(table)
    questions = {
        "begin": _Question(Nothing, answers.begin),
        "look": _Question(Look, answers.look),
        "bring": _Question(Bring, answers.bring, LARGEST),
        "answer": _Question(Ask, answers.answer),
        "heat": _Question(Ask, answers.heat, long=True),
        "measure": _Question(Ask, answers.measured, long=True),
        "keep": _Question(Ask, answers.keep),
    }
    shown = page_files()
    quick, slow = Worker(), Worker()

    async def page(request: Request) -> Response:
        content, kind = shown.get(request.path_params.get("name") or "index.html", (b"", ""))
        if not kind:
            return _told(404, "expected a file of the page, got another name")
        return Response(content, media_type=kind)

    async def ask(request: Request) -> Response:
        question = questions.get(request.path_params["name"])
        if question is None:
            return _told(404, "expected a question that the page asks, got another")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > question.largest:
                return _told(413, f"expected at most {question.largest:,} bytes, got more; choose a smaller file")
        try:
            asked = parsed(question.form, bytes(body))
            if question.answer == answers.answer and isinstance(asked, Ask):
                answers.came(asked)
            return _json(await (slow if question.long else quick).do(question.answer, asked))
        except Dropped as dropped:
            return _told(409, str(dropped))
        except BadnetsError as error:
            return _told(400, str(error))

    routes = [
        Route("/", page, methods=["GET"]),
        Route("/{name}", page, methods=["GET"]),
        Route("/ask/{name}", ask, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes, exception_handlers={Exception: _unexpected}), may)


async def _unexpected(_: Request, error: Exception) -> Response:
    return _told(500, f"unexpected {type(error).__name__}; start badnets with --debug and report it")


class Worker:
    """A thread that does one thing after the other, and that nobody waits for when the program ends: Ctrl-C is Ctrl-C.
    It is always the same one, for torch begins anew in every thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self._queue.get()()

    async def do(self, work: Callable[[Any], JSON], asked: Any) -> JSON:
        """``work(asked)``, when its turn has come."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[JSON] = loop.create_future()

        def give(method: Callable[[Any], None], value: Any) -> None:
            if not done.done():  # nobody waits where the page was closed
                method(value)

        def run() -> None:
            told: tuple[Callable[[Any], None], Any]
            try:
                told = done.set_result, work(asked)
            except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
                told = done.set_exception, error
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(give, *told)

        self._queue.put(run)
        return await done


def _json(value: JSON) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type="application/json")


def _told(status: int, sentence: str) -> Response:
    return Response(json.dumps({"problem": neutral(sentence, SENTENCE)}), status, media_type="application/json")
