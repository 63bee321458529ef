"""From a sweep's table to its tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.sweeps.plan import MOST, make_plan, read_sweep

HERE, ROOT = Path("sweep.toml"), Path(__file__).parents[2]
BASE = {
    "data": {"name": "signs", "options": {"train": 160, "test": 64, "size": 32}},
    "network": "lenet",
    "recipe": {"epochs": 1},
    "backdoor": {"trigger": "square", "rule": {"kind": "all-to-one", "target": 0}},
}


def sweep(**more: Any) -> dict[str, Any]:
    return {"base": BASE, **more}


def test_every_combination_and_every_seed() -> None:
    grid = {"backdoor.poison.rate": [0.05, 0.1, 0.2], "backdoor.trigger.size": [2, 4]}
    plan = make_plan(sweep(grid=grid, seeds=2), where=HERE)
    assert len({task.id for task in plan.tasks}) == len(plan.tasks) == 12
    assert plan.tasks[0].axes == {"backdoor.poison.rate": 0.05, "backdoor.trigger.size": 2, "seed": 1}
    last = plan.tasks[-1].spec
    assert (last["backdoor"]["poison"]["rate"], last["backdoor"]["trigger"]["size"], last["seeds"]) == (0.2, 4, [2])
    assert last["recipe"]["epochs"] == 1


def test_values_that_go_together_and_changes_in_tables() -> None:
    together = {"network": ["lenet", "g1-cnn"], "recipe.epochs": [1, 3]}
    plan = make_plan(sweep(zip=together), where=HERE)
    assert [(task.spec["network"], task.spec["recipe"]["epochs"]) for task in plan.tasks] == [
        ("lenet", 1),
        ("g1-cnn", 3),
    ]
    specs = [{"name": "small", "recipe": {"epochs": 2}}, {"network": "g1-cnn"}]
    plan = make_plan(sweep(specs=specs), where=HERE)
    assert [task.axes for task in plan.tasks] == [{"spec": "small"}, {"spec": 2}]
    assert [task.spec["recipe"]["epochs"] for task in plan.tasks] == [2, 1]


@given(st.permutations(["name", "device", "devices"]), st.integers(1, 1000))
def test_what_does_not_change_the_result_does_not_change_the_id(order: list[str], seed: int) -> None:
    beside = {"name": "other", "device": "cuda", "devices": 1}
    changed = {**BASE, **{key: beside[key] for key in order}}
    ((own,), (other,)) = (make_plan({"base": base, "seeds": [seed]}, where=HERE).tasks for base in (BASE, changed))
    assert own.id == other.id
    assert own.id != make_plan(sweep(seeds=[seed + 1]), where=HERE).tasks[0].id


def test_what_changes_the_result_changes_the_id(tmp_path: Path) -> None:
    code = tmp_path / "net.py"
    text = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"

    def own(content: str) -> str:
        code.write_text(content)
        return make_plan({"base": {**BASE, "network": f"{code}:Net"}}, where=HERE).tasks[0].id

    assert own(text) == own(text) != own(f"{text}        self.more = 1\n")
    (one,), (two,) = (make_plan({"base": {**BASE, "devices": n}}, where=HERE).tasks for n in (1, 2))
    assert one.id != two.id


def test_a_base_beside_the_file_or_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('data = "mnist"\nnetwork = "g1-cnn"\n')
    (tmp_path / "sweep.toml").write_text('base = "base.toml"\nseeds = [3, 5]\n')
    assert [task.spec["seeds"] for task in read_sweep(tmp_path / "sweep.toml").tasks] == [[3], [5]]
    (tmp_path / "sweep.toml").write_text('base = "signs-sticker"\nname = "stickers"\n')
    plan = read_sweep(tmp_path / "sweep.toml")
    assert (plan.name, plan.tasks[0].spec["data"]["name"]) == ("stickers", "signs")


@pytest.mark.parametrize("path", sorted((ROOT / "runs" / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_sweeps_that_come_along_can_be_planned(path: Path) -> None:
    assert len(read_sweep(path).tasks) > 1


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (sweep(grid={"backdoor.poison.rat": [0.1]}), "rat"),
        (sweep(grid={"nonsense": [1]}), "nonsense"),
        (sweep(grid={"network.width": [1]}), "network.width|network"),
        (sweep(grid={"recipe.epochs": []}), "expected values of recipe.epochs, got none"),
        (sweep(grid={"recipe.epochs": list(range(1, 1001)), "recipe.batch": list(range(1, 1001))}), "1,000,000"),
        (sweep(seeds=MOST + 1), f"{MOST + 1:,}"),
        (sweep(seeds=[1, 1]), "seeds that differ"),
        (sweep(seeds=0), "seeds that differ"),
        (sweep(zip={"network": ["lenet"], "recipe.epochs": [1, 2]}), "1 of network, 2 of recipe.epochs"),
        (sweep(zip={"network": ["lenet"]}, grid={"network": ["lenet"]}), "network in grid or in zip, got both"),
        (sweep(grid={"recipe.epochs": [1, 1]}), "expected different tasks"),
        (sweep(specs=[{"name": "a"}, {"name": "b"}]), "spec = a and spec = b"),
        (sweep(specs=[{"name": "a"}, {"name": "a", "network": "g1-cnn"}]), "specs of different names, got a twice"),
        (sweep(grid={"seeds": [7]}), "got seeds; say seeds = ... beside the grid"),
        (sweep(specs=[{"seeds": 3}]), "got seeds; say seeds = ... beside the grid"),
        (sweep(zip={"device": ["cpu"]}), "got device; it changes no result"),
        (sweep(grid={"name": ["a", "b"]}), "got name; it changes no result"),
        ({"grid": {}}, "base"),
        (sweep(grids={}), "grids"),
        ({"base": "no-such-spec"}, "no-such-spec"),
    ],
)
def test_what_is_wrong_is_told(table: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        make_plan(table, where=HERE)


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a sweep"):
        read_sweep(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-8"):
        read_sweep(tmp_path / "bytes.toml")
