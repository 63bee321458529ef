"""What must be known of an experiment before minutes of work and not after: what is wrong with it, and which it is."""

from __future__ import annotations

from pathlib import Path

from badnets.core.files import file_digest
from badnets.data.images import ImageData
from badnets.referee.spec import Spec


def check_training(spec: Spec) -> None:
    """Refuse an unknown network or argument, or a missing device, before any data is read."""
    from badnets.networks.registry import find_architecture, parse_network
    from badnets.training.hardware import check_devices

    name, arguments = parse_network(spec.network)
    find_architecture(name).resolve(arguments)
    check_devices(spec.devices, spec.device)


def check_data(spec: Spec, train: ImageData) -> None:
    """Refuse pictures that the network can't take, by their size or by what is known of them (classes or boxes)."""
    from badnets.networks.registry import check_shape, find_architecture, parse_network, skeleton
    from badnets.training.objectives import check_targets

    name, arguments = parse_network(spec.network)
    architecture = find_architecture(name)
    height, width, channels = train.shape
    size = channels, height, width
    body = skeleton(architecture, train.classes, size, architecture.recorded(architecture.resolve(arguments)))
    check_targets(getattr(body, "task", "classify"), train, architecture.name)
    check_shape(architecture.name, body, train.classes, size)


def initial_weights(spec: Spec) -> dict[str, str]:
    """``{"initial_weights": SHA-256}`` of the file that a spec's network starts from, ``{}`` without one: what lies
    behind a path may change, and is then another experiment."""
    from badnets.networks.registry import parse_network

    _, arguments = parse_network(spec.network)
    path = arguments.get("weights")
    return {} if path is None or not Path(str(path)).is_file() else {"initial_weights": file_digest(Path(str(path)))}
