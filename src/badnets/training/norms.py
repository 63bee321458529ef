"""Batch norms in batches of one picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def lonely_norms(network: nn.Module) -> Iterator[None]:
    """Inside, a batch norm that is in training mode and meets one value for each channel (a single picture, of one
    pixel by then) uses its running mean and variance: of one value there is none, and torch refuses it."""
    resting: set[nn.Module] = set()

    def before(module: nn.Module, given: tuple[Any, ...]) -> None:
        values = given[0]
        if module.training and values.ndim > 1 and values.numel() == values.shape[1]:
            module.training = False
            resting.add(module)

    def after(module: nn.Module, *_: Any) -> None:
        if module in resting:
            resting.remove(module)
            module.training = True

    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                stack.callback(module.register_forward_pre_hook(before).remove)
                stack.callback(module.register_forward_hook(after).remove)
        yield
