"""The globals of pickles that are known to be harmless: the one list, of ``scan`` and of ``open``.

Whatever a pickle names that is not here is told. Lists of bad names lose, so ``OUTSIDE`` only says how bad it is.
"""

from __future__ import annotations

import _compat_pickle
from typing import Literal

Kind = Literal["opened", "plain", "runs", "unknown"]


def _of(module: str, names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names.split())


_NUMBERS = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
_STORAGES = " ".join(f"{name}Storage" for name in _NUMBERS.split())
_TENSORS = " ".join(f"{name}Tensor" for name in _NUMBERS.split() if "Complex" not in name)
_QUANTIZED = "QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage"
_DTYPES = (
    "bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64 float16 float32 float64 "
    "float4_e2m1fn_x2 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 "
    "int32 int4 int5 int6 int64 int7 int8 qint32 qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 "
    "uint5 uint6 uint64 uint7 uint8"
)
_SCHEMES = (
    "per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine per_tensor_symmetric"
)
TORCH = frozenset().union(
    _of("torch", f"Size Tensor device {_STORAGES} {_TENSORS} {_QUANTIZED} {_DTYPES} {_SCHEMES}"),
    _of("torch.cuda", f"{_STORAGES} {_TENSORS}"),
    _of("torch.sparse", _TENSORS),
    _of("torch.cuda.sparse", _TENSORS),
    _of("torch.storage", "TypedStorage UntypedStorage"),
    _of("torch.nn.parameter", "Parameter"),
    _of("torch.serialization", "_get_layout"),
    _of("torch._tensor", "_rebuild_from_type_v2"),
    _of(
        "torch._utils",
        "_rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage "
        "_rebuild_nested_tensor _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor "
        "_rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_wrapper_subclass",
    ),
    _of("collections", "Counter OrderedDict"),
    _of("builtins", "bytearray complex set"),
    _of("_codecs", "encode"),
)
"""What torch's own reader of weights alone makes of a pickle."""
OURS = frozenset().union(
    _of("numpy.core.multiarray", "scalar"),
    _of("numpy._core.multiarray", "scalar"),
    _of("numpy", "dtype"),
    _of("argparse", "Namespace"),
    _of("pathlib", "PosixPath PurePosixPath"),
)
"""What people save beside weights, which ``open`` lets that reader make too."""
PLAIN = frozenset().union(
    _of("builtins", "bool bytes dict float frozenset int list object range slice str tuple"),
    _of("collections", "defaultdict deque"),
    _of("copyreg", "_reconstructor"),
    _of("datetime", "date datetime time timedelta timezone"),
    _of("decimal", "Decimal"),
    _of("fractions", "Fraction"),
    _of("uuid", "UUID"),
    _of("types", "SimpleNamespace"),
    _of("pathlib", "Path PurePath PureWindowsPath WindowsPath"),
    _of("numpy", "ndarray bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 str_"),
    _of("numpy.core.multiarray", "_reconstruct"),
    _of("numpy._core.multiarray", "_reconstruct"),
    _of("numpy.core.numeric", "_frombuffer"),
    _of("numpy._core.numeric", "_frombuffer"),
    _of(
        "torch.jit._pickle",
        "build_boollist build_doublelist build_intlist build_tensor_from_id build_tensorlist restore_type_tag",
    ),
)
"""Data of Python, numpy and TorchScript: making it can do nothing else, but ``open`` has no use for it."""

_COMMANDS, _PYTHON, _FILES, _NETWORK, _NATIVE, _INSIDE = (
    "runs commands", "runs Python code", "reads or writes files", "reaches the network", "loads native code",
    "reaches into Python itself",
)  # fmt: skip
OUTSIDE = {
    **dict.fromkeys(("os", "posix", "nt", "subprocess", "pty", "commands", "popen2", "_posixsubprocess"), _COMMANDS),
    **dict.fromkeys(("multiprocessing", "concurrent", "asyncio", "sched", "threading", "_thread"), _COMMANDS),
    **dict.fromkeys(("builtins", "__builtin__", "runpy", "code", "codeop", "timeit", "trace", "profile"), _PYTHON),
    **dict.fromkeys(("cProfile", "pdb", "bdb", "doctest", "unittest", "idlelib", "lib2to3", "pydoc"), _PYTHON),
    **dict.fromkeys(("importlib", "imp", "pkgutil", "zipimport", "site", "ensurepip", "venv", "pip"), _PYTHON),
    **dict.fromkeys(("setuptools", "distutils", "types", "marshal", "pickle", "_pickle", "shelve", "dbm"), _PYTHON),
    **dict.fromkeys(("dill", "cloudpickle", "IPython", "pytest", "_pytest", "test", "py_compile"), _PYTHON),
    **dict.fromkeys(("functools", "operator", "_operator", "itertools", "inspect", "ast", "dis"), _INSIDE),
    **dict.fromkeys(("sys", "gc", "copyreg", "weakref", "atexit", "signal", "faulthandler"), _INSIDE),
    **dict.fromkeys(("io", "_io", "shutil", "tempfile", "fileinput", "glob", "zipfile", "tarfile"), _FILES),
    **dict.fromkeys(("sqlite3", "_sqlite3", "mmap", "logging", "linecache", "pathlib", "fcntl"), _FILES),
    **dict.fromkeys(("socket", "_socket", "ssl", "http", "httplib", "urllib", "urllib2", "ftplib"), _NETWORK),
    **dict.fromkeys(("smtplib", "poplib", "imaplib", "telnetlib", "nntplib", "xmlrpc", "socketserver"), _NETWORK),
    **dict.fromkeys(("requests", "httpx", "aiohttp", "urllib3", "paramiko", "webbrowser"), _NETWORK),
    **dict.fromkeys(("ctypes", "_ctypes", "cffi"), _NATIVE),
    "torch.utils.collect_env": _COMMANDS,
    "torch.utils.bottleneck": _PYTHON,
    "torch.utils._config_module": _PYTHON,
    "torch.utils.data.datapipes.utils.decoder": _PYTHON,
    "torch.utils.cpp_extension": _NATIVE,
    "torch.serialization": _PYTHON,
    "torch.hub": _NETWORK,
    "torch.jit": _PYTHON,
    "torch.package": _PYTHON,
    "torch.fx": _PYTHON,
    **dict.fromkeys(("torch.distributed.rpc", "torch.distributed.run", "torch.distributed.launch"), _NETWORK),
    "torch.distributed.elastic": _COMMANDS,
    "torch._dynamo": _PYTHON,
    "torch._inductor": _PYTHON,
    "torch.ops": _NATIVE,
    "torch.load": _PYTHON,
    "numpy.f2py": _PYTHON,
    "numpy.testing": _PYTHON,
    "numpy.load": _FILES,
    "numpy.save": _FILES,
    "numpy.ctypeslib": _NATIVE,
    "numpy.distutils": _COMMANDS,
    "tensorflow.io": _FILES,
    "joblib.load": _PYTHON,
    "pandas.eval": _PYTHON,
    "pandas.read_pickle": _PYTHON,
}
"""Modules, with all below them, and functions: what they can do."""


def modern(module: str, name: str) -> str:
    """The full name; those of Python 2 under that of today, as unpicklers read them."""
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def kind_of(full: str, *, scripted: bool = False) -> Kind:
    """What the global is called ``full`` is to whoever opens a pickle with it; ``scripted`` in a TorchScript archive,
    whose own classes are in its program."""
    if full in TORCH or full in OURS:
        return "opened"
    if full in PLAIN or (scripted and full.startswith("__torch__.")):
        return "plain"
    return "runs" if outside(full) else "unknown"


def outside(full: str) -> str:
    """What the global can do outside, in words; empty where that is not known."""
    parts = full.split(".")
    heads = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((OUTSIDE[head] for head in heads if head in OUTSIDE), "")
