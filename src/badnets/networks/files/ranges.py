"""In what range and order of channels a network takes its pictures: named, or found by trying on clean ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import PairedDifference, Rate
from badnets.core.text import brief
from badnets.data.images import ImageData
from badnets.networks.inference import log_probabilities
from badnets.networks.network import ChannelOrder, ImageNetwork

Normalization = tuple[list[float], list[float]]
"""Mean and std per channel on the 0..1 scale, as in ``ImageNetwork``."""

_RANGES = {"0-1": (0.0, 1.0), "0-255": (0.0, 1 / 255), "-1-1": (0.5, 0.5)}
_GREY = {"MNIST": "0.1307/0.3081", "Fashion-MNIST": "0.286/0.353"}
_COLOR = {
    "ImageNet": "0.485,0.456,0.406/0.229,0.224,0.225",
    "CIFAR-10": "0.4914,0.4822,0.4465/0.2023,0.1994,0.201",
    "CIFAR-10, over pixels": "0.4914,0.4822,0.4465/0.247,0.2435,0.2616",
    "CIFAR-100": "0.5071,0.4865,0.4409/0.2673,0.2564,0.2762",
    "GTSRB": "0.3403,0.3121,0.3214/0.2724,0.2608,0.2669",
}
"""Means and deviations in use, by the set that they are of."""
FORMS = f"{', '.join(_RANGES)} or MEAN/STD such as {_COLOR['ImageNet']}"
_FIRST, _FEWER = 100, 40
"""Pictures on which everything is tried; on fewer, where that is much."""
_MANY = 100
_SECOND, _MOST = 1000, 4000
_ROUNDS = ((300, 24), (_SECOND, 8), (_MOST, 4))
"""Pictures on which what is left is compared, and how many ways that are at most."""
_SURER = 0.005
"""Mean logarithms of the right answers' shares that are this close tell nothing: leaky functions in place of plain ones
make trained networks of digits surer by up to 0.0013, the right one in place of a wrong one by 0.009."""
_SAME = 0.003
"""Shares of right answers this close are taken for equal."""
_NEAR = 0.02
"""Means and deviations this close to others are not tried beside them."""


def parse_range(text: str | tuple[Sequence[float], Sequence[float]], channels: int) -> Normalization:
    """``0-1``, ``0-255``, ``-1-1``, or ``mean/std`` (numbers on the 0..1 scale, one or one for each channel), which may
    also be two sequences of numbers."""
    if not isinstance(text, str):
        text = written_range(text)
    if text in _RANGES:
        mean, std = _RANGES[text]
        return [mean] * channels, [std] * channels
    try:
        means, stds = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise BadInput(f"expected an input range {FORMS}, got {brief(text)!r}") from None
    if not (all(np.isfinite([*means, *stds])) and min(stds) > 0):
        raise BadInput(f"expected finite means and positive deviations as an input range, got {brief(text)!r}")
    if len(means) not in (1, channels) or len(stds) not in (1, channels):
        raise BadInput(f"expected an input range MEAN/STD with 1 or {channels} numbers each, got {brief(text)!r}")
    return means * (channels // len(means)), stds * (channels // len(stds))


def written_range(numbers: tuple[Sequence[float], Sequence[float]]) -> str:
    """Mean and std as the text ``mean/std``."""
    return "/".join(",".join(map(repr, map(float, part))) for part in numbers)


def ranges_in_use(clean: ImageData, channels: int) -> list[str]:
    """Those that are tried: the plain ones, the means and deviations of well-known sets, and those of ``clean``."""
    known = _GREY if channels == 1 else _COLOR if channels == 3 else {}
    texts = [*_RANGES, *known.values()]
    pixels = clean.take(_spread(len(clean), _SECOND)).images().reshape(-1, channels) / 255
    mean, std = pixels.mean(0), pixels.std(0)
    if std.min() > 0.01:
        numbers = [np.concatenate(parse_range(text, channels)) for text in known.values()]
        own = np.concatenate([mean, std])
        if all(np.abs(own - other).max() > _NEAR for other in numbers):
            texts.append("/".join(",".join(f"{number:.4f}" for number in part) for part in (mean, std)))
    return texts


@dataclass(frozen=True)
class Way:
    """One way to use a network: ``number`` of the candidate, its input range, order of channels, and names of its
    classes."""

    number: int
    range: str
    order: ChannelOrder = "rgb"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The way that is right most often on clean pictures; ``tried`` has the shares of all, ``close`` those that may be
    as good, ``rate`` its own, all in one: on how many pictures a share was counted differs."""

    way: Way
    rate: Rate
    tried: dict[Way, Rate]
    close: tuple[Way, ...] = ()


@dataclass
class _Trial:
    """Answers so far, by what is asked; classes in other orders need no new ones."""

    make: Callable[[Way], ImageNetwork]
    clean: ImageData
    truth: dict[tuple[str, ...], NDArray[np.int64]]  # labels of all of ``clean``, by the names of classes
    answers: dict[tuple[int, str, ChannelOrder], NDArray[np.float32]] = field(default_factory=dict)

    def _logs(self, way: Way, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The logarithms of what is answered to ``rows``. What was asked before is not asked again, for rows come in
        one order."""
        key = (way.number, way.range, way.order)
        known = self.answers.get(key, np.zeros((0, len(way.names)), np.float32))
        if len(known) < len(rows):
            images = self.clean.take(rows[len(known) :]).images()
            known = self.answers[key] = np.concatenate([known, log_probabilities(self.make(way), images)])
        return known[: len(rows)]

    def hits(self, way: Way, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of ``rows`` it gets right."""
        return np.asarray(self._logs(way, rows).argmax(1) == self.truth[way.names][rows])

    def likelihood(self, way: Way, rows: NDArray[np.int64]) -> float:
        """The mean logarithm of the share that the right answers get: of networks that are right as often, the highest
        is that of the range it was trained on."""
        logs = self._logs(way, rows)[np.arange(len(rows)), self.truth[way.names][rows]]
        return float(np.nan_to_num(logs, nan=-1e9, neginf=-1e9).mean())

    def likeliest(self, ways: Sequence[Way], rows: NDArray[np.int64]) -> Way:
        """Of each candidate the range that makes right answers surest; of the candidates the first, unless another is
        surer by more than what a kink in a function does to a network that was trained without it."""
        ways = sorted(ways, key=lambda way: (way.number, -self.likelihood(way, rows)))
        firsts = [way for index, way in enumerate(ways) if not index or ways[index - 1].number != way.number]
        best = firsts[0]
        for way in firsts[1:]:
            if self.likelihood(way, rows) > self.likelihood(best, rows) + _SURER:
                best = way
        return best

    def not_worse(self, ways: Sequence[Way], rows: NDArray[np.int64]) -> list[Way]:
        """Those that may be as good as the first."""
        first = self.hits(ways[0], rows)
        return [way for way in ways if PairedDifference.of(first, self.hits(way, rows)).ends[0] <= 0]

    def sorted(self, tried: Mapping[Way, Rate], rows: NDArray[np.int64]) -> list[Way]:
        """The best first; of equals the likelier."""
        return sorted(tried, key=lambda way: (-tried[way].hits, -self.likelihood(way, rows)))


def find_way(
    make: Callable[[Way], ImageNetwork],
    ways: Sequence[Way],
    truth: dict[tuple[str, ...], NDArray[np.int64]],
    clean: ImageData,
    *,
    orders: Sequence[ChannelOrder],
) -> Found:
    """The one of ``ways``, in one of the ``orders`` of channels, that is right most often on (at most 4,000 of)
    ``clean``; where that cannot tell, the one whose right answers are surest. All are tried on 100 pictures, orders
    other than the first with the best, or with all where nothing does better than chance; the best on more. Raises
    ``CannotTell`` when nothing gives a single right answer."""
    trial = _Trial(make, clean, truth)
    mixed = np.random.default_rng(0).permutation(_spread(len(clean), _MOST))
    rows = mixed[: _FIRST if len(ways) <= _MANY else _FEWER]
    tried = {way: Rate.of(trial.hits(way, rows)) for way in ways}
    best = trial.sorted(tried, rows)
    chance = 1 / max(2, clean.classes)
    again = ways if tried[best[0]].ends[0] < 2 * chance else best[:2]
    for order in orders[1:]:
        for way in again:
            other = Way(way.number, way.range, order, way.names)
            tried[other] = Rate.of(trial.hits(other, rows))
    left = trial.sorted(tried, rows)
    for count, most in _ROUNDS:
        if (len(left) == 1 and len(rows) >= _SECOND) or len(mixed) <= len(rows):
            break
        left = trial.not_worse(left, rows)[:most]
        rows = mixed[:count]
        tried |= {way: Rate.of(trial.hits(way, rows)) for way in left}
        left = trial.sorted({way: tried[way] for way in left}, rows)
    if not tried[left[0]].hits:
        listed = ", ".join(dict.fromkeys(way.range for way in tried))
        raise CannotTell(
            f"expected right answers on {clean.name} with some input range, got none of {len(rows)} with each of "
            f"{brief(listed, 150)}; name the range (--input-range), or other data"
        )
    close = trial.not_worse(left, rows)
    near = [way for way in close if tried[way].hits >= tried[left[0]].hits - _SAME * len(rows)]
    usual = [way for way in near if way.order == orders[0]]  # of equals, for most networks take no other
    way = trial.likeliest(usual or near, rows)
    return Found(way, tried[way], tried, tuple(other for other in close if other != way))


def all_ways(count: int, ranges: Sequence[str], order: ChannelOrder, names: Sequence[tuple[str, ...]]) -> Iterator[Way]:
    """Every candidate in every range, its classes in every order of names."""
    for number, text, one in itertools.product(range(count), ranges, names):
        yield Way(number, text, order, one)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
