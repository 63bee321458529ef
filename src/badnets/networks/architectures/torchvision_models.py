"""Any classifier of torchvision, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput, nearest
from badnets.core.text import brief
from badnets.networks.architecture import InputSize, chain
from badnets.networks.files.tensors import check_numbers, read_state
from badnets.networks.operators import import_torchvision

Weights = Annotated[str | None, Field(description="file of weights to start from, .pth or .safetensors; none: random")]

_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # heads that only help training; left out, so that logits are one tensor


class Repeat(nn.Module):
    """Grey pictures (n, 1, h, w) as three equal channels, so that a color network's own stem can stay."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w), a view."""
        return x.expand(-1, 3, -1, -1)


def names() -> list[str]:
    """Names of torchvision's classifiers; imports torchvision."""
    models = import_torchvision().models
    return list(models.list_models(module=models))


def builder(model: str) -> Callable[..., nn.Module]:
    """A function that builds torchvision's ``model``; an unknown name is refused with the nearest one."""
    known = names()
    if model not in known:
        raise BadInput(f"expected a classifier of torchvision, got {model!r}; {nearest(model, known)}")

    def build(classes: int, input_size: InputSize, *, weights: Weights = None) -> nn.Module:
        """The model with a head for ``classes``; ``input_size`` is (1 or 3, height, width). ``weights`` is a state dict
        on disk, for any number of classes: a head for another number starts at random. A file of pickled tensors is
        opened with ``weights_only=True``."""
        channels, height, width = input_size
        if channels not in (1, 3):
            raise BadInput(f"torchvision:{model}: expected pictures of 1 or 3 channels, got {channels}")
        options = model_options(model, height, width)
        network: nn.Module = import_torchvision().models.get_model(model, weights=None, num_classes=classes, **options)
        if weights is not None:
            _start_from(network, Path(weights), classes)
        return network if channels == 3 else chain(repeat=Repeat(), model=network)

    return build


def model_options(model: str, height: int, width: int) -> dict[str, Any]:
    """What some models have to be told besides the number of classes."""
    if model in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    if model.startswith("vit_"):
        return {"image_size": height}
    if model.startswith("maxvit"):
        return {"input_size": (height, width)}
    return {}


def _start_from(network: nn.Module, path: Path, classes: int) -> None:
    """Load ``path`` into ``network``; only heads may differ, and then in nothing but the number of classes."""
    state = {name: value for name, value in read_state(path).items() if not name.startswith(_AUXILIARY)}
    needs = network.state_dict()
    for name, value in needs.items():
        if name not in state:
            raise BadInput(f"{path}: expected a tensor {name!r}, got none; are these weights of another model?")
        given, needed = state[name].shape, value.shape
        if given == needed:
            continue
        if not (len(given) and needed[0] == classes and given[1:] == needed[1:]):
            got = brief(str(list(given)))
            raise BadInput(f"{path}: expected {name!r} of {list(needed)}, got {got}; another model's weights?")
        state[name] = value
    extra = sorted(set(state) - set(needs))
    if extra:
        raise BadInput(f"{path}: expected no tensor {brief(extra[0])!r}, got one; are these weights of another model?")
    network.load_state_dict(state)
    check_numbers(path, network)


def load_fitting(
    network: nn.Module, path: Path, given: Mapping[str, Tensor], *, within: str = "", what: str
) -> dict[str, int]:
    """Load every tensor of ``given`` that has the name and shape of one of ours; how many those are, of how many.
    Refused when fewer than half of the tensors fit whose names begin with ``within``, the part called ``what``."""
    state = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in state and state[name].shape == value.shape}
    needed = [name for name in state if name.startswith(within)]
    shared = sum(name in fitting for name in needed)
    if 2 * shared < len(needed):
        got = f"{shared} of {len(needed)} tensors that fit"
        raise BadInput(f"{path}: expected weights of {what}, got {got}; choose the backbone that they belong to")
    network.load_state_dict(state | fitting)
    check_numbers(path, network)
    return {"tensors": len(fitting), "of": len(state)}
