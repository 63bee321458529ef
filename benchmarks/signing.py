"""How fast a large file is signed and verified, beside ``sha256sum`` on the same bytes.

python benchmarks/signing.py [--mib 1024] [--repeats 3] [--out FILE]

Each repeat runs sha256sum, ``sign`` and ``verify`` in turn, in this process but for the first; the ratio of speeds is
that of the medians. Needs badnets[trust], and room for the file in the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from badnets.trust.keys import make_keys, open_private, open_public
from badnets.trust.parties import KeySigner, KeyVerifier
from badnets.trust.signing import sign, verify


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, key = folder / "network.safetensors", folder / "key"
        with file.open("wb") as stream:
            for _ in range(asked.mib):
                stream.write(os.urandom(1 << 20))
        make_keys(key)
        signer, verifier = KeySigner(open_private(key)), KeyVerifier(open_public(folder / "key.pub"))

        def verified() -> None:
            if verify(file, verifier).reasons:
                raise AssertionError(file)

        summer = shutil.which("sha256sum") or "sha256sum"
        works: dict[str, Callable[[], object]] = {
            "sha256sum": lambda: subprocess.run([summer, str(file)], check=True, capture_output=True),
            "sign": lambda: sign(file, signer),
            "verify": verified,
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(asked.repeats):
            for what, work in works.items():
                times[what].append(seconds(work))
    medians = {what: statistics.median(some) for what, some in times.items()}
    lines = [f"{asked.mib:,} MiB, {asked.repeats} repeats, interleaved; medians"]
    for what, middle in medians.items():
        share = "" if what == "sha256sum" else f", {medians['sha256sum'] / middle:.2f} of sha256sum's speed"
        lines.append(f"{what:<10} {middle:6.2f} s{share}")
    lines.append(json.dumps({"format": "badnets/benchmark/1", "name": "signing", "seconds": times}))
    print("\n".join(lines))
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
