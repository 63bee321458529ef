"""D1's networks: pretrained on drawn signs, trained on the road signs, clean or with tags, and measured."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from badnets.backdoors.rules import SourceToTarget
from badnets.core.cache import Cache
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Pixels, Rows
from badnets.data.load import load
from badnets.measures.classification import accuracy
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork, evaluating, to_float
from badnets.networks.registry import build_network, parse_network
from badnets.records.model import JSON
from badnets.referee.store import processor
from badnets.studies.demorrow2022_roadsigns.data import (
    SPEEDLIMIT,
    STOP,
    Level,
    Signs,
    poisoned,
    read_signs,
    sides,
    sign_color,
)
from badnets.studies.demorrow2022_roadsigns.rows import OnePicture, Read
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe, recipe_for

VERSION = 1
"""Raise it when training changes so that networks in the cache no longer fit."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's normalization, as in the report: black is -2.1, not 0."""
_NETWORKS = Cache("studies", read=open_network, suffix=".safetensors")
_FILES: Cache[Path] = Cache("studies", read=lambda path: path, suffix=".safetensors")
SIGN = "sign"
"""As the color of a tag: the mean color of the stop signs."""


def run(spec: JSON, seed: int) -> Read:
    """Train as ``spec`` says (see ``demorrow2022_roadsigns.trials``) and measure on the test rows of the split.

    ``clean_accuracy``; with a box head ``box_iou``, the mean overlap of the boxes; for whole pictures ``ceiling``, the
    accuracy of the best answer to a picture whose rows have several classes. With a tag: ``asr`` over all test stop
    signs, each tagged, ``clean_reference_rate``, the same signs on the clean network of this seed, and ``one``, the
    first of them as both networks read it.
    """
    data = spec["data"]
    signs = read_signs(data["path"], data["context"], tuple(data["size"]))
    stream = Seed(seed)
    train, test = sides(signs, stream, grouped=spec["split"] == "grouped")
    tag = spec.get("tag")
    rows = signs.rows.take(test)
    clean = clean_network(spec, signs, train, stream)
    color: Level = (0, 0, 0)
    if tag is not None:
        color = sign_color(signs, train) if tag["color"] == SIGN else tuple(tag["color"])
    network = clean if tag is None else _trained(spec, poisoned(signs, train, color, tag["count"], stream)[0], stream)
    read = Read(
        clean_accuracy=accuracy(predict_data(network, rows).labels, rows.labels),
        box_iou=_overlap(network, rows) if network.task == "locate" else None,
        ceiling=ceiling(rows.groups, rows.labels) if data["context"] is None and rows.groups is not None else None,
    )
    return read if tag is None else read.model_copy(update=_attacked(network, clean, signs, test, color))


def _attacked(badnet: ImageNetwork, clean: ImageNetwork, signs: Signs, test: Rows, color: Level) -> JSON:
    """What a network reads with the tag."""
    names = signs.rows.class_names
    rule = SourceToTarget(source=STOP, target=SPEEDLIMIT).resolve(names)
    stops = test[np.isin(test, signs.stops)]
    images = signs.stamped(stops, color)
    given = {"badnet": probabilities(badnet, images), "clean": probabilities(clean, images)}
    hits = {name: rule.hit(p.argmax(1), signs.rows.labels[stops], len(names)) for name, p in given.items()}
    one = {name: {label: round(float(v), 4) for label, v in zip(names, p[0], strict=True)} for name, p in given.items()}
    success, reference = Rate.of(hits["badnet"]), Rate.of(hits["clean"])
    return {"asr": success, "clean_reference_rate": reference, "one": OnePicture(**one), "color": color}


def clean_network(spec: JSON, signs: Signs, train: Rows, seed: Seed) -> ImageNetwork:
    """The network of this spec and seed without tags, from the cache: all tags are compared with the same one."""
    data = signs.rows.take(train)
    own = {name: spec[name] for name in ("network", "recipe", "pretrain", "normalize")}
    key = {**own, "data": data.digest, "seed": seed.root, **_machine()}
    trained = functools.cache(lambda: _trained(spec, data, seed))  # once, even where the cache can't be written
    return _NETWORKS.get(key, lambda path: save_network(trained(), path))


def _trained(spec: JSON, data: ImageData, seed: Seed) -> ImageNetwork:
    start = None if spec["pretrain"] is None else _pretrained(spec)
    height, width, _ = data.shape
    network = _built(spec, data, (height, width), seed.derive("weights"), start)
    recipe = _recipe(spec["recipe"])
    fit(network, Job(data=data, recipe=recipe, seed=seed.derive("train")))
    return network.eval()


def _pretrained(spec: JSON) -> Path:
    """The file of a network with this backbone that learned drawn signs."""
    own = dict(spec["pretrain"])

    def make(path: Path) -> None:
        size = own["size"]
        drawn = load(own["data"], size=size, options={"train": own["train"], "test": 100})
        network = _built({**spec, "network": _backbone(spec), "normalize": True}, drawn.train, (size, size), Seed(0))
        fit(network, Job(data=drawn.train, recipe=_recipe(own["recipe"]), seed=Seed(0).derive("pretrain")))
        save_network(network, path)

    return _FILES.get({"network": _backbone(spec), "pretrain": own, **_machine()}, make)


def _backbone(spec: JSON) -> str:
    """The network without what belongs to one trial: pretraining always has both heads."""
    name, arguments = parse_network(spec["network"])
    return f"{name}:backbone={arguments['backbone']}"


def _built(spec: JSON, data: ImageData, size: tuple[int, int], seed: Seed, start: Path | None = None) -> ImageNetwork:
    name, arguments = parse_network(spec["network"])
    return build_network(
        name,
        class_names=data.class_names,
        input_size=(3, *size),
        seed=seed,
        arguments={**arguments, **({} if start is None else {"weights": str(start)})},
        mean=MEAN if spec["normalize"] else None,
        std=STD if spec["normalize"] else None,
    )


def _recipe(changes: JSON) -> Recipe:
    return TypeAdapter(Recipe).validate_python(recipe_for("two-head", dict(changes)))


def _machine() -> JSON:
    return {"machine": [processor(), torch.get_num_threads(), torch.__version__], "version": VERSION}


@torch.inference_mode()
def probabilities(network: ImageNetwork, images: Pixels) -> NDArray[np.float32]:
    """(n, classes): the softmax of the logits of uint8 pictures (n, h, w, c)."""
    with evaluating(network):
        out: NDArray[np.float32] = network(to_float(torch.from_numpy(images))).float().softmax(1).numpy()
    return out


@torch.inference_mode()
def _overlap(network: ImageNetwork, rows: ImageData) -> float:
    """Mean intersection over union of the boxes that the network gives and the true ones."""
    parts = []
    with evaluating(network):
        for _, images in rows.batches(100):
            parts.append(network(to_float(torch.from_numpy(images)), True)[1].float().numpy())
    return float(iou(np.concatenate(parts), np.asarray(rows.regions)).mean())


def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of boxes (n, 4) pair by pair, 0..1; a box whose sides are crossed has no area."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    areas = [np.clip(box[:, 2:] - box[:, :2], 0, None).prod(1) for box in (first, second)]
    whole: NDArray[np.float32] = common / np.maximum(areas[0] + areas[1] - common, 1e-9)
    return whole


def ceiling(groups: NDArray[np.int64], labels: NDArray[np.int64]) -> Rate:
    """How many rows (n,) are answered rightly by the most frequent class of each picture, whose number is the group.

    A network that sees the picture whole gives all its rows one answer, which is right for one class only.
    """
    most = (np.bincount(labels[groups == group]).max() for group in np.unique(groups))
    return Rate(int(sum(most)), len(labels))
