"""Any classifier of timm (the extra ``timm``), by its name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from badnets.core.errors import BadInput, first_line, nearest
from badnets.core.text import brief
from badnets.networks.architecture import TIMM, InputSize
from badnets.networks.operators import import_torchvision

_MOST = 4096
_REFUSED = ("pretrained", "checkpoint", "cache", "feature", "num_classes", "in_chans", "script", "export", "no_jit")
"""How arguments begin that are ours to give, would fetch or open something, or make no classifier."""


def _timm() -> Any:
    import_torchvision()  # before timm does it: its operators may need help
    try:
        return import_module("timm")
    except ImportError as error:
        got = "none" if error.name == "timm" else f"one that cannot be imported ({first_line(error)})"
        raise BadInput(
            f"expected the package timm for {TIMM} networks, got {got}; run pip install 'badnets[timm]'"
        ) from None


def _check_size(model: str, argument: str, value: Any) -> None:
    """Refuse what would make a network of endless layers, before it is built."""
    if isinstance(value, dict | list | tuple):
        for part in [len(value), *(value.values() if isinstance(value, dict) else value)]:
            _check_size(model, argument, part)
    elif isinstance(value, int) and abs(value) > _MOST:
        raise BadInput(f"{TIMM}{model}: expected {brief(argument, 40)} of at most {_MOST:,}, got {brief(value, 40)}")


def builder(model: str) -> Callable[..., nn.Module]:
    """A function that builds timm's ``model`` without weights from anywhere; a tag (``resnet18.a1_in1k``) is left out.
    Raises ``BadInput`` for an unknown name, with the nearest one, and where timm is not installed."""
    timm = _timm()
    name = model.partition(".")[0]
    known = timm.list_models()
    if name not in known:
        raise BadInput(f"expected a classifier of timm, got {brief(model)!r}; {brief(nearest(name, known), 160)}")

    def build(classes: int, input_size: InputSize, **arguments: Any) -> nn.Module:
        """The model with a head for ``classes`` and as many input channels as ``input_size`` (channels, height, width)
        says; one that is made for a size of pictures is made for this one. ``arguments`` go to timm
        (``drop_rate=0.1``, ``patch_size=4``)."""
        for argument, value in arguments.items():
            _check_size(name, argument, value)
            if argument.startswith(_REFUSED):
                got = f"got {brief(argument)!r}"
                raise BadInput(f"{TIMM}{name}: expected arguments of the model's shape, {got}; leave it away")
        channels, height, width = input_size
        options = dict(arguments)
        config = timm.get_pretrained_cfg(name)
        if getattr(config, "fixed_input_size", False):
            options.setdefault("img_size", (height, width))
        try:
            body: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=classes, in_chans=channels, **options
            )
        except NotImplementedError:  # on the meta device; it is then built on another
            raise
        except Exception as error:  # noqa: BLE001 (which timm's many models raise of every kind)
            raise BadInput(
                f"{TIMM}{name}: expected arguments and a size that it takes, got {height}x{width}x{channels} and "
                f"{brief(arguments, 60)} ({brief(first_line(error), 120)})"
            ) from None
        return body

    return build
