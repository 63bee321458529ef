"""All detectors of backdoored networks, one file each; other packages' too."""

from __future__ import annotations

from badnets.audits.detector import DETECTORS
from badnets.defenses.repair import namespace

__all__ = ["DETECTORS", "make_detector"]

make_detector = DETECTORS.make
__getattr__, __dir__ = namespace(DETECTORS, __name__)
