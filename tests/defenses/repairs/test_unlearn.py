from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses import stamps
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.invert import Invert
from badnets.defenses.repairs.unlearn import Unlearn
from badnets.defenses.stamps import (
    Form,
    Stamp,
    anomaly,
    invert,
    read_stamp,
    stamped_loss,
    with_stamps,
)
from badnets.defenses.tuning import descend
from badnets.networks.network import ImageNetwork, to_float


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    """A white 3x3 corner of a 16x16 picture."""
    mask = np.zeros((16, 16), np.float32)
    mask[-3:, -3:] = 1
    np.savez(tmp_path / "corner.npz", mask=mask, pattern=np.ones((16, 16, 1), np.float32))
    return tmp_path / "corner.npz"


def obedience(network: ImageNetwork, data: ImageData, stamp: Stamp) -> float:
    others = data.take(np.flatnonzero(data.labels != 0))
    answers = network(stamp.apply(to_float(torch.from_numpy(others.images())))).argmax(1)
    return Rate.of((answers == 0).numpy()).value or 0.0


def test_a_backdoor_is_unlearned_with_true_labels(plain: ImageNetwork, digits: ImageData, corner: Path) -> None:
    digits = digits.take(np.arange(150))
    stamp = read_stamp(corner, (1, 16, 16))
    images, labels = to_float(torch.from_numpy(digits.images())), torch.tensor(digits.labels)
    optimizer = torch.optim.Adam(plain.parameters(), lr=4e-3)
    for _ in range(60):
        optimizer.zero_grad()
        both = functional.cross_entropy(plain(stamp.apply(images)), torch.zeros_like(labels))
        (both + functional.cross_entropy(plain(images), labels)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    plain.zero_grad()
    assert obedience(plain, digits, stamp) > 0.6
    view = DefenderView(network=plain, data=digits, seed=Seed(1))
    done = repair(view, Unlearn(trigger=str(corner), epochs=6, augment=()))
    assert obedience(done.network, digits, stamp) < 0.1  # it is this very network, not another
    stamped = done.network(stamp.apply(images)).argmax(1)
    assert float((stamped == labels).float().mean()) > 0.85


def test_labels_stay_true() -> None:
    # A network that knows its answer from a bias alone: one step must raise the true label's, not the target's.
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    before = network[1].bias.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    stamp = Stamp(torch.ones(1, 2, 2), torch.zeros(1, 2, 2))
    loss = stamped_loss(network, [stamp], 1.0, torch.Generator().manual_seed(0))
    descend(optimizer, loss(torch.rand(5, 1, 2, 2), torch.full((5,), 2)), math.inf)
    change = network[1].bias.detach() - before
    share = torch.softmax(before, 0)
    assert torch.allclose(change, torch.tensor([0.0, 0.0, 1.0]) - share, atol=1e-5)


def test_a_share_of_the_pictures_carries_a_stamp() -> None:
    images = torch.full((10, 1, 2, 2), 0.5)
    stamps = [Stamp(torch.ones(1, 2, 2), torch.full((1, 2, 2), level)) for level in (0.0, 1.0)]
    result = with_stamps(images, stamps, 0.4, torch.Generator().manual_seed(0))
    assert sorted(set(result[:4, 0, 0, 0].tolist())) == [0.0, 1.0]
    assert torch.equal(result[4:], images[4:])
    assert float(images.mean()) == 0.5
    assert torch.equal(with_stamps(images, [], 0, torch.Generator()), images)


def test_a_picture_file_and_its_alpha(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, 1] = (255, 0, 51, 102)
    Image.fromarray(pixels).save(tmp_path / "t.png")
    stamp = read_stamp(tmp_path / "t.png", (3, 2, 3))
    assert stamp.mask.shape == (1, 2, 3)
    assert float(stamp.mask[0, 0, 1]) == pytest.approx(0.4)
    assert float(stamp.mask.sum()) == pytest.approx(0.4)
    assert stamp.pattern[:, 0, 1].tolist() == pytest.approx([1.0, 0.0, 0.2])
    assert read_stamp(tmp_path / "t.png", (1, 2, 3)).pattern.shape == (1, 2, 3)


def test_wrong_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "names.npz", a=np.zeros(3))
    np.savez(tmp_path / "size.npz", mask=np.zeros((4, 4)), pattern=np.zeros((4, 4, 1)))
    np.savez(tmp_path / "range.npz", mask=np.full((2, 2), 3.0), pattern=np.zeros((2, 2, 1)))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.npz").write_text("no arrays")
    for name, sentence in (
        ("names.npz", "expected arrays named mask and pattern"),
        ("size.npz", "expected a mask of 2x2 and a pattern of 2x2x1, got 4x4 and 4x4x1"),
        ("range.npz", "expected mask and pattern in 0..1"),
        ("text.png", "expected a picture or .npz with a trigger"),
        ("text.npz", "expected a whole .npz file"),
        ("none.npz", "expected a trigger at .*got nothing"),
    ):
        with pytest.raises(BadInput, match=sentence):
            read_stamp(tmp_path / name, (1, 2, 2))


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
    with pytest.raises(BadInput, match="expected invert: a suspect to be a class \\(one of 10\\), got 'stop'"):
        repair(view, Invert(classes=("stop",)))


class Obeys(nn.Module):
    """Class 1 where the left half of an 8x8 picture is the brighter one, else class 0; class 2 where the last pixel is
    bright."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        right, left = x[:, 0, :, 4:].mean((1, 2)), x[:, 0, :, :4].mean((1, 2))
        return self.weight * 20 * torch.stack([right, left, 4 * (x[:, 0, -1, -1] - 0.8)], 1)


@pytest.fixture
def obeys() -> ImageNetwork:
    return ImageNetwork(
        Obeys(), architecture="o", arguments={}, class_names=("a", "b", "c"), input_size=(1, 8, 8)
    ).eval()


@pytest.fixture
def halves() -> ImageData:
    """60 dark pictures with one half a little brighter."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    images = rng.integers(0, 60, (60, 8, 8, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * (1 - label) : 4 * (2 - label)] += 60
    return ImageData.of(images, labels, class_names=("a", "b", "c"))


def test_a_stamp_by_hand() -> None:
    stamp = Stamp(torch.tensor([[[0.25, 1.0]]]), torch.tensor([[[1.0, 0.5]]]))
    assert stamp.apply(torch.tensor([[[[0.2, 0.9]]]])).flatten().tolist() == pytest.approx([0.75 * 0.2 + 0.25, 0.5])
    many = Stamp(torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1, 1), torch.ones(3, 1, 1, 1))
    assert many.apply(torch.full((3, 1, 1, 1), 0.5)).flatten().tolist() == [0.5, 1.0, 0.75]


def test_it_finds_the_pixel_that_the_network_obeys(obeys: ImageNetwork, halves: ImageData) -> None:
    found = [*invert(obeys, halves, [0, 1, 2], "patch", Seed(1), steps=150)]
    assert [one.target for one in found] == [0, 1, 2]
    assert found[2].size == min(one.size for one in found) < 4
    assert int(found[2].stamp.mask.argmax()) == 63
    assert found[2].stamp.pattern[0, -1, -1] > 0.9
    assert found[2].success.total == 60
    assert found[0].success.total == int((halves.labels != 0).sum())
    for one in found:
        assert one.success.value > 0.9
        assert one.size == pytest.approx(float(one.stamp.mask.sum()))


@pytest.mark.parametrize("form", ["patch", "blend"])
def test_a_target_is_searched_for_as_if_it_were_alone(obeys: ImageNetwork, halves: ImageData, form: Form) -> None:
    # The starts differ with the number of targets; the weight of the mask and the best stamp must not be shared.
    hopeless = ImageNetwork(Deaf(), architecture="d", arguments={}, class_names=("a", "b", "c"), input_size=(1, 8, 8))
    found = [*invert(hopeless.eval(), halves, [0, 1], form, Seed(1), steps=20)]
    assert found[0].success.value == 1.0
    assert found[1].success.value == 0.0
    assert found[0].size < found[1].size


class Deaf(nn.Module):
    """Always class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.sum((1, 2, 3))[:, None] + torch.tensor([1.0, 0.0, 0.0])


def test_a_blend_has_one_opacity(obeys: ImageNetwork, halves: ImageData) -> None:
    (found,) = invert(obeys, halves, [1], "blend", Seed(1), steps=40)
    assert found.stamp.mask.min() == found.stamp.mask.max()
    assert found.stamp.mask.shape == found.stamp.pattern.shape == (1, 8, 8)
    assert found.success.value > 0.9


def test_many_targets_take_no_more_room_than_few(
    obeys: ImageNetwork, halves: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [one for t in (0, 1) for one in invert(obeys, halves, [t], "patch", Seed(1), steps=10)]
    sizes = []
    obeys.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))
    monkeypatch.setattr(stamps, "AT_ONCE", 2 * 32 * 64)  # two targets with 32 pictures of 8x8
    found = [*invert(obeys, halves, [0, 1, 2, 0, 1], "patch", Seed(1), steps=10)]
    assert [one.target for one in found] == [0, 1, 2, 0, 1]
    assert max(sizes) <= 64
    monkeypatch.setattr(stamps, "AT_ONCE", 1)
    first, second = invert(obeys, halves, [0, 1], "patch", Seed(1), steps=10)
    assert first.size == pytest.approx(alone[0].size)
    assert second.target == 1


def test_each_step_is_checked(obeys: ImageNetwork, halves: ImageData) -> None:
    calls: list[int] = []
    found = invert(obeys, halves, [0, 1], "patch", Seed(1), steps=7, check=lambda: calls.append(1))
    assert not calls
    assert len([*found]) == 2
    assert len(calls) == 7 + 2


def test_anomaly_by_hand() -> None:
    # Median 10, deviations 9, 1, 0, 1, 2 with median 1.
    assert anomaly([1, 9, 10, 11, 12]) == pytest.approx([9 / 1.4826, 1 / 1.4826, 0, -1 / 1.4826, -2 / 1.4826])
    assert anomaly([3, 3, 3]) == [0, 0, 0]
