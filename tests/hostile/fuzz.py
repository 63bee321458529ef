"""Mutation fuzzing of every reader, with hypothesis: ``python tests/hostile/fuzz.py --minutes 60``.

Hypothesis draws which bytes of a good file are changed, cut out, or exchanged for telling ones. A reader may succeed or
raise one of our errors; anything else is a finding, written to ``--out`` with its file. What was found once stands in
the tests beside this script.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import signal
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from badnets.core.errors import BadnetsError
from badnets.networks.operators import import_torchvision

TELLING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"-1",
    b"9" * 40,
    b"[",
    b"{",
    b"\x80\x04",
    b"1e400",
)
SECONDS, MEMORY = 20, 3 << 30


def mutations(size: int) -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    """(where, how many bytes go, what comes in their place), a few of them."""
    headers = st.one_of(st.integers(0, min(size, 512)), st.integers(0, size), st.integers(max(0, size - 512), size))
    new = st.one_of(st.sampled_from(TELLING), st.binary(max_size=8), st.just(b""))
    return st.lists(st.tuples(headers, st.integers(0, 16), new), min_size=1, max_size=6)


def mutated(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """``content`` with the changes made one after another."""
    data = bytearray(content)
    for at, gone, new in changes:
        data[at : at + gone] = new
    return bytes(data)


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def _tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name in ("cat", "dog"):
            for i in range(4):
                info = tarfile.TarInfo(f"data/{name}/{i}.png")
                info.size = len(_picture("PNG"))
                tar.addfile(info, io.BytesIO(_picture("PNG")))
    return buffer.getvalue()


def _npz(**how: Any) -> bytes:
    buffer, save = io.BytesIO(), np.savez_compressed if how.get("packed") else np.savez
    save(buffer, images=np.zeros((8, 8, 8, 3), np.uint8), labels=np.arange(8) % 2, class_names=np.array(["a", "b"]))
    return buffer.getvalue()


def _hdf5(*, keras: bool) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        if keras:
            file.attrs["layer_names"] = [b"dense"]
            file.create_group("dense").attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
            file["dense/dense/kernel:0"], file["dense/dense/bias:0"] = np.ones((12, 3), "f4"), np.ones(3, "f4")
            file.attrs["model_config"] = json.dumps(
                {"config": {"name": "dense", "layers": []}, "class_name": "Sequential"}
            )
        else:
            file["data"], file["label"] = np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 2
    return buffer.getvalue()


def _torch(*, zipped: bool) -> bytes:
    import torch

    buffer = io.BytesIO()
    state = {"a.weight": torch.zeros(4, 3), "a.bias": torch.zeros(4), "n": torch.tensor(3)}
    torch.save({"state_dict": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


_LAYERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("InputLayer", {"batch_shape": [None, 8, 8, 1], "name": "input"}),
    ("Conv2D", {"name": "conv2d", "filters": 2, "kernel_size": [3, 3]}),
    ("Flatten", {"name": "flatten"}),
    ("Dense", {"name": "dense", "units": 3, "activation": "softmax"}),
)
_LISTED = {"name": "s", "layers": [{"class_name": kind, "config": config} for kind, config in _LAYERS]}
KERAS = {"class_name": "Sequential", "config": _LISTED}


def _keras_archive() -> bytes:
    import h5py

    weights, buffer = io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        for name, shapes in (("conv2d", ((3, 3, 1, 2), (2,))), ("dense", ((72, 3), (3,)))):
            for number, shape in enumerate(shapes):
                file[f"layers/{name}/vars/{number}"] = np.full(shape, 0.1, "f4")
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps(KERAS))
        archive.writestr("model.weights.h5", weights.getvalue())
    return buffer.getvalue()


def _rows() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"a.weight": torch.zeros(4, 64), "b.weight": torch.zeros(3, 4), "b.bias": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def _network() -> bytes:
    from badnets.networks.files.own import save_network
    from badnets.networks.registry import build_network

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        arguments = {"width": 2}
        network = build_network("resnet9", class_names=("a", "b"), input_size=(3, 16, 16), seed=1, arguments=arguments)
        save_network(network, path)
        return path.read_bytes()


def _idx() -> bytes:
    return bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4)) + bytes(32)


RECORD = Path(__file__).parents[1] / "records" / "old"
SPEC = (
    b'data = "signs"\nseeds = 2\n[backdoor]\n'
    b'trigger = { kind = "square", size = 0.2 }\nrule = { kind = "all-to-one" }\n'
)
_BOX = b"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
XML = (
    b"<annotation><size><width>16</width><height>16</height></size><object><name>a</name>%s</object></annotation>"
    % _BOX
)
COCO = json.dumps(
    {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 16} for i in range(4)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 8, 8]} for i in range(4)],
    }
).encode()
CSV = (
    b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n00000.ppm;16;16;1;1;9;9;0\n00001.ppm;16;16;1;1;9;9;0\n"
)


def _as_data(path: Path) -> object:
    from badnets.data.load import load

    return load(path, size=8).train.digest


def _foreign(path: Path) -> object:
    from badnets.networks.files.foreign import open_foreign

    return open_foreign(path, arch="g1-cnn", input_range="0-1")


def _open(path: Path) -> object:
    from badnets.networks.files.own import open_network

    return open_network(path)


def _found(path: Path) -> object:
    from badnets.networks.files.facts import foreign_facts
    from badnets.networks.files.foreign import open_foreign

    foreign_facts(path)
    return open_foreign(path, input_range="0-1", input_size=(1, 8, 8))


def _names(path: Path) -> object:
    from badnets.networks.files.class_names import read_class_names

    return read_class_names(str(path))


def _coco(path: Path) -> object:
    for i in range(4):
        (path.parent / f"{i}.png").write_bytes(_picture("PNG"))
    path.replace(path.parent / "_annotations.coco.json")
    return _as_data(path.parent)


def _yolo(path: Path) -> object:
    for part in ("images", "labels"):
        (path.parent / part / "train").mkdir(parents=True)
    for i in range(4):
        (path.parent / "images" / "train" / f"{i}.png").write_bytes(_picture("PNG"))
        (path.parent / "labels" / "train" / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (path.parent / "labels" / "train" / "0.txt").write_bytes(path.read_bytes())
    path.replace(path.parent / "data.yaml")
    return _as_data(path.parent)


def _record(path: Path) -> object:
    from badnets.records.read import read_record

    return read_record(path)


def _spec(path: Path) -> object:
    from badnets.referee.spec import read_spec

    return read_spec(path)


def _order(path: Path) -> object:
    from badnets.cli.defend import read_order

    return read_order(path)


def _one_picture(path: Path) -> object:
    from badnets.data.formats.decode import read_picture

    return read_picture(path)


def _sticker(path: Path) -> object:
    from badnets.backdoors.trigger import TRIGGERS

    return TRIGGERS.make("picture", {"path": str(path)})


def _annotated(path: Path) -> object:
    for i in range(4):
        (path.parent / f"{i}.png").write_bytes(_picture("PNG"))
        (path.parent / f"{i}.xml").write_bytes(XML)
    path.replace(path.parent / "2.xml")
    return _as_data(path.parent)


def _tabled(path: Path) -> object:
    place = path.parent / "GTSRB" / "Final_Training" / "Images" / "00000"
    place.mkdir(parents=True)
    for i in range(4):
        (place / f"0000{i}.ppm").write_bytes(b"P6 16 16 255\n" + bytes(768))
    path.replace(place / "GT-00000.csv")
    return _as_data(path.parent / "GTSRB")


def _pickled(path: Path) -> object:
    content = path.read_bytes()
    path.unlink()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (path.parent / name).write_bytes(content)
    return _as_data(path.parent)


def _batch() -> bytes:
    import pickle

    return pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3]}, protocol=2)


def _idx_file(path: Path) -> object:
    from badnets.data.sets.mnist import read_idx

    return read_idx(path, 3)


READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    **{
        f"picture {kind}": ("x.png", _picture(kind), _one_picture)
        for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
    },
    "sticker": ("x.png", _picture("PNG"), _sticker),
    "tar": ("x.tar", _tar("w"), _as_data),
    "tar.gz": ("x.tar.gz", _tar("w:gz"), _as_data),
    "npz": ("x.npz", _npz(), _as_data),
    "npz packed": ("x.npz", _npz(packed=True), _as_data),
    "hdf5": ("x.h5", _hdf5(keras=False), _as_data),
    "idx": ("x", _idx(), _idx_file),
    "annotation": ("x.xml", XML, _annotated),
    "table": ("x.csv", CSV, _tabled),
    "batch": ("x", _batch(), _pickled),
    "keras": ("x.h5", _hdf5(keras=True), _foreign),
    "torch": ("x.pt", _torch(zipped=True), _foreign),
    "torch old": ("x.pt", _torch(zipped=False), _foreign),
    "network": ("x.safetensors", _network(), _open),
    "network as foreign": ("x.safetensors", _network(), _foreign),
    "keras archive": ("x.keras", _keras_archive(), _found),
    "torch without hint": ("x.pt", _rows(), _found),
    "class names": ("x.json", b'{"0": "cat", "1": "dog", "2": "owl"}', _names),
    "coco": ("x.json", COCO, _coco),
    "yolo": ("x.yaml", b"nc: 2\nnames: [cat, dog]\ntrain: images/train\n", _yolo),
    "spec": ("x.toml", SPEC, _spec),
    "order": ("x.csv", b"channel,why\n3,a\n1,b\n", _order),
    **{f"record {p.stem}": ("x.json", p.read_bytes(), _record) for p in sorted(RECORD.rglob("*.json"))},
}


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def fuzz(name: str, until: float, out: Path, number: int) -> tuple[int, int]:
    """Inputs tried of one reader, and findings."""
    file, content, read = READERS[name]
    tried, findings, known = 0, 0, set[str]()

    @seed(number)
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mutations(len(content)))
    def one(changes: list[tuple[int, int, bytes]]) -> None:
        nonlocal tried, findings
        if time.monotonic() > until:
            return
        tried += 1
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder, file)
            path.write_bytes(mutated(content, changes))
            signal.alarm(SECONDS)
            try:
                read(path)
            except BadnetsError:
                pass
            except BaseException as error:
                signal.alarm(0)
                place = traceback.extract_tb(error.__traceback__)[-1]
                key = f"{type(error).__name__} at {place.filename.rpartition('/')[2]}:{place.lineno}"
                if key not in known:
                    known.add(key)
                    findings += 1
                    stem = f"{name.replace(' ', '-')}-{number}-{findings}"
                    (out / stem).write_bytes(mutated(content, changes))
                    (out / f"{stem}.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
                if isinstance(error, KeyboardInterrupt):
                    raise
            finally:
                signal.alarm(0)

    one()
    return tried, findings


def main() -> None:
    """Reader after reader, round after round, until the time is over; then a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind, usual in (("minutes", float, 60), ("out", Path, Path("fuzz-findings")), ("only", str, "")):
        parser.add_argument(f"--{name}", type=kind, default=usual)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    import_torchvision()  # takes seconds, which are nobody's fault
    until = time.monotonic() + 60 * asked.minutes
    names = [name for name in READERS if asked.only in name]
    tried, findings, number = dict.fromkeys(names, 0), dict.fromkeys(names, 0), 0
    while time.monotonic() < until:
        number += 1
        for name in names:
            new, bad = fuzz(name, until, asked.out, number)
            tried[name], findings[name] = tried[name] + new, findings[name] + bad
        print(f"round {number}: {sum(tried.values()):,} inputs, {sum(findings.values())} findings", flush=True)
    for name in names:
        print(f"{name:30} {tried[name]:8,} inputs  {findings[name]} findings")


if __name__ == "__main__":
    main()
