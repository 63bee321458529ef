"""Which architecture a file's weights are of, when they are of another one with a like name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES, TORCHVISION, Architecture, InputSize
from badnets.networks.architectures import torchvision_models
from badnets.networks.names import word
from badnets.networks.registry import COUNTER, find_architecture, parse_network, weight_shapes

Shape = tuple[int, ...]


def spellings(architecture: Architecture) -> list[str]:
    """The name alone and with each of the arguments that published weights need: ``["lenet", "lenet:padding=2"]``."""
    return [architecture.name, *(f"{architecture.name}:{said}" for said in architecture.spellings)]


def all_spellings() -> list[str]:
    """Of all classifiers that are built in, and of other packages: what is worth trying on a file of unknown weights.
    Torchvision's are ``torchvision_models.names()``."""
    return [text for one in ARCHITECTURES.values() if one.name != "faster-rcnn" for text in spellings(one)]


def fits(text: str, shapes: Mapping[str, Shape], input_size: InputSize) -> bool:
    """Whether tensors of these names and shapes are those of architecture ``text`` for any number of classes."""
    name, arguments = parse_network(text)
    architecture = find_architecture(name)
    given = {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)}
    try:
        resolved = architecture.resolve(arguments)
        two, three = (weight_shapes(architecture, classes, input_size, resolved) for classes in (2, 3))
    except BadInput:  # it takes no such pictures
        return False
    if set(two) != set(given):
        return False
    # What changes with the number of classes is the head, and its first side is that number.
    heads = {key for key, shape in two.items() if shape != three[key]}
    counts = {given[key][:1] for key in heads}
    return len(counts) <= 1 and all(given[key][key in heads :] == shape[key in heads :] for key, shape in two.items())


def lookalike(text: str, shapes: Mapping[str, Shape], input_size: InputSize) -> str | None:
    """What to say instead of ``text`` for a file with tensors of these names and ``shapes``: another spelling of it, or
    an architecture of the same word and numbers (``torchvision:resnet18`` for ``resnet18``) that they fit exactly; None
    where there is none. ``"did you mean torchvision:resnet18?"`` is for whoever asks."""
    return next((other for other in _candidates(text) if fits(other, shapes, input_size)), None)


def _candidates(text: str) -> Iterator[str]:
    name = parse_network(text)[0].removeprefix(TORCHVISION)
    alike = word(name), re.findall(r"\d+", name)
    for one in ARCHITECTURES.values():
        if (word(one.name), re.findall(r"\d+", one.name)) == alike:
            yield from (other for other in spellings(one) if other != text)
    for model in torchvision_models.names():
        if (word(model), re.findall(r"\d+", model)) == alike and TORCHVISION + model != text:
            yield TORCHVISION + model
