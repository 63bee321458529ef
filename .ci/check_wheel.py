"""Build the wheel, install it alone into an empty folder, and run it from elsewhere: it must not need the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import json, pathlib
import badnets
from badnets.data.sets.gtsrb import CLASS_NAMES
from badnets.referee.spec import NO_SPECS, read_spec, shipped_spec
from badnets.sweeps.leaderboard.plan import read_board
from badnets.report.words.names import MEASURES
from badnets.studies.audit.pool import families, pool_folder
from badnets.studies.registry import STUDIES
assert len(CLASS_NAMES) == 43 and MEASURES and len(STUDIES) == 10  # tables that lie beside the code
assert len(families(pool_folder())) == 10
runs = pathlib.Path(badnets.__file__).parent / "runs"
assert read_board(runs / "leaderboard.toml").steps
names = sorted(p.stem for p in runs.glob("*.toml") if p.stem not in NO_SPECS)
specs = [shipped_spec(name) for name in names]
for spec in specs:
    read_spec(spec)
print(json.dumps({"package": badnets.__file__, "specs": [str(spec) for spec in specs]}))
"""


def main() -> int:
    """0 when the installed wheel works, 1 with a sentence when it does not."""
    with tempfile.TemporaryDirectory(prefix="badnets-wheel-") as name:
        folder = Path(name).resolve()
        target, elsewhere = folder / "installed", folder / "elsewhere"
        elsewhere.mkdir()
        _run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), at=elsewhere)
        wheel = next(folder.glob("*.whl"))
        _run("-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel), at=elsewhere)
        # PYTHONPATH comes before the checkout's own entry, so this is the installed package.
        environment = {**os.environ, "PYTHONPATH": str(target)}
        facts = json.loads(_run("-c", PROBE, at=elsewhere, environment=environment))
        outside = [path for path in (facts["package"], *facts["specs"]) if not Path(path).is_relative_to(target)]
        listed = json.loads(_run("-m", "badnets", "list", "triggers", "--json", at=elsewhere, environment=environment))[
            "items"
        ]
        specs = [path.stem for path in (ROOT / "runs").glob("*.toml") if path.stem != "leaderboard"]
        missing = [name for name in specs if name not in _stems(facts["specs"])]
        parts = ("py.typed", "report/pages/templates", "play/page/index.html")
        missing += [name for name in parts if not (target / "badnets" / name).exists()]
        if outside or missing or not listed:
            print(f"expected a wheel that stands alone, got files outside {outside} and missing {missing}")
            return 1
        print(f"{wheel.name} installs and runs outside the checkout, with specs {', '.join(_stems(facts['specs']))}")
    return 0


def _stems(paths: list[str]) -> list[str]:
    return [Path(path).stem for path in paths]


def _run(*arguments: str, at: Path, environment: dict[str, str] | None = None) -> str:
    """Its stdout; with what it said on failure."""
    done = subprocess.run(  # noqa: S603 (our own interpreter with fixed arguments)
        [sys.executable, *arguments], cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments[:3])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
