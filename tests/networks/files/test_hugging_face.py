"""Folders of the Hugging Face hub, in transformers' layout and in timm's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from badnets.core.errors import BadInput
from badnets.networks.files.formats import hugging_face
from badnets.networks.files.formats.hugging_face import open_hugging_face, read_hugging_face
from badnets.networks.files.formats.hugging_face_names import MODELS, renamed
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, find_architecture

NAMES = [f"kind {number}" for number in range(12)]
RESNET: dict[str, Any] = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "layer_type": "basic",
    "depths": [2, 2, 2, 2],
    "hidden_sizes": [64, 128, 256, 512],
    "id2label": {str(number): NAMES[number] for number in sorted(range(12), key=str)},
}
VIT: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"],
    "image_size": 32,
    "id2label": {"0": "a", "1": "b"},
}
PREPROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
    "resample": 3,
    "size": {"height": 32, "width": 32},
}
TIMM: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": 2,
    "label_names": ["cat", "dog"],
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "input_size": [3, 48, 48],
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.25, 0.3],
        "interpolation": "bilinear",
    },
}
# Ours to transformers', by its models/resnet and models/vit.
TO_RESNET = (
    (r"conv1\.(\w+)", r"resnet.embedder.embedder.convolution.\1"),
    (r"bn1\.(\w+)", r"resnet.embedder.embedder.normalization.\1"),
    (r"layer(\d)\.(\d+)\.conv(\d)\.(\w+)", r"resnet.encoder.stages.-\1.layers.\2.layer.-\3.convolution.\4"),
    (r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", r"resnet.encoder.stages.-\1.layers.\2.layer.-\3.normalization.\4"),
    (r"layer(\d)\.(\d+)\.downsample\.0\.(\w+)", r"resnet.encoder.stages.-\1.layers.\2.shortcut.convolution.\3"),
    (r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", r"resnet.encoder.stages.-\1.layers.\2.shortcut.normalization.\3"),
    (r"fc\.(\w+)", r"classifier.1.\1"),
)


def folder(place: Path, config: dict[str, Any], preprocessor: dict[str, Any] | None = PREPROCESSOR) -> Path:
    """A folder with these, and weights that nobody reads."""
    (place / "config.json").write_text(json.dumps(config))
    (place / "model.safetensors").write_bytes(b"")
    if preprocessor is not None:
        (place / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return place


def awake(architecture: str, names: list[str]) -> ImageNetwork:
    """A network whose batch norms are not the identity."""
    network = build_network(architecture, class_names=names, input_size=(3, 32, 32), seed=3)
    for name, value in network.body.state_dict().items():
        if value.ndim == 1 and value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(len(name))))
    return network.eval()


def as_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    result = {}
    for name, value in state.items():
        found = next((re.sub(old, new, name) for old, new in TO_RESNET if re.fullmatch(old, name)), name)
        result[re.sub(r"-(\d)", lambda one: str(int(one[1]) - 1), found)] = value.contiguous()
    return result


def test_a_resnet_answers_as_torchvisions_with_the_same_weights(tmp_path: Path) -> None:
    ours = awake("torchvision:resnet18", NAMES)
    state = as_transformers(ours.body.state_dict())
    assert "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_var" in state
    save_file(state, folder(tmp_path, RESNET) / "model.safetensors")
    opened = open_hugging_face(tmp_path)
    assert opened.class_names == tuple(NAMES)  # in the order of their numbers, 10 behind 9
    assert opened.mean.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    pictures = torch.rand(2, 3, 32, 32)
    assert torch.equal(opened.body(pictures), ours.body(pictures))
    assert opened.provenance["file_format"] == "hugging-face"


@pytest.mark.parametrize(
    ("depths", "kind", "sizes", "name"),
    [
        ([3, 4, 6, 3], "basic", [64, 128, 256, 512], "torchvision:resnet34"),
        ([3, 4, 6, 3], "bottleneck", [256, 512, 1024, 2048], "torchvision:resnet50"),
        ([3, 4, 23, 3], "bottleneck", [256, 512, 1024, 2048], "torchvision:resnet101"),
        ([3, 8, 36, 3], "bottleneck", [256, 512, 1024, 2048], "torchvision:resnet152"),
    ],
)
def test_the_other_resnets(tmp_path: Path, depths: list[int], kind: str, sizes: list[int], name: str) -> None:
    config = RESNET | {"depths": depths, "layer_type": kind, "hidden_sizes": sizes}
    assert read_hugging_face(folder(tmp_path, config)).architecture == name


def test_the_tensors_of_a_vit_are_all_of_torchvisions(tmp_path: Path) -> None:
    found = read_hugging_face(folder(tmp_path, VIT))
    assert (found.architecture, found.input_size) == ("torchvision:vit_b_16", (3, 32, 32))
    architecture = find_architecture(found.architecture)
    with torch.device("meta"):
        needed = architecture.build(2, (3, 32, 32)).state_dict()
    block = {
        "attention.attention.query": (768, 768),
        "attention.attention.key": (768, 768),
        "attention.attention.value": (768, 768),
        "attention.output.dense": (768, 768),
        "intermediate.dense": (3072, 768),
        "output.dense": (768, 3072),
    }
    given: dict[str, tuple[int, ...]]
    given = {"vit.embeddings.cls_token": (1, 1, 768), "vit.embeddings.position_embeddings": (1, 5, 768)}
    given |= {"vit.embeddings.patch_embeddings.projection.weight": (768, 3, 16, 16)}
    given |= {"vit.embeddings.patch_embeddings.projection.bias": (768,), "classifier.weight": (2, 768)}
    given |= {"classifier.bias": (2,), "vit.layernorm.weight": (768,), "vit.layernorm.bias": (768,)}
    for number in range(12):
        inside = f"vit.encoder.layer.{number}."
        for layer, shape in block.items():
            given |= {f"{inside}{layer}.weight": shape, f"{inside}{layer}.bias": shape[:1]}
        given |= {f"{inside}layernorm_{at}.{one}": (768,) for at in ("before", "after") for one in ("weight", "bias")}
    state = found.renamed({name: torch.empty(shape, device="meta") for name, shape in given.items()})
    assert {name: value.shape for name, value in state.items()} == {name: one.shape for name, one in needed.items()}


def test_query_key_and_value_are_joined_in_that_order() -> None:
    rules = MODELS["ViTForImageClassification"].rules["torchvision"]
    inside = "vit.encoder.layer.3.attention.attention."
    state = {f"{inside}{part}.bias": torch.full((2,), number) for number, part in enumerate(("query", "key", "value"))}
    joined = renamed(dict(reversed(state.items())), rules, Path("w"))
    assert joined.keys() == {"encoder.layers.encoder_layer_3.self_attention.in_proj_bias"}
    assert next(iter(joined.values())).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("changes", "mean", "std", "size"),
    [
        ({}, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], (32, 32)),
        ({"do_rescale": False}, [0.4 / 255, 0.5 / 255, 0.6 / 255], [0.2 / 255, 0.25 / 255, 0.3 / 255], (32, 32)),
        ({"rescale_factor": 1 / 127.5}, [0.2, 0.25, 0.3], [0.1, 0.125, 0.15], (32, 32)),
        ({"do_normalize": False}, [0.0] * 3, [1.0] * 3, (32, 32)),
        ({"size": 40, "crop_size": 32, "do_center_crop": True}, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], (32, 32)),
        ({"size": {"shortest_edge": 48}}, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], (48, 48)),
    ],
)
def test_range_and_size(
    tmp_path: Path, changes: dict[str, Any], mean: list[float], std: list[float], size: tuple[int, int]
) -> None:
    found = read_hugging_face(folder(tmp_path, RESNET, PREPROCESSOR | changes))
    assert (found.mean, found.std) == (pytest.approx(mean), pytest.approx(std))
    assert (found.input_size, found.interpolation) == ((3, *size), "bicubic")


def test_the_folder_may_be_named_by_its_config(tmp_path: Path) -> None:
    folder(tmp_path, RESNET)
    assert read_hugging_face(tmp_path / "config.json") == read_hugging_face(tmp_path)
    assert hugging_face.is_hugging_face(tmp_path)
    assert not hugging_face.is_hugging_face(tmp_path / "model.safetensors")


def test_timms_layout(tmp_path: Path) -> None:
    found = read_hugging_face(folder(tmp_path, TIMM, None))
    assert (found.architecture, found.class_names, found.input_size) == ("timm:resnet18", ("cat", "dog"), (3, 48, 48))
    assert (found.mean, found.std, found.interpolation) == ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3], "bilinear")
    state = {"conv1.weight": torch.zeros(1)}
    assert found.renamed(state) == state


def test_a_folder_of_timm_is_opened(tmp_path: Path) -> None:
    find_architecture("torchvision:resnet18")  # before timm, which imports torchvision too
    pytest.importorskip("timm", reason="needs the extra timm")
    ours = awake("timm:resnet18", ["cat", "dog"])
    save_file(ours.body.state_dict(), folder(tmp_path, TIMM, None) / "model.safetensors")
    pictures = torch.rand(2, 3, 48, 48)
    assert torch.equal(open_hugging_face(tmp_path).body(pictures), ours.body(pictures))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["ResNextForPictures"]}, "expected an image classifier .*, got 'ResNextForPictures'; did"),
        ({"architectures": ["MyNet"], "auto_map": {"AutoModel": "a.b"}}, r"own code \(auto_map\) is never run"),
        ({"depths": [1, 1, 1, 1]}, "expected a ResNetForImageClassification of a known shape, got"),
        ({"downsample_in_bottleneck": True}, "of a known shape"),
        ({"depths": "many"}, "depths"),
        ({"num_channels": 1}, "num_channels"),
        ({"id2label": {"0": "a", "2": "b"}}, r"a name for each of 0 to 1 in id2label, got none for 1; .*--class-names"),
        ({"id2label": {"0": "crane", "1": "crane"}}, "once in id2label, got 'crane' for 0 and 1; .*--class-names"),
        ({"id2label": {"0": 3}}, "expected a name for class 0 in id2label, got '3'"),
        ({"id2label": ["a"]}, "expected id2label as numbers and names"),
        ({"problem_type": "multi_label_classification"}, "expected one class for each picture"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        read_hugging_face(folder(tmp_path, RESNET | changes))
    assert str(tmp_path / "config.json") in str(refused.value)
    assert len(str(refused.value).replace(str(tmp_path), "")) <= 400


def test_names_that_are_given_take_the_place_of_wrong_ones(tmp_path: Path) -> None:
    twice = folder(tmp_path, RESNET | {"id2label": {"0": "crane", "1": "crane"}})
    assert read_hugging_face(twice, class_names=["bird", "machine"]).class_names == ("bird", "machine")


def test_code_of_its_own_is_left_out_and_said(tmp_path: Path) -> None:
    found = read_hugging_face(folder(tmp_path, RESNET | {"auto_map": {"AutoModel": "evil.Net"}}))
    assert found.notes == ("its own code (auto_map) was not run",)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config.json, got nothing"):
        read_hugging_face(tmp_path)
    with pytest.raises(BadInput, match=r"expected preprocessor_config.json in .*range and size .* are not known"):
        read_hugging_face(folder(tmp_path, RESNET, None))
    (tmp_path / "model.safetensors").rename(tmp_path / "model.safetensors.index.json")
    with pytest.raises(BadInput, match=r"expected weights in .*, got several parts"):
        read_hugging_face(tmp_path)
    with pytest.raises(BadInput, match="expected pictures of 32x32, as the network says, got 64x64"):
        read_hugging_face(folder(tmp_path, VIT, PREPROCESSOR | {"size": 64}))


def test_a_tensor_too_many_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"lm_head.weight": torch.zeros(2)}, folder(tmp_path, RESNET) / "model.safetensors")
    with pytest.raises(BadInput, match=r"expected the tensors of its configuration, got 'lm_head.weight' too"):
        open_hugging_face(tmp_path)
