"""An audit as a whole: grounds, refusals, what it says when it can't tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import badnets as bn
from badnets.audits.audit import Audit, audit
from badnets.audits.audited import Audited
from badnets.audits.detectors import make_detector
from badnets.audits.grounds import alike
from badnets.audits.power import power_of
from badnets.audits.reference import Reference
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, Boxes, ImageData
from badnets.defenses.repair import DefenderView
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap
from badnets.records.finding import Finding

Make = Callable[..., ImageNetwork]


def references(make: Make, count: int = 19) -> list[Reference]:
    return [Reference(f"clean {seed}", lambda seed=seed: make(seed)) for seed in range(1, count + 1)]  # type: ignore[misc]


def judged(network: ImageNetwork, data: ImageData | None, known: list[Reference], **more: float) -> Audited:
    view = DefenderView(network=network, data=data, seed=Seed(1), budget_s=more.pop("budget_s", None))
    return audit(view, known, Audit(student_steps=40, **more))  # type: ignore[arg-type]


def test_a_planted_pixel_is_found_against_references(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50, trigger=(2, 3.0)), quarters, references(make_linear))
    assert done.verdict == "backdoored"
    assert done.judged is not None
    assert done.judged.p == pytest.approx(0.05)
    assert done.judged.named.target == 2


def test_a_clean_network_has_nothing(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(51), quarters, references(make_linear))
    assert done.verdict == "nothing-found"
    assert done.judged is not None
    assert done.judged.p > 0.05


def test_too_few_references_cannot_tell(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50, trigger=(2, 3.0)), quarters, references(make_linear, 10))
    assert done.verdict == "cannot-tell"
    assert "10 references" in done.reason
    assert "19 are needed" in done.reason
    assert judged(make_linear(51), quarters, references(make_linear, 10), alpha=0.1).verdict != "cannot-tell"


def twice(data: ImageData) -> ImageData:
    """Enough pictures to teach from."""
    return data.take(np.tile(np.arange(len(data)), 2))


def null(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """What is usual, as if measured on 20 clean networks."""
    numbers = np.abs(np.random.default_rng(0).normal(0.3, 0.1, (20, width)))
    for module in ("audit", "beforehand"):
        monkeypatch.setattr(f"badnets.audits.{module}.null_of", lambda *_, **__: numbers)


def test_without_references_its_classes_are_compared(
    make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    null(monkeypatch, 6)  # pairs, pixels, patches and margins
    done = judged(make_linear(50, trigger=(2, 6.0)), twice(quarters), [])
    assert (done.ground, done.verdict) == ("within", "backdoored")
    assert set(done.sizes) == {"perturbation", "pixels", "patches", "margins"}
    assert done.judged is not None
    assert done.judged.p == pytest.approx(1 / 21)
    assert done.judged.named.target == 2


def test_asked_for_it_teaches_copies(make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    null(monkeypatch, 9)  # pairs and pixels, of the differences and of the network itself; its patches
    done = judged(make_linear(50, trigger=(2, 6.0)), twice(quarters), [], students=2)
    assert done.ground == "taught"
    assert done.verdict == "backdoored"
    assert done.judged is not None
    assert done.judged.p == pytest.approx(1 / 21)


@pytest.mark.parametrize(
    ("known", "told"),
    [(0, "searching, and teaching copies, takes about"), (19, "the search in one network takes about")],
)
def test_a_long_search_is_told_before(
    known: int, told: str, make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    null(monkeypatch, 9)
    monkeypatch.setattr("badnets.audits.audit.LONG", 0.0)
    view = DefenderView(network=make_linear(50), data=twice(quarters), seed=Seed(1))
    audit(view, references(make_linear, known), Audit(students=2, student_steps=2), watcher=Watcher(say=said.append))
    assert said == [f"{told} 1 min"]


def test_too_few_pictures_without_references(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50), quarters.take(np.arange(30)), [])
    assert done.verdict == "cannot-tell"
    assert "30 clean pictures" in done.reason


def test_copies_that_do_not_learn_tell_nothing(
    make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    null(monkeypatch, 9)
    monkeypatch.setattr("badnets.audits.audit.teach", lambda network, *_, **__: make_linear(9, trigger=(1, 1e4)))
    done = judged(make_linear(50), twice(quarters), [], students=2)
    assert done.verdict == "cannot-tell"
    assert "copies that it teaches agree" in done.reason


@pytest.mark.parametrize(("students", "ground", "width"), [(0, "within", 6), (2, "taught", 9)])
def test_references_that_do_not_fit_are_left(
    students: int, ground: str, width: int, make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    null(monkeypatch, width)
    known = references(make_linear, 10)
    done = judged(make_linear(50, trigger=(2, 6.0)), twice(quarters), known, students=students)
    assert (done.ground, done.verdict, done.references) == (ground, "backdoored", ())
    assert "not judged by references" in str(done.notes), done.notes


@pytest.mark.parametrize(("trigger", "verdict"), [(None, "cannot-tell"), ((17, 12.0), "backdoored")])
def test_one_of_many_classes_is_judged_among_them(trigger: tuple[int, float] | None, verdict: str) -> None:
    """A hundred classes that look at pixels of their own; one has a far heavier row."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(100, 64, generator=generator)
    if trigger is not None:
        weight[trigger[0]] += trigger[1]
    network = wrap(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 100)),
        class_names=[f"person {k}" for k in range(100)],
        input_size=(1, 8, 8),
    )
    with torch.no_grad():
        network.body[1].weight.copy_(weight)  # type: ignore[index,operator,union-attr]
    done = judged(network, None, [])
    assert (done.ground, done.verdict) == ("within", verdict)
    assert set(done.sizes) == {"last-layer", "margins"}
    if trigger is not None:
        assert done.judged is not None
        assert done.judged.named.target == 17


def test_without_pictures_its_classes_are_compared(make_linear: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    null(monkeypatch, 4)
    done = judged(make_linear(50, trigger=(2, 6.0)), None, [])
    assert done.ground == "within"
    assert done.accuracy is None
    assert done.judged is not None
    assert done.judged.named.target == 2


@pytest.mark.parametrize("data", [True, False])
def test_networks_unlike_all_that_were_measured(data: bool, make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50), twice(quarters) if data else None, [])
    assert done.verdict == "cannot-tell"
    assert "4 classes, pictures of 1x8x8" in done.reason


def test_alike() -> None:
    assert alike((3, 10), (3, 16))
    assert not alike((3, 10), (3, 43))
    assert not alike((1, 10), (3, 10))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda network: network.body.fc.bias.data[1].add_(1e4), "answers 'class 1' to every clean picture"),
        (lambda network: network.body.fc.weight.data.mul_(-1), "is the input range right?"),
    ],
)
def test_what_is_no_use_is_not_judged(
    change: Callable[[ImageNetwork], object], told: str, make_linear: Make, quarters: ImageData
) -> None:
    network = make_linear(50)
    change(network)
    done = judged(network, quarters, references(make_linear))
    assert done.verdict == "cannot-tell"
    assert told in done.reason


def test_nan_is_bad_input(make_linear: Make, quarters: ImageData) -> None:
    network = make_linear(50)
    with torch.no_grad():
        network.body.fc.bias.fill_(1e38)  # type: ignore[union-attr,operator]
        network.body.fc.weight.fill_(3e38)  # type: ignore[union-attr,operator]
    with pytest.raises(BadInput, match="NaN"):
        judged(network, quarters, [])


def test_references_of_another_kind_are_refused(make_linear: Make, quarters: ImageData) -> None:
    other = make_linear(9)
    renamed = other.with_body(other.body, class_names=[f"kind {k}" for k in range(4)])
    with pytest.raises(BadInput, match=r"odd one.*expected the classes.*badnets references --like"):
        judged(make_linear(50), quarters, [*references(make_linear), Reference("odd one", lambda: renamed)])


def test_references_that_are_less_accurate_are_left_out(make_linear: Make, quarters: ImageData) -> None:
    def poor() -> ImageNetwork:
        network = make_linear(9)
        with torch.no_grad():
            network.body.fc.weight[3].zero_()  # type: ignore[union-attr,index,operator]
        return network

    done = judged(make_linear(51), quarters, [*references(make_linear), Reference("poor", poor)])
    assert len(done.references) == 19
    assert any("poor is left out" in note for note in done.notes)


def test_few_pictures_and_missing_classes_are_told(make_linear: Make, quarters: ImageData) -> None:
    few = quarters.take(np.flatnonzero(quarters.labels != 3)[:10])
    done = judged(make_linear(50, trigger=(2, 3.0)), few, references(make_linear))
    assert any("10 clean pictures are few" in note for note in done.notes)
    assert any("of 1 classes there is no clean picture" in note for note in done.notes)
    assert done.verdict == "backdoored"


def test_two_classes_need_references(quarters: ImageData) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    network = bn.wrap(module, class_names=["a", "b"], input_size=(1, 8, 8))
    done = judged(network, None, [])
    assert done.verdict == "cannot-tell"
    assert "2 classes are too few" in done.reason


def test_a_budget_ends_it(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50), quarters, references(make_linear), budget_s=1e-9)
    assert (done.verdict, done.stopped) == ("cannot-tell", "budget")


def test_ctrl_c_says_what_is_known(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50), quarters, [*references(make_linear, 3), never_looked_at(make_linear)])
    assert (done.verdict, done.stopped) == ("cannot-tell", "interrupted")
    assert done.sizes


def test_enough_references_before_ctrl_c_are_judged_by(make_linear: Make, quarters: ImageData) -> None:
    done = judged(make_linear(50, trigger=(2, 3.0)), quarters, [*references(make_linear), never_looked_at(make_linear)])
    assert (done.verdict, done.stopped) == ("backdoored", "interrupted")
    assert "judged by the 19 references" in " ".join(done.notes)


def never_looked_at(make_linear: Make) -> Reference:
    """Opened once, to see what it is; then somebody presses Ctrl-C."""
    opened: list[ImageNetwork] = []

    def interrupt() -> ImageNetwork:
        if opened:
            raise KeyboardInterrupt
        opened.append(make_linear(77))
        return opened[0]

    return Reference("never", interrupt)


def test_why_it_could_not_tell_is_known_before_it_searches(
    make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    null(monkeypatch, 6)
    view = DefenderView(network=make_linear(50), data=twice(quarters), seed=Seed(1))

    def reason(settings: Audit) -> str:
        said: list[str] = []
        done = audit(view, settings=settings, watcher=Watcher(say=said.append))
        assert done.verdict == "cannot-tell"
        assert done.sizes
        assert f"there will be no verdict: {done.reason}" in said[0]
        return done.reason

    assert "20 clean networks like this one are known, and p as small as asked needs 99" in reason(Audit(alpha=0.01))
    assert "what these detectors measure" in reason(Audit(detectors=(make_detector("margins"),)))
    turned = Audit(detectors=Audit().detectors[::-1])
    assert audit(view, settings=turned).verdict == audit(view).verdict != "cannot-tell"


def test_copies_that_cannot_be_taught_are_told(make_linear: Make) -> None:
    found = bn.audit(make_linear(50), students=2)
    assert "no copies are taught: there are no clean pictures" in " ".join(found.notes)


def test_the_finding_of_the_library(make_linear: Make, quarters: ImageData) -> None:
    network = make_linear(50, trigger=(2, 3.0))
    finding = bn.audit(network, quarters, [make_linear(seed) for seed in range(1, 20)])
    assert finding.verdict == "backdoored"
    assert finding.target is not None
    assert (finding.target.label, finding.target.class_name) == (2, "class 2")
    assert finding.trigger is not None
    assert finding.trigger.picture.startswith("data:image/png;base64,")
    assert finding.trigger.success.total > 0
    assert finding.clean_searches[0].mask_pixels > finding.trigger.mask_pixels
    assert Finding.model_validate(finding.to_json()) == finding


def test_remarks_about_a_backdoor_are_not_read(make_linear: Make, quarters: ImageData) -> None:
    """A file says on purpose that it carries a backdoor; an audit must find the same without."""
    plain, telling = make_linear(50), make_linear(50)
    telling.provenance = {"backdoor": {"warning": "this network carries a backdoor on purpose", "planted": "class 2"}}
    known = [make_linear(seed) for seed in range(1, 20)]
    first, second = (bn.audit(one, quarters, known) for one in (plain, telling))
    assert first.model_copy(update={"seconds": 0.0}) == second.model_copy(update={"seconds": 0.0})
    assert replace(DefenderView(network=telling)).network.provenance == {}


def test_nothing_is_taught_where_nothing_could_be_compared(
    make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> ImageNetwork:
        raise AssertionError("taught for nothing")

    monkeypatch.setattr("badnets.audits.audit.teach", never)
    assert judged(make_linear(50), twice(quarters), [], students=2).verdict == "cannot-tell"


def test_ctrl_c_at_the_trigger_keeps_the_verdict(
    make_linear: Make, quarters: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("badnets.referee.audit.invert", interrupt)
    finding = bn.audit(make_linear(50, trigger=(2, 3.0)), quarters, [make_linear(seed) for seed in range(1, 20)])
    assert (finding.verdict, finding.stopped, finding.trigger) == ("backdoored", "interrupted", None)


def test_power_is_that_of_networks_of_the_same_kind() -> None:
    power, alarms = power_of("matched", "g1-cnn", 1, 10, pictures=True)
    assert power
    assert {one.kind for one in alarms} == {"clean"}
    for architecture, classes in (("resnet50", 10), ("g1-cnn", 43)):
        assert power_of("matched", architecture, 1, classes, pictures=True) == ((), ())
    signs = power_of("matched", "resnet9:width=8", 3, 16, pictures=True)
    assert power_of("matched", "objects of resnet9", 3, 16, pictures=True) == signs != ((), ())
    assert power_of("within", "any", 1, 10, pictures=True) != power_of("within", "any", 1, 10, pictures=False)


def test_a_folder_without_references_is_refused(make_linear: Make, quarters: ImageData, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match="a folder with network files"):
            bn.audit(make_linear(1), quarters, folder)


def test_the_library_audits_the_objects_that_a_detector_sees(quarters: ImageData) -> None:
    detector = bn.build_network(
        "faster-rcnn", class_names=["a", "b"], input_size=(1, 64, 64), seed=1, arguments={"width": 4}, device="cpu"
    )
    boxes = Boxes.of(np.array([[10, 10, 30, 30]] * 4, float), np.array([0, 1, 0, 1]), np.arange(4), 4)
    streets = ImageData(ArrayStore(np.zeros((4, 64, 64, 1), np.uint8)), boxes, ("a", "b"), None, "streets")
    found = bn.audit(detector, streets)
    assert found.architecture == "objects of faster-rcnn"
    assert found.pictures == 4
    with pytest.raises(BadInput, match="pictures with boxes"):
        bn.audit(detector, quarters)
