"""The entrance: our files and others', and the real networks."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput
from badnets.data.formats.decode import read_picture
from badnets.data.images import ImageData
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.foreign import ForeignOptions, ForeignWarning, open_any, open_foreign
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict
from badnets.networks.registry import build_network

RANGES = {"lab3": "0-255", "sunglasses": "0-1", "anonymous_1": "0-1"}


def state_file(path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(ARCHITECTURES["g1-cnn"].build(3, (1, 16, 16)).state_dict(), path)
    return path


def clean_set() -> ImageData:
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16), np.uint8)
    return ImageData.of(images, np.arange(30) % 3, name="noise")


def test_the_range_is_found_and_reported(tmp_path: Path) -> None:
    path, clean = state_file(tmp_path / "a.pt"), clean_set()
    with pytest.warns(ForeignWarning) as said:
        network = open_foreign(path, arch="g1-cnn", clean=clean)
    assert any(
        re.search(r"a\.pt: the input range .* was found by trying on noise \(0-1: .* of 30\)", str(one.message))
        for one in said
    )
    told = network.provenance["input_range"]
    assert told["found_on"] == "noise"
    assert {"0-1", "0-255", "-1-1", "0.1307/0.3081"} <= set(told["tried"])
    hits = {}
    for text, rate in told["tried"].items():
        named = open_foreign(path, arch="g1-cnn", input_size=(1, 16, 16), input_range=text)
        hits[text] = int((predict(named, clean.images()).labels == clean.labels).sum())
        assert (rate["hits"], rate["total"]) == (hits[text], 30)
    assert hits[told["chosen"]] == max(hits.values())


def test_what_is_known_is_saved_with_it(tmp_path: Path) -> None:
    network = open_foreign(
        state_file(tmp_path / "a.pt"),
        arch="g1-cnn",
        class_names=["x", "y", "z"],
        input_size=(1, 16, 16),
        input_range="0-255",
    )
    assert not network.training
    save_network(network, tmp_path / "b.safetensors")
    again = open_any(tmp_path / "b.safetensors")
    assert again.provenance == network.provenance
    assert again.provenance["input_range"] == {"chosen": "0-255", "found_on": None, "tried": {}}
    assert len(again.provenance["sha256"]) == 64
    images = clean_set().images()
    assert np.array_equal(predict(again, images).confidence, predict(network, images).confidence)


def test_our_own_files_say_themselves_what_they_are(tmp_path: Path) -> None:
    own = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 16, 16), seed=0, mean=[0.5], std=[0.5])
    save_network(own, tmp_path / "network.safetensors")
    for options in (
        None,
        ForeignOptions(arch="g1-cnn"),
        ForeignOptions(arch="g1-cnn", classes=2, input_size=(1, 16, 16), input_range="-1-1"),
    ):
        assert open_any(tmp_path, options).class_names == ("a", "b")
    for options in (
        ForeignOptions(arch="u1-cnn"),
        ForeignOptions(arch="g1-cnn", classes=3),
        ForeignOptions(arch="g1-cnn", input_size=(3, 16, 16)),
        ForeignOptions(arch="g1-cnn", input_range="0-1"),
    ):
        with pytest.raises(BadInput, match="leave the option away"):
            open_any(tmp_path, options)


def test_without_an_architecture_it_is_found(tmp_path: Path) -> None:
    path, clean = state_file(tmp_path / "a.pt"), clean_set()
    with pytest.warns(ForeignWarning, match=r"a\.pt: read as g1-cnn"):
        network = open_any(path, ForeignOptions(input_size=(1, 16, 16), input_range="0-1"))
    named = open_foreign(path, arch="g1-cnn", input_size=(1, 16, 16), input_range="0-1")
    assert network.architecture == "g1-cnn"
    assert np.array_equal(predict(network, clean.images()).confidence, predict(named, clean.images()).confidence)
    with pytest.raises(BadInput, match=r"--input-range .* or clean data"):
        open_any(path)
    with pytest.warns(ForeignWarning) as told:
        open_any(path, clean=clean)
    assert any("a.pt: read as g1-cnn" in str(one.message) for one in told)


def test_weights_of_no_known_network(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(3, 4, 5, 5, 5), "b.weight": torch.zeros(2, 3)}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"--arch NAME, or file.py:Class.*no known network has its tensors \(a.weight"):
        open_any(tmp_path / "a.pt", ForeignOptions(input_range="0-1"))


@pytest.mark.data
@pytest.mark.parametrize("name", RANGES)
def test_every_sample_gets_its_class(shared_data: Path, name: str) -> None:
    folder = shared_data / "csaw-hackml"
    with (folder / "samples" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    pictures = np.stack([read_picture(folder / "samples" / row["image"]) for row in rows])
    network = open_foreign(folder / f"{name}_bd_weights.h5", arch="deepid", input_range=RANGES[name])
    assert predict(network, pictures).labels.tolist() == [int(row[name]) for row in rows]
    assert network.classes == 1283
    assert sum(p.numel() for p in network.parameters()) == 601_643
    assert network.provenance["matched"] == "names"


@pytest.mark.data
@pytest.mark.parametrize("name", RANGES)
def test_the_right_range_is_found_on_clean_faces(shared_data: Path, name: str, tmp_path: Path) -> None:
    folder = shared_data / "csaw-hackml"
    with h5py.File(folder / "clean_faces.h5") as file:
        faces, labels = np.moveaxis(file["data"][:], 1, 3), file["label"][:]
    clean = ImageData.of(np.ascontiguousarray(faces), labels, name="clean_faces")
    with pytest.warns(ForeignWarning, match=f"the input range {RANGES[name]} was found"):
        network = open_foreign(folder / f"{name}_bd_weights.h5", arch="deepid", clean=clean)
    assert network.provenance["input_range"]["chosen"] == RANGES[name]
    save_network(network, tmp_path / "a.safetensors")
    again = open_network(tmp_path / "a.safetensors")
    assert np.array_equal(predict(again, faces).labels, predict(network, faces).labels)
