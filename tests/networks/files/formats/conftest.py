"""Files of other programs, written by hand."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def by_hand() -> ModuleType:
    """``keras_by_hand.py`` beside this file."""
    spec = spec_from_file_location("keras_by_hand", Path(__file__).with_name("keras_by_hand.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["keras_by_hand"] = module
    spec.loader.exec_module(module)
    return module
