"""What the same audit found of planted backdoors, and how often it took clean networks for backdoored ones: as measured
by ``badnets reproduce audit``, on networks that had no part in making or calibrating it."""

from __future__ import annotations

from badnets.core.rate import Rate
from badnets.core.toml import shipped_table
from badnets.records.finding import Ground, Power


def power_of(ground: Ground, architecture: str, classes: int) -> tuple[tuple[Power, ...], tuple[Power, ...]]:
    """(power by kind of backdoor, false alarms), of the networks that are most like the one at hand."""
    table = shipped_table(__package__ or "", "power.toml")
    rows = [row for row in table.get("row", []) if row["ground"] == ground]
    if not rows:
        return (), ()
    families = sorted(
        {row["networks"] for row in rows},
        key=lambda name: _distance(next(row for row in rows if row["networks"] == name), architecture, classes),
    )
    like = [row for row in rows if row["networks"] == families[0]]
    made = [
        Power(
            networks=row["networks"],
            kind=row["kind"],
            found=Rate(row["found"], row["of"]),
            named=Rate(row["named"], row["found"]) if row["kind"] != "clean" and row["found"] else None,
        )
        for row in like
    ]
    return tuple(one for one in made if one.kind != "clean"), tuple(one for one in made if one.kind == "clean")


def _distance(row: dict[str, object], architecture: str, classes: int) -> tuple[bool, int]:
    name = str(row["architecture"]).split(":")[0]
    return name != architecture.split(":", maxsplit=1)[0], abs(int(str(row["classes"])) - classes)
