"""All abstainers, one file each; a class can be imported from here by its name, other packages' too."""

from __future__ import annotations

from badnets.defenses.abstain import ABSTAINERS
from badnets.defenses.repair import namespace

__all__ = ["ABSTAINERS", "make_abstainer"]

make_abstainer = ABSTAINERS.make
__getattr__, __dir__ = namespace(ABSTAINERS, __name__)
