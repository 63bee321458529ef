"""What this machine computes fast, and the Fabric that drives it."""

from __future__ import annotations

import logging
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

from badnets.core.errors import BadInput
from badnets.training.recipe import Precision


@cache
def native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 natively (avx512_bf16, AMX, or Arm's bf16)."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(errors="replace").split() if sys.platform == "linux" and info.exists() else []
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(precision: Precision, device: torch.device) -> str:
    """``"bf16"`` or ``"fp32"``: what ``auto`` means on ``device``."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and native_bf16() else "fp32"


def check_devices(devices: int, device: torch.device) -> None:
    """Refuse more processes than ``device`` has of its kind, and fewer than one."""
    if devices < 1:
        raise BadInput(f"expected at least 1 device, got {devices}")
    most = torch.cuda.device_count() if device.type == "cuda" else 1 if device.type == "mps" else devices
    if devices > most:
        raise BadInput(f"expected at most {most} devices of the kind {device.type}, got {devices}; lower --devices")
    if devices > 1 and device.index:
        raise BadInput(f"expected the first card for {devices} devices, got {device}; use device cuda")


def make_fabric(precision: str, devices: int, device: torch.device) -> Any:
    """A Fabric for one process on ``device``, or for ``devices`` of its kind (DDP)."""
    check_devices(devices, device)
    return quiet_fabric()(
        accelerator=device.type,
        devices=[device.index or 0] if devices == 1 and device.type == "cuda" else devices,
        strategy="auto" if devices == 1 else "ddp_spawn",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )


def quiet_fabric() -> Any:
    """Lightning's ``Fabric``, imported without its greetings: a command line that prints one table should not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        warnings.simplefilter("ignore", category=FutureWarning)
        from lightning_fabric import Fabric
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # after the import, which sets its own level
    return Fabric
