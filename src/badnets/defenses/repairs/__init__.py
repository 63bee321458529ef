"""All repairs, one file each; a class can be imported from here by its name, other packages' too."""

from __future__ import annotations

from badnets.defenses.repair import REPAIRS, namespace

__all__ = ["REPAIRS", "make_repair"]

make_repair = REPAIRS.make
__getattr__, __dir__ = namespace(REPAIRS, __name__)
