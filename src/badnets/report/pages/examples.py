"""Pictures of a classifier's run: the one that proves the sentence, and the grid of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from badnets.records.run import Example
from badnets.report.charts.pictures import Picture, Pictures, Pixels, difference, gain, pair, picture, under_mask
from badnets.report.words.names import Nouns, readable

MOST_EXAMPLES = 6
_HERO = {"wide": 192, "narrow": 104}
_SMALL = {"wide": 96, "narrow": 72}


class Shown(NamedTuple):
    """An example, and pictures of it with their captions."""

    example: Example
    pictures: list[tuple[str, Picture]]


class Grid(NamedTuple):
    """All examples; differences are ``strength`` times as strong as they are."""

    rows: list[Shown]
    strength: str


Usable = Sequence[tuple[Example, tuple[Pixels, Pixels]]]


def usable(examples: Sequence[Example], pictures: Pictures) -> Usable:
    """Those whose pictures are there."""
    return [(example, both) for example in examples if (both := pair(pictures, example.picture)) is not None]


def proof(shown: Usable, pictures: Pictures, nouns: Nouns, *, works: bool) -> Shown | None:
    """Clean picture, trigger, triggered picture, and what both networks say; None without such a picture.

    For a backdoor that ``works`` it is the first example on which it does, else simply the first.
    """
    if not shown:
        return None
    example, (clean, triggered) = next((one for one in shown if works and _works(one[0])), shown[0])
    true, words = readable(example.true), nouns.trigger
    rows = [(nouns.things(example.true), picture(clean, f"A clean test picture of the class {true}", **_HERO))]
    if "trigger" in pictures:
        rows.append((words, picture(pictures["trigger"], f"The trigger alone: {words}", **_HERO)))
    marked = picture(triggered, f"The same picture of the class {true} with {words}", **_HERO)
    return Shown(example, [*rows, (f"with {words}", marked)])


def grid(shown: Usable, pictures: Pictures, nouns: Nouns) -> Grid | None:
    """The examples in four pictures each: clean, trigger, with trigger, difference; None without any."""
    if not shown:
        return None
    strength = min(gain(*both) for _, both in shown[:MOST_EXAMPLES])
    rows = [_row(example, both, pictures, nouns.trigger, strength) for example, both in shown[:MOST_EXAMPLES]]
    return Grid(rows, f"{strength:.2g}")


def _row(example: Example, both: tuple[Pixels, Pixels], pictures: Pictures, words: str, strength: float) -> Shown:
    clean, triggered = both
    true = readable(example.true)
    drawn = [("clean", clean, f"Clean picture: {true}")]
    if "mask" in pictures:
        alone = under_mask(triggered, pictures["mask"][example.picture])
        drawn.append(("trigger", alone, f"What {words} covers of this picture"))
    drawn.append(("with trigger", triggered, f"The {true} with {words}"))
    change = difference(clean, triggered, strength)
    drawn.append(("difference", change, f"Difference between the two pictures of {true}"))
    return Shown(example, [(caption, picture(pixels, alt, **_SMALL)) for caption, pixels, alt in drawn])


def _works(example: Example) -> bool:
    """Right without the trigger, wrong with it."""
    return example.clean.label == example.true != example.triggered.label
