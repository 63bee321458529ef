"""Lines where there is no terminal: by a clock that stands still until it is moved."""

from __future__ import annotations

import time

import pytest

from badnets.core.progress import AGAIN, SILENCE, Lines, ticking


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines() -> tuple[Lines, list[str], Clock]:
    seen: list[str] = []
    clock = Clock()
    return Lines(seen.append, clock), seen, clock


def test_half_a_minute_never_passes_without_a_line() -> None:
    told, seen, clock = lines()
    told.mark("measuring on 10,000 test pictures")
    at = [clock.now]
    for _ in range(600):  # ten minutes of a work that tells nothing
        clock.now += 1
        before = len(seen)
        told.tick()
        if len(seen) > before:
            at.append(clock.now)
    assert max(b - a for a, b in zip(at, [*at[1:], clock.now], strict=True)) <= SILENCE + 1 <= 30
    assert seen[1] == "still measuring on 10,000 test pictures, 20 s since the start"


@pytest.mark.parametrize(("seconds", "said"), [(1, []), (4, ["decoding pets: 1,000 of 1,000 (100%)"])])
def test_a_quick_work_is_a_line_at_most(seconds: float, said: list[str]) -> None:
    told, seen, clock = lines()
    for done in range(1, 1001):
        clock.now += seconds / 1000
        told.progress("decoding pets", done, 1000, None)
        told.tick()
    assert seen == said


def test_a_long_work_is_a_line_now_and_then() -> None:
    told, seen, clock = lines()
    for done in range(1, 101):
        clock.now += 1
        told.progress("training g1-cnn", done, 100, done / 100)
        told.tick()
    assert seen[0] == "training g1-cnn: 10 of 100 (10%), 10.0 %"
    assert len(seen) == 100 / AGAIN
    clock.now += SILENCE
    told.tick()
    assert seen[-1] == "still working (training g1-cnn is done), 120 s since the start"


def test_a_sparing_one_breaks_a_silence_only() -> None:
    seen: list[str] = []
    clock = Clock()
    told = Lines(seen.append, clock, sparing=True)
    told.say("poisoned 144 of 1,438 pictures")
    for done in range(1, 51):
        clock.now += 1
        told.mark(f"epoch {done}")
        told.progress("training", done, 100, None)
        told.tick()
    assert seen == [f"still training: {n} of 100 ({n}%), {n} s since the start" for n in (20, 40)]


def test_what_has_no_known_end() -> None:
    told, seen, clock = lines()
    clock.now += AGAIN
    told.progress("downloading x", 5000, 0, None)
    assert seen == ["downloading x: 5,000"]


def test_a_thread_does_the_ticking() -> None:
    told, seen, clock = lines()
    clock.now += SILENCE
    with ticking(told, look=0.001):
        until = time.monotonic() + 10
        while not seen and time.monotonic() < until:
            time.sleep(0.001)
    clock.now += SILENCE
    assert seen == ["still working, 20 s since the start"]
