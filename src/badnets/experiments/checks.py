"""What is wrong with an experiment, told before minutes of work and not after."""

from __future__ import annotations

from badnets.data.images import ImageData
from badnets.experiments.spec import Spec


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
