"""Keras's HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.foreign import ForeignWarning, open_foreign
from badnets.networks.files.formats.keras_file import read_keras
from badnets.networks.network import ImageNetwork

SMALL = (3, 31, 31)
MAPS = {"fc_1": (60, 2, 2), "fc_2": (80, 1, 1)}


def _files() -> ModuleType:
    spec = spec_from_file_location("keras_files", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


files = _files()


def deepid() -> nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES["deepid"].build(4, SMALL).eval()


def opened(path: Path, arch: str = "deepid", size: tuple[int, int, int] = SMALL) -> ImageNetwork:
    return open_foreign(path, arch=arch, input_size=size, input_range="0-1")


def same(network: ImageNetwork, body: nn.Module) -> None:
    pictures = torch.rand(3, *network.input_size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(pictures), body(pictures), atol=1e-5)


@pytest.mark.parametrize("under", [None, "model_weights"])
@pytest.mark.parametrize("prefix", ["", "sequential/"])
def test_layers_of_the_same_names(tmp_path: Path, under: str | None, prefix: str) -> None:
    body = deepid()
    path = files.write_keras_2(tmp_path / "a.h5", files.as_keras(body, MAPS), under=under, prefix=prefix)
    network = opened(path)
    same(network, body)
    assert network.class_names == ("0", "1", "2", "3")
    assert network.provenance["matched"] == "names"
    assert network.provenance["file_format"] == "keras-hdf5"


def test_other_names_are_matched_by_shape_and_order_with_a_warning(tmp_path: Path) -> None:
    body = deepid()
    layers = {f"layer_{k}": tensors for k, tensors in enumerate(files.as_keras(body, MAPS).values())}
    with pytest.warns(ForeignWarning, match="matched by shape and the file's order; 0 of 14 have a shape that others"):
        network = opened(files.write_keras_2(tmp_path / "a.h5", layers))
    same(network, body)
    assert network.provenance["matched"] == "shapes and order"


def test_keras_3_with_batch_norms(tmp_path: Path, awake: Callable[[nn.Module], nn.Module]) -> None:
    """Its names are of kinds and numbers; batch norms add 1e-3 and not 1e-5."""
    torch.manual_seed(0)
    body = awake(ARCHITECTURES["l1-cnn"].build(5, (3, 8, 8)))
    layers = files.as_keras(body, {"fc1": (128, 2, 2)})
    kinds = {"con": "conv2d", "fc1": "dense", "fc2": "dense", "bn1": "batch_normalization"}
    kinds |= dict.fromkeys(("bn2", "bn3", "bn4"), "batch_normalization")
    named, counts = {}, dict.fromkeys(kinds.values(), 0)
    for layer, tensors in layers.items():
        kind = kinds[layer[:3]]
        named[f"{kind}_{counts[kind]}" if counts[kind] else kind] = tensors
        counts[kind] += 1
    path = files.write_keras_3(tmp_path / "a.weights.h5", named)
    with pytest.warns(ForeignWarning, match="matched by shape"):
        network = opened(path, "l1-cnn", (3, 8, 8))
    same(network, body)
    variance = torch.from_numpy(layers["bn1"]["moving_variance"]) + 1e-3
    assert torch.allclose(network.body.get_buffer("bn1.running_var") + 1e-5, variance)


def test_a_models_own_epsilon_and_order_of_channels_count(
    tmp_path: Path, awake: Callable[[nn.Module], nn.Module]
) -> None:
    body = awake(ARCHITECTURES["l1-cnn"].build(5, (3, 8, 8)))
    path = files.write_keras_2(tmp_path / "a.h5", files.as_keras(body, {}, epsilon=0.01), under="model_weights")
    own = [{"class_name": "BatchNormalization", "config": {"name": f"bn{k}", "epsilon": 0.01}} for k in (1, 2, 3, 4)]
    first = {"class_name": "Conv2D", "config": {"name": "conv1", "data_format": "channels_first"}}
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": [first, *own]}})
    same(opened(path, "l1-cnn", (3, 8, 8)), body)


def test_batch_norms_without_scale_or_shift(tmp_path: Path) -> None:
    body = ARCHITECTURES["l1-cnn"].build(5, (3, 8, 8)).eval()  # fresh: scale 1, shift 0
    layers = files.as_keras(body, {"fc1": (128, 2, 2)})
    for layer in ("bn1", "bn2", "bn3", "bn4"):
        del layers[layer]["gamma"], layers[layer]["beta"]
    same(opened(files.write_keras_2(tmp_path / "a.h5", layers), "l1-cnn", (3, 8, 8)), body)


def test_depthwise_kernels(tmp_path: Path) -> None:
    """(h, w, channels, copies) becomes (channels * copies, 1, h, w)."""
    kernel = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4, 1)
    file = read_keras(files.write_keras_2(tmp_path / "a.h5", {"d": {"depthwise_kernel": kernel}}))
    (entry,) = file.entries
    assert (entry.key, entry.shape) == ("d.weight", (4, 1, 2, 3))
    assert torch.equal(entry.read(), torch.from_numpy(kernel).permute(2, 3, 0, 1))


def test_long_lists_of_names_come_in_parts(tmp_path: Path) -> None:
    path = files.write_keras_2(tmp_path / "a.h5", files.as_keras(deepid(), MAPS))
    with h5py.File(path, "a") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
    assert len(read_keras(path).entries) == 14


def test_nan_is_named(tmp_path: Path) -> None:
    layers = files.as_keras(deepid(), MAPS)
    layers["conv_2"]["bias"] = np.array([np.nan] * 40, np.float32)
    with pytest.raises(BadInput, match=r"finite numbers in tensor 'conv_2/conv_2/bias:0', got NaN"):
        opened(files.write_keras_2(tmp_path / "a.h5", layers))


def test_truncated_files(tmp_path: Path) -> None:
    path = files.write_keras_2(tmp_path / "a.h5", files.as_keras(deepid(), MAPS))
    whole = path.read_bytes()
    for length in (9, 100, 3000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match=r"expected .*a\.h5.*(truncated|damaged)"):
            opened(path)


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    path = files.write_keras_2(tmp_path / "a.h5", {"conv": {"kernel": np.ones((2, 2, 3, 4), np.float32)}})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole)
        for place in rng.integers(8, len(whole), 30):
            broken[place] = rng.integers(256)
        path.write_bytes(bytes(broken))
        with pytest.raises(BadInput, match=r"a\.h5"):
            opened(path)


def test_hdf5_of_another_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "faces.h5", "w") as file:
        file["data"], file["label"] = np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2)
    with pytest.raises(BadInput, match=r"expected Keras weights in HDF5 .* got another layout \(data, label\)"):
        opened(tmp_path / "faces.h5")
    layers = {"a": {"kernel": np.array([b"text"])}}
    with pytest.raises(BadInput, match="expected numbers in 'a/a/kernel:0', got something else"):
        opened(files.write_keras_2(tmp_path / "text.h5", layers))


def test_sizes_without_numbers_behind_them_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").attrs["weight_names"] = [b"a/kernel:0"]
        file.create_dataset("a/a/kernel:0", shape=(1 << 20, 1 << 30), dtype="f4", chunks=(1024, 1024))
    with pytest.raises(BadInput, match="got 'a/a/kernel:0' only in part: some of it was never written"):
        opened(path)
