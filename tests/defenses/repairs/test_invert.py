from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.inversion import Stamp
from badnets.defenses.repair import repair
from badnets.defenses.repairs.invert import Invert
from badnets.defenses.view import DefenderView
from badnets.networks.network import ImageNetwork, to_float


def plant(network: ImageNetwork, data: ImageData, stamp: Stamp, target: int) -> None:
    images, labels = to_float(torch.from_numpy(data.images())), torch.tensor(data.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    for _ in range(60):
        optimizer.zero_grad()
        both = functional.cross_entropy(network(stamp.apply(images)), torch.full_like(labels, target))
        (both + functional.cross_entropy(network(images), labels)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.zero_grad()


def test_a_planted_backdoor_is_found_and_unlearned(plain: ImageNetwork, digits: ImageData) -> None:
    digits = digits.take(np.arange(150))
    mask = torch.zeros(1, 16, 16)
    mask[:, -3:, -3:] = 1
    stamp = Stamp(mask, torch.ones(1, 16, 16))
    plant(plain, digits, stamp, 7)
    done = repair(
        DefenderView(network=plain, data=digits, seed=Seed(1)),
        Invert(rounds=2, starts=1, epochs=4, steps=40, augment=(), batch=32),
    )
    assert repr(digits.class_names[7]).strip("'") in done.chosen
    screens = [row for row in done.trace if "screened" in row]
    assert [row["screened"] for row in screens] == ["patch", "blend"]
    assert int(np.argmin(screens[0]["sizes"])) == 7
    others = digits.take(np.flatnonzero(digits.labels != 7))
    stamped = stamp.apply(to_float(torch.from_numpy(others.images())))
    before, after = (Rate.of((net(stamped).argmax(1) == 7).numpy()) for net in (plain, done.network))
    assert before.value > 0.6
    assert after.value < 0.2


def test_a_network_without_a_suspect_comes_back_as_it_came(view: DefenderView) -> None:
    done = repair(view, Invert(steps=20, small=0.01))
    assert "nothing to unlearn" in done.chosen
    assert len(done.trace) == 2
    assert all(torch.equal(a, b) for a, b in zip(view.network.parameters(), done.network.parameters(), strict=True))


def test_named_classes_are_the_suspects(view: DefenderView) -> None:
    names = view.network.class_names
    method = Invert(classes=(names[3], 5), rounds=1, starts=1, epochs=1, steps=10, attacks=0.1)
    done = repair(view, method)
    assert not [row for row in done.trace if "screened" in row]
    (search,) = [row for row in done.trace if "stamps" in row]
    assert {one["class"] for one in search["stamps"]} == {names[3], names[5]}
    with pytest.raises(BadInput, match="expected one of the network's 10 classes, got 'stop'"):
        repair(view, Invert(classes=("stop",)))
