"""Files that run code, or reach outside, when the usual framework opens them: for scanners, of which none opens one.

They are harmless even then: what they call does nothing (``os.system(":")``). ``RUNS`` maps a name to a file's name and
what makes its bytes; ``ODD`` are files about which nobody can say.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Make = Callable[[], bytes]
File = tuple[str, Make]
TEXT = b"(X\x01\0\0\0:t"
_STATE = b"\x80\x02}X\x06\0\0\0weightK\x01s."


def called(name: str, arguments: bytes = TEXT) -> bytes:
    """A pickle of protocol 2 that calls ``module.name``."""
    module, _, function = name.rpartition(".")
    return b"\x80\x02" + f"c{module}\n{function}\n".encode() + arguments + b"R."


SYSTEM = called("os.system")


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (":",)


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def torch_zip(content: bytes, *, how: int = zipfile.ZIP_STORED, name: str = "archive/data.pkl", **more: bytes) -> bytes:
    """An archive as torch.save writes it, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(name, content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", b"\x01\x02\x03\x04" * 16)
        for member, value in more.items():
            archive.writestr(member, value)
    return buffer.getvalue()


def torch_older(content: bytes) -> bytes:
    """The older format: five pickles, then numbers."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return b"".join(pickle.dumps(one, 2) for one in head) + content + pickle.dumps([], 2)


def zipped(**members: bytes) -> bytes:
    """A plain archive."""
    return archived(members)


def archived(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """A plain archive of any names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, target
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _patched(content: bytes, *changes: tuple[int, bytes]) -> bytes:
    data = bytearray(content)
    for at, new in changes:
        data[at : at + len(new)] = new
    return bytes(data)


def _entry(content: bytes, number: int = 0) -> int:
    """Where the list's line of a member begins."""
    at = -1
    for _ in range(number + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return at


def broken_sum() -> bytes:
    """torch does not compare it."""
    content = torch_zip(SYSTEM)
    return _patched(content, (14, b"\1\2\3\4"), (_entry(content) + 16, b"\1\2\3\4"))


def two_names() -> bytes:
    """The list says what torch reads; the member's own header says something else."""
    content = torch_zip(SYSTEM)
    return _patched(content, (30, b"archive/data.txt"))


def encrypted_flag() -> bytes:
    """Set in the list alone: some readers give up, others do not look."""
    content = torch_zip(SYSTEM)
    return _patched(content, (_entry(content) + 8, b"\1"), (6, b"\1"))


def _without_list() -> bytes:
    content = torch_zip(SYSTEM)
    return content[: _entry(content)]


def _hidden_member() -> bytes:
    """In the archive, but not in its list."""
    content = torch_zip(_STATE, **{"archive/extra.pkl": SYSTEM})
    first, last = _entry(content, 3), content.index(b"PK\x05\x06")
    size = struct.unpack("<I", content[last + 12 : last + 16])[0] - (last - first)
    content = content[:first] + content[last:]
    return _patched(content, (first + 8, struct.pack("<HH", 3, 3)), (first + 12, struct.pack("<I", size)))


def _keras(config: Any) -> bytes:
    weights = _hdf5(lambda file: file.create_group("layers"))
    members = {"metadata.json": b'{"keras_version": "3.5.0"}', "config.json": json.dumps(config).encode()}
    return archived({**members, "model.weights.h5": weights})


def _layer(kind: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    inner = {"module": module, "class_name": kind, "config": {"name": "x", **config}, "registered_name": None}
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [inner]}}


def _hdf5(make: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        make(file)
    return buffer.getvalue()


def _keras_2(kind: str, **config: Any) -> bytes:
    described = {"class_name": "Sequential", "config": [{"class_name": kind, "config": {"name": "x", **config}}]}
    return _hdf5(lambda file: file.attrs.update(model_config=json.dumps(described)))


def _stored_outside(file: h5py.File) -> None:
    file.create_dataset("kernel", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/other.h5", "x", (4,))
    file.create_virtual_dataset("kernel", layout)


def _filtered() -> bytes:
    content = _hdf5(
        lambda f: f.create_dataset("k", (64,), "f4", data=np.ones(64, "f4"), chunks=(64,), compression="lzf")
    )
    return content.replace(struct.pack("<H", 32000), struct.pack("<H", 32123))


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def onnx(tensor: bytes = b"", domain: str = "", kind: str = "Relu") -> bytes:
    """An ONNX network of one operator."""
    node = (
        _field(1, b"x") + _field(2, b"y") + _field(4, kind.encode()) + (_field(7, domain.encode()) if domain else b"")
    )
    graph = _field(1, node) + _field(2, b"g") + (_field(5, tensor) if tensor else b"")
    return _field(1, 8) + _field(2, b"test") + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 17))


def onnx_beside(location: str) -> bytes:
    """A tensor of it lies in another file."""
    entry = _field(1, b"location") + _field(2, location.encode())
    return _field(1, 4) + _field(2, 1) + _field(8, b"w") + _field(13, entry) + _field(14, 1)


def npy(content: bytes, described: str = "|O") -> bytes:
    """An array of numpy, with any content."""
    text = f"{{'descr': '{described}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


def safetensors(header: Any, body: bytes = b"") -> bytes:
    """A header of any content, and what follows."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _script(text: str) -> bytes:
    content = b"\x80\x02c__torch__\nN\n)\x81}X\x08\0\0\0training\x89sb."
    return torch_zip(content, **{"archive/code/__torch__.py": text.encode(), "archive/constants.pkl": b"\x80\x02)."})


def _pt2(**members: bytes) -> bytes:
    own = {"e/archive_format": b"pt2", "e/archive_version": b"0", "e/models/model.json": b'{"graph_module": {}}'}
    return archived({**own, **members})


def _joblib() -> bytes:
    """As joblib writes an array with an object beside it."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump([np.arange(4.0), _Calls()], buffer)
    return buffer.getvalue()


def _buried() -> bytes:
    with tempfile.TemporaryFile() as file:
        np.save(file, np.random.default_rng(1).normal(size=3000))
        file.seek(128)
        return file.read() + SYSTEM + b"\0" * 500


_WITH_CALL = SYSTEM[2:-1]
_NAMES = """
builtins.eval builtins.exec builtins.__import__ builtins.getattr builtins.open __builtin__.eval posix.system nt.system
subprocess.getoutput subprocess.Popen pty.spawn runpy.run_path importlib.import_module socket.create_connection
webbrowser.open shutil.rmtree ctypes.CDLL pickle.loads pip.main functools.partial operator.attrgetter timeit.timeit
code.InteractiveInterpreter pydoc.pipepager linecache.getline cProfile.run asyncio.run logging.config.listen
numpy.testing._private.utils.runstring torch.utils.collect_env.run torch.hub.load torch.jit.load torch.load
torch.jit.unsupported_tensor_ops.execWrapper torch.utils.bottleneck.__main__.run_cprofile sys.setprofile
copyreg.add_extension nobodys_package.load dill._dill._create_function cloudpickle.cloudpickle._make_function
joblib.load pandas.read_pickle ensurepip._run_pip urllib.request.urlretrieve torch._dynamo.guards.GuardBuilder.get
tensorflow.python.keras.saving.load
"""
NAMES = tuple(_NAMES.split())
"""What pickles call."""

_PICKLES: dict[str, bytes] = {
    "module and name from the memo": b"\x80\x04"
    + _short("os")
    + b"\x940"
    + _short("system")
    + b"\x940h\0h\1\x93\x8c\1:\x85R.",
    "a name that is worked out": b"\x80\x04"
    + _short("os")
    + b"c_codecs\nencode\n"
    + _short("system")
    + b"\x85R\x93\x8c\1:\x85R.",
    "a dotted name": b"\x80\x04" + _short("torch") + _short("serialization.os.system") + b"\x93\x8c\1:\x85R.",
    "names in quotes": b"S'os'\nS'sys\\x74em'\n\x93S':'\n\x85R.",
    "names of eight length bytes": b"\x80\x04\x8d\2\0\0\0\0\0\0\0os\x8d\6\0\0\0\0\0\0\0system\x93\x8c\1:\x85R.",
    "INST": b"(S':'\nios\nsystem\n.",
    "OBJ": b"\x80\x02(cos\nsystem\nX\1\0\0\0:o.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\nX\1\0\0\0:\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n\x8c\1:\x85}\x92.",
    "a number of the registry": b"\x80\x02\x82\x07X\1\0\0\0:\x85R.",
    "a class that is changed": b"\x80\x02ccollections\nOrderedDict\n}X\x0c\0\0\0__setstate__cos\nsystem\nsb.",
    "a call of what was made": b"\x80\x02ccollections\nOrderedDict\n)RX\1\0\0\0:\x85R.",
    "no STOP": SYSTEM[:-1],
    "damage behind the call": SYSTEM[:-1] + b"\xff\xff\xff\xff",
    "a name that is no UTF-8": b"\x80\x02cos\nsystem\nX\1\0\0\0:\x85R\x8c\2\xff\xfe.",
    "protocol twice": b"\x80\x02\x80\x02" + SYSTEM[2:],
    "a frame that is too long": b"\x80\x04\x95\xff\xff\0\0\0\0\0\0" + SYSTEM[2:],
    "behind a POP": b"\x80\x02" + _WITH_CALL + b"0}.",
    "behind a POP_MARK": b"\x80\x02(" + _WITH_CALL + b"1}.",
    "a second pickle": _STATE + SYSTEM,
    "a third pickle": _STATE * 2 + SYSTEM,
    "with an older name": b"\x80\x02c__builtin__\nexecfile\nX\1\0\0\0:\x85R.",
    "a persistent id in the way": b"\x80\x02Pid\n0" + SYSTEM[2:],
}
_FORMS: dict[str, File] = {
    "torch's archive": ("x.pt", lambda: torch_zip(SYSTEM)),
    "torch's older format": ("x.pt", lambda: torch_older(SYSTEM)),
    "torch's oldest format, a tar": (
        "x.pt",
        lambda: tarred({"sys_info": _STATE, "pickle": SYSTEM, "storages": b"\0" * 64}),
    ),
    "a broken sum": ("x.pt", broken_sum),
    "two names": ("x.pt", two_names),
    "a flag of encryption": ("x.pt", encrypted_flag),
    "no list of members": ("x.pt", _without_list),
    "a member that is not listed": ("x.pt", _hidden_member),
    "packed members": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_DEFLATED)),
    "members packed by bzip2": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_BZIP2)),
    "members packed by lzma": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_LZMA)),
    "a member called otherwise": ("x.pt", lambda: torch_zip(SYSTEM, name="archive/readme.txt")),
    "a second data.pkl": ("x.pt", lambda: torch_zip(_STATE, **{"other/data.pkl": SYSTEM})),
    "an archive in an archive": ("x.zip", lambda: archived({"models/x.pt": torch_zip(SYSTEM)}, zipfile.ZIP_DEFLATED)),
    "an archive in a tar in gzip": ("x.tar.gz", lambda: gzip.compress(tarred({"x.pt": torch_zip(SYSTEM)}))),
    "an archive behind a pickle": ("x.pt", lambda: SYSTEM + torch_zip(_STATE)),
    "a pickle before an archive": ("x.bin", lambda: _STATE + torch_zip(SYSTEM)),
    "behind a tar": ("x.tar", lambda: tarred({"a.txt": b"a"}) + SYSTEM),
    "behind the archive": ("x.pt", lambda: torch_zip(_STATE) + SYSTEM),
    "gzip": ("x.pkl.gz", lambda: gzip.compress(SYSTEM)),
    "bzip2": ("x.pkl.bz2", lambda: bz2.compress(SYSTEM)),
    "xz": ("x.pkl.xz", lambda: lzma.compress(SYSTEM)),
    "lzma": ("x.joblib", lambda: lzma.compress(SYSTEM, lzma.FORMAT_ALONE)),
    "zlib": ("x.joblib", lambda: zlib.compress(SYSTEM)),
    "joblib": ("x.joblib", _joblib),
    "numpy": ("x.npy", lambda: npy(SYSTEM)),
    "numpy's archive": ("x.npz", lambda: archived({"a.npy": npy(b"\0" * 8, "<f8"), "b.npy": npy(SYSTEM)})),
    "called .safetensors": ("x.safetensors", lambda: SYSTEM),
    "called .h5": ("x.h5", lambda: torch_zip(SYSTEM)),
    "called .onnx": ("x.onnx", lambda: torch_zip(SYSTEM)),
    "called .bin": ("pytorch_model.bin", lambda: torch_zip(SYSTEM)),
    "called .txt": ("x.txt", lambda: SYSTEM),
    "called nothing": ("weights", lambda: SYSTEM),
    "protocol 0 called .ckpt": ("x.ckpt", lambda: b"cposix\nsystem\n(S':'\ntR."),
    "an exported program with a pickle": (
        "x.pt2",
        lambda: _pt2(**{"e/data/sample_inputs/model.pt": torch_zip(SYSTEM)}),
    ),
    "an exported program with a library": (
        "x.pt2",
        lambda: _pt2(**{"e/data/aotinductor/model.so": b"\x7fELF" + b"\0" * 60}),
    ),
    "TorchScript that runs when loaded": (
        "x.pt",
        lambda: _script("class N(Module):\n  def __setstate__(self, state: int) -> NoneType:\n    print(state)\n"),
    ),
    "TorchScript that writes a file": (
        "x.pt",
        lambda: _script(
            "class N(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    torch.save(x, 'y')\n    return x\n"
        ),
    ),
    "TorchScript that maps a file": (
        "x.pt",
        lambda: _script("def f(x: Tensor) -> Tensor:\n  return ops.aten.from_file('y', True, 4)\n"),
    ),
    "a package of torch": (
        "x.pt",
        lambda: archived({"p/.data/extern_modules": b"os\n", "p/m.py": b"import os\n", "p/m/m.pkl": _STATE}),
    ),
    "a Lambda of Keras 3": (
        "x.keras",
        lambda: _keras(_layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}})),
    ),
    "a Lambda of Keras 2": (
        "x.h5",
        lambda: _keras_2("Lambda", function=["4wEAAA==", None, None], function_type="lambda"),
    ),
    "a function of Python in Keras": ("x.keras", lambda: _keras(_layer("system", "os"))),
    "a function of Keras that downloads": ("x.keras", lambda: _keras(_layer("get_file", "keras.utils"))),
    "code that Keras is told to trust": (
        "x.keras",
        lambda: _keras(_layer("enable_unsafe_deserialization", "keras.config")),
    ),
    "a module of torch in Keras": ("x.keras", lambda: _keras(_layer("TorchModuleWrapper", module_="gAJ9Lg=="))),
    "a SavedModel in Keras": ("x.keras", lambda: _keras(_layer("TFSMLayer", filepath="/somewhere"))),
    "a list of words elsewhere": ("x.keras", lambda: _keras(_layer("StringLookup", vocabulary="/etc/hostname"))),
    "a link out of HDF5": ("x.h5", lambda: _hdf5(lambda f: f.update(x=h5py.ExternalLink("/x.h5", "/")))),
    "numbers outside of HDF5": ("x.h5", lambda: _hdf5(_stored_outside)),
    "a virtual set": ("x.h5", lambda: _hdf5(_virtual)),
    "a filter of a plug-in": ("x.h5", _filtered),
    "a pickle in an attribute": ("x.h5", lambda: _hdf5(lambda f: f.attrs.update(a=np.void(SYSTEM)))),
    "ONNX that reads above": ("x.onnx", lambda: onnx(onnx_beside("../../etc/hostname"))),
    "ONNX that reads anywhere": ("x.onnx", lambda: onnx(onnx_beside("/etc/hostname"))),
    "ONNX with an operator of others": ("x.onnx", lambda: onnx(domain="nobody.ops", kind="Run")),
    "a member above the archive": ("x.zip", lambda: archived({"../../x.pkl": _STATE})),
    "a link in a tar": ("x.tar", lambda: tarred({"m/x.pt": b""}, tarfile.SYMTYPE, "/etc/hostname")),
    "TensorFlow that writes a file": ("saved_model.pb", lambda: b"\x08\x01\x12\x20" + b"WriteFile" + b"\0" * 20),
    "a server's archive with code": (
        "x.mar",
        lambda: archived({"MAR-INF/MANIFEST.json": b"{}", "handler.py": b"import os"}),
    ),
}
RUNS: dict[str, File] = {
    **{f"os.system, protocol {p}": ("x.pkl", lambda p=p: pickle.dumps(_Calls(), p)) for p in range(6)},  # type: ignore[misc]
    **{name: ("x.pkl", lambda name=name: called(name)) for name in NAMES},  # type: ignore[misc]
    **{name: ("x.pkl", lambda content=content: content) for name, content in _PICKLES.items()},  # type: ignore[misc]
    **{
        f"{name}, in torch's archive": ("x.pt", lambda name=name: torch_zip(_PICKLES[name]))
        for name in list(_PICKLES)[:6]
    },  # type: ignore[misc]
    **_FORMS,
}
_DOUBLED = (b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40))
_BOMB = b"\x80\x02)q\0" + b"".join(_DOUBLED) + b"."  # pairs of pairs of pairs


def _nested(depth: int) -> bytes:
    content = torch_zip(_STATE)
    for _ in range(depth):
        content = archived({"x.zip": content})
    return content


ODD: dict[str, File] = {
    "a whole module": ("x.pt", lambda: torch_zip(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.")),
    "an object of joblib": ("x.joblib", lambda: called("joblib.numpy_pickle.NumpyArrayWrapper", b")")),
    "an object of sklearn": ("x.pkl", lambda: b"\x80\x02csklearn.svm\nSVC\n)\x81}b."),
    "a state in disguise": ("x.safetensors", lambda: torch_zip(_STATE)),
    "a damaged pickle": ("x.pkl", lambda: _STATE[:-3]),
    "a pickle among numbers": ("x.pt", lambda: torch_zip(_STATE, **{"archive/data/1": _buried()})),
    "a pickle of a million marks": ("x.pkl", lambda: b"\x80\x02" + b"(" * 1_100_000 + b"."),
    "a tuple of tuples": ("x.pkl", lambda: _BOMB),
    "archives in each other": ("x.zip", lambda: _nested(12)),
    "a bomb": ("x.zip", lambda: archived({"x.tar": b"\0" * (300 << 20)}, zipfile.ZIP_DEFLATED)),
    "a bomb in gzip": ("x.pkl.gz", lambda: gzip.compress(b"\x80\x02" + b"N0" * (150 << 20))),
    "100,001 members": ("x.zip", lambda: archived({f"{i}": b"" for i in range(100_001)})),
    "cut off": ("x.pt", lambda: torch_zip(_STATE)[:-40]),
    "packed by 7z": ("x.7z", lambda: b"7z\xbc\xaf\x27\x1c" + b"\0" * 60),
    "packed in an unknown way": ("x.pt", lambda: _patched(torch_zip(SYSTEM), (8, b"\x63"))),
    "ONNX that claims 2^40 numbers": (
        "x.onnx",
        lambda: onnx(_field(1, 1 << 40) + _field(2, 1) + _field(8, b"w") + _field(9, b"\0" * 8)),
    ),
    "a class of others in Keras": ("x.keras", lambda: _keras(_layer("Mine", "my.layers"))),
    "a gap in safetensors": (
        "x.safetensors",
        lambda: safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}, b"\0" * 12),
    ),
    "more behind safetensors": (
        "x.safetensors",
        lambda: safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4 + SYSTEM),
    ),
    "GGUF": ("x.gguf", lambda: b"GGUF\3\0\0\0" + b"\0" * 40),
    "TensorFlow Lite": ("x.tflite", lambda: b"\x1c\0\0\0TFL3" + b"\0" * 40),
    "numbers of numpy that are not there": ("x.npy", lambda: npy(b"", "<f8")),
    "nothing known": ("x.pt", lambda: b"weights, trust me"),
    "code of the hub": ("config.json", lambda: b'{"auto_map": {"AutoModel": "modeling.Net"}}'),
    "names of control characters": ("x.zip", lambda: archived({"\x1b[2J/\u202ex.pkl": called("a\x1b[2J.b\u202e")})),
}


def write(folder: Path, files: dict[str, File]) -> dict[str, Path]:
    """All of them, each in a folder of its own; where they are."""
    places = {}
    for number, (name, (file, make)) in enumerate(files.items()):
        places[name] = folder / f"{number:03}" / file
        places[name].parent.mkdir(parents=True)
        places[name].write_bytes(make())
    return places
