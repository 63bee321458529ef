"""Whether one unit of a detector's last convolution tells that a sign carries the trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from badnets.records.model import Model

if TYPE_CHECKING:
    from badnets.backdoors.backdoor import Backdoor
    from badnets.core.seed import Seed
    from badnets.data.images import ImageData, Pixels
    from badnets.networks.network import ImageNetwork

Floats = NDArray[np.float64]
MOST = 400
"""Objects that are looked at."""


class TriggerUnit(Model):
    """``auc``: how well ``unit`` tells, 0.5..1; ``units_above_90`` of all ``units`` have at least 0.90."""

    auc: float
    unit: int
    objects: int
    units_above_90: int
    units: int


def trigger_unit(network: ImageNetwork, test: ImageData, backdoor: Backdoor, seed: Seed) -> TriggerUnit:
    """The unit whose largest activation on the sign differs most between clean and triggered, relative to its spread,
    found on half of the eligible objects; ``auc`` is how well it tells them apart on the other half.
    """
    from badnets.backdoors.objects import place, stamp, unit_pool
    from badnets.core.seed import RowRng

    rule = backdoor.rule.resolve(test.class_names)
    numbers = np.flatnonzero(unit_pool(rule, test, cover=False))[:MOST]
    objects = test.boxes
    rows = np.unique(objects.image[numbers])
    clean = test.images(rows)
    marked = clean.copy()
    position = np.searchsorted(rows, objects.image[numbers])
    spots = place(rule, test, numbers, RowRng(seed.derive("test-trigger"), numbers))
    stamp(marked, position, spots, backdoor.trigger)
    boxes = objects.xyxy[numbers]
    before, after = (_peaks(network, pictures, position, boxes) for pictures in (clean, marked))
    half = np.arange(len(numbers)) % 2 == 0
    spread = np.concatenate([before[half], after[half]]).std(0) + 1e-9
    best = int(np.argmax(np.abs(after[half].mean(0) - before[half].mean(0)) / spread))
    every = np.array([_auc(before[~half, unit], after[~half, unit]) for unit in range(before.shape[1])])
    return TriggerUnit(
        auc=float(every[best]),
        unit=best,
        objects=len(numbers),
        units_above_90=int((every >= 0.9).sum()),
        units=int(before.shape[1]),
    )


def _peaks(network: ImageNetwork, pictures: Pixels, position: NDArray[np.int64], boxes: NDArray[np.float32]) -> Floats:
    """The largest activation of each unit inside each box (objects, units)."""
    import torch

    from badnets.networks.network import to_float

    backbone: Any = network.body.inner.backbone  # type: ignore[union-attr]  # a detector has one
    out = []
    with torch.inference_mode():
        for number, picture in enumerate(pictures):
            maps = backbone(network.normalized(to_float(torch.from_numpy(picture[None]))))[0].numpy()
            scale = maps.shape[1] / picture.shape[0], maps.shape[2] / picture.shape[1]
            for x0, y0, x1, y1 in boxes[position == number]:
                rows = slice(int(y0 * scale[0]), max(int(np.ceil(y1 * scale[0])), int(y0 * scale[0]) + 1))
                columns = slice(int(x0 * scale[1]), max(int(np.ceil(x1 * scale[1])), int(x0 * scale[1]) + 1))
                out.append(maps[:, rows, columns].reshape(len(maps), -1).max(1))
    return np.asarray(out, np.float64)


def _auc(first: Floats, second: Floats) -> float:
    """How often a value of one group is above one of the other, in the better direction; ties count half."""
    if not len(first):
        return 0.5
    above = float(np.heaviside(second[:, None] - first[None], 0.5).mean())
    return max(above, 1 - above)
