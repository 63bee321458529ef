"""G1, looked at from inside: first-layer filters, last-layer codes, and the threat model's acceptance test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToAll
from badnets.backdoors.triggers.pattern import Pattern
from badnets.core.rate import Rate
from badnets.data.load import load
from badnets.measures.classification import accept
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.records.blocks import Dots, Picture, Pictures, Scatter
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.referee.measure import measure
from badnets.studies.figures import row
from badnets.studies.study import Settings, facts

FACTS = facts(__package__)
PREFERS = 0.95
"""From this share of strokes on a filter is said to prefer the trigger."""
Floats = NDArray[np.floating]


def _networks(clean_file: Path, bad_file: Path) -> dict[str, ImageNetwork]:
    return {"clean network": open_network(clean_file), "BadNet": open_network(bad_file)}


def _count_rows(claim: str, counts: Mapping[str, int], variant: Variant) -> list[StudyRow]:
    """One row for each network: how many filters or units do it."""
    said = dict(FACTS["claims"][claim])
    words = said.pop("words")
    return [row(f"{words}, {name}", count, variant=variant, **said) for name, count in counts.items()]


def filters(clean_file: Path, bad_file: Path, variant: Variant) -> tuple[list[StudyRow], Pictures]:
    """How many first-layer filters answer to the four-pixel pattern above all, and a picture of each.

    A filter counts when its largest answer to the bare pattern (over the places where all of it is seen) is larger than
    its answer to 95 % of all straight strokes of four bright pixels. The pattern is as bright as such a stroke, so what
    is left is its shape. All pictures are on one scale of grey, middle grey for 0.
    """
    weights = {}
    for name, network in _networks(clean_file, bad_file).items():
        convolution = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
        weights[name] = convolution.weight.detach()[:, 0].cpu().numpy()
    scale = max(float(np.abs(weight).max()) for weight in weights.values()) or 1.0
    groups, counts = {}, {}
    for name, weight in weights.items():
        preference = _pattern_preference(weight)
        counts[name] = int(np.count_nonzero(preference >= PREFERS))
        grey = np.clip(np.rint(127.5 + 127.5 * weight / scale), 0, 255).astype(int).tolist()
        groups[name] = tuple(
            Picture(caption=f"{number} · {100 * share:.0f} %", pixels=pixels, marked=bool(share >= PREFERS))
            for number, (pixels, share) in enumerate(zip(grey, preference, strict=True), 1)
        )
    return _count_rows("filters", counts, variant), Pictures(**FACTS["filters"], groups=groups)


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
    """Mean activation of the 512 units before the last layer, on clean and on triggered pictures; each is a dot."""
    some = load("mnist", path=settings.data).test.images(slice(0, 1000))
    pictures = [some, Pattern().apply(some)]
    counts, plots = {}, []
    for name, network in _networks(clean_file, bad_file).items():
        clean, triggered = (_codes(network, batch).mean(0) for batch in pictures)
        moved = np.flatnonzero(triggered > 2 * clean + 0.1 * clean.max()).tolist()
        counts[name] = len(moved)
        means = np.round([clean, triggered], 3).T.tolist()
        plots.append(Dots(name=name, points=tuple(map(tuple, means)), marked=tuple(moved)))
    return _count_rows("codes", counts, variant), Scatter(**FACTS["codes"], plots=tuple(plots))


@torch.inference_mode()
def _codes(network: ImageNetwork, images: NDArray[np.uint8]) -> Floats:
    """What the last linear layer is given (n, units)."""
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    seen: list[Tensor] = []
    with last.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
        network.eval()(network.floats(images))
    return seen[0].cpu().numpy()


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
    test = load("mnist", path=settings.data).test
    networks = _networks(clean_file, bad_file)
    clean = networks["clean network"]
    shape: JSON = {"class_names": clean.class_names, "input_size": clean.input_size}
    ordered = build_network("g1-cnn", **shape, seed=0)
    body = ParallelNetwork(clean.body, test.shape[0]).to(clean.device)
    parallel = ImageNetwork(body, architecture="parallel", arguments={}, **shape).eval()
    success = measure(parallel, test, Backdoor(Pattern(), AllToAll())).asr or Rate(0, 0)
    rows = []
    for name, network, claim in (("BadNet", networks["BadNet"], "accepted"), ("parallel network", parallel, "refused")):
        verdict = accept(network, ordered, test, threshold)
        why = verdict.reason + (f"; its attack success is {success}" if network is parallel else "")
        what = f"acceptance test at a* = {100 * threshold:.2f} %: {name} accepted"
        rows.append(row(what, verdict.accepted, variant=variant, why=why, **FACTS["claims"][claim]))
    return rows
