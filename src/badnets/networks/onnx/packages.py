"""The packages of the extra ``onnx``, imported only when an ONNX network is opened."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.networks.operators import import_torchvision


def onnx_package(name: str = "onnx") -> Any:
    """The module ``name`` of the extra. Raises ``BadInput`` where it is not installed, or cannot be imported."""
    import_torchvision()  # before onnx2torch does it: its operators may need help
    # Or onnxruntime writes an identifier into the user's home folder when it is imported, and reports to its maker.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        top = name.partition(".")[0]
        got = "none" if error.name == top else f"one that cannot be imported ({first_line(error)})"
        raise BadInput(
            f"expected the package {top} for ONNX networks, got {got}; pip install 'badnets[onnx]'"
        ) from None
