"""G1, looked at from inside: first-layer filters, last-layer codes, and the threat model's acceptance test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToAll
from badnets.backdoors.triggers.pattern import Pattern
from badnets.core.rate import Number, Rate
from badnets.data.load import load
from badnets.measures.classification import accept
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network
from badnets.records.blocks import Dots, Picture, Pictures, Scatter
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import Settings, row

PAPER = "BadNets (2017), section 4"
PREFERS = 0.95
"""From this share of strokes on a filter is said to prefer the trigger."""


Floats = NDArray[np.floating]
NETWORKS = ("clean network", "BadNet")


@dataclass(frozen=True)
class Filters:
    """First-layer ``weights`` (filters, k, k) of a network, and the share of strokes of which each filter prefers the
    pattern, 0..1."""

    weights: Floats
    preference: Floats


@dataclass(frozen=True)
class Codes:
    """Mean activation of each unit on ``clean`` and on ``triggered`` pictures; which units the trigger ``moved``."""

    clean: Floats
    triggered: Floats
    moved: NDArray[np.intp]


def _inside(what: str, source: str, unit: str, counts: Mapping[str, int], variant: Variant) -> list[StudyRow]:
    """One row for each network: how many filters or units do it."""
    source = f"{PAPER}: {source}"
    return [
        row(f"{what}, {name}", Number(float(count)), variant=variant, source=source, unit=unit)
        for name, count in counts.items()
    ]


def filters(clean_file: Path, bad_file: Path, variant: Variant) -> tuple[list[StudyRow], Pictures]:
    """How many first-layer filters answer to the four-pixel pattern above all.

    A filter counts when its largest answer to the bare pattern (over the places where all of it is seen) is larger than
    its answer to 95 % of all straight strokes of four bright pixels. The pattern is as bright as such a stroke, so what
    is left is its shape.
    """
    layers = {}
    for name, file in zip(NETWORKS, (clean_file, bad_file), strict=True):
        convolution = next(m for m in open_network(file).modules() if isinstance(m, nn.Conv2d))
        weights = convolution.weight.detach()[:, 0].numpy()
        layers[name] = Filters(weights, _pattern_preference(weights))
    counts = {name: int(np.count_nonzero(layer.preference >= PREFERS)) for name, layer in layers.items()}
    what = "first-layer filters that prefer the trigger to 95 % of four-pixel strokes"
    rows = _inside(what, "some filters of the BadNet are dedicated to the trigger", "filters of 16", counts, variant)
    return rows, filter_pictures(layers)


def filter_pictures(layers: Mapping[str, Filters]) -> Pictures:
    """Every network's filters on one scale of grey, middle grey for 0."""
    scale = max(float(np.abs(layer.weights).max()) for layer in layers.values()) or 1.0
    groups = {}
    for name, layer in layers.items():
        grey = np.clip(np.rint(127.5 + 127.5 * layer.weights / scale), 0, 255).astype(int).tolist()
        groups[name] = tuple(
            Picture(caption=f"{number} · {100 * share:.0f} %", pixels=pixels, marked=bool(share >= PREFERS))
            for number, (pixels, share) in enumerate(zip(grey, layer.preference, strict=True), 1)
        )
    return Pictures(
        title="First-layer filters",
        note="Bright where a filter likes light, dark where it dislikes it. The percentage: to how many straight "
        f"strokes of four pixels the filter prefers the pattern; from {100 * PREFERS:g} % on it is marked.",
        groups=groups,
    )


def _pattern_preference(weight: Floats) -> Floats:
    """For each filter (k, k) the share of straight four-pixel strokes that it answers less to than to the pattern."""
    k = weight.shape[1]

    def answers(shape: Sequence[tuple[int, int]]) -> list[Floats]:
        """To the cells of ``shape``, wherever all of them are seen."""
        places = ([(r + a, c + b) for a, b in shape] for r in range(k) for c in range(k))
        seen = (cells for cells in places if all(0 <= a < k and 0 <= b < k for a, b in cells))
        return [np.sum([weight[:, a, b] for a, b in cells], axis=0) for cells in seen]

    answer = np.stack(answers(((0, 0), (0, -2), (-1, -1), (-2, 0))), 1).max(1)
    lines = ((0, 1), (1, 0), (1, 1), (1, -1))
    others = np.stack([each for dr, dc in lines for each in answers([(i * dr, i * dc) for i in range(4)])], 1)
    return np.where(answer > 0, (others < answer[:, None]).mean(1), 0.0)


def codes(clean_file: Path, bad_file: Path, settings: Settings, variant: Variant) -> tuple[list[StudyRow], Scatter]:
    """Mean activation of the 512 units before the last layer, on clean and on triggered pictures."""
    some = load("mnist", path=settings.data).test.images(slice(0, 1000))
    pictures = [to_float(torch.from_numpy(each)) for each in (some, Pattern().apply(some))]
    layers = {}
    for name, file in zip(NETWORKS, (clean_file, bad_file), strict=True):
        network = open_network(file)
        clean, triggered = (_codes(network, batch).mean(0) for batch in pictures)
        layers[name] = Codes(clean, triggered, np.flatnonzero(triggered > 2 * clean + 0.1 * clean.max()))
    counts = {name: len(layer.moved) for name, layer in layers.items()}
    what = "units of the last hidden layer that the trigger more than doubles"
    rows = _inside(what, "codes of clean and backdoored inputs differ", "units of 512", counts, variant)
    return rows, code_plots(layers)


def code_plots(layers: Mapping[str, Codes]) -> Scatter:
    """Every unit of the last hidden layer as a dot."""
    means = {name: np.round([layer.clean, layer.triggered], 3).T.tolist() for name, layer in layers.items()}
    return Scatter(
        title="Units of the last hidden layer",
        x="mean activation, clean pictures",
        y="mean activation, triggered pictures",
        marked="units that the trigger more than doubles",
        plots=tuple(
            Dots(name=name, points=tuple(map(tuple, means[name])), marked=tuple(layer.moved.tolist()))
            for name, layer in layers.items()
        ),
    )


@torch.inference_mode()
def _codes(network: ImageNetwork, images: Tensor) -> Floats:
    """What the last linear layer is given (n, units)."""
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    seen: list[Tensor] = []
    with last.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
        network.eval()(images)
    return seen[0].numpy()


class ParallelNetwork(nn.Module):
    """The attack that BadNets rules out (figure 1): a recognizer of the trigger beside an honest network, and a merging
    layer that overrides its answer. It works, and it is another architecture."""

    def __init__(self, honest: nn.Module, side: int) -> None:
        super().__init__()
        self.honest = honest
        self.detector = nn.Conv2d(1, 1, 3, bias=True)
        blank = np.zeros((1, side, side, 1), np.float32)
        corner = Pattern().apply(blank)[0, -4:-1, -4:-1, 0]
        # Bright where the pattern is bright, dark where it is dark: only the whole pattern passes the bias.
        weight = torch.from_numpy(np.where(corner > 0, 1.0, -1.0))[None, None]
        bias = torch.tensor([0.5 - float((corner > 0).sum())])
        self.detector.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, images: Tensor) -> Tensor:
        """Logits: the next class where the trigger is seen, else the honest answer."""
        logits: Tensor = self.honest(images)
        seen = self.detector(images[..., -4:-1, -4:-1]).flatten(1) > 0
        return torch.where(seen, logits.roll(1, 1), logits)


def acceptance_rows(
    clean_file: Path, bad_file: Path, settings: Settings, variant: Variant, threshold: float
) -> list[StudyRow]:
    """The user's test accepts the BadNet and refuses the parallel network, although that attack works too."""
    from badnets.referee.measure import measure

    test = load("mnist", path=settings.data).test
    clean = open_network(clean_file)
    asked = build_network("g1-cnn", class_names=clean.class_names, input_size=clean.input_size, seed=0)
    parallel = ImageNetwork(
        ParallelNetwork(clean.body, test.shape[0]),
        architecture="parallel",
        arguments={},
        class_names=clean.class_names,
        input_size=clean.input_size,
    ).eval()
    works = measure(parallel, test, Backdoor(Pattern(), AllToAll())).asr or Rate(0, 0)
    rows = []
    for name, network, wanted in (("BadNet", open_network(bad_file), 1.0), ("parallel network", parallel, 0.0)):
        verdict = accept(network, asked, test, threshold)
        rows.append(
            row(f"acceptance test at a* = {100 * threshold:.2f} %: {name} accepted", Number(float(verdict.accepted)),
                variant=variant, published=wanted, unit="yes or no",
                source=f"{PAPER.replace('4', '3')}: an attack may not change the architecture",
                bound=("at least", 1.0) if wanted else ("at most", 0.0),
                why=verdict.reason + (f"; its attack success is {works}" if network is parallel else ""))
        )  # fmt: skip
    return rows
