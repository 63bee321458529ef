"""What checking digests costs: the share of ``badnets demo`` that goes into SHA-256 sums of files and records.

python benchmarks/digests.py

The demo runs twice into folders of its own, with a cache that is empty at first and full at last; then the run's
record is read again, as every command that takes a run does. All sums of files, records and keys are timed where they
are made (reading the bytes, which lie in the system's cache by then, is not counted).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SPENT = {"seconds": 0.0, "bytes": 0}


class _Timed:
    """A SHA-256 sum that adds what it takes to ``SPENT``."""

    def __init__(self, content: bytes = b"") -> None:
        self._sum = hashlib.sha256()
        self.update(content)

    def update(self, content: bytes) -> None:
        began = time.perf_counter()
        self._sum.update(content)
        SPENT["seconds"] += time.perf_counter() - began
        SPENT["bytes"] += len(content)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


def _demo(folder: Path) -> float:
    from badnets.core.progress import Watcher
    from badnets.referee.run import run
    from badnets.referee.spec import read_spec, shipped_spec

    began = time.perf_counter()
    run(read_spec(shipped_spec("signs-sticker"), ["seeds=1", 'name="demo"']), out=folder, watcher=Watcher())
    return time.perf_counter() - began


def main() -> None:
    from badnets.core import files
    from badnets.records.read import read_run

    known: Any = files
    known.hashlib = SimpleNamespace(sha256=_Timed)
    with tempfile.TemporaryDirectory() as place:
        os.environ["BADNETS_CACHE"] = str(Path(place, "cache"))
        rows = {}
        for name in ("cache empty", "cache full"):
            SPENT.update(seconds=0.0, bytes=0)
            total = _demo(Path(place, name.replace(" ", "-")))
            rows[name] = {"total_s": total, "digests_s": SPENT["seconds"], "bytes": SPENT["bytes"]}
        SPENT.update(seconds=0.0, bytes=0)
        began = time.perf_counter()
        read_run(Path(place, "cache-full"))
        spent = time.perf_counter() - began
        rows["reading its record"] = {"total_s": spent, "digests_s": SPENT["seconds"], "bytes": SPENT["bytes"]}
    for name, row in rows.items():
        share = 100 * row["digests_s"] / row["total_s"]
        sums = f"{row['digests_s']:.3f} s of {row['bytes']:,} bytes"
        print(f"{name:<20} {row['total_s']:8.2f} s, of which sums {sums}: {share:.2f} %")
    print(json.dumps({"format": "badnets/benchmark/1", "name": "digests", "rows": rows}))


if __name__ == "__main__":
    main()
