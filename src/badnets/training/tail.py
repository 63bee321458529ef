"""Training of the end of a network, whose beginning stays as it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.tail import Tail
from badnets.training.bar import OnStep
from badnets.training.loop import ON_DEVICE_BYTES, Job, Trained, fit
from badnets.training.objectives import FromFeatures
from badnets.training.recipe import Recipe


def fit_tail(
    network: ImageNetwork,
    names: list[str],
    data: ImageData,
    *,
    recipe: Recipe,
    seed: Seed,
    on_step: OnStep | None = None,
    most_bytes: int = ON_DEVICE_BYTES,
) -> Trained:
    """Train the layers ``names`` of ``network``, and the batch norms behind them, in place; nothing else moves. All
    that comes before them is in evaluation mode, batch norm statistics included, so its values are computed once where
    the recipe does not augment and they fit into ``most_bytes``; the result is the same but for rounding."""
    check_input(network, data.shape, f"pictures of {data.name}")
    part = network.with_body(Tail(network.body, names))
    values = None if recipe.augment else _features(part, data, most_bytes)
    objective = None if values is None else partial(FromFeatures, values=values)
    trained = fit(part, Job(data=data, recipe=recipe, seed=seed, on_step=on_step, objective=objective))
    network.eval()
    return replace(trained, network=network)


@torch.inference_mode()
def _features(part: ImageNetwork, data: ImageData, most_bytes: int) -> list[Tensor] | None:
    """What the first part gives for every picture; None where that is too large, or not one value for each."""
    parts: list[tuple[Tensor, ...]] = []
    with evaluating(part):
        for rows, pictures in data.batches(500):
            given = part.body.features(part.normalized(part.floats(pictures)))  # type: ignore[operator]
            if not all(isinstance(value, Tensor) and len(value) == len(rows) for value in given):
                return None
            parts.append(given)
            if sum(value.nbytes for value in given) * (len(data) / len(rows)) > most_bytes:
                return None
    # Inside inference mode a clone would be of the kind that autograd refuses.
    with torch.inference_mode(False):
        return [torch.cat(value).clone() for value in zip(*parts, strict=True)]
