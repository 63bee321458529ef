"""Torchvision loads, and our kernels give what its own give."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from badnets.core.errors import BadInput
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


def plain_roi_align(
    maps: list[list[list[list[float]]]],
    roi: list[float],
    scale: float,
    bins: tuple[int, int],
    ratio: int,
    aligned: bool,
) -> list[list[list[float]]]:
    """The definition, number by number: the mean of bilinear samples at evenly spaced points of each bin."""
    offset = 0.5 if aligned else 0.0
    x0, y0, x1, y1 = (side * scale - offset for side in roi[1:])
    width, height = (x1 - x0, y1 - y0) if aligned else (max(x1 - x0, 1.0), max(y1 - y0, 1.0))
    across = ratio if ratio > 0 else math.ceil(width / bins[1])
    down = ratio if ratio > 0 else math.ceil(height / bins[0])

    def sample(plane: list[list[float]], y: float, x: float) -> float:
        rows, columns = len(plane), len(plane[0])
        y, x = min(max(y, 0.0), rows - 1), min(max(x, 0.0), columns - 1)
        top, left = int(y), int(x)
        below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        fy, fx = y - top, x - left
        upper = plane[top][left] * (1 - fx) + plane[top][right] * fx
        lower = plane[below][left] * (1 - fx) + plane[below][right] * fx
        return upper * (1 - fy) + lower * fy

    def bin_mean(plane: list[list[float]], row: int, column: int) -> float:
        points = [
            sample(
                plane,
                y0 + (row + (i + 0.5) / down) * height / bins[0],
                x0 + (column + (j + 0.5) / across) * width / bins[1],
            )
            for i in range(down)
            for j in range(across)
        ]
        return sum(points) / len(points) if points else 0.0

    planes = maps[int(roi[0])]
    return [[[bin_mean(plane, r, c) for c in range(bins[1])] for r in range(bins[0])] for plane in planes]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    ratio=st.sampled_from([1, 2, 0, 3]),
    aligned=st.booleans(),
    bins=st.sampled_from([(1, 1), (2, 3), (6, 6)]),
    side=st.sampled_from([(1, 1), (4, 7), (12, 9)]),
)
def test_roi_align_is_its_definition(
    seed: int, ratio: int, aligned: bool, bins: tuple[int, int], side: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 2, *side, generator=random)
    corner = torch.rand(4, 2, generator=random) * 40 - 6  # some begin or end outside
    rois = torch.cat(
        [torch.tensor([[1.0], [0], [1], [0]]), corner, corner + torch.rand(4, 2, generator=random) * 40], 1
    )
    ours = operators.roi_align(maps, rois, 0.25, *bins, ratio, aligned)
    expected = [plain_roi_align(maps.tolist(), roi, 0.25, bins, ratio, aligned) for roi in rois.tolist()]
    torch.testing.assert_close(ours, torch.tensor(expected), atol=1e-5, rtol=0)


@given(st.integers(0, 2**32))
def test_roi_align_of_a_plane_is_the_middle_of_each_bin(seed: int) -> None:
    """Bilinear samples of x + 10 y are exact, and their mean is the value in the middle, whatever the points."""
    random = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")
    maps = (x + 10 * y)[None, None].double()
    corner = torch.rand(3, 2, generator=random).double() * 5
    rois = torch.cat([torch.zeros(3, 1), corner, corner + 1 + torch.rand(3, 2, generator=random) * 5], 1)
    for ratio in (1, 2, 0):
        ours = operators.roi_align(maps, rois, 1.0, 2, 3, ratio, False)
        for roi, got in zip(rois.tolist(), ours.tolist(), strict=True):
            wide, high = (roi[3] - roi[1]) / 3, (roi[4] - roi[2]) / 2
            expected = [
                [roi[1] + (c + 0.5) * wide + 10 * (roi[2] + (r + 0.5) * high) for c in range(3)] for r in (0, 1)
            ]
            assert got[0] == [pytest.approx(row, abs=1e-9) for row in expected]


class _Imports:
    """In the place of ``importlib``: gives, or raises, what it is told."""

    def __init__(self, what: ModuleType | Exception) -> None:
        self.what, self.asked = what, list[str]()

    def import_module(self, name: str) -> Any:
        self.asked.append(name)
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def test_where_torchvisions_own_operators_load_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, before, libraries = ModuleType("torchvision"), dict(REPLACED), list(operators._libraries)
    imports = _Imports(whole)
    monkeypatch.setattr(operators, "importlib", imports)
    assert import_torchvision() is whole
    assert imports.asked == ["torchvision"]  # not forgotten, not imported again
    assert before == REPLACED
    assert operators._libraries == libraries
    assert vars(whole).keys() == vars(ModuleType("torchvision")).keys()


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), BadInput, "pip install torchvision"),
        (ModuleNotFoundError("No module named 'PIL'", name="PIL"), ModuleNotFoundError, "PIL"),
        (RuntimeError("out of paper"), RuntimeError, "out of paper"),
    ],
)
def test_what_else_may_be_wrong_with_torchvision(
    monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], words: str
) -> None:
    monkeypatch.setattr(operators, "importlib", _Imports(error))
    with pytest.raises(raised, match=words):
        import_torchvision()


def test_our_kernels_are_in_place_only_without_torchvisions_own() -> None:
    torchvision = import_torchvision()
    align = sys.modules["torchvision.ops.roi_align"]._roi_align
    own = torchvision.extension._has_ops()
    assert (align is operators.roi_align) == bool(REPLACED) == (not own)
    assert (torchvision.ops.nms is torch.ops.torchvision.nms) == (not own)
