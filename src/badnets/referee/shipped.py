"""The specs that come with the package: ``runs/`` of a checkout, ``badnets/runs`` of an installed wheel."""

from __future__ import annotations

from pathlib import Path

from badnets.core.errors import BadInput, nearest


def shipped_spec(name: str) -> Path:
    """The path of ``name``'s TOML file."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "runs", package.parents[1] / "runs"]
    for folder in folders:
        if (path := folder / f"{name}.toml").exists():
            return path
    known = [path.stem for folder in folders if folder.exists() for path in folder.glob("*.toml")]
    raise BadInput(f"expected a spec of this package, got {name!r}; {nearest(name, known)}")
