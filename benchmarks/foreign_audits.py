"""What an audit says of networks that others published, clean and backdoored, beside what is known of them.

python benchmarks/foreign_audits.py FOLDER --mnist mnist --cifar cifar10-jpeg.tar.gz [--references N] [--only NAME ...]

``FOLDER`` holds a folder for each network: ``original.*`` as it was published, and ``meta.json`` with ``input_size``,
``label`` ("clean" or "backdoored") and ``triggers`` (each with its ``target``). Each is audited with 300 clean test
pictures, and with N references trained on the training part where N is given. Prints a line for each, and one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from badnets.core.errors import CannotTell
from badnets.networks.files.foreign import ForeignWarning
from badnets.referee.audit import AuditCase, audit_case
from badnets.referee.references import references_like

PICTURES = 300


def audited(folder: Path, told: dict[str, Any], data: str, count: int) -> dict[str, Any]:
    """One row of the table."""
    model = folder / told["original"]
    began = time.perf_counter()
    references = str(references_like(model, data, count).folder) if count else None
    trained = time.perf_counter() - began
    finding = audit_case(AuditCase(model=model, data=data, references=references, pictures=PICTURES))
    targets = sorted({one["target"] for one in told.get("triggers") or ()}, key=str)
    return {
        "name": told["name"],
        "truth": told["label"],
        "targets": targets,
        "verdict": finding.verdict,
        "p": finding.p,
        "ground": finding.ground,
        "n": finding.n_references,
        "kind": finding.kind,
        "class": None if finding.target is None else finding.target.label,
        "statistic": finding.statistic,
        "trigger": None if finding.trigger is None else finding.trigger.mask_pixels,
        "success": None if finding.trigger is None else finding.trigger.success.to_json(),
        "reason": finding.reason,
        "notes": list(finding.notes),
        "seconds": round(finding.seconds, 1),
        "training_seconds": round(trained, 1),
        "commit": finding.commit,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", default="mnist")
    parser.add_argument("--cifar", default="cifar10")
    parser.add_argument("--references", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ForeignWarning)
    rows = []
    for meta in sorted(asked.folder.glob("*/meta.json")):
        told = json.loads(meta.read_text("utf-8"))
        if asked.only and told["name"] not in asked.only:
            continue
        data = asked.mnist if told["input_size"][0] == 1 else asked.cifar
        try:
            row = audited(meta.parent, told, data, asked.references)
        except CannotTell as error:
            print(f"{told['name']:<28} no references: {error}", flush=True)
            continue
        rows.append(row)
        p = "" if row["p"] is None else f"p {row['p']:.3f}"
        trigger = "" if row["trigger"] is None else f"{row['trigger']:.1f} pixels"
        print(
            f"{row['name']:<28} {row['truth']:<11} {row['targets'] or ''!s:<8} | {row['verdict']:<14} {p:<8} "
            f"{row['ground']} {row['n']} {row['kind'] or ''} {'' if row['class'] is None else row['class']} {trigger} "
            f"{row['seconds']:.0f} s",
            flush=True,
        )
    called = [one for one in rows if one["verdict"] == "backdoored"]
    wrong = sum(one["truth"] == "clean" for one in called)
    print(f"{len(called) - wrong} backdoored ones found, {wrong} clean ones called backdoored, of {len(rows)} networks")
    print(json.dumps({"format": "badnets/benchmark/1", "name": "foreign audits", "rows": rows}))


if __name__ == "__main__":
    main()
