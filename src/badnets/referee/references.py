"""Clean references in the cache: many runs compare with the same one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from pydantic import TypeAdapter

from badnets.attacks.pgd import PGD
from badnets.core.cache import CacheWarning, cache_dir
from badnets.core.errors import BadInput
from badnets.core.files import digest
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.referee.checks import initial_weights
from badnets.referee.record import processor
from badnets.referee.spec import Spec
from badnets.training.loop import Trained

VERSION = 1
"""Raise it when the loop changes so that old references no longer fit."""


def cached_reference(
    spec: Spec, train: ImageData, seed: Seed, make: Callable[[], Trained], adversary: PGD | None = None
) -> tuple[ImageNetwork, list[dict[str, float]]]:
    """The reference and its history; trained by ``make`` if the cache has none from the same recipe, data, seed,
    threads and versions. A damaged one is trained anew; a cache that can't be written costs one warning."""
    key = digest(
        {
            "version": VERSION,
            "network": spec.network,
            "recipe": spec.to_json()["recipe"],
            "data": train.digest,
            "seed": [seed.root, *seed.path],
            **initial_weights(spec),
            **({} if adversary is None else {"adversary": TypeAdapter(PGD).dump_python(adversary)}),
            "machine": [processor(), torch.get_num_threads(), torch.__version__, spec.device, spec.devices],
        }
    )
    path = cache_dir() / "references" / f"{key[:32]}.safetensors"
    if path.exists():
        try:
            network = open_network(path)
            history: Any = network.provenance["history"]
            return network, list(history)
        except (BadInput, KeyError):
            warnings.warn(f"a damaged reference in the cache is trained anew ({path.name})", CacheWarning, stacklevel=2)
    trained = make()
    trained.network.provenance.update(
        {"made_by": "badnets", "role": "clean reference", "data": train.name, "history": trained.history}
    )
    try:
        save_network(trained.network, path)
    except (OSError, BadInput) as error:
        sentence = f"the clean reference is not kept: the cache can't be written ({error})"
        warnings.warn(sentence, CacheWarning, stacklevel=2)
    return trained.network, trained.history
