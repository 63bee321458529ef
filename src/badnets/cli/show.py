"""``badnets show MODEL``: what a network file says of itself, and its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from badnets.cli.console import Json, print_json, show_table


def show_command(
    model: Path = typer.Argument(help="A network file (.safetensors) or a run's folder."),
    json: bool = Json,
) -> None:
    """Print a network's header and layer table."""
    from badnets.networks.files.foreign import open_any
    from badnets.networks.network import layer_table

    network = open_any(model)
    layers = layer_table(network)
    c, h, w = network.input_size
    facts: dict[str, Any] = {
        "architecture": network.architecture,
        "arguments": network.arguments,
        "class_names": list(network.class_names),
        "input_size": {"channels": c, "height": h, "width": w},
        "parameters": sum(p.numel() for p in network.parameters()),
        "trainable_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "provenance": {k: v for k, v in network.provenance.items() if k != "history"},
    }
    if json:
        print_json({"format": "badnets/network-facts/1", **facts, "layers": layers})
        return
    names = ", ".join(network.class_names)
    typer.echo(f"{facts['architecture']}  {h}x{w}x{c} -> {network.classes} classes ({names})")
    backdoor = network.provenance.get("backdoor")
    if isinstance(backdoor, dict):
        typer.echo(f"WARNING: {backdoor.get('warning')} ({backdoor.get('planted')})")
    show_table(_table(layers))


def _table(layers: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for name in ("layer", "kind", "output"):
        table.add_column(name)
    table.add_column("parameters", justify="right")
    *rows, total = layers
    for row in rows:
        table.add_row(row["name"], row["kind"], _shape(row["output_shape"]), f"{row['parameters']:,}")
    table.add_section()
    trained = f"{total['trainable']:,} trained"
    table.add_row("total", trained, _shape(total["output_shape"]), f"{total['parameters']:,}")
    return table


def _shape(shape: list[int] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape))
