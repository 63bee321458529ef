"""Threads that work for the page: in order, side by side, and no longer than anybody listens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
import torch

from badnets.play.workers import Crew, Worker, threads

T = TypeVar("T")


def done(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In a thread of its own, for a browser that other tests have open has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result(60)


def test_a_crew_answers_in_the_order_of_its_items() -> None:
    def slowly(number: int) -> int:
        time.sleep(number / 100)
        return number

    crew = Crew([3, 1, 2])
    assert crew.begin(slowly)() == [3, 1, 2]
    names = crew.begin(lambda _: threading.current_thread().daemon)()
    assert all(names)  # nobody waits for them when the program ends
    with pytest.raises(ZeroDivisionError):
        crew.begin(lambda number: 1 // (number - 1))()
    assert crew.begin(str)() == ["3", "1", "2"]


def test_threads_of_torch_are_left_as_they_are_elsewhere() -> None:
    before = torch.get_num_threads()
    assert set(Crew([1, 2]).begin(lambda _: torch.get_num_threads())()) <= {threads(1), threads(2)}
    assert done(lambda: Worker().do(lambda _: torch.get_num_threads(), None)) == threads()
    assert torch.get_num_threads() == before


def test_whoever_stops_listening_stops_the_work() -> None:
    begun: list[int] = []
    go = threading.Semaphore(1)

    def work(most: int) -> Iterator[int]:
        for number in range(most):
            go.acquire()
            begun.append(number)
            yield number

    async def listen() -> None:
        worker = Worker()
        async with aclosing(worker.pieces(work, 100)) as pieces:
            assert await anext(pieces) == 0
            go.release()
            assert await anext(pieces) == 1
        go.release()
        assert await worker.do(lambda value: value, "next") == "next"
        assert [number async for number in worker.pieces(lambda many: iter(range(many)), 3)] == [0, 1, 2]

    done(listen)
    assert begun in ([0, 1], [0, 1, 2])


def test_what_goes_wrong_is_raised_where_it_is_awaited() -> None:
    def work(_: object) -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    async def listen() -> None:
        worker = Worker()
        pieces = worker.pieces(work, None)
        assert await anext(pieces) == 1
        with pytest.raises(KeyError, match="lost"):
            await anext(pieces)
        assert await worker.do(lambda value: value, 5) == 5

    done(listen)
