"""How fast pictures are stamped, and how much memory a plan on a mapped set takes.

    python benchmarks/poisoning.py [--json] [--repeats 5] [--part speed|memory|all]

Speed: 60,000 MNIST-shaped and 50,000 CIFAR-shaped uint8 pictures, each family of triggers as a whole array, against
the same work done picture by picture. The peers are written here, simply, in the manner of other toolkits: what counts
is the pattern, not somebody's code. Ours and the peers are timed in turn, several times; medians and the range of the
paired ratios are shown, and the ratio is against the *faster* of a family's peers. What is no peer: a batched array
assignment (ART's pixel and pattern are one too, on the whole array), and a bare loop of numpy slices without any chain,
which takes 1 to 3 microseconds a picture.

Memory: a fresh interpreter poisons 1 % of a memory-mapped set of 4 GiB (a sparse file), then reads it all once in
batches. The process's own memory (anonymous pages) and its whole resident set are measured; the latter counts pages of
the file too, which the system takes back whenever it likes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Peer = Callable[[Pixels], Pixels]

SETS = {"mnist": (60_000, 28, 28, 1), "cifar10": (50_000, 32, 32, 3)}
SUBSET = 5_000
ROWS = (4 << 30) // (32 * 32 * 3)
LIMIT = 1 << 30


def pil_patch_peer(rgba: Pixels, top: int, left: int) -> Peer:
    """Array to PIL, paste through the alpha, back to an array, as ART's ``insert_image`` does.

    (ART also opens the trigger's file anew for each picture; this peer does not.)
    """
    from PIL import Image

    stamp = Image.fromarray(rgba)
    alpha = stamp.getchannel("A")
    colors = {"L": stamp.convert("L"), "RGB": stamp.convert("RGB")}

    def one(picture: Pixels) -> Pixels:
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        image.paste(colors[image.mode], (left, top), alpha)
        out = np.asarray(image)
        return out[..., None] if out.ndim == 2 else out

    return one


def mask_patch_peer(rgba: Pixels, top: int, left: int, shape: tuple[int, int, int]) -> Peer:
    """``x (1 - mask) + mask pattern`` on float tensors, to and from tensors as ``ToTensor`` does: BackdoorBench's mask
    patch and many others' ``__call__(img)`` transforms, one picture at a time."""
    import torch

    from badnets.backdoors.triggers.color import to_channels

    height, width, channels = shape
    weight, pattern = torch.zeros(1, height, width), torch.zeros(channels, height, width)
    window = (slice(None), slice(top, top + rgba.shape[0]), slice(left, left + rgba.shape[1]))
    weight[window] = torch.from_numpy(rgba[None, ..., 3].copy()) / 255
    pattern[window] = torch.from_numpy(to_channels(rgba, channels).copy()).permute(2, 0, 1) / 255

    def one(picture: Pixels) -> Pixels:
        tensor = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        tensor = tensor * (1 - weight) + weight * pattern
        out: Pixels = (tensor * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return out

    return one


def pil_blend_peer(key: Pixels, opacity: float) -> Peer:
    """``PIL.Image.blend`` with the key, picture by picture."""
    from PIL import Image

    other = Image.fromarray(key[..., 0] if key.shape[2] == 1 else key)

    def one(picture: Pixels) -> Pixels:
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        out = np.asarray(Image.blend(image, other, opacity))
        return out[..., None] if out.ndim == 2 else out

    return one


def float_blend_peer(key: Pixels, opacity: float) -> Peer:
    """A weighted sum of float arrays, rounded and clipped: BackdoorBench's blended trigger."""
    weighted = opacity * key.astype(np.float32)

    def one(picture: Pixels) -> Pixels:
        out: Pixels = np.clip(np.rint((1 - opacity) * picture.astype(np.float32) + weighted), 0, 255).astype(np.uint8)
        return out

    return one


def wave_peer(delta: float, frequency: float, shape: tuple[int, int, int]) -> Peer:
    """The wave made once and added to each picture as floats.

    BackdoorBench makes it anew for every picture, in three nested Python loops: far slower, and beside the point.
    """
    width = shape[1]
    wave = (delta * np.sin(2 * np.pi * frequency * np.arange(width) / width))[:, None].astype(np.float32)

    def one(picture: Pixels) -> Pixels:
        out: Pixels = np.clip(np.rint(picture.astype(np.float32) + wave), 0, 255).astype(np.uint8)
        return out

    return one


def grid_sample_peer(field: NDArray[np.float64]) -> Peer:
    """``grid_sample`` on one float tensor at a time: WaNet in BackdoorBox's transforms."""
    import torch

    _, height, width = field.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = (torch.stack([x, y]) + torch.from_numpy(field.astype(np.float32))).clamp(-1, 1).permute(1, 2, 0)[None]

    def one(picture: Pixels) -> Pixels:
        tensor = torch.from_numpy(picture).permute(2, 0, 1).float()[None] / 255
        tensor = torch.nn.functional.grid_sample(tensor, grid, align_corners=True)[0]
        out: Pixels = (tensor * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return out

    return one


def peers_of(trigger: Any, shape: tuple[int, int, int]) -> dict[str, Peer]:
    """The same trigger, picture by picture."""
    from badnets.backdoors.triggers import Blend, Sinusoid, Warp

    if isinstance(trigger, Blend):
        key = Blend(opacity=1, seed=trigger.seed).apply(np.zeros((1, *shape), np.uint8))[0]
        return {"pil": pil_blend_peer(key, trigger.opacity), "float": float_blend_peer(key, trigger.opacity)}
    if isinstance(trigger, Sinusoid):
        return {"float": wave_peer(trigger.delta, trigger.frequency, shape)}
    if isinstance(trigger, Warp):
        return {"tensor": grid_sample_peer(trigger.field(*shape[:2]))}
    y, x = np.nonzero(trigger.mask(np.zeros((1, *shape), np.uint8))[0])
    top, left = int(y.min()), int(x.min())
    rgba = trigger.art(int(y.max()) + 1 - top, int(x.max()) + 1 - left)
    return {
        "pil": pil_patch_peer(rgba, top, left),
        "tensor": mask_patch_peer(rgba, top, left, shape),
    }


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def picture_by_picture(peer: Peer, images: Pixels) -> Pixels:
    """The peer over all pictures, into an array made beforehand."""
    out = np.empty_like(images)
    for row in range(len(images)):
        out[row] = peer(images[row])
    return out


def measure(trigger: Any, images: Pixels, repeats: int) -> dict[str, Any]:
    """Ours and each peer in turn; microseconds for each picture, and paired ratios."""
    subset = images[:SUBSET]
    peers = peers_of(trigger, images.shape[1:])
    ours_out = trigger.apply(subset)
    times: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    for name, peer in peers.items():  # a warm-up, and a check that both do the same work
        difference = np.abs(picture_by_picture(peer, subset[:200]).astype(int) - ours_out[:200])
        if difference.max() > 2:
            raise RuntimeError(f"{trigger.kind}: peer {name} differs by up to {difference.max()} levels")
    trigger.apply(images)
    for _ in range(repeats):
        times["ours"].append(seconds(lambda: trigger.apply(images)) / len(images))
        for name, peer in peers.items():
            times[name].append(seconds(lambda peer=peer: picture_by_picture(peer, subset)) / len(subset))  # type: ignore[misc]
    median = {name: statistics.median(values) for name, values in times.items()}
    fastest = min(peers, key=median.__getitem__)
    ratios = [theirs / ours for theirs, ours in zip(times[fastest], times["ours"], strict=True)]
    return {
        "trigger": trigger.kind,
        "pictures": len(images),
        "ours_seconds": median["ours"] * len(images),
        "microseconds": {name: value * 1e6 for name, value in median.items()},
        "against": fastest,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def speed(repeats: int, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every family on both shapes, on one thread."""
    import torch

    from badnets.backdoors.triggers import TRIGGERS

    torch.set_num_threads(1)
    rows = []
    report(f"{'set':8} {'trigger':13} {'ours':>9} {'us/picture':>11} {'peers, us/picture':>28} {'times faster':>24}")
    for name, shape in SETS.items():
        images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        for family in TRIGGERS.values():
            row = {"set": name, **measure(family(), images, repeats)}
            rows.append(row)
            micro = row["microseconds"]
            others = ", ".join(f"{peer} {value:.1f}" for peer, value in micro.items() if peer != "ours")
            span = f"{row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
            report(
                f"{name:8} {row['trigger']:13} {row['ours_seconds'] * 1e3:6.0f} ms {micro['ours']:11.2f} "
                f"{others:>28} {span:>24}"
            )
    return rows


def status_bytes(*names: str) -> list[int]:
    """Fields of /proc/self/status, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [int(lines[name].split()[0]) * 1024 for name in names]


class AnonymousPeak:
    """The largest anonymous memory seen every 2 ms while the block ran."""

    def __enter__(self) -> AnonymousPeak:
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, *status_bytes("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, *status_bytes("RssAnon"))


def memory_child(path: Path) -> dict[str, Any]:
    """Poison 1 % of the mapped set, then read all of it once."""
    import resource

    from badnets.backdoors.backdoor import Backdoor
    from badnets.backdoors.rules import AllToOne
    from badnets.backdoors.triggers import Square
    from badnets.data.images import ImageData

    mapped = np.memmap(path, np.uint8, mode="r", shape=(ROWS, 32, 32, 3))
    labels = np.random.default_rng(1).integers(0, 10, ROWS)
    data = ImageData.of(mapped, labels, class_names=[str(i) for i in range(10)])
    start = time.perf_counter()
    with AnonymousPeak() as poisoning:
        poisoned = Backdoor(Square(), AllToOne(target=0)).poison(data, rate=0.01, seed=1)
    poison_seconds = time.perf_counter() - start
    (resident,) = status_bytes("VmHWM")
    start, total = time.perf_counter(), 0
    with AnonymousPeak() as reading:
        for _, images in poisoned.data.batches(4096):
            total += len(images)
    return {
        "bytes": int(mapped.nbytes),
        "poisoned": len(poisoned.plan),
        "read": total,
        "poison_seconds": poison_seconds,
        "read_seconds": time.perf_counter() - start,
        "poison_anonymous_peak": poisoning.peak,
        "poison_resident_peak": resident,
        "read_anonymous_peak": reading.peak,
        "read_resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def memory(report: Callable[[str], None]) -> dict[str, Any]:
    """The child's figures, and whether they stay below 1 GiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.u8"
        with path.open("wb") as file:
            file.truncate(ROWS * 32 * 32 * 3)
        command = [sys.executable, __file__, "--memory-child", str(path)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(result.stdout)
    figures["limit"] = LIMIT
    figures["below_limit"] = max(figures["poison_resident_peak"], figures["read_resident_peak"]) < LIMIT
    mib = {name: f"{value / 2**20:,.0f} MiB" for name, value in figures.items() if name.endswith("_peak")}
    report(f"\n1 % plan on {ROWS:,} mapped pictures (4 GiB): {figures['poisoned']:,} rows")
    for part, what in (("poison", "poisoning"), ("read", "one pass")):
        own, resident = mib[f"{part}_anonymous_peak"], mib[f"{part}_resident_peak"]
        report(
            f"  {what:10}{figures[f'{part}_seconds']:6.1f} s   own memory {own:>8}, with the file's pages {resident:>8}"
        )
    report(f"  below 1 GiB: {'yes' if figures['below_limit'] else 'NO'}")
    return figures


def main() -> int:
    """Exit code 1 when patches and patterns are less than 20 times faster, or memory is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", choices=["speed", "memory", "all"], default="all")
    parser.add_argument("--memory-child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_child is not None:
        print(json.dumps(memory_child(options.memory_child)))
        return 0

    def report(line: str) -> None:
        if not options.json:
            print(line, flush=True)

    result: dict[str, Any] = {"format": "badnets/benchmark-poisoning/1", "repeats": options.repeats}
    if options.part != "memory":
        result["speed"] = speed(options.repeats, report)
        patches = [r for r in result["speed"] if r["trigger"] in ("pixel", "pattern", "square", "checkerboard")]
        result["patches_20_times_faster"] = all(row["ratio"] >= 20 for row in patches)
    if options.part != "speed":
        result["memory"] = memory(report)
    if options.json:
        print(json.dumps(result, indent=2))
    fine = result.get("patches_20_times_faster", True) and result.get("memory", {}).get("below_limit", True)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
