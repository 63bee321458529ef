"""Run a network over pictures of any number, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.data.images import ImageData, Pixels
from badnets.networks.network import ImageNetwork, evaluating


@dataclass(frozen=True, eq=False)
class Predictions:
    """``labels (n,)`` int64 and ``confidence (n,)`` float32, the softmax probability of that label."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]


def check_input(network: ImageNetwork, shape: tuple[int, ...], what: str = "pictures") -> None:
    """Refuse pictures (.., h, w, c) that the network does not take."""
    c, h, w = network.input_size
    if tuple(shape[-3:]) != (h, w, c):
        got = "x".join(map(str, shape[-3:]))
        raise BadInput(f"{network.architecture}: expected {what} of {h}x{w}x{c}, got {got}; resize or convert them")


def check_classifier(network: ImageNetwork) -> None:
    """Refuse a network that gives no class for a picture."""
    if network.task == "detect":
        raise BadInput(
            f"expected a classifier, got a detector ({network.architecture}); use badnets predict or badnets evaluate "
            "with it (in Python detect and measure), or another network"
        )


@torch.inference_mode()
def predict(network: ImageNetwork, images: Pixels, *, batch: int = 250) -> Predictions:
    """What ``network`` says to uint8 pictures (n, h, w, c); it is put into evaluation mode for the time."""
    check_classifier(network)
    check_input(network, images.shape)
    labels = np.zeros(len(images), np.int64)
    confidence = np.zeros(len(images), np.float32)
    with evaluating(network):
        for start in range(0, len(images), batch):
            best = network(network.floats(images[start : start + batch])).float().softmax(1).max(1)
            labels[start : start + batch] = best.indices.cpu().numpy()
            confidence[start : start + batch] = best.values.cpu().numpy()
    return Predictions(labels, confidence)


def predict_data(network: ImageNetwork, data: ImageData, *, batch: int = 250) -> Predictions:
    """``predict`` over a whole set, read a batch at a time (it may be larger than memory)."""
    check_input(network, data.shape, f"pictures of {data.name}")
    parts = [predict(network, images, batch=batch) for _, images in data.batches(batch)]
    every = [Predictions(np.zeros(0, np.int64), np.zeros(0, np.float32)), *parts]
    return Predictions(np.concatenate([p.labels for p in every]), np.concatenate([p.confidence for p in every]))
