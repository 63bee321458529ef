"""Files that run code, or reach outside, when the usual framework opens them: for scanners, of which none opens one.

They are harmless even then: what they call does nothing (``os.system(":")``). ``RUNS`` maps a name to a file's name and
what makes its bytes; ``ODD`` are files about which nobody can say.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from tests.hostile.made import (
    STATE,
    SYSTEM,
    Calls,
    archived,
    broken_sum,
    buried,
    called,
    encrypted_flag,
    field,
    filtered,
    hdf5,
    hidden_member,
    keras,
    keras_2,
    layer,
    npy,
    onnx,
    onnx_beside,
    patched,
    pt2,
    safetensors,
    script,
    short,
    stored_outside,
    tarred,
    torch_older,
    torch_zip,
    two_names,
    virtual,
    with_joblib,
    without_list,
)

Make = Callable[[], bytes]
File = tuple[str, Make]
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
    + short("os")
    + b"\x940"
    + short("system")
    + b"\x940h\0h\1\x93\x8c\1:\x85R.",
    "a name that is worked out": b"\x80\x04"
    + short("os")
    + b"c_codecs\nencode\n"
    + short("system")
    + b"\x85R\x93\x8c\1:\x85R.",
    "a dotted name": b"\x80\x04" + short("torch") + short("serialization.os.system") + b"\x93\x8c\1:\x85R.",
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
    "a second pickle": STATE + SYSTEM,
    "a third pickle": STATE * 2 + SYSTEM,
    "with an older name": b"\x80\x02c__builtin__\nexecfile\nX\1\0\0\0:\x85R.",
    "a persistent id in the way": b"\x80\x02Pid\n0" + SYSTEM[2:],
}
_FORMS: dict[str, File] = {
    "torch's archive": ("x.pt", lambda: torch_zip(SYSTEM)),
    "torch's older format": ("x.pt", lambda: torch_older(SYSTEM)),
    "torch's oldest format, a tar": (
        "x.pt",
        lambda: tarred({"sys_info": STATE, "pickle": SYSTEM, "storages": b"\0" * 64}),
    ),
    "a broken sum": ("x.pt", broken_sum),
    "two names": ("x.pt", two_names),
    "a flag of encryption": ("x.pt", encrypted_flag),
    "no list of members": ("x.pt", without_list),
    "a member that is not listed": ("x.pt", hidden_member),
    "packed members": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_DEFLATED)),
    "members packed by bzip2": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_BZIP2)),
    "members packed by lzma": ("x.pt", lambda: torch_zip(SYSTEM, how=zipfile.ZIP_LZMA)),
    "a member called otherwise": ("x.pt", lambda: torch_zip(SYSTEM, name="archive/readme.txt")),
    "a second data.pkl": ("x.pt", lambda: torch_zip(STATE, **{"other/data.pkl": SYSTEM})),
    "an archive in an archive": ("x.zip", lambda: archived({"models/x.pt": torch_zip(SYSTEM)}, zipfile.ZIP_DEFLATED)),
    "an archive in a tar in gzip": ("x.tar.gz", lambda: gzip.compress(tarred({"x.pt": torch_zip(SYSTEM)}))),
    "an archive behind a pickle": ("x.pt", lambda: SYSTEM + torch_zip(STATE)),
    "a pickle before an archive": ("x.bin", lambda: STATE + torch_zip(SYSTEM)),
    "behind a tar": ("x.tar", lambda: tarred({"a.txt": b"a"}) + SYSTEM),
    "behind the archive": ("x.pt", lambda: torch_zip(STATE) + SYSTEM),
    "gzip": ("x.pkl.gz", lambda: gzip.compress(SYSTEM)),
    "bzip2": ("x.pkl.bz2", lambda: bz2.compress(SYSTEM)),
    "xz": ("x.pkl.xz", lambda: lzma.compress(SYSTEM)),
    "lzma": ("x.joblib", lambda: lzma.compress(SYSTEM, lzma.FORMAT_ALONE)),
    "zlib": ("x.joblib", lambda: zlib.compress(SYSTEM)),
    "joblib": ("x.joblib", with_joblib),
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
        lambda: pt2(**{"e/data/sample_inputs/model.pt": torch_zip(SYSTEM)}),
    ),
    "an exported program with a library": (
        "x.pt2",
        lambda: pt2(**{"e/data/aotinductor/model.so": b"\x7fELF" + b"\0" * 60}),
    ),
    "TorchScript that runs when loaded": (
        "x.pt",
        lambda: script("class N(Module):\n  def __setstate__(self, state: int) -> NoneType:\n    print(state)\n"),
    ),
    "TorchScript that writes a file": (
        "x.pt",
        lambda: script(
            "class N(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    torch.save(x, 'y')\n    return x\n"
        ),
    ),
    "TorchScript that maps a file": (
        "x.pt",
        lambda: script("def f(x: Tensor) -> Tensor:\n  return ops.aten.from_file('y', True, 4)\n"),
    ),
    "TorchScript with gaps": (
        "x.pt",
        lambda: script("def f(x: Tensor) -> Tensor:\n  s = torch . # here\n  save\n  s(x, 'y')\n  return x\n"),
    ),
    "an exported program that calls torch": (
        "x.pt2",
        lambda: pt2(
            **{"e/models/model.json": b'{"graph_module": {"nodes": [{"target": "torch.hub.load", "inputs": []}]}}'}
        ),
    ),
    "a package of torch": (
        "x.pt",
        lambda: archived({"p/.data/extern_modules": b"os\n", "p/m.py": b"import os\n", "p/m/m.pkl": STATE}),
    ),
    "a Lambda of Keras 3": (
        "x.keras",
        lambda: keras(layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}})),
    ),
    "a Lambda of Keras 2": (
        "x.h5",
        lambda: keras_2("Lambda", function=["4wEAAA==", None, None], function_type="lambda"),
    ),
    "a function of Python in Keras": ("x.keras", lambda: keras(layer("system", "os"))),
    "a function of Keras that downloads": ("x.keras", lambda: keras(layer("get_file", "keras.utils"))),
    "code that Keras is told to trust": (
        "x.keras",
        lambda: keras(layer("enable_unsafe_deserialization", "keras.config")),
    ),
    "a module of torch in Keras": ("x.keras", lambda: keras(layer("TorchModuleWrapper", module_="gAJ9Lg=="))),
    "a SavedModel in Keras": ("x.keras", lambda: keras(layer("TFSMLayer", filepath="/somewhere"))),
    "a list of words elsewhere": ("x.keras", lambda: keras(layer("StringLookup", vocabulary="/etc/hostname"))),
    "a link out of HDF5": ("x.h5", lambda: hdf5(lambda f: f.update(x=h5py.ExternalLink("/x.h5", "/")))),
    "numbers outside of HDF5": ("x.h5", lambda: hdf5(stored_outside)),
    "a virtual set": ("x.h5", lambda: hdf5(virtual)),
    "a filter of a plug-in": ("x.h5", filtered),
    "a pickle in an attribute": ("x.h5", lambda: hdf5(lambda f: f.attrs.update(a=np.void(SYSTEM)))),
    "ONNX that reads above": ("x.onnx", lambda: onnx(onnx_beside("../../etc/hostname"))),
    "ONNX that reads anywhere": ("x.onnx", lambda: onnx(onnx_beside("/etc/hostname"))),
    "ONNX with an operator of others": ("x.onnx", lambda: onnx(domain="nobody.ops", kind="Run")),
    "a member above the archive": ("x.zip", lambda: archived({"../../x.pkl": STATE})),
    "a link in a tar": ("x.tar", lambda: tarred({"m/x.pt": b""}, tarfile.SYMTYPE, "/etc/hostname")),
    "TensorFlow that writes a file": ("saved_model.pb", lambda: b"\x08\x01\x12\x20" + b"WriteFile" + b"\0" * 20),
    "a server's archive with code": (
        "x.mar",
        lambda: archived({"MAR-INF/MANIFEST.json": b"{}", "handler.py": b"import os"}),
    ),
}
RUNS: dict[str, File] = {
    **{f"os.system, protocol {p}": ("x.pkl", lambda p=p: pickle.dumps(Calls(), p)) for p in range(6)},  # type: ignore[misc]
    **{name: ("x.pkl", lambda name=name: called(name)) for name in NAMES},  # type: ignore[misc]
    **{name: ("x.pkl", lambda content=content: content) for name, content in _PICKLES.items()},  # type: ignore[misc]
    **{
        f"{name}, in torch's archive": ("x.pt", lambda name=name: torch_zip(_PICKLES[name]))  # type: ignore[misc]
        for name in list(_PICKLES)[:6]
    },
    **_FORMS,
}
_DOUBLED = (b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40))
_BOMB = b"\x80\x02)q\0" + b"".join(_DOUBLED) + b"."  # pairs of pairs of pairs


def _nested(depth: int) -> bytes:
    content = torch_zip(STATE)
    for _ in range(depth):
        content = archived({"x.zip": content})
    return content


ODD: dict[str, File] = {
    "a whole module": ("x.pt", lambda: torch_zip(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.")),
    "an object of joblib": ("x.joblib", lambda: called("joblib.numpy_pickle.NumpyArrayWrapper", b")")),
    "an object of sklearn": ("x.pkl", lambda: b"\x80\x02csklearn.svm\nSVC\n)\x81}b."),
    "a state in disguise": ("x.safetensors", lambda: torch_zip(STATE)),
    "a damaged pickle": ("x.pkl", lambda: STATE[:-3]),
    "a pickle among numbers": ("x.pt", lambda: torch_zip(STATE, **{"archive/data/1": buried()})),
    "a pickle of a million marks": ("x.pkl", lambda: b"\x80\x02" + b"(" * 1_100_000 + b"."),
    "a tuple of tuples": ("x.pkl", lambda: _BOMB),
    "archives in each other": ("x.zip", lambda: _nested(12)),
    "a bomb": ("x.zip", lambda: archived({"x.tar": b"\0" * (300 << 20)}, zipfile.ZIP_DEFLATED)),
    "a bomb in gzip": ("x.pkl.gz", lambda: gzip.compress(b"\x80\x02" + b"N0" * (150 << 20))),
    "100,001 members": ("x.zip", lambda: archived({f"{i}": b"" for i in range(100_001)})),
    "an archive in an archive, cut off": ("x.zip", lambda: archived({"m/x.pt": torch_zip(STATE)[:30]})),
    "cut off": ("x.pt", lambda: torch_zip(STATE)[:-40]),
    "packed by 7z": ("x.7z", lambda: b"7z\xbc\xaf\x27\x1c" + b"\0" * 60),
    "packed in an unknown way": ("x.pt", lambda: patched(torch_zip(SYSTEM), (8, b"\x63"))),
    "ONNX that claims 2^40 numbers": (
        "x.onnx",
        lambda: onnx(field(1, 1 << 40) + field(2, 1) + field(8, b"w") + field(9, b"\0" * 8)),
    ),
    "a class of others in Keras": ("x.keras", lambda: keras(layer("Mine", "my.layers"))),
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
