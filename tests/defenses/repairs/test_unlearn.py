from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.unlearn import Stamp, Unlearn, read_stamp, stamped_loss, with_stamps
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
        ("text.png", "expected a PNG or .npz with a trigger"),
        ("text.npz", "expected a PNG or .npz with a trigger"),
        ("none.npz", "expected a trigger at .*got nothing"),
    ):
        with pytest.raises(BadInput, match=sentence):
            read_stamp(tmp_path / name, (1, 2, 2))
