"""One choice of the device, which all follows; what is not there, or has no memory left, is one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from badnets import api
from badnets.core.errors import BadInput
from badnets.core.text import SENTENCE
from badnets.data.images import ImageData
from badnets.networks import device as devices
from badnets.networks.device import find_device, own_stream, within_memory, working_on
from badnets.networks.inference import predict
from badnets.networks.registry import build_network
from badnets.records.model import Environment
from badnets.referee.store import environment
from badnets.training.loop import train
from badnets.training.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``cards("cuda:0", "mps")``: as if these were there, and nothing else."""

    def there(*names: str) -> None:
        working = {"cpu", *names, *("cuda" for name in names if name == "cuda:0")}
        monkeypatch.setattr(devices, "_trouble", lambda name: None if name in working else "it is not there")
        monkeypatch.setattr(devices, "_accelerators", lambda: list(names))
        monkeypatch.setattr(devices, "_CHOSEN", devices.ContextVar("device", default="auto"))

    return there


@pytest.mark.parametrize(
    ("there", "best"),
    [((), "cpu"), (("mps",), "mps:0"), (("cuda:0", "mps"), "cuda:0"), (("cuda:0", "cuda:1"), "cuda:0")],
)
def test_auto_is_the_best_that_works(there: tuple[str, ...], best: str, cards: Callable[..., None]) -> None:
    cards(*there)
    assert str(find_device()) == best
    with working_on("cpu"):
        assert find_device("auto") == CPU
        with working_on("auto"):  # changes nothing
            assert find_device() == CPU
    assert str(find_device("auto")) == best
    assert find_device(torch.device("meta")) == torch.device("meta")


def test_a_card_by_its_number(cards: Callable[..., None]) -> None:
    cards("cuda:0", "cuda:1")
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with working_on("cuda:1"):
        assert find_device() == torch.device("cuda", 1)
    with pytest.raises(BadInput, match=r"for device cuda:2, got none .*this machine has cpu, cuda:0, cuda:1: choose"):
        find_device("cuda:2")


@pytest.mark.parametrize("word", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1000", "", "cpu:0", "\x1b[31m" * 200])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(BadInput, match="expected auto, cpu, cuda, cuda:1 or mps, got") as error:
        find_device(word)
    assert len(str(error.value)) < SENTENCE
    with pytest.raises(BadInput, match="expected auto, cpu"), working_on(word):
        pass


def test_what_is_not_there_is_refused_before_any_work(tmp_path: Path, few: ImageData) -> None:
    if not torch.cuda.is_available():
        said = r"expected a CUDA card for device cuda.*built without CUDA.*has cpu: choose"
        acts: list[Callable[[], object]] = [
            lambda: api.open(tmp_path / "nothing.safetensors", device="cuda"),
            lambda: train("g1-cnn", few, device="cuda"),
            lambda: build_network("g1-cnn", class_names=["a"], input_size=(1, 28, 28), seed=1, device="cuda:1"),
        ]
        for act in acts:
            with pytest.raises(BadInput, match=said):
                act()
    if not torch.backends.mps.is_available():
        with pytest.raises(BadInput, match=r"expected a GPU of Apple for device mps, got none \(only Apple's"):
            find_device("mps")


def test_a_card_that_cannot_compute_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old for this torch, say: it is there, and every kernel fails."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    def ones(*_: object, device: str) -> None:
        raise RuntimeError(f"CUDA error: no kernel image is available for execution on {device}\nmore lines")

    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(devices, "_CHOSEN", devices.ContextVar("device", default="auto"))
    assert find_device("auto").type in ("cpu", "mps")
    with pytest.raises(BadInput, match=r"got none \(CUDA error: no kernel image is available for execution on cuda\);"):
        find_device("cuda")
    with pytest.raises(BadInput, match=r"there are 1, the first is cuda:0"):
        find_device("cuda:3")


@pytest.fixture
def few() -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), np.uint8)
    return ImageData.of(pixels, np.arange(20) % 2, class_names=["a", "b"])


class Greedy(nn.Module):
    """Runs out of memory, as torch says it, as soon as there is an ``error``."""

    error: BaseException | None = None

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(784, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.error is not None:
            raise self.error
        out: torch.Tensor = self.fc(x.flatten(1))
        return out


OUT = [
    torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2 GiB is "
        "free. Process 1 has 77.9 GiB memory in use.\nSee documentation for Memory Management"
    ),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB). Tried to allocate"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
]


@pytest.mark.parametrize("error", OUT)
def test_no_memory_left_says_what_to_lower(error: RuntimeError, few: ImageData) -> None:
    greedy = Greedy()
    network = api.wrap(greedy, class_names=["a", "b"], input_size=(1, 28, 28))
    greedy.error = error
    with pytest.raises(BadInput, match=r"fit into memory, got more \(.*\); lower the size of the pictures \(size\)"):
        predict(network, few.images())
    with pytest.raises(BadInput, match=r"lower the batch \(recipe\.batch\), the size of the pictures") as told:
        train(network, few, recipe=Recipe(epochs=1, batch=4, precision="fp32"))
    assert len(str(told.value)) < SENTENCE
    assert "\n" not in str(told.value)
    card, said = torch.device("meta"), r"the memory of meta, got more .*; lower it, or use device cpu"
    with pytest.raises(BadInput, match=said), within_memory(card, "it"):
        raise error
    with pytest.raises(RuntimeError, match=r"^another$"), within_memory(CPU, "it"):
        raise RuntimeError("another")


def test_random_numbers_begin_anew_and_go_on() -> None:
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    with own_stream(1, CPU):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), first)
    with own_stream(1):
        assert torch.equal(torch.rand(3), inside)


def test_records_say_the_device() -> None:
    here = environment("fp32", "cpu")
    assert (here.device, here.card) == ("cpu", None)
    assert "card" not in here.to_json()
    made = here.model_copy(update={"device": "cuda", "card": "NVIDIA H100 80GB HBM3"})
    assert Environment.model_validate(made.to_json()).card == "NVIDIA H100 80GB HBM3"


def test_the_words_are_known_without_torch() -> None:
    """Specs are read, and slips of the pen told, before torch is imported."""
    code = (
        "import sys; from badnets.networks.device import working_on; from badnets.referee.spec import make_spec\n"
        "with working_on('auto'): pass\nwith working_on('cpu'): pass\n"
        "spec = make_spec({'data': 'mnist', 'network': 'g1-cnn', 'device': 'cuda:1'})\n"
        "print(spec.device, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"cuda:1 False\n", said)
