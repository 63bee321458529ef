"""Names of networks as people write them, nearly right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from badnets.core.errors import nearest
from badnets.core.text import listed
from badnets.networks.architecture import ARCHITECTURES


@dataclass(frozen=True)
class Form:
    """A kind of names, ``torchvision:NAME``, and what they are."""

    name: str
    summary: str


FORMS = (
    Form("torchvision:NAME", "any classifier of torchvision, untrained; where it is clear, NAME alone will do"),
    Form("timm:NAME", "any classifier of timm, untrained (pip install 'badnets[timm]')"),
    Form("path/to/file.py:CLASS", "your own class, or function, that makes an nn.Module; the file is run"),
)
"""What an architecture's name may be besides those of ``ARCHITECTURES``."""

_ALSO = {"wideresnet": "wrn", "wresnet": "wrn", "preactivationresnet": "preactresnet"}
"""Other words for ours, letters only."""
_NO_MATTER = re.compile("cifar|torchvision|bn$")


def by_numbers(name: str) -> list[str | int]:
    """A key to sort by that puts ``resnet9`` before ``resnet18``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def nearest_network(name: str, foreign: Iterable[str]) -> str:
    """``"did you mean 'wrn-16-1'?"``: of ours and ``foreign`` (torchvision's), those of the same word and numbers, else
    of the same word, else the one with the most letters in common."""
    known = [*ARCHITECTURES, *foreign]
    asked, numbers = word(name), re.findall(r"\d+", name)
    same = [one for one in known if word(one) == asked]
    alike = [one for one in same if numbers and re.findall(r"\d+", one) == numbers] or same
    if asked and alike:
        alike.sort(key=lambda one: (one not in ARCHITECTURES, -SequenceMatcher(None, name, one).ratio()))
        return f"did you mean {listed([repr(one) for one in alike])}?"
    hint = nearest(name, known)
    families = {ARCHITECTURES[one].family or one: one for one in sorted(ARCHITECTURES, key=by_numbers, reverse=True)}
    first = ", ".join(sorted(families.values()))
    return f"known: {first}, or a classifier of torchvision" if hint.startswith("known") else hint


def word(name: str) -> str:
    """The letters of a name, without those that do not matter and by one word for each thing: ``wrn`` for
    ``wide_resnet28_10``, ``vgg`` for ``cifar-vgg16``."""
    letters = _NO_MATTER.sub("", re.sub("[^a-z]", "", name.lower()))
    return _ALSO.get(letters, letters)
