"""What comes with the extra ``badnets[trust]``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from badnets.core.errors import BadInput


def needed(module: str) -> Any:
    """The ``module``. Raises ``BadInput`` where the extra is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise BadInput(
            f"expected the package {package} for signatures, got none; pip install 'badnets[trust]'"
        ) from None
