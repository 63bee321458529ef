"""What an audit knows of a clean network that it compares a suspect with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from badnets.audits.grounds import Sizes
from badnets.core.rate import Rate
from badnets.networks.network import ImageNetwork


@dataclass(frozen=True, eq=False)
class Reference:
    """A clean network to compare with: ``open`` gives it; ``digest`` is of its file."""

    name: str
    open: Callable[[], ImageNetwork]
    digest: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What an audit knows of a reference: what it is, its accuracy on the clean pictures, its sizes by detector."""

    architecture: str
    input_size: tuple[int, int, int]
    class_names: tuple[str, ...]
    accuracy: Rate
    sizes: Sizes


Look = Callable[[Reference, Callable[[], Seen]], Seen]
"""What is known of a reference: from where it was kept, or by what looks at it."""
