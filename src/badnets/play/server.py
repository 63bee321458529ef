"""The server: the page's own files, and the questions that it asks. It reads nothing from the disk after its start."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
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
        "heat": _Question(Ask, answers.heat),
        "measure": _Question(Ask, answers.measured),
        "keep": _Question(Ask, answers.keep),
    }
    shown = page_files()

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
            return _json(await aside(question.answer, asked))
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


async def aside(work: Callable[[Any], JSON], asked: Any) -> JSON:
    """``work(asked)`` in a thread that nobody waits for when the program ends: Ctrl-C is Ctrl-C."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[JSON] = loop.create_future()

    def give(method: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            method(value)

    def run() -> None:
        try:
            result = work(asked)
        except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
            told: tuple[Callable[[Any], None], Any] = (done.set_exception, error)
        else:
            told = (done.set_result, result)
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, *told)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _json(value: JSON) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type="application/json")


def _told(status: int, sentence: str) -> Response:
    return Response(json.dumps({"problem": neutral(sentence, SENTENCE)}), status, media_type="application/json")
