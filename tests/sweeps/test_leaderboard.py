"""A leaderboard: from its file to tasks, and from tasks to records that are the same however often it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.toml import parse_toml
from badnets.defenses.repair import DefenderView
from badnets.records.leaderboard import Leaderboard, board_lines, read_board_lines
from badnets.referee import bench
from badnets.sweeps.leaderboard.plan import TOLD, Board, make_board, read_board
from badnets.sweeps.leaderboard.run import MARK, run_board, status
from badnets.sweeps.store import RECORD, Store, Work

ROOT = Path(__file__).parents[2]
Do = Callable[[Work], "str | None"]
HERE = Path("tiny.toml")
TINY = """
name = "tiny"
defender = 0.25
repairs = ["clp", { kind = "fine-tune", epochs = 1, learning_rate = 0.05 }]
[base]
data = { name = "signs", options = { train = 160, test = 64, size = 32 } }
network = "lenet"
recipe = { epochs = 1 }
reference = false
[grid]
"backdoor.poison.rate" = [0.1]
[[specs]]
name = "badnets"
backdoor = { trigger = "square", rule = { kind = "all-to-one", target = 0 } }
[[specs]]
name = "all-to-all"
backdoor = { trigger = "square", rule = "all-to-all" }
[small]
specs = ["badnets"]
"""
TABLE = parse_toml(TINY, "tiny")


def tiny(**changes: Any) -> Board:
    return make_board({**TABLE, **changes}, where=HERE, small="small" not in changes)


class Here:
    """An engine that does each task at once, in this process; after ``last`` of them Ctrl-C comes."""

    width = room = 1

    def __init__(self, do: Do, *, last: int = 1000, **_: object) -> None:
        self.do, self.left = do, last

    def submit(self, work: Work) -> Future[str | None]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        job: Future[str | None] = Future()
        job.set_result(self.do(work))
        return job

    def cancel(self, job: Future[str | None]) -> None:
        """It is done."""

    def close(self) -> None:
        """Nothing to stop."""


def without_seconds(board: Leaderboard) -> list[dict[str, Any]]:
    cells = [cell.to_json() for cell in board.cells]
    return [{key: value for key, value in cell.items() if key not in ("seconds", "sha256")} for cell in cells]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Leaderboard]:
    """The tiny leaderboard, in one go."""
    store = Store(str(tmp_path_factory.mktemp("board") / "store"))
    return store, run_board(tiny(), store, Here)


def test_the_one_that_comes_along() -> None:
    """Eight attacks, thirteen repairs, two shares, three seeds; nobody is told of the attack."""
    path = ROOT / "runs" / "leaderboard.toml"
    full, small = read_board(path), read_board(path, small=True)
    for board, networks in ((full, 8 * 2 * 3), (small, 3)):
        trained = [step for step in board.steps if step.needs is None]
        assert (len(trained), len(board.steps)) == (networks, networks * (1 + 13))
        assert len({step.id for step in board.steps}) == len(board.steps)
        assert {step.needs for step in board.steps} == {None, *(step.id for step in trained)}
        assert (board.form.spec["data"]["name"], board.form.defender) == ("cifar10-jpeg", 0.05)
        assert not any(method.get(name) for method in board.form.repairs.values() for name in TOLD)
    assert [form.spec["network"] for form in (full.form, small.form)] == ["preact-resnet18", "resnet9:width=4"]
    assert set(small.form.attacks) < set(full.form.attacks)


def test_a_repair_is_measured_before_and_after(finished: tuple[Store, Leaderboard]) -> None:
    _, board = finished
    assert (board.networks["done"], board.counts["done"], board.failed) == (1, 2, ())
    assert [cell.repair for cell in board.cells] == ["clp", "fine-tune (epochs 1, learning_rate 0.05)"]
    tuned = board.cells[1]
    assert tuned.method["epochs"] == 1
    assert (tuned.attack, tuned.rate, tuned.seed) == ("badnets", 0.1, 1)
    assert (tuned.defender.pictures, tuned.before.clean_accuracy.total) == (40, 64)  # type: ignore[union-attr]
    triggered = tuned.before.asr.total  # type: ignore[union-attr]
    assert 0 < triggered < 64  # those of the target class are left out
    assert tuned.after is not None
    assert tuned.after.asr.total == tuned.after.robust_accuracy.total == triggered  # type: ignore[union-attr]
    assert tuned.before == board.cells[0].before


def test_what_a_repair_sees(monkeypatch: pytest.MonkeyPatch, finished: tuple[Store, Leaderboard]) -> None:
    """The network without its file's remarks, and clean training pictures: none of them is measured on."""
    store, _ = finished
    board, seen = tiny(), []
    usual = bench.repair

    def looked_at(view: DefenderView, *words: Any, **more: Any) -> Any:
        seen.append(view)
        return usual(view, *words, **more)

    monkeypatch.setattr(bench, "repair", looked_at)
    from badnets.data.load import load
    from badnets.sweeps.leaderboard.cell import repaired_cell

    repaired_cell(board.steps[1].spec, store)
    (view,) = seen
    assert view.network.provenance == {}
    data = load("signs", options=board.steps[0].spec["data"]["options"])
    train, test = ({image.tobytes() for image in part.images()} for part in (data.train, data.test))
    own = {image.tobytes() for image in view.data.images()}
    assert own <= train
    assert not own & test


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_stopped_one_goes_on(after: int, tmp_path: Path, finished: tuple[Store, Leaderboard]) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run_board(tiny(), store, partial(Here, last=after))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"*/{RECORD}")}
    assert len(kept) == after
    board = run_board(tiny(), store, Here)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert without_seconds(board) == without_seconds(finished[1])


def test_no_minutes_left(tmp_path: Path) -> None:
    said: list[str] = []
    board = run_board(tiny(), Store(str(tmp_path)), Here, minutes=0.0, watcher=Watcher(say=said.append))
    assert (board.networks["waiting"], board.counts["waiting"]) == (1, 2)
    assert "the minutes are over" in said[0]


def test_more_may_be_added_later(tmp_path: Path, finished: tuple[Store, Leaderboard]) -> None:
    """Another attack and another repair in the same store: what was done counts."""
    store, _ = finished
    more = make_board({**TABLE, "repairs": [*TABLE["repairs"], "rnp"], "small": {}}, where=HERE, small=True)
    board = status(more, store)
    assert (board.networks["done"], board.networks["waiting"]) == (1, 1)
    assert (board.counts["done"], board.counts["waiting"]) == (2, 4)


def test_a_repair_that_does_not_fit_is_a_result(finished: tuple[Store, Leaderboard]) -> None:
    store, _ = finished
    board = run_board(tiny(repairs=[{"kind": "prune", "layer": "nowhere"}]), store, Here)
    (cell,) = board.cells
    assert cell.after is None
    assert "nowhere" in str(cell.refused)


def test_a_network_that_fails_has_no_repairs(tmp_path: Path) -> None:
    base = {**TABLE["base"], "data": {"name": "no-such-data"}}
    said: list[str] = []
    board = run_board(tiny(base=base), Store(str(tmp_path)), Here, tries=2, watcher=Watcher(say=said.append))
    assert (board.networks["failed"], board.counts["waiting"]) == (1, 2)
    assert "no-such-data" in board.failed[0].error
    assert [("tried again" in line) for line in said] == [True, False]


SQUARE = {"name": "a", "backdoor": {"trigger": "square", "rule": "all-to-all"}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repairs": ["fine-tun"]}, "expected a repair, got 'fine-tun'; did you mean 'fine-tune'"),
        ({"repairs": [{"kind": "clp", "uu": 3}]}, "unknown key 'uu'; did you mean 'u'"),
        ({"repairs": ["clp", "clp"]}, "expected different repairs, got clp twice"),
        ({"repairs": []}, "repairs"),
        ({"repairs": ["unlearn"]}, "expected repairs that nobody tells of the attack, got unlearn"),
        ({"repairs": [{"kind": "distill", "classes": [0]}]}, "got distill with classes"),
        ({"small": {"specs": ["badnet"]}}, "in small.specs, got 'badnet'; did you mean 'badnets'"),
        ({"small": {"epochs": 1}}, "unknown key 'small.epochs'"),
        ({"small": None}, "expected a small form"),
        ({"defender": 1.5}, "defender"),
        ({"grid": {"recipe.epochs": [1, 2]}}, "expected nothing but backdoor.poison.rate in grid, got recipe.epochs"),
        ({"specs": [{"backdoor": {"trigger": "square", "rule": "all-to-all"}}]}, "expected named specs"),
        ({"specs": [{"name": "a", "backdoor": {"trigger": "patern", "rule": "all-to-all"}}]}, "did you mean 'pattern'"),
        ({"grids": {}}, "unknown key 'grids'; did you mean 'grid'"),
        (
            {"specs": [{**SQUARE, "recipe": {"epochs": 9}}, {**SQUARE, "name": "b"}]},
            "the same recipe under all attacks",
        ),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], told: str) -> None:
    table = {**TABLE, "small": {}, **changes}
    with pytest.raises(BadInput, match=told) as error:
        make_board(table, where=HERE, small=True)
    assert "tiny.toml" in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a leaderboard"):
        read_board(tmp_path / "none.toml")


def test_the_store_of_another(finished: tuple[Store, Leaderboard]) -> None:
    store, _ = finished
    assert (Path(store.place(MARK))).is_file()
    for changes, what in (({"name": "other"}, "name"), ({"defender": 0.1}, "defender"), ({"small": {}}, "small")):
        board = make_board({**TABLE, **changes}, where=HERE, small="small" not in changes)
        with pytest.raises(BadInput, match=f"a leaderboard with another {what}; name another --store"):
            run_board(board, store, Here)
    with pytest.raises(BadInput, match="expected a folder"):
        run_board(tiny(), Store("memory://board"), Here)


def test_lines_are_read_back(tmp_path: Path, finished: tuple[Store, Leaderboard]) -> None:
    _, board = finished
    path = tmp_path / "small.jsonl"
    path.write_text(board_lines(board), encoding="utf-8")
    again = read_board_lines(path)
    assert (again.form, again.cells) == (board.form, board.cells)
    path.write_text(path.read_text().replace('"attack": "badnets"', '"attack": "blended"'), encoding="utf-8")
    with pytest.raises(BadInput, match="line 2 as it was written"):
        read_board_lines(path)
    path.write_text("[]\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"small\.jsonl"):
        read_board_lines(path)


@pytest.fixture
def typed(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """``badnets leaderboard`` with these words, in a folder with the tiny one."""
    (tmp_path / "tiny.toml").write_text(TINY)

    def begin(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "badnets", "leaderboard", "tiny.toml", "--small", *words],
            cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
        )  # fmt: skip

    return begin


@pytest.mark.slow
def test_the_command_is_killed_and_goes_on(
    typed: Callable[..., subprocess.Popen[str]], tmp_path: Path, finished: tuple[Store, Leaderboard]
) -> None:
    """After the first repair, by a signal that nobody can catch; then in pieces too short for anything, and to its
    end: the same records as in one go."""
    begun = typed("--jobs", "1", "--device", "cpu")
    store = tmp_path / "badnets-sweeps" / "tiny-small"
    while len(list(store.glob(f"*/{RECORD}"))) < 2:
        assert begun.poll() is None, begun.communicate()
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    short = typed("--minutes", "0.01", "--jobs", "1", "--device", "cpu", "--json")
    out, err = short.communicate()
    assert (short.returncode, json.loads(out)["counts"]["done"] >= 1) == (0, True), err
    again = typed("--jobs", "1", "--device", "cpu")
    out, err = again.communicate()
    assert (again.returncode, "repairs: 2 done" in out) == (0, True), err
    ended = read_board_lines(store / "leaderboard.jsonl").cells
    for one, other in zip(ended, finished[1].cells, strict=True):
        assert (one.repair, one.before, one.after, one.defender) == (
            other.repair, other.before, other.after, other.defender,
        )  # fmt: skip
