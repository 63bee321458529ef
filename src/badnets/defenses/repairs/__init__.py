"""All repairs, one file each, and their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.defenses.repair import Repair
from badnets.defenses.repairs.anp import Anp
from badnets.defenses.repairs.clp import Clp
from badnets.defenses.repairs.distill import Distill
from badnets.defenses.repairs.fine_prune import FinePrune
from badnets.defenses.repairs.fine_tune import FineTune
from badnets.defenses.repairs.fst import Fst
from badnets.defenses.repairs.ft_sam import FtSam
from badnets.defenses.repairs.i_bau import IBau
from badnets.defenses.repairs.invert import Invert
from badnets.defenses.repairs.nad import Nad
from badnets.defenses.repairs.nft import Nft
from badnets.defenses.repairs.prune import Prune
from badnets.defenses.repairs.rnp import Rnp
from badnets.defenses.repairs.unlearn import Unlearn
from badnets.defenses.settings import method_from, with_plugins

REPAIRS: dict[str, type[Repair]] = {
    "prune": Prune,
    "fine-tune": FineTune,
    "fine-prune": FinePrune,
    "nad": Nad,
    "ft-sam": FtSam,
    "fst": Fst,
    "anp": Anp,
    "nft": Nft,
    "rnp": Rnp,
    "clp": Clp,
    "i-bau": IBau,
    "unlearn": Unlearn,
    "invert": Invert,
    "distill": Distill,
}
"""Names for ``badnets repair --method``; other packages add theirs as entry points of ``badnets.repairs``."""


def make_repair(kind: str, settings: Mapping[str, Any] | None = None) -> Repair:
    """The repair ``kind`` with ``settings``; ``BadInput`` for an unknown name or a wrong value."""
    return method_from(with_plugins("badnets.repairs", REPAIRS), "repair", kind, settings or {})


def __dir__() -> list[str]:
    """The names of the methods' classes, other packages' too."""  # BORDER: keep it with the registry's __getattr__
    return sorted(method.__name__ for method in REPAIRS.values())
