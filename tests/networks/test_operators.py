"""Torchvision loads, and our kernels give what its own give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from badnets.networks import operators
from badnets.networks.operators import REPLACED, import_torchvision


def reference_roi_align() -> Callable[..., Tensor]:
    """Torchvision's fallback in Python, not compiled."""
    import_torchvision()
    fallback = REPLACED.get("torchvision.ops.roi_align._roi_align")
    if fallback is None:
        fallback = sys.modules["torchvision.ops.roi_align"]._roi_align  # the compiled operators load here
    plain: Callable[..., Tensor] = vars(fallback)["__wrapped__"]
    return plain


def regions(count: int, images: int, side: float, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * side * 0.7
    size = torch.rand(count, 2, generator=random) * side * 0.3 + 1
    image = torch.randint(0, images, (count, 1), generator=random)
    return torch.cat([image.float(), corner, corner + size], 1)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, 1, 3, 0, -1])
@pytest.mark.parametrize("bins", [(7, 7), (3, 5)])
def test_roi_align_is_torchvisions(aligned: bool, ratio: int, bins: tuple[int, int]) -> None:
    reference = reference_roi_align()
    maps = torch.rand(2, 5, 20, 24, generator=torch.Generator().manual_seed(1))
    rois = regions(17, 2, 80.0)
    expected = reference(maps, rois, 0.25, *bins, ratio, aligned)
    ours = operators.roi_align(maps, rois, 0.25, *bins, ratio, aligned)
    assert ours.dtype == expected.dtype
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)  # each is up to 1e-6 from the exact value
    exact = reference(maps.double(), rois.double(), 0.25, *bins, ratio, aligned)
    doubled = operators.roi_align(maps.double(), rois.double(), 0.25, *bins, ratio, aligned)
    torch.testing.assert_close(doubled, exact, atol=1e-12, rtol=0)


def test_roi_align_beyond_the_border_and_on_one_pixel() -> None:
    reference = reference_roi_align()
    maps = torch.rand(1, 2, 6, 9, generator=torch.Generator().manual_seed(1)).double()
    rois = torch.tensor([[0, -5.0, -5, 3, 3], [0, 4, 4, 30, 20], [0, 2, 2, 2, 2]], dtype=torch.float64)
    for part in (maps, maps[:, :, :1, :1]):
        expected = reference(part, rois, 1.0, 4, 4, 2, False)
        torch.testing.assert_close(operators.roi_align(part, rois, 1.0, 4, 4, 2, False), expected, atol=1e-12, rtol=0)


def test_roi_align_has_torchvisions_gradient() -> None:
    reference = reference_roi_align()
    maps = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    rois = regions(6, 2, 10.0).double()
    weight = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(2)).double()
    (expected,) = torch.autograd.grad((reference(maps, rois, 1.0, 4, 4, 2, False) * weight).sum(), maps)
    (ours,) = torch.autograd.grad((operators.roi_align(maps, rois, 1.0, 4, 4, 2, False) * weight).sum(), maps)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


def test_roi_align_of_nothing_and_in_half_precision() -> None:
    maps = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    assert operators.roi_align(maps, torch.zeros(0, 5), 1.0, 3, 3, 2, False).shape == (0, 2, 3, 3)
    rois = torch.tensor([[0.0, 1, 1, 4, 4]])
    half = operators.roi_align(maps.bfloat16(), rois, 1.0, 3, 3, 2, False)
    assert half.dtype == torch.bfloat16
    full = operators.roi_align(maps.bfloat16().float(), rois, 1.0, 3, 3, 2, False)
    assert torch.equal(half, full.bfloat16())


def slow_nms(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """The definition, one pair at a time."""
    kept: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda r: -float(scores[r])):
        for other in kept:
            a, b = boxes[row].tolist(), boxes[other].tolist()
            wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            common = max(wide, 0) * max(high, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
            if union and common / union > threshold:
                break
        else:
            kept.append(row)
    return kept


@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]))
def test_nms_is_its_definition(seed: int, count: int, threshold: float) -> None:
    random = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 12, (count, 2), generator=random)
    boxes = torch.cat([corner, corner + torch.randint(1, 8, (count, 2), generator=random)], 1).double()
    scores = torch.randint(0, 10, (count,), generator=random).double()
    assert operators.nms(boxes, scores, threshold).tolist() == slow_nms(boxes, scores, threshold)


def test_nms_of_more_boxes_than_a_block() -> None:
    boxes, scores = regions(700, 1, 40.0)[:, 1:].double(), torch.rand(700, generator=torch.Generator().manual_seed(3))
    assert operators.nms(boxes, scores, 0.3).tolist() == slow_nms(boxes, scores, 0.3)


def test_nms_takes_empty_and_half_precision_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 5, 5], [1, 1, 5, 5]])
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert operators.nms(boxes, scores, 0.5).tolist() == [3, 1, 0]
    assert operators.nms(boxes.bfloat16(), scores.bfloat16(), 0.5).tolist() == [3, 1, 0]


def test_torchvisions_own_functions_work() -> None:
    torchvision = import_torchvision()
    assert import_torchvision() is torchvision
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3.5], [5, 5, 9, 9]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
    assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [0, 2]
    assert torchvision.ops.batched_nms(boxes, scores, labels, 0.5).tolist() == [0, 2]
    maps = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torchvision.ops.roi_align(maps, [boxes], (2, 2), 1.0, 2).shape == (3, 2, 2, 2)


def test_operators_without_a_kernel_still_say_so() -> None:
    torchvision = import_torchvision()
    if not REPLACED:
        pytest.skip("the compiled operators load here")
    with pytest.raises(RuntimeError, match="Couldn't load custom C\\+\\+ ops"):
        torchvision.ops.roi_pool(torch.rand(1, 2, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])], (2, 2))


def test_the_import_is_silent_and_happens_once() -> None:
    code = (
        "from badnets.networks.operators import import_torchvision as load; from concurrent.futures import *;"
        "pool = ThreadPoolExecutor(4); found = {id(f.result()) for f in [pool.submit(load) for _ in range(8)]};"
        "import torchvision; assert found == {id(torchvision)}"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_roi_align_of_an_empty_region_is_zero_and_disturbs_no_other() -> None:
    maps = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(1)) + 1
    rois = torch.tensor([[1.0, 0, 0, 5, 5], [0, 2, 2, 2, 2], [0, 1, 1, 4, 4]])
    together = operators.roi_align(maps, rois, 1.0, 3, 3, 0, True)
    assert not together[1].any()
    for row in (0, 2):
        assert torch.equal(together[row], operators.roi_align(maps, rois[row : row + 1], 1.0, 3, 3, 0, True)[0])
