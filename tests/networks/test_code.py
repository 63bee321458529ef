"""Architectures in the user's own code: run only when named, and one sentence for whatever goes wrong."""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.networks import code
from badnets.networks.code import CodeWarning
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, parse_network
from badnets.networks.surgery.graph import trace

CODE = """
import torch
from torch import nn
from helper import WIDTH

print("imported")


class Net(nn.Module):
    def __init__(self, channels, num_classes=10, width=WIDTH):
        super().__init__()
        print("built")
        self.conv1 = nn.Conv2d(channels, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        print("passed")
        return self.fc(torch.relu(self.conv1(x)).mean((2, 3)))


def make(n_classes):
    return Net(3, n_classes)


def number():
    return 3


class Raises(nn.Module):
    def __init__(self):
        raise ValueError("no\\nway")


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(300, 2)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Bare(nn.Module):
    pass


class Several(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x
"""
PICTURES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(code, "_NAMED", {})
    (tmp_path / "helper.py").write_text("WIDTH = 4\n")
    (tmp_path / "net.py").write_text(CODE)
    return tmp_path / "net.py"


def build(text: str, **arguments: object) -> ImageNetwork:
    name, said = parse_network(text)
    return build_network(
        name, class_names=["a", "b", "c"], input_size=(3, 8, 8), seed=1, arguments={**said, **arguments}
    )


def test_a_class_is_built_with_its_arguments_and_the_number_of_classes(net: Path) -> None:
    network = build(f"{net}:Net", channels=3, width=5)
    assert network(PICTURES).shape == (2, 3)
    assert (network.architecture, network.arguments) == ("file:Net", {"channels": 3, "width": 5})
    digest = hashlib.sha256(CODE.encode()).hexdigest()
    assert network.provenance["code"] == {"file": "net.py", "sha256": digest, "name": "Net"}
    assert torch.equal(copy.deepcopy(network)(PICTURES), network(PICTURES))
    assert next(iter(trace(network.body).graph.nodes)).op == "placeholder"


def test_a_function_that_returns_a_module_will_do(net: Path) -> None:
    assert build(f"{net}:make")(PICTURES).shape == (2, 3)


def test_same_seed_same_weights(net: Path) -> None:
    first, second = (build(f"{net}:make").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_it_prints_does_not_reach_stdout(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(f"{net}:make")(PICTURES)
    said = capsys.readouterr()
    assert said.out == ""
    assert {"imported", "built", "passed"} <= set(said.err.split())


def test_it_leaves_no_module_and_no_path_behind(net: Path) -> None:
    before = list(sys.path)
    build(f"{net}:make")
    assert sys.path == before
    assert "helper" not in sys.modules
    assert not list(net.parent.glob("__pycache__/net*"))


def test_two_folders_may_have_modules_of_one_name(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "helper.py").write_text("WIDTH = 7\n")
    (other / "net.py").write_text(CODE)
    widths = [build(f"{path}:make").body.get_parameter("fc.weight").shape[1] for path in (net, other / "net.py")]
    assert widths == [4, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net.py:Net", r"^net.py:Net: expected its arguments, got none for channels; say --arch-set channels=VALUE$"),
        (
            "net.py:Net:channels=3,wide=2",
            r"arguments that it has \(channels, num_classes, width\), got 'wide'",
        ),
        ("net.py:number", "expected number to make an nn.Module, got an int; return the network"),
        ("net.py:Raises", r"expected code that runs, got ValueError while Raises was built \(no\); mend it"),
        ("net.py:Sized", r"file:Sized: expected pictures it can take, got 8x8x3 \(mat1 and mat2 .*resize them"),
        ("net.py:Bare", "expected pictures it can take, got 8x8x3 .*; mend its forward"),
        ("net.py:Several", r"expected logits \(n, 3\), got tuple from 2 pictures"),
        ("net.py:Nett", "expected a class of net.py that makes a network, got 'Nett'; its modules: Net, "),
        ("net.py:WIDTH", "got 'WIDTH', which is an int; its modules: "),
        ("none.py:Net", "expected Python code at .*none.py, got nothing; check the path"),
        ("exits.py:Net", r"exits.py: expected code that runs, got SystemExit while it was imported \(3\); mend it"),
        ("wrong.py:Net", "wrong.py: expected code that runs, got SyntaxError in line 1 while it was imported"),
        ("lacks.py:Net", "got ModuleNotFoundError while it was imported .No module named 'nowhere_to_be_found'"),
        ("raises.py:Net", "got RuntimeError while it was imported"),
    ],
)
def test_whatever_goes_wrong_is_one_sentence(net: Path, text: str, said: str) -> None:
    (net.parent / "exits.py").write_text("import sys\nsys.exit(3)\n")
    (net.parent / "wrong.py").write_text("def f(:\n")
    (net.parent / "lacks.py").write_text("import nowhere_to_be_found\n")
    (net.parent / "raises.py").write_text("raise RuntimeError('no ' * 1000)\n")
    with pytest.raises(BadInput, match=said) as refused:
        build(f"{net.parent}/{text}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value).replace(str(net.parent), "")) <= 400


def test_a_file_is_opened_when_its_code_was_named_and_else_says_so(net: Path, tmp_path: Path) -> None:
    network = build(f"{net}:Net", channels=3).eval()
    file = tmp_path / "network.safetensors"
    save_network(network, file)
    assert torch.equal(open_network(file)(PICTURES), network(PICTURES))
    code._NAMED.clear()  # as in another process
    with pytest.raises(BadInput, match=r"the code that built it, Net in net.py, got none.*--arch path/to/net.py:Net"):
        open_network(file)
    assert isinstance(network.body, nn.Module)
    again = open_network(file, module=copy.deepcopy(network.body))
    assert torch.equal(again(PICTURES), network(PICTURES))


def test_other_code_of_the_name_is_warned_of(net: Path, tmp_path: Path) -> None:
    save_network(build(f"{net}:make"), tmp_path / "network.safetensors")
    net.write_text(CODE + "\n# changed\n")
    build(f"{net}:make")
    with pytest.warns(CodeWarning, match="made with another version of this code"):
        open_network(tmp_path / "network.safetensors")


@pytest.mark.parametrize("prefix", ["", "logits-of:"])
def test_no_file_makes_code_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('was-run', 'w').close()\n")
    network = build_network("lenet", class_names=["a", "b"], input_size=(3, 16, 16), seed=1)
    network.architecture = f"{prefix}evil.py:Net"
    save_network(network, tmp_path / "network.safetensors")
    with pytest.raises(BadInput, match=r"got 'evil.py:Net'; code is run only where you name it"):
        open_network(tmp_path / "network.safetensors")
    assert not (tmp_path / "was-run").exists()
