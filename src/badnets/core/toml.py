"""TOML, and the tables in it that come with the package: texts and settings that are data, not code."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["shipped_table", "tomllib"]


def shipped_table(package: str, name: str) -> Any:
    """The table of the file ``name`` that lies in ``package``."""
    return tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
