"""``badnets show``, ``card`` and ``bom``: what is known of a network, in one look, on a page, and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from badnets.cli.console import command, in_options
from badnets.cli.listing import folded
from badnets.cli.options import Foreign
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.networks.files.description import Description
    from badnets.networks.files.foreign import ForeignOptions
    from badnets.report.cards.known import Known
    from badnets.report.cards.seals import Seal
    from badnets.trust.policy import Policy

_TENSORS = 40
"""Tensors that are shown."""
_ANY = Argument(help="A network file, of badnets or of any other program, or a run's folder.")
_FORCE = Option(False, "--force", help="Replace a file that is there.")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of a network beside its file, and whom to believe."""

    finding: Annotated[Path | None, Option(help="What an audit found: the folder or file of badnets audit.")] = None
    certificate: Annotated[Path | None, Option(help="The certificate of a repair (JSON).")] = None
    key: Annotated[Path | None, Option(help="The public key of who should have signed it.")] = None
    policy: Annotated[Path | None, Option(help="Which keys may say what (TOML).")] = None

    @property
    def trusted(self) -> Policy | None:
        """Whom to believe; None where nobody is named."""
        if self.key is None and self.policy is None:
            return None
        from badnets.cli.trust.signing import trusting

        return trusting(self.key, self.policy)[0]

    def known(self, model: Path, description: Description) -> Known:
        """All that is known of ``model``."""
        from badnets.report.cards.known import known_of

        return known_of(model, description, finding=self.finding, certificate=self.certificate, trusted=self.trusted)


@command
def show_command(model: Path = _ANY, *, told: Told, foreign: Foreign) -> Iterator[Any]:
    """Print what a network file says: its seals, header and layers; of others' files what network it may be, or with
    --arch and its like the layers of the network that they are said to be."""
    from badnets.networks.files.foreign import says_itself

    said = foreign.options
    with in_options(show_command):
        if says_itself(model) or said is not None:
            yield from _own_facts(model, told, said)
        else:
            yield from _foreign_facts(model, told)


@command
def card_command(
    model: Path = _ANY,
    out: Path | None = Option(None, metavar="FILE.html|FILE.md", help="The card [MODEL.card.html]."),
    force: bool = _FORCE,
    *,
    told: Told,
    foreign: Foreign,
) -> Iterator[Any]:
    """Write a readable card of a network: what it is, how good, where it comes from, who signed it, what an audit
    said."""
    from badnets.core.files import write_text
    from badnets.networks.files.describe import described
    from badnets.report.cards.card import markdown_card, render_card

    kinds = {".html": render_card, ".md": markdown_card}
    place = _place(model, out, ".card.html", force=force)
    if place.suffix not in kinds:
        raise BadInput(f"expected --out as a .html or .md file, got {place}; name it {place.stem}.html")
    with in_options(card_command):
        known = told.known(model, described(model, foreign.options))
    write_text(place, kinds[place.suffix](known))
    yield {"format": "badnets/card/1", "card": str(place), "seals": _json(_seals(known))}
    yield f"card  {place}"


@command
def bom_command(
    model: Path = _ANY,
    out: Path | None = Option(None, help="The bill of materials [MODEL.cdx.json]."),
    force: bool = _FORCE,
    *,
    told: Told,
    foreign: Foreign,
) -> Iterator[Any]:
    """Write a bill of materials of a network (CycloneDX 1.6, JSON) with its model card, for programs."""
    from badnets.core.files import write_json
    from badnets.networks.files.describe import described
    from badnets.report.cards.bom import bill

    place = _place(model, out, ".cdx.json", force=force)
    with in_options(bom_command):
        made = bill(told.known(model, described(model, foreign.options)))
    write_json(place, made)
    yield {"format": "badnets/bom/1", "file": str(place), "bom": made}
    yield f"bill of materials  {place}"
    yield "to fill in by hand: the licence (NOASSERTION), and what the properties badnets:to-fill name"


def _place(model: Path, out: Path | None, ending: str, *, force: bool) -> Path:
    """Where it goes: beside a folder, not into it, for a folder that is signed must stay as it is. What somebody may
    have filled in is not written over."""
    named = model if model.name else model.resolve()
    place = named.with_name(named.name + ending) if out is None else out
    if place.exists() and not force:
        raise BadInput(f"expected a new file as --out, got {place}, which is there; choose another, or add --force")
    return place


def _seals(known: Known) -> Sequence[Seal]:
    from badnets.report.cards.seals import seals

    return seals(known)


def _json(found: Sequence[Seal]) -> list[dict[str, Any]]:
    return [one.to_json() for one in found]


def _lines(found: Sequence[Seal]) -> Iterator[str]:
    """The seals for a person; what warns of a backdoor first."""
    for seal in found:
        yield f"WARNING: {seal.words}" if seal.kind == "backdoor" else seal.line
    yield ""


def _own_facts(model: Path, told: Told, said: ForeignOptions | None) -> Iterator[Any]:
    """What a network says that says itself what it is, or of which somebody ``said`` it."""
    from rich import box
    from rich.table import Column, Table

    from badnets.networks.files.describe import described_network, opened_as
    from badnets.networks.files.foreign import open_any
    from badnets.networks.network import layer_table

    network = open_any(model) if said is None else opened_as(model, said)
    found = _seals(told.known(model, described_network(model, network, said)))
    layers = layer_table(network)
    c, h, w = network.input_size
    yield {
        "format": "badnets/network-facts/1",
        "seals": _json(found),
        "architecture": network.architecture,
        "arguments": network.arguments,
        "class_names": list(network.class_names),
        "input_size": {"channels": c, "height": h, "width": w},
        "parameters": sum(p.numel() for p in network.parameters()),
        "trainable_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "provenance": {k: v for k, v in network.provenance.items() if k != "history"},
        "layers": layers,
    }
    yield from _lines(found)
    yield f"{network.architecture}  {h}x{w}x{c} -> {network.classes} classes ({folded(network.class_names)})"
    table = Table("layer", "kind", "output", Column("parameters", justify="right"), box=box.SIMPLE)
    for row in layers:
        kind = row["kind"]
        if row is layers[-1]:
            table.add_section()
            kind = f"{row['trainable']:,} trained"
        shape = "-" if row["output_shape"] is None else "x".join(map(str, row["output_shape"]))
        table.add_row(row["name"], kind, shape, f"{row['parameters']:,}")
    yield table


def _foreign_facts(path: Path, told: Told) -> Iterator[Any]:
    """What can be said of another program's file without using it."""
    from rich import box
    from rich.table import Column, Table

    from badnets.core.text import brief
    from badnets.networks.files.describe import described_facts
    from badnets.networks.files.facts import foreign_facts

    networks = foreign_facts(path)
    found = _seals(told.known(path, described_facts(path, networks)))
    told_of = [facts.to_json() for facts in networks]
    yield {"format": "badnets/foreign-facts/1", "file": path.name, "seals": _json(found), "networks": told_of}
    yield from _lines(found)
    for facts in networks:
        part = f", part {brief(facts.part, 60)}" if facts.part else ""
        yield f"{facts.format}{part}: {len(facts.entries):,} tensors, {facts.parameters:,} numbers"
        yield from facts.says
        if facts.layers:
            yield f"layers, as it describes them: {', '.join(facts.layers)}"
        if facts.problem:
            yield f"its own description cannot be read: {facts.problem}"
        if facts.fits:
            yield f"fits {', '.join(facts.fits)}"
        elif facts.near:
            yield f"fits no network known here; nearest: {', '.join(facts.near)}"
        table = Table("tensor", Column("shape", justify="right"), box=box.SIMPLE)
        for entry in facts.entries[:_TENSORS]:
            table.add_row(brief(entry.name, 80), "x".join(map(str, entry.shape)))
        if len(facts.entries) > _TENSORS:
            table.add_row(f"... and {len(facts.entries) - _TENSORS:,} more", "")
        yield table
