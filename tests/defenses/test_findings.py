"""What repairs and abstainers take from findings of audits, and which findings they refuse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers.refuse_class import RefuseClass
from badnets.defenses.findings import check_same, leads, targets
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.distill import Distill
from badnets.defenses.repairs.invert import Invert
from badnets.defenses.repairs.unlearn import Unlearn
from badnets.defenses.stamps import ANY, Stamp
from badnets.networks.network import ImageNetwork, to_float

Found = Any
QUICK: dict[str, Any] = {"rounds": 1, "starts": 1, "steps": 5, "epochs": 1, "fewest": 1}


def test_a_finding_has_class_source_and_trigger(found: Found, plain: ImageNetwork) -> None:
    source = {"label": 2, "class_name": plain.class_names[2]}
    (lead,) = leads([str(found(plain, 7, source=source, kind="one-source"))], plain)
    assert (lead.target, lead.source) == (7, 2)
    assert float(lead.stamp.mask.sum()) == 9
    assert lead.stamp.mask[0, -3:, -3:].min() == lead.stamp.pattern[0, -3:, -3:].min() == 1
    assert lead.words(plain.class_names) == "7, from 2"
    (lead,) = leads([str(found(plain, None) / "finding.json")], plain)
    assert (lead.target, lead.source) == (ANY, None)
    both = [str(found(plain, label, name=f"f{label}")) for label in (5, 3, 5)]
    assert targets(both[:2] + both[2:], plain, "m") == [3, 5]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verdict": "nothing-found"}, "expected a finding of a backdoor, got 'nothing-found'; audit with more"),
        ({"verdict": "cannot-tell"}, "expected a finding of a backdoor, got 'cannot-tell'; audit with more"),
        ({"trigger": None}, "expected a finding with a trigger, got one without; audit with clean pictures"),
        ({"class_names": ["a", "b"]}, "expected a finding with the network's 10 classes, got 2 others"),
        ({"input_size": [3, 16, 16]}, "expected a finding for input of .*; audit this network"),
        ({"target": {"label": 99, "class_name": "x"}}, "expected a class from 0 to 9, got 99"),
    ],
)
def test_what_is_refused(found: Found, view: DefenderView, changes: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        repair(view, Unlearn(finding=(str(found(view.network, 7, **changes)),)))


@pytest.mark.parametrize("picture", ["nothing", "data:image/png;base64,###", "data:image/png;base64,AAAA"])
def test_a_damaged_picture_is_refused(found: Found, view: DefenderView, picture: str) -> None:
    trigger = {"picture": picture, "mask_pixels": 1, "success": {"hits": 1, "total": 2}}
    with pytest.raises(BadInput, match="it may be damaged"):
        repair(view, Unlearn(finding=(str(found(view.network, 7, trigger=trigger)),)))


def test_there_is_a_finding(view: DefenderView, tmp_path: Any) -> None:
    with pytest.raises(BadInput, match=r"expected a finding \(badnets audit --out\) at"):
        repair(view, Invert(finding=(str(tmp_path),)))


def test_one_of_another_network_is_refused(found: Found, plain: ImageNetwork) -> None:
    path = str(found(plain, 7, network_sha256="a" * 64))
    check_same([path], "a" * 64)
    check_same([path], None)
    with pytest.raises(BadInput, match=r"expected a finding of this network \(SHA-256 bbbbbbbb\), got one of another"):
        check_same([path], "b" * 64)


def test_one_of_two_ways(found: Found, view: DefenderView) -> None:
    path = str(found(view.network, 7))
    for method in (
        Unlearn(),
        Unlearn(trigger="t.png", finding=(path,)),
        Invert(classes=(1,), finding=(path,)),
        Distill(classes=(1,), finding=(path,)),
    ):
        with pytest.raises(BadInput, match=r"expected .* a finding .*, got (neither|both)"):
            repair(view, method)
    for abstainer in (RefuseClass(), RefuseClass(suspect=1, finding=(path,))):
        with pytest.raises(BadInput, match=r"expected a class .* or a finding .*, got (neither|both)"):
            abstain(view, abstainer)


def test_the_finding_is_followed_and_not_the_files_remarks(found: Found, view: DefenderView) -> None:
    given = view.network
    given.provenance = {"backdoor": {"rule": {"kind": "all-to-one", "target": 4}}}
    view = replace(view, network=given)
    path = (str(found(given, 7)),)
    assert "the suspects (7)" in repair(view, Invert(finding=path, **QUICK)).chosen
    done = repair(view, Distill(finding=path, steps=1))
    assert done.trace[0]["suspects"] == ["7"]
    assert "the suspect '7';" in done.chosen
    guarded = abstain(view, RefuseClass(finding=path))
    assert guarded.chosen == "the class '7', of the finding"
    labels = view.clean("x").labels
    assert guarded.calibration.hits in range(1, 2 * int(np.count_nonzero(labels == 7)))


def test_a_source_starts_the_search(found: Found, view: DefenderView) -> None:
    source = {"label": 2, "class_name": "2"}
    done = repair(view, Invert(finding=(str(found(view.network, 7, source=source)),), **QUICK))
    (search,) = [row["stamps"] for row in done.trace if "stamps" in row]
    assert {one["class"] for one in search} == {"7, from 2"}
    assert max(one["success"]["total"] for one in search) < 20


def test_all_to_all(found: Found, view: DefenderView) -> None:
    path = (str(found(view.network, None)),)
    done = repair(view, Invert(finding=path, **QUICK))
    assert "the suspects (any class but the own)" in done.chosen
    for act in (lambda: repair(view, Distill(finding=path)), lambda: abstain(view, RefuseClass(finding=path))):
        with pytest.raises(BadInput, match="expected findings that name a class, got one of a backdoor from all"):
            act()


def test_a_backdoor_is_unlearned(
    found: Found, plain: ImageNetwork, view: DefenderView, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = partial(Invert, rounds=1, starts=1, steps=20, fewest=40)
    monkeypatch.setattr("badnets.defenses.repairs.unlearn.Invert", short)
    mask = torch.zeros(1, 16, 16)
    mask[:, -3:, -3:] = 1
    stamp, data = Stamp(mask, torch.ones(1, 16, 16)), view.clean("x")
    images, labels = to_float(torch.from_numpy(data.images())), torch.tensor(data.labels)
    optimizer = torch.optim.Adam(plain.parameters(), lr=4e-3)
    for _ in range(60):
        optimizer.zero_grad()
        both = functional.cross_entropy(plain(stamp.apply(images)), torch.full_like(labels, 7))
        (both + functional.cross_entropy(plain(images), labels)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    others = labels != 7
    assert float((plain(stamp.apply(images[others])).argmax(1) == 7).float().mean()) > 0.6
    done = repair(replace(view, network=plain), Unlearn(finding=(str(found(plain, 7)),), epochs=2))
    assert done.method["finding"]
    assert float((done.network(stamp.apply(images[others])).argmax(1) == 7).float().mean()) < 0.1
