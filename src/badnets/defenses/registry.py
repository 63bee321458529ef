"""The tables of methods: what repairs a network, and what makes one that refuses."""

from __future__ import annotations

from badnets.core.registry import Kinds
from badnets.defenses.abstain import Abstainer
from badnets.defenses.repair import Repair

REPAIRS: Kinds[Repair] = Kinds("repair", homes=["badnets.defenses.repairs"], group="badnets.repairs")
"""Names for ``badnets repair --method``; other packages add theirs as entry points of ``badnets.repairs``."""

ABSTAINERS: Kinds[Abstainer] = Kinds("abstainer", homes=["badnets.defenses.abstainers"], group="badnets.abstainers")
"""Names for ``badnets guard --method``; other packages add theirs as entry points of ``badnets.abstainers``."""
