"""What can be done with a network, and what a method that needs more says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.defenses.abstain import ABSTAINERS
from badnets.defenses.repair import REPAIRS, DefenderView, repair
from badnets.networks.capabilities import Capability, capabilities, needs, why_not
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Branching(Plain):
    def forward(self, x: Tensor) -> Tensor:
        answers = super().forward(x)
        return answers if answers.sum() > 0 else 2 * answers


class Frozen(Plain):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(x)


def wrapped(body: nn.Module) -> ImageNetwork:
    return wrap(body, class_names=["a", "b"], input_size=(3, 8, 8))


def test_a_plain_network_can_everything_and_is_left_as_it_was() -> None:
    network = wrapped(Plain()).train()
    assert capabilities(network) == frozenset(Capability)
    assert network.training
    assert all(one.grad is None for one in network.parameters())


def test_what_depends_on_its_numbers_has_gradients_but_no_surgery() -> None:
    assert capabilities(wrapped(Branching())) == {Capability.ANSWERS, Capability.GRADIENTS}
    assert "control flow" in (why_not(wrapped(Branching()), Capability.SURGERY) or "")


def test_what_answers_without_autograd_has_surgery_but_no_gradients() -> None:
    assert Capability.GRADIENTS not in capabilities(wrapped(Frozen()))


def test_a_guard_and_a_resnet_have_what_their_parts_have() -> None:
    network = build_network("resnet20", class_names=["a", "b"], input_size=(3, 8, 8), seed=1, arguments={"width": 2})
    assert capabilities(network) == frozenset(Capability)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("prune", Branching(), r"^prune: expected a network whose pass torch.fx can follow \(surgery\), got one that"),
        ("prune", Branching(), r"these need less: .*fine-tune.*"),
        ("fine-tune", Frozen(), "^fine-tune: expected a network that gradients go through, got one that lacks it"),
    ],
)
def test_a_repair_is_refused_before_it_starts(kind: str, body: nn.Module, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        repair(DefenderView(network=wrapped(body)), REPAIRS.make(kind))
    assert len(str(refused.value)) <= 400


def test_every_method_says_what_it_needs() -> None:
    assert {kind: needs(one).word for kind, one in REPAIRS.own.items()} == {
        "anp": "surgery",
        "clp": "surgery",
        "distill": "gradients",
        "fine-prune": "surgery",
        "fine-tune": "gradients",
        "fst": "gradients",
        "ft-sam": "gradients",
        "i-bau": "gradients",
        "invert": "gradients",
        "nad": "gradients",
        "nft": "surgery",
        "prune": "surgery",
        "rnp": "surgery",
        "unlearn": "gradients",
    }
    assert needs(ABSTAINERS.make("strip")) is Capability.ANSWERS
    assert needs(ABSTAINERS.make("agreement")) is Capability.GRADIENTS
    assert needs(ABSTAINERS.make("agreement", {"repair": "prune"})) is Capability.SURGERY
