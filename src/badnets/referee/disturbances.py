"""How a backdoor stands the physical world: attack success with each disturbance of the trigger alone, and with all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.success import success
from badnets.backdoors.triggers.jitter import NAMES as DISTURBANCES
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import Rate
from badnets.core.seed import RowRng, Seed, as_seed
from badnets.data.images import ImageData, Rows
from badnets.networks.inference import check_input, predict
from badnets.networks.network import ImageNetwork

NONE, ALL = "none", "all"
NAMES: dict[str, str] = {NONE: "undisturbed", **DISTURBANCES, ALL: "all together"}
"""Rows of the table, in its order, and their names for people."""
_UNITS = {
    "size": "\N{PLUS-MINUS SIGN}{:.0%}",
    "rotation": "\N{PLUS-MINUS SIGN}{:g}\N{DEGREE SIGN}",
    "perspective": "corners \N{PLUS-MINUS SIGN}{:.0%}",
    "light": "\N{PLUS-MINUS SIGN}{:.0%}",
    "blur": "up to {:g} px",
    "print_scan": "up to {:g}",
}


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One row: ``name`` (a key of ``NAMES``), ``amount`` as in ``Jitter`` (None for the rows "none" and "all"), attack
    success, and the same on a clean network (None without one)."""

    name: str
    amount: float | None
    asr: Rate
    clean_reference_rate: Rate | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        other = self.clean_reference_rate
        return {
            "name": self.name,
            "amount": self.amount,
            "asr": self.asr.to_json(),
            "clean_reference_rate": None if other is None else other.to_json(),
        }


def disturbances(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor,
    *,
    reference: ImageNetwork | None = None,
    amounts: Jitter | None = None,
    seed: int | Seed = 0,
) -> list[Disturbance]:
    """Attack success on ``test`` (one class for each picture) under every disturbance of ``amounts`` that is not 0.

    The first row is the trigger without any, the last has all of them; between them each is alone. ``amounts`` are
    ``Jitter.physical()`` by default; the trigger's own jitter is left out. ``seed`` as in ``measure``: with the same
    one the first row is its ``asr``, and every row has the same places and, by name, the same draws.
    Raises ``BadInput`` for a trigger that is no stamp, and for pictures that the network does not take.
    """
    check_input(network, test.shape, f"pictures of {test.name}")
    chosen = Jitter.physical() if amounts is None else amounts
    rule = backdoor.rule.resolve(test.class_names)
    eligible = np.flatnonzero(rule.eligible(test.labels)).astype(np.int64)
    true = test.labels[eligible]
    stream = as_seed(seed).derive("test-trigger")
    networks = [network] if reference is None else [network, reference]
    rows = []
    for name, jitter in _cases(chosen):
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), rule)
        answers = _answers(networks, test, eligible, shaken, stream)
        rates = [success(rule, given, true, test.classes).asr for given in answers]
        amount = None if name in (NONE, ALL) else getattr(chosen, name)
        other = rates[1] if len(rates) > 1 else None
        rows.append(Disturbance(name=name, amount=amount, asr=rates[0], clean_reference_rate=other))
    return rows


def _cases(amounts: Jitter) -> Iterator[tuple[str, Jitter | None]]:
    """The rows of the table and the jitter of each."""
    yield NONE, None
    values = amounts.amounts()
    for name in NAMES:
        if values.get(name):
            yield name, Jitter.only(**{name: values[name]})
    yield ALL, amounts


def _answers(
    networks: list[ImageNetwork], test: ImageData, eligible: Rows, backdoor: Backdoor, stream: Seed, batch: int = 500
) -> list[Rows]:
    """What each network says to the eligible pictures with the trigger."""
    parts: list[list[Rows]] = [[] for _ in networks]
    for start in range(0, max(len(eligible), 1), batch):
        rows = eligible[start : start + batch]
        regions = None if test.regions is None else test.regions[rows]
        marked = backdoor.trigger.apply(test.images(rows), regions, RowRng(stream, rows))
        for network, given in zip(networks, parts, strict=True):
            given.append(predict(network, marked).labels)
    return [np.concatenate(given) for given in parts]


def disturbance_words(row: dict[str, Any]) -> tuple[str, str]:
    """The name and the amount of a row (as JSON) for people: ``("rotation", "±15°")``."""
    shown = _UNITS.get(row["name"])
    amount = "" if shown is None or row["amount"] is None else shown.format(row["amount"])
    return NAMES.get(row["name"], str(row["name"])), amount
