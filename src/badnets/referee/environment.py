"""What a result was made on, versions, machine, commit; and how long it took."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path

from badnets.records.model import Environment


def environment(precision: str) -> Environment:
    """Versions and machine: what determines the bits of a result."""
    import torch

    names = ("badnets", "torch", "torchvision", "lightning-fabric", "numpy", "pillow", "scikit-learn", "safetensors")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Environment(
        versions=versions,
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        threads=torch.get_num_threads(),
        precision=precision,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def commit() -> str | None:
    """The commit of the checkout that this code runs from, with ``-dirty`` when files were changed; None elsewhere."""
    here = Path(__file__).resolve().parent
    git = shutil.which("git")
    if git is None or not any((parent / ".git").exists() for parent in here.parents):
        return None
    try:
        found = subprocess.run(  # noqa: S603  # a fixed command, no shell
            [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--match", "no-tags"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


class Clock:
    """Seconds since the last lap, by the laps' names."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str, seconds: float | None = None) -> None:
        """The end of a lap; ``seconds`` where something else kept its time."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last if seconds is None else seconds, 3)
        self._last = now
