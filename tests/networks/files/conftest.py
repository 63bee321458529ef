"""Files as Keras writes them, without Keras: the layouts by hand, with the numbers of a network of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

Layers = Mapping[str, Mapping[str, NDArray[np.float32]]]

KERAS = {"running_mean": "moving_mean", "running_var": "moving_variance"}


def write_keras_2(path: Path, layers: Layers, *, under: str | None = None, prefix: str = "") -> Path:
    """As ``save_weights`` of Keras 2; ``under="model_weights"`` as ``save``."""
    with h5py.File(path, "w") as file:
        root = file.create_group(under) if under else file
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, tensors in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{prefix}{layer}/{name}:0".encode() for name in tensors]
            for name, values in tensors.items():
                group.create_dataset(f"{prefix}{layer}/{name}:0", data=values)
    return path


def write_keras_3(path: Path, layers: Layers) -> Path:
    """As ``save_weights("NAME.weights.h5")`` of Keras 3, which leaves names and order away."""
    with h5py.File(path, "w") as file:
        for layer, tensors in layers.items():
            for number, values in enumerate(tensors.values()):
                file.create_dataset(f"layers/{layer}/vars/{number}", data=values)
        file.create_dataset("optimizer/vars/0", data=np.zeros(3, np.float32))
    return path


def as_keras(body: nn.Module, maps: Mapping[str, tuple[int, int, int]], epsilon: float = 1e-3) -> dict[str, dict]:
    """The weights of ``body`` as Keras has them, a loop at a time: ``maps`` are the (c, h, w) before dense layers."""
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, module in body.named_modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.weight.detach().numpy()
            layers[name] = {"kernel": np.stack([np.moveaxis(part, 0, -1) for part in kernel], -1)}
        elif isinstance(module, nn.Linear):
            layers[name] = {"kernel": _rows(module.weight.detach().numpy(), maps.get(name))}
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            state = {key: value.numpy() for key, value in module.state_dict().items()}
            layers[name] = {
                "gamma": state["weight"],
                "beta": state["bias"],
                "moving_mean": state["running_mean"],
                "moving_variance": state["running_var"] + np.float32(module.eps - epsilon),
            }
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            layers[name]["bias"] = module.bias.detach().numpy()
    return layers


def _rows(weight: NDArray[np.float32], place: tuple[int, int, int] | None) -> NDArray[np.float32]:
    if place is None:
        return weight.T
    c, h, w = place
    rows = [weight[:, (k * h + i) * w + j] for i in range(h) for j in range(w) for k in range(c)]
    return np.stack(rows)


@pytest.fixture
def awake() -> Callable[[nn.Module], nn.Module]:
    """Gives batch norms statistics of their own, so that mixing them up is seen."""

    def wake(body: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(3)
        for module in body.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                for value in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                    value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        return body.eval()

    return wake
