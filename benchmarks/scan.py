"""What ``badnets scan`` names, beside picklescan, modelscan and fickling, on the same harmless test files.

python benchmarks/scan.py --keras FOLDER --others FOLDER ... > results/benchmarks/scan.txt

The files of ``tests/hostile/scanned.py`` run code, or reach outside, when the usual framework opens them (what they
call does nothing); the networks are made here by torchvision, timm, Keras and badnets with random weights. ``--others``
are further networks that are known to be harmless, ``--keras`` a folder with Keras in it (``pip install --target``),
which computes by torch here. ``--peers`` is a Python that has the three peers; without it they are installed into a
virtual environment of their own. Nobody opens any of the files. Tools take turns; seconds are of one process that scans
all files that run code or are harmless, each of which is given up after 20.
Prints what each tool names, what only peers name (nothing, or it exits with 1), and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 20
"""Seconds for one file, of any tool."""
PEERS = ("picklescan", "modelscan", "fickling")
_FRAME = """
import json, logging, signal, sys, time, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
{start}
def stop(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, stop)
said = {{}}
began = time.perf_counter()
for path in json.load(sys.stdin):
    signal.alarm({limit})
    try:
        {look}
    except Exception as error:
        said[path] = "late" if isinstance(error, TimeoutError) else "error"
    signal.alarm(0)
json.dump([time.perf_counter() - began, said], sys.stdout)
"""
TOOLS = {
    "badnets": (
        "from badnets.networks.scan.scan import scan",
        "said[path] = 'clean' if scan(path).verdict == 'safe' else 'named'",
    ),
    "picklescan": (
        "from picklescan.scanner import scan_file_path as scan",
        "r = scan(path); said[path] = 'named' if r.infected_files else 'error' if r.scan_err else 'clean'",
    ),
    "modelscan": (
        "from modelscan.modelscan import ModelScan",
        """r = ModelScan().scan(path)
        unread = r['errors'] or not r['summary']['scanned']['total_scanned']
        said[path] = 'named' if r['issues'] else 'error' if unread else 'clean'""",
    ),
    "fickling": (
        """import zipfile
from fickling.analysis import Severity
from fickling.loader import scan_file, scan_zip_archive""",
        """zipped = zipfile.is_zipfile(path)
        if not zipped and open(path, "rb").read(1) not in b"\\x80(]}c":
            raise ValueError("no pickle, which is all that it is for")
        f = [*scan_zip_archive(path, graceful=True).values()] if zipped else [scan_file(path, graceful=True)]
        bad = any(x.severity > Severity.LIKELY_SAFE for one in f for x in one.results)
        said[path] = 'named' if bad else 'error' if not f or any(one.errors for one in f) else 'clean'""",
    ),
}
"""What each imports, and how it is asked."""


def ask(tool: str, python: str, paths: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds of a tool for all files, and what it says of each."""
    start, look = TOOLS[tool]
    done = subprocess.run(
        [python, "-c", _FRAME.format(start=start, look=look, limit=LIMIT_S)],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    seconds, said = json.loads(done.stdout[done.stdout.index("[") :])
    return seconds, said


def with_peers(folder: Path) -> str:
    """A Python of its own with the peers in it."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    # fickling 0.1.12 does not say that it needs typing_extensions.
    subprocess.run([python, "-m", "pip", "install", "-q", *PEERS, "h5py", "typing_extensions"], check=True)
    return python


TORCHVISION = """
resnet18 mobilenet_v2 squeezenet1_1 shufflenet_v2_x0_5 efficientnet_b0 mnasnet0_5 mobilenet_v3_small regnet_y_400mf
"""
TIMM = """
resnet10t mobilenetv3_small_050 vit_tiny_patch16_224 tf_mobilenetv3_small_minimal_100 lcnet_050 test_resnet
"""
OURS = "g1-cnn lenet resnet9 resnet32 wrn-16-1 resnet20 cifar-vgg11 u1-cnn"


def networks_of_torch(folder: Path) -> None:
    """Networks of torchvision, timm and ours, in every form that their libraries write."""
    import torch

    import badnets as bn
    from badnets.networks.operators import import_torchvision

    torchvision = import_torchvision()  # before timm, which imports it without help
    import timm

    for name in TORCHVISION.split():
        network = torchvision.models.get_model(name, num_classes=10).eval()
        torch.save(network.state_dict(), folder / f"torchvision-{name}.pth")
    small = torchvision.models.get_model("squeezenet1_1", num_classes=10).eval()
    picture = torch.zeros(1, 3, 64, 64)
    optimizer = torch.optim.Adam(small.parameters())
    checkpoint = {"epoch": 3, "state_dict": small.state_dict(), "optimizer": optimizer.state_dict(), "best": 0.9}
    torch.save(checkpoint, folder / "checkpoint.ckpt")
    torch.save(small.state_dict(), folder / "older.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(small), folder / "scripted.pt")
    torch.jit.save(torch.jit.trace(small, picture), folder / "traced.pt")  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(small, (picture,)), folder / "exported.pt2")
    for name in TIMM.split():
        torch.save(timm.create_model(name, num_classes=10).state_dict(), folder / f"timm-{name}.bin")
    for name in OURS.split():
        own = bn.build_network(name, class_names=[str(i) for i in range(10)], input_size=(3, 32, 32), seed=1)
        path = folder / f"ours-{name}.safetensors"
        bn.save_network(own, path)
        torch.save(own.body.state_dict(), path.with_suffix(".pt"))


KERAS = """
import sys, keras
from pathlib import Path
L, out = keras.layers, Path(sys.argv[1])
x = keras.Input((16, 16, 1))
y = keras.ops.relu(L.Conv2D(4, 3)(x)) + 1.0
nets = {
    "sequential": keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(2, 3, activation="relu", kernel_regularizer="l2"),
        L.BatchNormalization(),
        L.MaxPooling2D(), L.Dropout(0.1), L.Flatten(), L.Dense(3, "softmax")]),
    "functional": keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(y))),
    "recurrent": keras.Sequential([keras.Input((5, 4)), L.Bidirectional(L.LSTM(3)), L.Dense(2)]),
    "augmented": keras.Sequential([keras.Input((16, 16, 3)), L.Rescaling(1 / 255), L.RandomFlip(),
        L.RandomRotation(0.1),
        L.SeparableConv2D(4, 3), L.LeakyReLU(), L.Flatten(), L.Dense(2)]),
    "mobilenet": keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=4),
}
for name, net in nets.items():
    net.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    net.save(out / f"keras-{name}.keras")
    net.save(out / f"keras-{name}.h5")
    net.save_weights(out / f"keras-{name}.weights.h5")
"""


def networks_of_keras(folder: Path, place: Path) -> None:
    """The same of Keras."""
    env = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", KERAS, str(folder)], check=True, capture_output=True, env=env)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras", type=Path)
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--peers", help="a Python with the peers in it")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    warnings.simplefilter("ignore")
    from tests.hostile.scanned import ODD, RUNS, write

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        bad = {name: str(path) for name, path in write(folder / "runs", RUNS).items()}
        odd = {name: str(path) for name, path in write(folder / "odd", ODD).items()}
        (folder / "harmless").mkdir()
        networks_of_torch(folder / "harmless")
        if asked.keras:
            networks_of_keras(folder / "harmless", asked.keras)
        harmless = {path.name: str(path) for path in sorted((folder / "harmless").iterdir())}
        for other in asked.others:
            harmless |= {
                str(path.relative_to(other)): str(path) for path in sorted(other.rglob("*")) if _is_network(path)
            }
        pythons = {"badnets": sys.executable}
        peer = asked.peers or with_peers(folder / "peers")
        pythons |= dict.fromkeys(PEERS, peer)
        return report(bad, odd, harmless, pythons, asked.repeats)


def _is_network(path: Path) -> bool:
    return path.suffix in (".pt", ".pth", ".th", ".h5", ".keras", ".onnx", ".safetensors") and path.is_file()


def report(
    bad: dict[str, str], odd: dict[str, str], harmless: dict[str, str], pythons: dict[str, str], repeats: int
) -> int:
    """Ask all tools, in turns; print what they say."""
    said: dict[str, dict[str, str]] = {tool: {} for tool in pythons}
    seconds: dict[str, list[float]] = {tool: [] for tool in pythons}
    for _ in range(repeats):
        for tool, python in pythons.items():
            took, answers = ask(tool, python, [*bad.values(), *harmless.values()])
            seconds[tool].append(took)
            said[tool] |= answers
    for tool, python in pythons.items():
        said[tool] |= ask(tool, python, list(odd.values()))[1]
    rows: dict[str, dict[str, Any]] = {}
    ask_for = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {PEERS}))"
    versions = subprocess.run([pythons[PEERS[0]], "-c", ask_for], capture_output=True, text=True, check=True).stdout
    print(f"{versions.strip()}; modelscan without TensorFlow; fickling is asked for pickles and archives alone")
    print(
        f"{'':<12} {'named, of':>16} {'named of odd,':>16} {'false alarms, of':>18} {'not read':>10}   time over ours"
    )
    base = statistics.median(seconds["badnets"])
    for tool, answers in said.items():
        counts = [sum(answers[path] == "named" for path in kind.values()) for kind in (bad, odd, harmless)]
        errors = sum(answers[path] in ("error", "late") for path in [*bad.values(), *harmless.values()])
        ratio = statistics.median(seconds[tool]) / base
        rows[tool] = {"named": counts[0], "odd": counts[1], "false_alarms": counts[2], "not_read": errors}
        rows[tool]["ratio"] = round(ratio, 2)
        of = f"{counts[0]:>8} of {len(bad):>3} {counts[1]:>9} of {len(odd):>2} {counts[2]:>11} of {len(harmless):>3}"
        print(f"{tool:<12} {of} {errors:>10}   {ratio:.2f}")
    both = {**bad, **odd}
    ours = {name for name, path in both.items() if said["badnets"][path] == "named"}
    theirs = {name for name, path in both.items() if any(said[tool][path] == "named" for tool in PEERS)}
    alone = sorted(ours - theirs)
    print(f"named by no peer: {len(alone)}: {'; '.join(alone)}")
    missed, alarms = sorted(theirs - ours), [n for n, path in harmless.items() if said["badnets"][path] == "named"]
    print(f"named by peers alone: {missed or 'nothing'}")
    print(f"our false alarms: {alarms or 'none'}; our misses: {sorted(set(bad) - ours) or 'none'}")
    for tool in PEERS:
        false = [name for name, path in harmless.items() if said[tool][path] == "named"]
        print(f"false alarms of {tool}: {'; '.join(false) or 'none'}")
    for tool, answers in said.items():
        late = [name for name, path in {**both, **harmless}.items() if answers[path] == "late"]
        if late:
            print(f"{tool} took more than {LIMIT_S} s for: {'; '.join(late)}")
    sums = {"files": len(bad), "odd": len(odd), "harmless": len(harmless), "seconds_ours": round(base, 2)}
    print(json.dumps({"format": "badnets/benchmark/1", "name": "scan", **sums, "tools": rows}))
    return 1 if missed or alarms or set(bad) - ours else 0


if __name__ == "__main__":
    sys.exit(main())
