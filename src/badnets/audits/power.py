"""What the same audit found of planted backdoors, and how often it took clean networks for backdoored ones: as measured
(``results/audit-pool``) on networks that had no part in making or calibrating it."""

from __future__ import annotations

from badnets.audits.grounds import alike
from badnets.core.rate import Rate
from badnets.core.toml import shipped_table
from badnets.networks.surgery.objects import OBJECTS_OF
from badnets.records.finding import Ground, Power


def power_of(
    ground: Ground, architecture: str, channels: int, classes: int, *, pictures: bool
) -> tuple[tuple[Power, ...], tuple[Power, ...]]:
    """(power by kind of backdoor, false alarms), of networks with as many channels and about as many classes, and on
    the ground *matched* of the same architecture, searched with clean ``pictures`` or without; both empty where none
    were measured."""
    name = architecture.removeprefix(OBJECTS_OF).split(":", maxsplit=1)[0]
    made = [
        Power(
            networks=row["networks"],
            kind=row["kind"],
            found=Rate(row["found"], row["of"]),
            named=Rate(row["named"], row["found"]) if row["kind"] != "clean" and row["found"] else None,
        )
        for row in shipped_table(__package__ or "", "power.toml").get("row", [])
        if (row["ground"], row["pictures"]) == (ground, pictures)
        and (ground != "matched" or row["architecture"] == name)
        and alike((row["channels"], row["classes"]), (channels, classes))
    ]
    return tuple(one for one in made if one.kind != "clean"), tuple(one for one in made if one.kind == "clean")
