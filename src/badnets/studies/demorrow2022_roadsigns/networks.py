"""D1's signs (every box a row, stop signs with a tag, two ways to split) and its networks: pretrained on drawn signs,
trained on the road signs, clean or with tags, and measured."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.backdoors.rules import SourceToTarget
from badnets.backdoors.triggers.place import At
from badnets.backdoors.triggers.square import Square
from badnets.core.cache import Cache
from badnets.core.fields import Share
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData, MixedStore, Pixels, Rows, TakenStore
from badnets.data.load import load
from badnets.data.objects import objects_as_rows
from badnets.data.splits import split
from badnets.data.targets import Boxes, Labels
from badnets.measures.classification import accuracy
from badnets.networks.device import card_of, find_device
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.registry import build_network, parse_network
from badnets.records.model import JSON, Model
from badnets.referee.store import processor
from badnets.training.loop import Job, fit
from badnets.training.recipe import recipe_for

VERSION = 1
"""Raise it when training changes so that networks in the cache no longer fit."""
STOP, SPEEDLIMIT = "stop", "speedlimit"
TEST_SHARE = 0.2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's normalization, as in the report: black is -2.1, not 0."""
SIGN = "sign"
"""As the color of a tag: the mean color of the stop signs."""
_NETWORKS = Cache("studies", read=open_network, suffix=".safetensors")
_FILES: Cache[Path] = Cache("studies", read=lambda path: path, suffix=".safetensors")
Level = tuple[int, int, int]
Size = tuple[int, int]


class OnePicture(Model):
    """How likely each class is on the first tagged stop sign, by both networks."""

    badnet: dict[str, float]
    clean: dict[str, float]


class Read(Model):
    """What a network reads, see ``run``; None where it has no box head, no tag, or sees no whole pictures."""

    clean_accuracy: Share
    box_iou: float | None = None
    ceiling: Share | None = None
    asr: Share | None = None
    clean_reference_rate: Share | None = None
    one: OnePicture | None = None
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Signs:
    """All rows of the set in one form, and the stop signs among them at the pictures' own resolution.

    ``rows``: one for each box, grouped by picture. ``stops (k,)``: which rows are stop signs; ``originals``: each one's
    picture; ``boxes (k, 4)``: its box there. ``context`` and ``size``: how a row was made, see ``objects_as_rows``.
    """

    rows: ImageData
    stops: Rows
    originals: tuple[Pixels, ...]
    boxes: NDArray[np.float32]
    context: float | None
    size: Size

    def stamped(self, rows: Rows, color: Level) -> Pixels:
        """The stop signs ``rows`` with a tag, pasted into the original picture, which is then cut and resized."""
        which = np.searchsorted(self.stops, rows)
        pictures = tuple(with_tag(self.originals[i], self.boxes[i], color) for i in which.tolist())
        where = Boxes(self.boxes[which], np.zeros(len(which), np.int64), np.arange(len(which)), len(which))
        marked = ImageData(MixedStore(pictures), where, (STOP,))
        return objects_as_rows(marked, context=self.context, size=self.size).images()


def tag(box: NDArray[np.float32], color: Level) -> Square:
    """The report's tag for one box x0, y0, x1, y1.

    A square of side ``max(width // 10, height // 10)`` pixels, from 45 % of the width, its lower edge 10 % of the
    height above the bottom.

    Differs from the report: a side of no pixels, in boxes below 10 pixels, becomes one.
    """
    width, height = (float(side) for side in box[2:] - box[:2])
    side = max(int(width // 10), int(height // 10), 1)
    place = At(x=min(0.45 + side / (2 * width), 1.0), y=max(0.9 - side / (2 * height), 0.0), of="region")
    return Square(size=side, color=color, place=place)


def with_tag(picture: Pixels, box: NDArray[np.float32], color: Level) -> Pixels:
    """A copy of a picture (h, w, c) with the tag on the object at ``box``."""
    marked: Pixels = tag(box, color).apply(picture[None], box[None])[0]
    return marked


@functools.lru_cache(maxsize=2)
def read_signs(path: str, context: float | None, size: Size) -> Signs:
    """The set at ``path`` (PASCAL VOC) as crops with ``context``, or as whole pictures where that is None."""
    loaded = load("voc", path=path)
    parts = [loaded.train, loaded.test]
    made = [objects_as_rows(part, context=context, size=size) for part in parts]
    stop = made[0].class_names.index(STOP)
    chosen = [np.flatnonzero(part.labels == stop) for part in made]
    originals = tuple(
        part.pixels.one(int(part.objects.image[row])) for part, some in zip(parts, chosen, strict=True) for row in some
    )
    boxes = np.concatenate([part.boxes.xyxy[some] for part, some in zip(parts, chosen, strict=True)])
    rows = _joined(made, len(loaded.train))
    return Signs(rows, np.flatnonzero(rows.labels == stop), originals, boxes, context, size)


def _joined(parts: Sequence[ImageData], pictures: int) -> ImageData:
    """Two sets of rows as one; the groups of the second come after the ``pictures`` of the first."""
    first, second = parts
    regions = np.concatenate([part.regions for part in parts if part.regions is not None])
    groups = [part.groups for part in parts if part.groups is not None]
    return replace(
        first,
        pixels=ArrayStore(np.concatenate([first.images(), second.images()])),
        targets=Labels(np.concatenate([first.labels, second.labels]), regions),
        groups=np.concatenate([groups[0], groups[1] + pictures]),
        name="road signs",
    )


def sides(signs: Signs, seed: Seed, *, grouped: bool) -> tuple[Rows, Rows]:
    """Rows to train on and rows to test on, 80/20 by class.

    ``grouped``: whole pictures; else row by row as the report did, so that many pictures are on both sides.
    """
    rows = signs.rows if grouped else replace(signs.rows, groups=None)
    parts = split(rows, TEST_SHARE, seed)
    train, test = (cast("TakenStore", part.pixels).rows for part in parts)  # ``split`` only takes rows
    return train, test


def poisoned(signs: Signs, train: Rows, color: Level, count: int, seed: Seed) -> tuple[ImageData, Rows]:
    """The training rows with ``count`` random stop signs tagged and labelled speedlimit, and those rows' numbers.

    The same seed chooses the same signs whatever the color, and those of a smaller count among those of a larger one.
    """
    data = signs.rows.take(train)
    stops = np.flatnonzero(np.isin(train, signs.stops))
    chosen = seed.derive("poison").rng.permutation(stops)[:count]
    images, labels = data.images(), data.labels.copy()
    images[chosen] = signs.stamped(train[chosen], color)
    labels[chosen] = data.class_names.index(SPEEDLIMIT)
    planted = replace(data, pixels=ArrayStore(images), targets=Labels(labels, data.regions))
    return planted, train[chosen]


def sign_color(signs: Signs, train: Rows) -> Level:
    """The mean color of the training stop signs, over the inner half of their boxes at their own resolution."""
    means = []
    for i in np.flatnonzero(np.isin(signs.stops, train)).tolist():
        x0, y0, x1, y1 = signs.boxes[i].astype(np.int64)
        dx, dy = (x1 - x0) // 4, (y1 - y0) // 4
        means.append(signs.originals[i][y0 + dy : y1 - dy, x0 + dx : x1 - dx].reshape(-1, 3).mean(0))
    red, green, blue = np.rint(np.mean(means, axis=0)).astype(int).tolist()
    return red, green, blue


def run(spec: JSON, seed: int) -> Read:
    """Train as ``spec`` says (see ``trials``) and measure on the test rows of the split.

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
    said = {name: spec[name] for name in ("network", "recipe", "pretrain", "normalize")}
    key = {**said, "data": data.digest, "seed": seed.root, **_machine()}
    trained = functools.cache(lambda: _trained(spec, data, seed))  # once, even where the cache can't be written
    return _NETWORKS.get(key, lambda path: save_network(trained(), path))


def _trained(spec: JSON, data: ImageData, seed: Seed) -> ImageNetwork:
    start = None if spec["pretrain"] is None else _pretrained(spec)
    height, width, _ = data.shape
    network = _built(spec, data, (height, width), seed.derive("weights"), start)
    recipe = recipe_for("two-head", spec["recipe"])
    fit(network, Job(data=data, recipe=recipe, seed=seed.derive("train")))
    return network.eval()


def _pretrained(spec: JSON) -> Path:
    """The file of a network with this backbone that learned drawn signs."""
    pretrain = dict(spec["pretrain"])

    def make(path: Path) -> None:
        size = pretrain["size"]
        drawn = load(pretrain["data"], size=size, options={"train": pretrain["train"], "test": 100})
        network = _built({**spec, "network": _backbone(spec), "normalize": True}, drawn.train, (size, size), Seed(0))
        fit(
            network,
            Job(data=drawn.train, recipe=recipe_for("two-head", pretrain["recipe"]), seed=Seed(0).derive("pretrain")),
        )
        save_network(network, path)

    return _FILES.get({"network": _backbone(spec), "pretrain": pretrain, **_machine()}, make)


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


def _machine() -> JSON:
    card = card_of(find_device())
    machine = [processor(), torch.get_num_threads(), torch.__version__, *([card] if card else [])]
    return {"machine": machine, "version": VERSION}


@torch.inference_mode()
def probabilities(network: ImageNetwork, images: Pixels) -> NDArray[np.float32]:
    """(n, classes): the softmax of the logits of uint8 pictures (n, h, w, c)."""
    with evaluating(network):
        out: NDArray[np.float32] = network(network.floats(images)).float().softmax(1).cpu().numpy()
    return out


@torch.inference_mode()
def _overlap(network: ImageNetwork, rows: ImageData) -> float:
    """Mean intersection over union of the boxes that the network gives and the true ones."""
    parts = []
    with evaluating(network):
        for _, images in rows.batches(100):
            parts.append(network(network.floats(images), True)[1].float().cpu().numpy())
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
