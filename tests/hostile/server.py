"""Runs commands of badnets in forks of one process that has imported everything already, so that each costs little.

One JSON object a line on stdin: {"argv", "cwd", "env", "stdin"}; one a line on stdout:
{"code", "out", "err", "seconds", "peak_mib", "killed"}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

LIMIT_S = 25
_MODULES = (
    "torch", "h5py", "PIL.Image", "safetensors.torch", "rich.console", "rich.progress", "rich.table", "tarfile",
    "numpy.lib.format", "badnets.cli.main", "badnets.networks.files.foreign", "badnets.referee.run", "gzip", "bz2",
    "badnets.referee.evaluate", "badnets.referee.certify", "badnets.backdoors.preview", "badnets.data.load", "lzma",
    "badnets.report.pages.page", "badnets.studies.registry",
)  # fmt: skip


def main() -> None:
    for module in _MODULES:
        import_module(module)
    from PIL import Image

    from badnets.networks.onnx.packages import onnx_package

    Image.init()
    for module in ("onnx.reference", "onnx2torch.node_converters", "onnx.shape_inference"):
        onnx_package(module)
    _know_the_architectures()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()


def _know_the_architectures() -> None:
    """Their shapes are made once for each process, before a file is compared with them."""
    import torch

    from badnets.networks.files.candidates import fitting_names
    from badnets.networks.files.formats.entries import Entry, ForeignFile

    layers = [f"layer_{number}" for number in range(20)]  # so many that torchvision's are looked at, too
    entries = [Entry(name=one, layer=one, role="weight", shape=(4, 4), read=lambda: torch.zeros(0)) for one in layers]
    fitting_names([ForeignFile(format="torch", entries=tuple(entries), ordered=True)])


def _run(job: dict[str, Any]) -> dict[str, Any]:
    out, err = Path(job["cwd"], "..", "stdout"), Path(job["cwd"], "..", "stderr")
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be_the_command(job, out, err)
    killed = False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.perf_counter() - began > LIMIT_S:
            killed = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": out.read_bytes().decode("utf-8", "replace"),
        "err": err.read_bytes().decode("utf-8", "replace"),
        "seconds": time.perf_counter() - began,
        "peak_mib": usage.ru_maxrss / 1024,
        "killed": killed,
    }


def _be_the_command(job: dict[str, Any], out: Path, err: Path) -> None:
    code = 99
    try:
        os.setpgid(0, 0)
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            os.dup2(os.open(path, flags, 0o644), number)
        os.chdir(job["cwd"])
        os.environ.update(job["env"])
        from badnets.cli.main import main as command

        command(job["argv"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:  # noqa: BLE001 - what python itself would print
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
