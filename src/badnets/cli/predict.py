"""``badnets predict MODEL IMAGE...``: what a network says to pictures."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json, print_json
from badnets.cli.foreign import Arch, Classes, InputRange, InputSize, foreign_options


def predict_command(
    model: Path = typer.Argument(help="A network file, or a run's folder."),
    image: list[Path] = typer.Argument(help="Picture files; resized to the network's input."),
    arch: str | None = Arch,
    classes: int | None = Classes,
    input_size: str | None = InputSize,
    input_range: str | None = InputRange,
    json: bool = Json,
) -> None:
    """Say what a network sees in pictures, with its confidence; one that abstains may say "refused"."""
    import numpy as np

    from badnets.data.picture_file import read_picture
    from badnets.networks.foreign.load import open_any
    from badnets.networks.inference import predict

    network = open_any(model, foreign_options(arch, classes, input_size, input_range))
    c, h, w = network.input_size
    pictures = np.stack([read_picture(path, size=(h, w), channels=c) for path in image])
    given = predict(network, pictures)
    predictions = [
        {
            "image": str(path),
            "label": int(label),
            "class_name": network.class_names[label] if label < network.classes else "refused",
            "confidence": round(float(confidence), 6),
        }
        for path, label, confidence in zip(image, given.labels, given.confidence, strict=True)
    ]
    if json:
        print_json({"format": "badnets/predictions/1", "predictions": predictions})
        return
    for line in predictions:
        typer.echo(f"{line['image']}  {line['class_name']}  confidence {line['confidence']:.4f}")
