"""The record of a run: what was asked, what was done, what came out, and how to repeat it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = "badnets/run/1"


class RunRecord(BaseModel):
    """``record.json`` of a run's folder. Every rate is ``{"hits", "total", "value", "low", "high"}``, with several
    seeds also ``"seeds"``; ``network`` and ``files`` are paths inside the folder."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    format: Literal["badnets/run/1"] = "badnets/run/1"
    status: Literal["finished"] = "finished"
    name: str
    digest: str = Field(description="SHA-256 of the resolved spec and the data")
    spec: dict[str, Any] = Field(description="as given")
    resolved: dict[str, Any] = Field(description="with every default filled in")
    data_digest: str
    class_names: list[str]
    command: str = Field(description="what repeats this run")
    seeds: list[int]
    environment: dict[str, Any]
    commit: str | None
    determinism: str
    timings_s: dict[str, float]
    poisoned: dict[str, Any] | None
    results: dict[str, Any]
    training: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    network: str
    files: dict[str, str] = Field(description="SHA-256 of each file")


def environment(precision: str) -> dict[str, Any]:
    """Versions and machine: what determines the bits of a result."""
    import torch

    names = ("badnets", "torch", "torchvision", "lightning-fabric", "numpy", "pillow", "scikit-learn", "safetensors")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


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
