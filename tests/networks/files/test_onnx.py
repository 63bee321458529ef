"""ONNX files: the answers and the gradients of the network that was exported, through a file of ours too."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.data.load import load
from badnets.networks.files.facts import foreign_facts
from badnets.networks.files.foreign import ForeignWarning, open_any, open_foreign
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork
from badnets.networks.onnx.runtime import runtime_answers
from badnets.networks.registry import build_network
from badnets.networks.surgery.graph import trace

NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    "g1-cnn": ("g1-cnn", {}, (1, 28, 28)),
    "resnet9": ("resnet9", {"width": 4}, (3, 32, 32)),
    "resnet18": ("resnet18", {"width": 4}, (3, 32, 32)),
    "mobilenet": ("torchvision:mobilenet_v3_small", {}, (3, 64, 64)),
    "wide": ("wrn-10-1", {}, (3, 32, 32)),
}


def exported(body: nn.Module, size: tuple[int, int, int], path: Path, *, new: bool = False) -> Path:
    """``body`` as torch exports it: for one picture, or, in the ``new`` way, for any number."""
    dynamic: dict[str, Any] = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if new else {}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(body, (torch.rand(2 if new else 1, *size),), path, dynamo=new, external_data=False, **dynamic)
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ImageNetwork, Path]]:
    """A network by its name in ``NETWORKS``, and its ONNX file; each is made once."""
    folder = tmp_path_factory.mktemp("onnx")
    made: dict[str, tuple[ImageNetwork, Path]] = {}

    def pair(name: str) -> tuple[ImageNetwork, Path]:
        if name not in made:
            kind, arguments, size = NETWORKS[name]
            network = build_network(
                kind, class_names=list("abcdefghij"), input_size=size, seed=1, arguments=arguments
            ).eval()
            generator = torch.Generator().manual_seed(3)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    for value in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                        value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            made[name] = network, exported(network.body, size, folder / f"{name}.onnx")
        return made[name]

    return pair


def gradient(network: nn.Module, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = pictures.clone().requires_grad_()
    answers = network(pictures)
    loss = functional.cross_entropy(answers, torch.arange(len(pictures)))
    return answers.detach(), torch.autograd.grad(loss, pictures)[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_and_gradients_are_those_of_the_original(
    name: str, pairs: Callable[[str], tuple[ImageNetwork, Path]], tmp_path: Path
) -> None:
    original, path = pairs(name)
    network = open_foreign(path, input_range="0-1")
    assert network.input_size == original.input_size
    assert network.classes == 10
    pictures = torch.rand(5, *original.input_size, generator=torch.Generator().manual_seed(0))
    (wanted, slope), (answers, found) = gradient(original, pictures), gradient(network, pictures)
    assert (answers - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    assert (found - slope).norm() <= 1e-3 * slope.norm()
    save_network(network, tmp_path / "ours.safetensors")
    again = open_network(tmp_path / "ours.safetensors")
    assert again.architecture == "onnx"
    assert list(again.state_dict()) == list(network.state_dict())
    assert torch.equal(again(pictures), network(pictures))
    assert sum(p.numel() for p in again.parameters() if p.requires_grad) > 0
    trace(again.body)  # so that channels are found


def test_the_newer_export_for_any_number_of_pictures(tmp_path: Path) -> None:
    body = build_network("g1-cnn", class_names=list("abc"), input_size=(1, 28, 28), seed=2).body.eval()
    network = open_foreign(exported(body, (1, 28, 28), tmp_path / "new.onnx", new=True), input_range="0-1")
    pictures = torch.rand(3, 1, 28, 28)
    assert torch.allclose(network(pictures), body(pictures), atol=1e-6)


def test_a_softmax_at_the_end_is_followed_by_its_logarithm(tmp_path: Path) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5), nn.Softmax(1))
    network = open_foreign(exported(body, (3, 8, 8), tmp_path / "soft.onnx"), input_range="0-1")
    assert network.architecture == "logits-of:onnx"
    assert network(torch.rand(2, 3, 8, 8)).exp().sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    save_network(network, tmp_path / "soft.safetensors")
    pictures = torch.rand(2, 3, 8, 8)
    assert torch.equal(open_network(tmp_path / "soft.safetensors")(pictures), network(pictures))


RNG = np.random.default_rng(5)


def drawn(*shape: int) -> NDArray[np.float32]:
    """Weights."""
    return RNG.normal(0, 0.3, shape).astype(np.float32)


def written(
    path: Path, nodes: list[Any], sides: list[int | str], constants: dict[str, Any], *, opset: int = 13, **more: Any
) -> Path:
    """An ONNX file from ``x`` with these sides to ``y``, or to what ``outputs`` names."""
    outputs = more.get("outputs", {"y": None})
    inputs = {"x": sides, **more.get("inputs", {})}
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info(name, more.get("kind", 1), dims) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, 1, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def dense(features: int, given: str = "r") -> tuple[list[Any], dict[str, Any]]:
    """Rows to three classes."""
    return [helper.make_node("Gemm", [given, "w", "b"], ["y"])], {"w": drawn(features, 3), "b": drawn(3)}


def agrees(path: Path, network: ImageNetwork, given: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Answers to seven pictures at once are onnxruntime's to one after the other."""
    pictures = torch.rand(7, *network.input_size, generator=torch.Generator().manual_seed(1))
    batches = [given(one[None]).numpy() for one in pictures]
    wanted = runtime_answers(path, onnx.load(path), batches, "y")
    assert np.abs(network(pictures).detach().numpy() - wanted).max() <= 1e-5


@pytest.mark.parametrize("batch", ["n", 1])
def test_channels_last_as_tf2onnx_writes(batch: int | str, tmp_path: Path) -> None:
    nodes, constants = dense(4 * 6 * 5)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k"], ["c"]),
        helper.make_node("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["u", "s"], ["r"]),
        *nodes,
    ]
    constants |= {"k": drawn(4, 3, 3, 3), "s": np.array([-1 if batch == "n" else 1, 120])}
    network = open_foreign(written(tmp_path / "last.onnx", nodes, [batch, 8, 7, 3], constants), input_range="0-1")
    assert network.input_size == (3, 8, 7)
    agrees(tmp_path / "last.onnx", network, lambda one: one.permute(0, 2, 3, 1).contiguous())


def test_a_batch_of_one_is_freed(tmp_path: Path) -> None:
    nodes, constants = dense(8)
    nodes = [
        helper.make_node("Constant", [], ["four"], value_ints=[4]),
        helper.make_node("Constant", [], ["two"], value_ints=[2]),
        helper.make_node("Constant", [], ["one"], value_ints=[1, 1]),
        helper.make_node("Mul", ["four", "two"], ["eight"]),
        helper.make_node("Slice", ["one", "zero", "end"], ["first"]),
        helper.make_node("Concat", ["first", "eight"], ["s"], axis=0),
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "s"], ["r"]),
        *nodes,
    ]
    constants |= {"zero": np.array([0]), "end": np.array([1])}
    path = written(tmp_path / "one.onnx", nodes, [1, 2, 4, 4], constants)
    agrees(path, open_foreign(path, input_range="0-1"), lambda one: one)


def test_rows_take_the_size_of_the_pictures(tmp_path: Path) -> None:
    nodes, constants = dense(48, "x")
    path = written(tmp_path / "rows.onnx", nodes, ["n", 48], constants)
    network = open_foreign(path, input_size=(3, 4, 4), input_range="0-1")
    agrees(path, network, lambda one: one.flatten(1))
    with pytest.raises(BadInput, match=r"expected a size of pictures.* \[n, 48\], got none; say --input-size HxWxC"):
        open_foreign(path, input_range="0-1")
    with pytest.raises(BadInput, match="got 5x5x3"):
        open_foreign(path, input_size=(3, 5, 5), input_range="0-1")


def test_dynamic_sides_take_the_size_of_the_pictures(tmp_path: Path) -> None:
    nodes, constants = dense(4)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["r"]),
        *nodes,
    ]
    path = written(tmp_path / "open.onnx", nodes, ["n", 3, "h", "w"], constants | {"k": drawn(4, 3, 3, 3)})
    with pytest.raises(BadInput, match="say --input-size HxWxC"):
        open_foreign(path, input_range="0-1")
    agrees(path, open_foreign(path, input_size=(3, 9, 8), input_range="0-1"), lambda one: one)


def test_shared_weights_are_one_tensor_and_trained(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    path = written(tmp_path / "tied.onnx", nodes, ["n", 9], {"w": drawn(9, 9), "v": drawn(9, 3)})
    network = open_foreign(path, input_size=(1, 3, 3), input_range="0-1")
    assert sorted(tuple(p.shape) for p in network.parameters()) == [(9, 3), (9, 9)]
    agrees(path, network, lambda one: one.flatten(1))


def test_of_several_outputs_the_one_in_rows_is_taken(tmp_path: Path) -> None:
    nodes, constants = dense(48)
    nodes = [helper.make_node("Flatten", ["x"], ["r"]), helper.make_node("Relu", ["x"], ["maps"]), *nodes]
    sides = {"maps": ["n", 3, 4, 4], "y": ["n", 3]}
    path = written(tmp_path / "two.onnx", nodes, ["n", 3, 4, 4], constants, outputs=sides)
    agrees(path, open_foreign(path, input_range="0-1"), lambda one: one)
    more = {**sides, "r": ["n", 48]}
    path = written(tmp_path / "rows.onnx", nodes, ["n", 3, 4, 4], constants, outputs=more)
    with pytest.raises(BadInput, match=r"expected one output .*, got 3 \(maps \[n, 3, 4, 4\], y \[n, 3\], r"):
        open_foreign(path, input_range="0-1")


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    nodes, constants = dense(48, "x")
    model = onnx.load(written(tmp_path / "rows.onnx", nodes, ["n", 48], constants))
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    said: dict[str, Any] = {"input_size": (3, 4, 4), "input_range": "0-1"}
    apart, whole = open_foreign(tmp_path / "split.onnx", **said), open_foreign(tmp_path / "rows.onnx", **said)
    pictures = torch.rand(2, 3, 4, 4)
    assert torch.equal(apart(pictures), whole(pictures))
    assert apart.provenance["beside"] == {"weights": file_digest(tmp_path / "weights")}


def test_what_show_says(pairs: Callable[[str], tuple[ImageNetwork, Path]]) -> None:
    original, path = pairs("g1-cnn")
    (facts,) = foreign_facts(path)
    assert facts.format == "onnx"
    assert facts.parameters >= sum(p.numel() for p in original.parameters())
    assert any("Conv 4, " in line for line in facts.says)
    assert any(line.startswith("inputs ") and "1, 28, 28" in line for line in facts.says)


def test_an_architecture_or_other_classes_are_refused(pairs: Callable[[str], tuple[ImageNetwork, Path]]) -> None:
    _, path = pairs("g1-cnn")
    with pytest.raises(BadInput, match="the file has its own"):
        open_foreign(path, arch="g1-cnn", input_range="0-1")
    with pytest.raises(BadInput, match="expected a network of 3 classes, got one of 10"):
        open_foreign(path, classes=3, input_range="0-1")
    with pytest.raises(BadInput, match="expected a size of pictures"):
        open_foreign(path, input_size=(3, 28, 28), input_range="0-1")


def test_what_it_is_decides_and_not_its_name(pairs: Callable[[str], tuple[ImageNetwork, Path]], tmp_path: Path) -> None:
    _, path = pairs("g1-cnn")
    (tmp_path / "network.bin").write_bytes(path.read_bytes())
    assert open_foreign(tmp_path / "network.bin", input_range="0-1").architecture == "onnx"


@pytest.mark.data
def test_a_published_network_is_as_right_as_in_onnxruntime(shared_data: Path) -> None:
    data = load("mnist", path=shared_data / "mnist").test
    path = shared_data / "foreign" / "zuramai_mnist.onnx"
    with pytest.warns(ForeignWarning, match="the input range -1-1 was found"):
        network = open_any(path, clean=data)
    images = data.images()
    parts = [network.normalized(network.floats(part)).numpy() for part in np.array_split(images, 10)]
    wanted = runtime_answers(path, onnx.load(path), parts, "output").argmax(1)
    assert (predict(network, images).labels == wanted).all()
    assert (wanted == data.labels).sum() == 9737


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"\x08\x08\x3a\x00")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BadInput, match=r"got none; pip install 'badnets\[onnx\]'"):
        open_foreign(tmp_path / "network.onnx", input_range="0-1")
