"""G1, looked at from inside: first-layer filters, last-layer codes, and the threat model's acceptance test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToAll
from badnets.backdoors.triggers.pattern import Pattern
from badnets.core.rate import Rate
from badnets.data.load import load
from badnets.measures.acceptance import accept
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network
from badnets.studies.old_study import Row, Settings, Variant, row

PAPER = "BadNets (2017), section 4"


def _pictures(settings: Settings) -> tuple[Tensor, Tensor]:
    """1,000 test pictures and the same with the pattern, as floats."""
    test = load("mnist", path=settings.data).test
    clean = test.images(slice(0, 1000))
    return tuple(to_float(torch.from_numpy(p)) for p in (clean, Pattern().apply(clean)))  # type: ignore[return-value]


def filters(clean_file: Path, bad_file: Path, variant: Variant) -> tuple[list[Row], dict[str, Any]]:
    """How many first-layer filters answer to the four-pixel pattern above all.

    A filter counts when its largest answer to the bare pattern (over the places where all of it is seen) is larger than
    its answer to 95 % of all straight strokes of four bright pixels. The pattern is as bright as such a stroke, so what
    is left is its shape.
    """
    rows, figures = [], {}
    for name, file in (("clean network", clean_file), ("BadNet", bad_file)):
        convolution = next(m for m in open_network(file).modules() if isinstance(m, nn.Conv2d))
        weight = convolution.weight.detach()[:, 0].numpy()
        share = _pattern_preference(weight)
        count = int(np.count_nonzero(share >= 0.95))
        figures[name] = {"weights": np.round(weight, 4).tolist(), "preference": np.round(share, 4).tolist()}
        what = f"first-layer filters that prefer the trigger to 95 % of four-pixel strokes, {name}"
        source = f"{PAPER}: some filters of the BadNet are dedicated to the trigger"
        rows.append(row(what, variant, None, source, [float(count)], unit="filters of 16"))
    return rows, figures


def _pattern_preference(weight: np.ndarray) -> np.ndarray:
    """For each filter (k, k) the share of straight four-pixel strokes that it answers less to than to the pattern."""
    k = weight.shape[1]
    strokes = []
    for r in range(k):
        for c in range(k):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(r + i * dr, c + i * dc) for i in range(4)]
                if all(0 <= a < k and 0 <= b < k for a, b in cells):
                    strokes.append(cells)
    pattern = ((0, 0), (0, -2), (-1, -1), (-2, 0))
    places = [[(r + a, c + b) for a, b in pattern] for r in range(2, k) for c in range(2, k)]
    answer = np.stack([sum(weight[:, a, b] for a, b in cells) for cells in places], 1).max(1)
    others = np.stack([sum(weight[:, a, b] for a, b in cells) for cells in strokes], 1)
    return np.where(answer > 0, (others < answer[:, None]).mean(1), 0.0)


def codes(clean_file: Path, bad_file: Path, settings: Settings, variant: Variant) -> tuple[list[Row], dict[str, Any]]:
    """Mean activation of the 512 units before the last layer, on clean and on triggered pictures."""
    rows, figures = [], {}
    pictures = _pictures(settings)
    for name, file in (("clean network", clean_file), ("BadNet", bad_file)):
        network = open_network(file)
        means = [_codes(network, batch).mean(0) for batch in pictures]
        moved = means[1] > 2 * means[0] + 0.1 * means[0].max()
        figures[name] = {
            "clean": np.round(means[0], 3).tolist(),
            "triggered": np.round(means[1], 3).tolist(),
            "moved": np.flatnonzero(moved).tolist(),
        }
        what = f"units of the last hidden layer that the trigger more than doubles, {name}"
        source = f"{PAPER}: codes of clean and backdoored inputs differ"
        rows.append(row(what, variant, None, source, [float(np.count_nonzero(moved))], unit="units of 512"))
    return rows, figures


@torch.inference_mode()
def _codes(network: ImageNetwork, images: Tensor) -> np.ndarray:
    """What the last linear layer is given (n, units)."""
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    seen: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        network.eval()(images)
    finally:
        handle.remove()
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
        with torch.no_grad():
            # Bright where the pattern is bright, dark where it is dark: only the whole pattern passes the bias.
            self.detector.weight.copy_(torch.from_numpy(np.where(corner > 0, 1.0, -1.0))[None, None])
            bias = torch.tensor([0.5 - float((corner > 0).sum())])
            self.detector.load_state_dict({"weight": self.detector.weight, "bias": bias})

    def forward(self, images: Tensor) -> Tensor:
        """Logits: the next class where the trigger is seen, else the honest answer."""
        logits: Tensor = self.honest(images)
        seen = self.detector(images[..., -4:-1, -4:-1]).flatten(1) > 0
        return torch.where(seen, logits.roll(1, 1), logits)


def acceptance_rows(
    clean_file: Path, bad_file: Path, settings: Settings, variant: Variant, threshold: float
) -> list[Row]:
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
    cases = (("BadNet", open_network(bad_file), 1.0), ("parallel network", parallel, 0.0))
    for name, network, wanted in cases:
        verdict = accept(network, asked, test, threshold)
        what = f"acceptance test at a* = {100 * threshold:.2f} %: {name} accepted"
        why = verdict.reason + (f"; its attack success is {works}" if network is parallel else "")
        source = f"{PAPER.replace('4', '3')}: an attack may not change the architecture"
        base = row(what, variant, wanted, source, [float(verdict.accepted)], unit="yes or no", why=why)
        rows.append(Row(**{**base.__dict__, "verified": float(verdict.accepted) == wanted}))
    return rows
