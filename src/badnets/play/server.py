"""The server: the page's own files, and the questions that it asks. It reads nothing from the disk after its start."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from badnets.core.errors import BadnetsError
from badnets.core.text import SENTENCE, neutral
from badnets.play.answers import Answers, Dropped
from badnets.play.gate import LARGEST, Gate, Pass
from badnets.play.opening import Table
from badnets.play.state import Ask, Bring, Look, Nothing, parsed
from badnets.play.workers import Worker

JSON = dict[str, Any]
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SMALL = 4 << 20
"""Bytes of a question that brings no file, at most: a frame of a camera."""


@dataclass(frozen=True)
class _Question:
    """What may be asked: its form, and what answers it."""

    form: type[BaseModel]
    reply: Callable[[Any], Awaitable[Response]]
    largest: int = _SMALL


class _Large(BadnetsError):
    """A question that is larger than it may be."""


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
    questions, shown = _questions(Answers(table)), page_files()

    async def page(request: Request) -> Response:
        content, kind = shown.get(request.path_params.get("name") or "index.html", (b"", ""))
        if not kind:
            return _told(404, "expected a file of the page, got another name")
        return Response(content, media_type=kind)

    async def ask(request: Request) -> Response:
        question = questions.get(request.path_params["name"])
        if question is None:
            return _told(404, "expected a question that the page asks, got another")
        try:
            return await question.reply(parsed(question.form, await _body(request, question.largest)))
        except Dropped as dropped:
            return _told(409, str(dropped))
        except _Large as large:
            return _told(413, str(large))
        except BadnetsError as error:
            return _told(400, str(error))

    routes = [
        Route("/", page, methods=["GET"]),
        Route("/{name}", page, methods=["GET"]),
        Route("/ask/{name}", ask, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes, exception_handlers={Exception: _unexpected}), may)


def _questions(answers: Answers) -> Mapping[str, _Question]:
    """All that may be asked. What is quick waits for nothing that takes its time."""
    quick, slow = Worker(), Worker()

    def at_once(answer: Callable[[Any], JSON]) -> Callable[[Any], Awaitable[Response]]:
        async def reply(asked: Any) -> Response:
            return _json(await quick.do(answer, asked))

        return reply

    def newest(asked: Ask) -> Awaitable[Response]:
        answers.came(asked)
        return at_once(answers.answer)(asked)

    def in_pieces(answer: Callable[[Any], Iterator[JSON]]) -> Callable[[Any], Awaitable[Response]]:
        async def reply(asked: Any) -> Response:
            pieces = slow.pieces(answer, asked)
            return StreamingResponse(_lines(await anext(pieces), pieces), media_type="application/x-ndjson")

        return reply

    return {
        "begin": _Question(Nothing, at_once(answers.begin)),
        "look": _Question(Look, at_once(answers.look)),
        "bring": _Question(Bring, at_once(answers.bring), LARGEST),
        "answer": _Question(Ask, newest),
        "heat": _Question(Ask, in_pieces(answers.heat)),
        "measure": _Question(Ask, in_pieces(answers.measured)),
        "keep": _Question(Ask, at_once(answers.keep)),
        "link": _Question(Ask, at_once(answers.link)),
    }


async def _body(request: Request, largest: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise _Large(f"expected at most {largest:,} bytes, got more; choose a smaller file")
    return bytes(body)


async def _unexpected(_: Request, error: Exception) -> Response:
    return _told(500, _unknown(error))


def _json(value: JSON) -> Response:
    return Response(json.dumps(value, allow_nan=False), media_type="application/json")


async def _lines(first: JSON, more: AsyncGenerator[JSON]) -> AsyncIterator[str]:
    """A line for each piece, as soon as it is there, until nobody listens any more; what goes wrong on the way is the
    last one."""
    try:
        async with aclosing(more):
            yield json.dumps(first, allow_nan=False) + "\n"
            async for piece in more:
                yield json.dumps(piece, allow_nan=False) + "\n"
    except Exception as error:  # noqa: BLE001  # the answer has begun, so its status says nothing any more
        sentence = str(error) if isinstance(error, BadnetsError) else _unknown(error)
        yield json.dumps({"problem": neutral(sentence, SENTENCE)}) + "\n"


def _unknown(error: Exception) -> str:
    return f"unexpected {type(error).__name__}; start badnets with --debug and report it"


def _told(status: int, sentence: str) -> Response:
    return Response(json.dumps({"problem": neutral(sentence, SENTENCE)}), status, media_type="application/json")
