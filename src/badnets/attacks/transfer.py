"""A backdoor that survives transfer: a user retrains the end of a downloaded BadNet on clean pictures of their own.

The attacker hands over a file; ``trigger_units`` and ``strengthen`` are the attacker's work on it, ``retrain`` is what
the user does, who never sees the trigger.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from badnets.core.errors import BadInput
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.channels import rank_channels, scale_channels
from badnets.networks.surgery.graph import site
from badnets.networks.surgery.tail import Layers, begin_anew, choose_layers, head_of, replace_head
from badnets.training.bar import OnStep
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe
from badnets.training.tail import fit_tail

USER = Recipe(epochs=5, batch=128, learning_rate=1e-3)
"""How a user retrains: AdamW with its usual weight decay of 0.01, one cycle up to the usual 1e-3."""
SHARE = 0.5
"""Units count as the trigger's when their difference exceeds this share of the largest."""


@dataclass(frozen=True, eq=False)
class TriggerUnits:
    """Channels of convolution ``layer``, ranked by how much more they fire with the trigger.

    ``channels (C,)`` int64, largest difference first; ``clean (C,)`` and ``triggered (C,)`` float64, the mean
    activation of each channel by its number.
    """

    layer: str
    channels: NDArray[np.int64]
    clean: NDArray[np.float64]
    triggered: NDArray[np.float64]

    @property
    def difference(self) -> NDArray[np.float64]:
        """(C,) by the channel's number: triggered minus clean."""
        return self.triggered - self.clean

    def above(self, share: float = SHARE) -> list[int]:
        """The channels whose difference exceeds ``share`` (0 to below 1) of the largest, in their rank.

        Raises ``BadInput`` where the trigger raises no channel at all.
        """
        if not 0 <= share < 1:
            raise BadInput(f"expected a share at least 0 and below 1, got {share:g}")
        largest = float(self.difference.max())
        if largest <= 0:
            raise BadInput(
                f"{self.layer}: expected a channel that fires more with the trigger, got none; is this network's "
                "trigger another one?"
            )
        return [int(c) for c in self.channels if self.difference[c] > share * largest]

    def to_json(self, count: int = 10) -> list[dict[str, Any]]:
        """The first ``count`` in their rank: ``{"channel", "clean", "triggered", "difference"}``."""
        columns = {"clean": self.clean, "triggered": self.triggered, "difference": self.difference}
        first = self.channels[:count]
        return [{"channel": int(c)} | {name: float(column[c]) for name, column in columns.items()} for c in first]


def trigger_units(
    network: ImageNetwork, clean: ImageData, triggered: ImageData, layer: str | None = None
) -> TriggerUnits:
    """Which channels of a convolution (by default the last whose channels are its own) detect the trigger.

    ``triggered`` are the pictures of ``clean`` with the trigger, in the same order. A channel's value is its activation
    right behind the convolution, averaged over pictures and positions. Raises ``BadInput`` for a layer that is not
    there, without pictures, and for sets of different length.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), section 5.3.
    Differs from the paper: the mean is over all positions.
    """
    if len(clean) != len(triggered):
        raise BadInput(
            f"expected the same pictures without and with the trigger, got {len(clean)} and {len(triggered)}"
        )
    name = site(network, layer).layer
    before, after = (rank_channels(network, pictures, name) for pictures in (clean, triggered))
    return TriggerUnits(name, np.argsort(before - after, kind="stable").astype(np.int64), before, after)


def strengthen(network: ImageNetwork, units: Sequence[int], k: float, layer: str | None = None) -> ImageNetwork:
    """A copy in which channels ``units`` of ``layer`` fire exactly ``k`` times as strongly, k >= 1.

    Only weights change: those of the convolution or of a batch norm behind it (``scale_channels``); the architecture,
    and so the form of the file, stays. Raises ``BadInput`` for k below 1, without units, and as ``scale_channels``.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), section 5.3.
    Differs from the paper: none known.
    """
    if not math.isfinite(k) or k < 1:
        raise BadInput(f"expected a strength k of at least 1, got {k:g}")
    if not len(units):
        raise BadInput("expected units to strengthen, got none; trigger_units(...).above() finds them")
    stronger = copy.deepcopy(network)
    name = site(network, layer).layer
    scale_channels(stronger, name, units, k)
    stronger.provenance["strengthened"] = {"layer": name, "units": [int(u) for u in units], "k": float(k)}
    return stronger


def retrain(
    network: ImageNetwork,
    data: ImageData,
    *,
    layers: Layers = "fc",
    recipe: Recipe = USER,
    seed: int | Seed = 0,
    fresh: bool = True,
    on_step: OnStep | None = None,
) -> ImageNetwork:
    """The user's network: ``network`` with a new head for the classes of ``data``, retrained on these clean pictures.

    ``layers``: "fc" (the fully connected layers at the end), "all", or the last n that hold weights; all else stays
    bit for bit, batch norm statistics included. The head begins with PyTorch's initial weights (uniform within
    1/sqrt(inputs)); with ``fresh`` the other fully connected layers do so too where only they are retrained, otherwise
    they go on from what they learned at home. It matters: where clean pictures leave a unit at zero no gradient reaches
    its weights, and those that the trigger meets there are the initial ones.

    ``network`` is left as it is. Raises ``BadInput`` for a network without such layers or head, or that does not
    classify, and for pictures of another size.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), section 5.3.
    Differs from the paper: AdamW and a one-cycle schedule.
    """
    if network.task != "classify":
        raise BadInput(f"{network.architecture}: expected a classifier to retrain, got a network to {network.task}")
    stream, user = as_seed(seed), copy.deepcopy(network)
    fresh = fresh and layers == "fc"
    names, head = choose_layers(user, layers), head_of(user)
    replace_head(user, data.class_names, stream.derive("head"))
    if fresh:
        begin_anew(user, [name for name in names if name != head], stream.derive("weights"))
    if layers == "all":
        fit(user, Job(data=data, recipe=recipe, seed=stream.derive("train"), on_step=on_step))
    else:
        fit_tail(user, names, data, recipe=recipe, seed=stream.derive("train"), on_step=on_step)
    user.provenance["retrained"] = {
        "data": data.name,
        "layers": names,
        "fresh": fresh,
        "recipe": TypeAdapter(Recipe).dump_python(recipe, mode="json"),
    }
    return user.eval()
