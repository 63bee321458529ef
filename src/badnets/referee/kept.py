"""What an audit has seen of references, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from badnets.audits.audit import Audit
from badnets.audits.detector import DETECTORS
from badnets.audits.reference import Reference, Seen
from badnets.audits.statistic import as_rows, from_rows
from badnets.core.cache import Cache
from badnets.core.files import read_json, write_json
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.records.model import JSON

VERSION = 1
"""Raise it when sizes are computed otherwise, so that kept ones no longer fit."""


class Kept:
    """What is known of references, from the cache: by the digests of their file and of the pictures."""

    def __init__(self, network: ImageNetwork, data: ImageData | None, settings: Audit, seed: Seed) -> None:
        self.key: JSON = {
            "version": VERSION,
            "pictures": None if data is None else data.digest,
            "detectors": [DETECTORS.to_json(one) for one in settings.detectors],
            "seed": [seed.root, *seed.path],
            "torch": torch.__version__,
            "like": {name: value for name, value in network.description.items() if name != "provenance"},
        }
        self.cache: Cache[Seen] = Cache("references-seen", read=_read_seen, suffix=".json")

    def __call__(self, reference: Reference, see: Callable[[], Seen]) -> Seen:
        """From the cache, where ``see`` has been there before."""
        if reference.digest is None:
            return see()
        return self.cache.get({**self.key, "network": reference.digest}, lambda path: _write_seen(path, see()))


def _write_seen(path: Path, seen: Seen) -> None:
    sizes = {kind: as_rows(one) for kind, one in seen.sizes.items()}
    write_json(path, {"accuracy": seen.accuracy.to_json(), "sizes": sizes})


def _read_seen(path: Path) -> Seen:
    value = read_json(path)
    sizes = {kind: from_rows(one) for kind, one in value["sizes"].items()}
    return Seen(accuracy=Rate.from_json(value["accuracy"]), sizes=sizes)
