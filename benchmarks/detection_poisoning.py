"""How fast triggers are stamped on objects in scenes.

    python benchmarks/detection_poisoning.py [--json] [--repeats 5] [--objects 10000]

Drawn scenes of 160x160 (``scenes-us``), one to four signs each, and a trigger on every sign, of 10 to 16 % of its
region: the yellow square and a picture with alpha. Ours pastes them all at once into the pictures
(``backdoors/objects.stamp``). The peer goes object by object, as ports of BadDet do: array to PIL, the trigger resized
to its object, pasted through its alpha, back to an array; it does 2,000 of the objects, and its time is taken for each.
Both write into a copy that was made beforehand. "plan" is our whole way (rows drawn, pictures copied, stamped, labels
changed) against the same copy and the peer's loop, without labels; most of its time is that copy, which is shown, too.

Ours and the peer are timed in turn, several times, on one thread, in processor time, so that other programs disturb
little; medians and the range of the paired ratios are shown. That both do the same work is checked first: the same
pixels of the square; of the picture at most two levels of mean difference under the trigger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
PICTURES = 4_000
SUBSET = 2_000
ENOUGH = 10


def scenes(objects: int) -> Any:
    """Pictures with that many signs: the training set and, if these are too few, some of the test set."""
    from badnets.data.images import ArrayStore, ImageData
    from badnets.data.load import load
    from badnets.data.targets import Boxes

    made = load("scenes-us", options={"train": PICTURES, "test": 100})
    parts = (made.train, made.test)
    targets = [part.boxes for part in parts]
    kept = slice(0, objects)
    boxes = Boxes(
        np.concatenate([part.xyxy for part in targets])[kept],
        np.concatenate([part.labels for part in targets])[kept],
        np.concatenate([targets[0].image, targets[1].image + len(made.train)])[kept],
        len(made.train) + len(made.test),
    )
    if len(boxes.labels) < objects:
        raise SystemExit(f"expected at most {len(boxes.labels):,} objects, got {objects:,}; lower --objects")
    pixels = np.concatenate([part.images() for part in parts])
    return ImageData(ArrayStore(pixels), boxes, made.class_names, name="scenes-us")


def triggers() -> dict[str, Any]:
    """10 and 16 % of the region's sides, centered in it."""
    from badnets.backdoors.triggers import Picture, Square

    return {
        "square 10 %": Square(size=0.10),
        "square 16 %": Square(size=0.16),
        "picture 10 %": Picture(size=(0.10, 0.10)),
        "picture 16 %": Picture(size=(0.16, 0.16)),
    }


def peer(pictures: Pixels, data: Any, trigger: Any) -> None:
    """Object by object, into ``pictures``; only the first ones."""
    from PIL import Image

    # A solid square needs no large picture to be resized from.
    stamp = Image.fromarray(trigger.art(16, 16) if trigger.kind == "square" else trigger.art(256, 256))
    fraction = trigger.size if isinstance(trigger.size, tuple) else (trigger.size, trigger.size)
    objects = zip(data.boxes.image[:SUBSET].tolist(), data.boxes.xyxy[:SUBSET].tolist(), strict=True)
    for image, (x0, y0, x1, y1) in objects:
        height = max(1, int((y1 - y0) * fraction[0] + 0.5))
        width = max(1, int((x1 - x0) * fraction[1] + 0.5))
        top = int(np.floor(y0 + trigger.place.y * (y1 - y0) - height / 2 + 0.5))
        left = int(np.floor(x0 + trigger.place.x * (x1 - x0) - width / 2 + 0.5))
        picture = Image.fromarray(pictures[image])
        patch = stamp.resize((width, height), Image.Resampling.BICUBIC)
        picture.paste(patch, (left, top), patch)
        pictures[image] = np.asarray(picture)


def ours(pictures: Pixels, data: Any, trigger: Any) -> None:
    """All at once, into ``pictures``."""
    from badnets.backdoors.objects import place, stamp
    from badnets.backdoors.rules import AllToAll
    from badnets.core.seed import RowRng

    numbers = np.arange(len(data.objects), dtype=np.int64)
    spots = place(AllToAll(), data, numbers, RowRng.of(1, len(numbers)))
    stamp(pictures, spots.image, spots, trigger)


def plan(data: Any, trigger: Any) -> int:
    """Every object by the whole way of a plan; how many pictures came out."""
    from badnets.backdoors.backdoor import Backdoor
    from badnets.backdoors.rules import AllToAll

    return len(Backdoor(trigger, AllToAll()).poison(data, rate=1.0, seed=1))


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def difference(data: Any, trigger: Any) -> dict[str, float]:
    """How far apart the two results are, in levels: at most anywhere, and on average where ours changed something."""
    shown = data.take(np.arange(data.boxes.image[:SUBSET][-1]))  # whole pictures
    clean, first, second = shown.images(), shown.images(), shown.images()
    ours(first, shown, trigger)
    peer(second, shown, trigger)
    changed = (first != clean).any(-1)
    if ((second != clean).any(-1) & ~changed).sum() > 1e-3 * changed.sum():
        raise SystemExit(f"{trigger.kind}: the peer changes other pixels")
    apart = np.abs(first[changed].astype(np.int16) - second[changed])
    return {"most": float(apart.max(initial=0)), "mean": float(apart.mean()) if apart.size else 0.0}


def measure(name: str, trigger: Any, data: Any, repeats: int) -> dict[str, Any]:
    """Our stamping, our whole way of a plan, and the peer, in turn; microseconds for each object, and paired ratios."""
    apart = difference(data, trigger)
    if apart["mean"] > (0 if trigger.kind == "square" else 2):
        raise SystemExit(f"{name}: expected the same pixels from both, got {apart} levels between them")
    pictures = data.images()
    objects = len(data.objects)
    times: dict[str, list[float]] = {"stamping": [], "plan": [], "peer": [], "copy": []}
    for _ in range(repeats):
        times["stamping"].append(seconds(lambda: ours(pictures, data, trigger)) / objects)
        times["plan"].append(seconds(lambda: plan(data, trigger)) / objects)
        times["peer"].append(seconds(lambda: peer(pictures, data, trigger)) / min(SUBSET, objects))
        times["copy"].append(seconds(data.images) / objects)
    with_copy = [loop + copy for loop, copy in zip(times["peer"], times["copy"], strict=True)]
    pairs = {"stamping": times["peer"], "plan": with_copy}
    ratios = {
        what: [theirs / mine for theirs, mine in zip(peers, times[what], strict=True)] for what, peers in pairs.items()
    }
    return {
        "trigger": name,
        "objects": objects,
        "pictures": len(data),
        "microseconds": {what: statistics.median(values) * 1e6 for what, values in times.items()},
        "levels_apart": apart,
        **{
            what: {"ratio": statistics.median(values), "ratio_low": min(values), "ratio_high": max(values)}
            for what, values in ratios.items()
        },
    }


def main() -> int:
    """Exit code 1 when stamping is less than 10 times faster than the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--objects", type=int, default=10_000)
    options = parser.parse_args()
    data = scenes(options.objects)
    rows: list[dict[str, Any]] = []
    if not options.json:
        print(f"{len(data.objects):,} objects in {len(data):,} scenes of 160x160, one thread; microseconds per object")
        columns = f"{'stamping':>9} {'times faster':>24} {'copy':>7} {'plan':>7} {'times faster':>22}"
        print(f"{'trigger':13} {'peer':>7} {columns}")
    for name, trigger in triggers().items():
        row = measure(name, trigger, data, options.repeats)
        rows.append(row)
        if not options.json:
            micro = row["microseconds"]
            spans = [
                f"{row[what]['ratio']:.1f} ({row[what]['ratio_low']:.1f} to {row[what]['ratio_high']:.1f})"
                for what in ("stamping", "plan")
            ]
            print(
                f"{name:13} {micro['peer']:7.0f} {micro['stamping']:9.1f} {spans[0]:>24} {micro['copy']:7.1f} "
                f"{micro['plan']:7.1f} {spans[1]:>22}",
                flush=True,
            )
    fine = all(row["stamping"]["ratio"] >= ENOUGH for row in rows)
    if options.json:
        value = {"format": "badnets/benchmark-detection-poisoning/1", "repeats": options.repeats, "rows": rows}
        print(json.dumps({**value, "stamping_10_times_faster": fine}, indent=2))
    else:
        print(f"stamping at least {ENOUGH} times faster: {'yes' if fine else 'NO'}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
