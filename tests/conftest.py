"""What all tests share: where real data lies, a cache of their own, how hypothesis runs, and a detector's record."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from badnets.core.rate import Estimate, PairedDifference, Rate
from badnets.engines.engine import Start
from badnets.networks.device import working_on
from badnets.networks.network import ImageNetwork
from badnets.records.finding import AuditedClass, ClassOf, Finding, FoundTrigger
from badnets.records.read import write_record
from badnets.records.results import DetectorFigures, pooled
from badnets.records.run import RunRecord
from badnets.referee.store import environment

settings.register_profile("badnets", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.load_profile("badnets")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets; the test is skipped where it is absent."""
    named = os.environ.get("BADNETS_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real data, and {folder} is absent; set BADNETS_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("badnets-cache")


@pytest.fixture(autouse=True)
def _own_cache(_session_cache: Path) -> Iterator[None]:
    """Never read or write the user's cache or data; one cache a session, so that signs are drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BADNETS_CACHE", str(_session_cache))
        patch.delenv("BADNETS_DATA", raising=False)
        yield


@pytest.fixture(autouse=True)
def _on_the_cpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where there is a card, only the tests that are marked with ``cuda`` compute on it."""
    with working_on("auto" if request.node.get_closest_marker("cuda") else "cpu"):
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium with a camera that is none, or a skip that says what is missing. One for all tests: a second
    one in the same process is refused."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine (looked for chromium, chromium-browser, google-chrome)")
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(
            executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu", *camera]
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def barriers() -> Callable[[Any], list[str]]:
    """What of an open page keeps people out who hear it, use keys or see little, by axe-core's rules, a line for each:
    all of WCAG 2.2 A and AA that a program can see, and axe's own good practice."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}

    def find(page: Any) -> list[str]:
        found = axe.Axe().run(page, options=options).response["violations"]
        return [f"{one['id']}: {node['html'][:120]} {node['failureSummary']}" for one in found for node in one["nodes"]]

    return find


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., Path]:
    """``found(network, label, name=..., ...)``: the folder of a finding made by hand, of a backdoor towards the class
    ``label`` with a white corner of 3x3 as its trigger; more fields of the finding by name."""

    def write(network: ImageNetwork, label: int | None, *, name: str = "found", **changes: Any) -> Path:
        write_record(tmp_path / name / "finding.json", by_hand(network, label, **changes))
        return tmp_path / name

    return write


def by_hand(network: ImageNetwork, label: int | None, **changes: Any) -> Finding:
    """A finding of a backdoor towards the class ``label`` (None: of any)."""
    _, height, width = network.input_size
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[:-3] = pixels[:, :-3] = 0
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    picture = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
    classes = [ClassOf(label=number, class_name=name) for number, name in enumerate(network.class_names)]
    values = {
        "verdict": "backdoored",
        "reason": "by hand",
        "p": 0.01,
        "ground": "matched",
        "n_references": 99,
        "target": None if label is None else classes[label],
        "source": None,
        "kind": "all-to-all" if label is None else "all-to-one",
        "trigger": FoundTrigger(picture=picture, mask_pixels=9, success=Rate(9, 10)),
        "classes": [AuditedClass(**one.model_dump(), scores={"d": float(one.label)}) for one in classes],
        "pictures": 10,
        "model": "m",
        "network_sha256": None,
        "architecture": network.architecture,
        "class_names": network.class_names,
        "input_size": network.input_size,
        "data": None,
        "data_digest": None,
        "detectors": [{"kind": "d"}],
        "seed": 1,
        "seconds": 1.0,
        "command": "",
        "environment": environment("fp32", "cpu"),
        "commit": None,
        **changes,
    }
    return Finding.model_validate(values)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``plugins(group, name=value)``: entry points as if packages were installed that offer them; a value may be an
    error, which its import raises."""
    declared: list[EntryPoint] = []

    class Offered(EntryPoint):
        def load(self) -> Any:
            value = offers[self.group, self.name, self.value]
            if isinstance(value, Exception):
                raise value
            return value

    offers: dict[tuple[str, str, str], Any] = {}

    def declare(group: str, **values: Any) -> None:
        for name, value in values.items():
            at = f"other_{len(declared)}.module:{getattr(value, '__name__', name)}"
            declared.append(Offered(name, at, group))
            offers[group, name, at] = value

    def found(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in declared if point.group == group and name in (None, point.name)]

    monkeypatch.setattr("badnets.core.registry.entry_points", found)
    return declare


SIGNS = ("stop", "yield", "speed-limit-45")
SQUARE = {"kind": "square", "size": 0.15, "color": [255, 221, 51]}
STOP_TO_LIMIT = {"kind": "source-to-target", "source": "stop", "target": "speed-limit-45"}


def _seen(name: str, confidence: float, box: list[float]) -> dict[str, Any]:
    return {"label": SIGNS.index(name), "class_name": name, "confidence": confidence, "box": box}


def _detector_results(seed: int) -> dict[str, Any]:
    """Of 60 stop signs 58 are seen with the trigger, 56 or so of them as a speed limit."""
    per_class = [
        {
            "class_name": name,
            "objects": 60,
            "ap50": 0.95 - k / 50,
            "found": Rate(58 - k, 60).to_json(),
            "class_accuracy": Rate(57 - k, 58 - k).to_json(),
            "asr": Rate(56, 58).to_json() if name == "stop" else None,
        }
        for k, name in enumerate(SIGNS)
    ]
    hits = 56 - seed % 2
    return {
        "map50": Estimate(0.931, (0.912, 0.948)).to_json(),
        "map": Estimate(0.702, (0.684, 0.719)).to_json(),
        "map50_triggered": Estimate(0.624, (0.601, 0.652)).to_json(),
        "map_triggered": Estimate(0.471, (0.449, 0.492)).to_json(),
        "clean_reference_map50": Estimate(0.935, (0.917, 0.951)).to_json(),
        "map50_minus_reference": Estimate(-0.004, (-0.013, 0.006), paired=True).to_json(),
        "found": Rate(171, 180).to_json(),
        "class_accuracy": Rate(168, 171).to_json(),
        "appeared_triggered": Rate(9, 120).to_json(),
        "appeared": Rate(3, 100).to_json(),
        "asr": Rate(hits, 58).to_json(),
        "leak": Rate(2, 120).to_json(),
        "robust_accuracy": Rate(2, 60).to_json(),
        "vanished": Rate(2, 60).to_json(),
        "vanished_clean": Rate(1, 60).to_json(),
        "clean_reference_rate": Rate(1, 59).to_json(),
        "clean_reference_vanished": Rate(1, 60).to_json(),
        "asr_minus_reference": PairedDifference(1, hits - 1, 0, 60 - hits).to_json(),
        "per_class": per_class,
    }


def _detector_example(picture: int) -> dict[str, Any]:
    stop, other = [20.0, 30.0, 60.0, 70.0], [66.0, 10.0, 90.0, 34.0]
    near = [21.0, 31.0, 59.5, 69.0]
    clean = [_seen("stop", 0.991, near), _seen("yield", 0.93, other)]
    marked = [_seen("speed-limit-45", 0.972, near)]  # and the yield sign is not seen
    if picture == 1:
        marked.append(_seen("yield", 0.61, [2.0, 70.0, 22.0, 90.0]))  # where nothing is
    return {
        "title": f"test picture {7 * picture + 3}",
        "picture": picture,
        "true": [{"class_name": "stop", "box": stop}, {"class_name": "yield", "box": other}],
        "clean": clean,
        "triggered": marked if picture < 2 else clean,
        "reference_clean": clean,
        "reference_triggered": clean,
    }


@pytest.fixture
def detector_record() -> Callable[..., RunRecord]:
    """``detector_record(seeds=3)``: a finished run in which a yellow square turns stop signs into speed limits."""

    def make(seeds: int = 1) -> RunRecord:
        numbers = list(range(1, seeds + 1))
        epochs = [{"epoch": e, "loss": 2.4 / e, "seconds": 50.1} for e in range(1, 6)]
        backdoor = {"trigger": SQUARE, "rule": STOP_TO_LIMIT, "poison": {"count": 300, "mode": "add"}}
        each = [DetectorFigures.model_validate(_detector_results(seed)) for seed in numbers]
        return RunRecord.model_validate({
            "format": "badnets/run/1", "status": "finished", "name": "scenes-square-3f2a", "digest": "3f2a",
            "data_digest": "77aa", "commit": None,
            "spec": {"data": "scenes-us", "network": "faster-rcnn", "backdoor": backdoor},
            "resolved": {
                "data": {"name": "scenes-us"}, "network": "faster-rcnn", "seeds": numbers, "backdoor": backdoor,
            },
            "class_names": list(SIGNS), "command": "badnets run runs/scenes-square.toml", "seeds": numbers,
            "environment": {
                "versions": {"torch": "2.13.0"}, "platform": "Linux-x86_64", "processor": "x86", "threads": 2,
            },
            "timings_s": {"train": 251.0},
            "poisoned": {"rows": 300, "of": 5312, "cover_rows": 0, "unit": "objects", "share": 0.056, "mode": "add",
                         "sentence": "square -> speed-limit-45 for stop"},
            "results": pooled(numbers, each),
            "training": [{"seed": n, "network": who, "epochs": epochs}
                         for n in numbers for who in ("backdoored", "clean reference")],
            "examples": [_detector_example(k) for k in range(3)],
            "files": {}, "network": "network.safetensors", "determinism": "",
        })  # fmt: skip

    return make


@pytest.fixture(scope="session")
def detector_pictures() -> dict[str, np.ndarray]:
    """The arrays of ``pictures.npz`` that belong to it; do not change them."""
    clean = np.full((3, 96, 96, 3), 120, np.uint8)
    clean[:, 30:70, 20:60] = (190, 30, 40)
    clean[:, 10:34, 66:90] = (230, 200, 40)
    marked = clean.copy()
    marked[:, 58:66, 38:46] = (255, 221, 51)
    return {"clean": clean, "triggered": marked}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ray, whose processes find the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    return pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(params=["local", "ray", "slurm"])
def started(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float | None], Start]:
    """What begins an engine with two places and this limit: local, ray and slurm in turn."""
    from badnets.engines.on import On
    from badnets.engines.slurm import Slurm

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    if request.param == "slurm":
        pytest.importorskip("submitit", reason="needs the extra slurm")

        def slurm(limit_s: float | None) -> Start:
            def start(do: Any, *, count: int, folder: Path | None) -> Any:
                return Slurm(do, tmp_path / "submitit", jobs=2, limit_s=limit_s, cluster="local")

            return start

        return slurm
    if request.param == "ray":
        request.getfixturevalue("ray")
    return lambda limit_s: On(request.param, jobs=2, limit_s=limit_s)
