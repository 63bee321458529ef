"""Networks trained by a spec; clean references among them are kept in the cache, for many runs want the same."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from badnets.attacks.pgd import PGD, AdversarialTraining
from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.files import expanded, file_digest
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.architecture import Architecture
from badnets.networks.code import code_named
from badnets.networks.device import card_of, find_device
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, check_shape, find_architecture, parse_network, skeleton
from badnets.records.model import JSON, Epoch
from badnets.referee.spec import Spec
from badnets.referee.store import processor
from badnets.training.hardware import check_devices
from badnets.training.loop import BatchHook, Job, Trained, drop_damaged, fit
from badnets.training.objectives import check_targets

VERSION = 1
"""Raise it when the loop changes so that old references no longer fit."""


def clean_reference(
    spec: Spec,
    train: ImageData,
    seed: Seed,
    *,
    folder: Path | None = None,
    watch: Watcher | None = None,
    note: str = "",
    adversary: PGD | None = None,
) -> tuple[ImageNetwork, tuple[Epoch, ...]]:
    """A network trained by the same recipe and seed on the clean data, reopened from its file, and its history. It is
    kept in the cache under recipe, data, seed, threads and versions; a damaged one is trained anew, and a cache that
    cannot be written costs one warning. In ``folder`` an interrupted training keeps its state, and where there is no
    cache the network is put there; ``note`` is added to what is said of it. With ``adversary`` it is trained
    adversarially: the surrogate of a clean-label attack."""

    @functools.cache
    def trained() -> ImageNetwork:
        checkpoint = None if folder is None else folder / f"{'-'.join(('reference', *seed.path))}.pt"
        what = f"training the clean reference{note}"
        made = train_network(spec, train, seed, checkpoint, watch or Watcher(), what, adversary=adversary)
        about = {"made_by": "badnets", "role": "clean reference", "data": train.name, "history": made.history}
        made.network.provenance.update(about)
        return made.network

    def write(path: Path) -> None:
        try:
            save_network(trained(), path)
        except BadInput as error:  # no room: the cache's fault, and no reason to lose the training
            raise OSError(str(error)) from None

    cache, key = _kept(spec, train, seed, adversary)
    network = cache.get(key, write, home=folder)
    return network, tuple(Epoch.model_validate(epoch) for epoch in network.provenance["history"])


def reference_at_hand(spec: Spec, train: ImageData, seed: Seed) -> ImageNetwork | None:
    """That network where the cache has it; nothing is trained."""
    cache, key = _kept(spec, train, seed)
    return cache.find(key)


def _kept(spec: Spec, train: ImageData, seed: Seed, adversary: PGD | None = None) -> tuple[Cache[ImageNetwork], JSON]:
    """Where a reference is kept, and under what."""
    device = find_device(spec.device)
    key: JSON = {
        "version": VERSION,
        "network": spec.network,
        "recipe": spec.to_json()["recipe"],
        "data": train.digest,
        "seed": [seed.root, *seed.path],
        **network_files(spec),
        **({} if adversary is None else {"adversary": TypeAdapter(PGD).dump_python(adversary)}),
        "machine": [processor(), torch.get_num_threads(), torch.__version__, card_of(device) or "cpu", spec.devices],
    }
    return Cache("references", read=partial(open_network, device=device), suffix=".safetensors"), key


def train_network(
    spec: Spec,
    data: ImageData,
    seed: Seed,
    checkpoint: Path | None,
    watch: Watcher,
    what: str,
    *,
    hooks: tuple[BatchHook, ...] = (),
    adversary: PGD | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
) -> Trained:
    """A new network of the spec's architecture and recipe, weights and order from ``seed``; with ``adversary`` on
    pictures that it moved against the network; ``input_range`` is the mean and deviation that it takes off."""
    name, arguments = parse_network(spec.network)
    h, w, c = data.shape
    mean, std = input_range
    network = build_network(
        name,
        class_names=data.class_names,
        input_size=(c, h, w),
        seed=seed.derive("weights"),
        arguments=arguments,
        mean=[mean] * c,
        std=[std] * c,
        device=spec.device,
    )
    if adversary is not None:
        hooks = (*hooks, AdversarialTraining(network=network, pgd=adversary))
    epochs = spec.recipe.epochs
    if checkpoint is not None and drop_damaged(checkpoint):
        watch.say(f"{what}: what was kept of it is damaged, so it starts again")

    def on_step(epoch: int, step: int, steps: int, accuracy: float | None) -> None:
        if step == steps:
            right = "" if accuracy is None else f", {100 * accuracy:.1f} % right"
            watch.mark(f"{what}: epoch {epoch + 1} of {epochs}{right}")
        watch.progress(what, epoch * steps + step, epochs * steps, accuracy)

    job = Job(
        data=data,
        recipe=spec.recipe,
        seed=seed.derive("train"),
        hooks=hooks,
        on_step=on_step if spec.devices == 1 else None,
        checkpoint=checkpoint,
        devices=spec.devices,
    )
    return fit(network, job)


def check_training(spec: Spec) -> None:
    """Refuse an unknown network or argument, or a missing device, before any data is read."""
    _architecture(spec)
    check_devices(spec.devices, find_device(spec.device))


def check_data(spec: Spec, train: ImageData) -> None:
    """Refuse pictures that the network can't take, by their size or by what is known of them (classes or boxes)."""
    architecture, arguments = _architecture(spec)
    height, width, channels = train.shape
    size = channels, height, width
    body = skeleton(architecture, train.classes, size, architecture.recorded(arguments))
    check_targets(getattr(body, "task", "classify"), train, architecture.name)
    check_shape(architecture.name, body, train.classes, size)


def _architecture(spec: Spec) -> tuple[Architecture, Mapping[str, Any]]:
    name, arguments = parse_network(spec.network)
    architecture = find_architecture(name)
    return architecture, architecture.resolve(arguments)


def network_files(spec: Spec) -> dict[str, str]:
    """SHA-256 of the files that a spec's network is made of: ``initial_weights`` that it starts from, the ``code`` of
    a user's own; ``{}`` without. What lies behind a path may change, and is then another experiment."""
    name, arguments = parse_network(spec.network)
    code = code_named(name)
    files = {"initial_weights": Path(str(arguments.get("weights", "")))}
    if code is not None:
        files["code"] = expanded(code.file)
    return {what: file_digest(path) for what, path in files.items() if path.is_file()}
