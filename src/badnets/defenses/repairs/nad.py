"""Neural attention distillation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Tuning, sgd
from badnets.networks.network import ImageNetwork, layer_table

Betas = Annotated[tuple[float, float, float], Field(description="weights of the layers, the largest maps first")]


@kind_of(REPAIRS)
class Nad(Tuning):
    """Fine-tune a copy, the teacher, then tune the network so that it looks where the teacher looks.

    The loss is the cross entropy plus, for each of up to three layers, beta times the mean squared difference of the
    two attention maps. A map is the sum of the squared channels, divided by its Euclidean norm. The layers are the last
    ones at each size of map; of more than three sizes, the three smallest.

    Source: Li, Lyu, Koren, Lyu, Li, Ma, Neural Attention Distillation (2021), and the authors'
    main.py and at.py (betas 500, 1000, 1000; mean over positions; 0.1 for two epochs, then 0.01).
    Differs from the paper: layers are found by the size of their maps and not by the names of blocks; epochs of teacher
    and student are chosen on a clean hold-out, where their code keeps one by accuracy on the test set; fewer epochs
    (there 10 for the teacher); the rate falls along a cosine, and gradients are shortened to length 1.
    """

    kind: Literal["nad"] = "nad"
    teacher_epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures for the teacher")] = 5
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures for the student")] = 8
    betas: Betas = (500.0, 1000.0, 1000.0)
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose by")] = 0.1

    def repair(self, work: Work) -> str:
        """Tune a teacher, go back, and distill."""
        data, network = work.split(self.hold_out), work.network
        names = attention_layers(network)
        optimizer = sgd(network, self.learning_rate, decay=1e-4)
        work.part(0, self.teacher_epochs / (self.teacher_epochs + self.epochs))
        taught = self.tune(work, data, optimizer, epochs=self.teacher_epochs, name="teacher")
        if work.untouched:
            return f"of the teacher, {taught}"
        teacher = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        network.load_state_dict(work.view.network.state_dict())
        optimizer = sgd(network, self.learning_rate, decay=1e-4)
        betas = self.betas[len(self.betas) - len(names) :]

        def distance(images: Tensor, labels: Tensor) -> Tensor:
            with listening(network, names) as ours:
                loss = functional.cross_entropy(network(images), labels)
            with listening(teacher, names) as theirs, torch.no_grad():
                teacher(images)
            for beta, name in zip(betas, names, strict=True):
                loss = loss + beta * attention_distance(ours[name], theirs[name])
            return loss

        what = "the epochs of teacher and student"
        work.part(self.teacher_epochs / (self.teacher_epochs + self.epochs), 1)
        return self.tune(work, data, optimizer, distance, epochs=self.epochs, name="student", what=what)


def attention(maps: Tensor) -> Tensor:
    """(n, c, h, w) to (n, h * w): the sum of squares over channels, divided by its Euclidean norm."""
    return functional.normalize(maps.pow(2).sum(1).flatten(1), dim=1, eps=1e-6)


def attention_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean over pictures and positions of the squared difference of two attention maps."""
    return functional.mse_loss(attention(ours), attention(theirs))


def attention_layers(network: ImageNetwork) -> list[str]:
    """The last layer at each size of map above one pixel, at most the three smallest, in order of the pass."""
    last: dict[tuple[int, int], str] = {}
    for row in layer_table(network):
        shape = row["output_shape"]
        if shape and len(shape) == 3 and shape[1] * shape[2] > 1:
            last[shape[1], shape[2]] = row["name"]
    if not last:
        raise BadInput("nad: expected a network with maps of more than one pixel, got none; use --method fine-tune")
    order = sorted(last, key=lambda size: -size[0] * size[1])
    return [last[size] for size in order[-3:]]


@contextmanager
def listening(network: ImageNetwork, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Inside, a dict that each pass fills with the outputs of the layers ``names``."""
    heard: dict[str, Tensor] = {}

    def hear(name: str, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        heard[name] = output

    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(network.body.get_submodule(name).register_forward_hook(partial(hear, name)))
        yield heard
