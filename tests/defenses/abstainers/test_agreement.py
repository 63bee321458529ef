"""Agreement with a second network: repaired here, or from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers import make_abstainer
from badnets.defenses.abstainers.agreement import Agreement
from badnets.defenses.abstainers.refuse_class import RefuseClass
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.fine_tune import FineTune
from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network


def test_the_second_network_is_the_repair_of_half_the_pictures(view: DefenderView) -> None:
    method = Agreement(repair="fine-tune", settings={"epochs": 1})
    made = method.make(view, lambda *_: None)
    by_hand = repair(view, FineTune(epochs=1))
    second = made.guard.parts[1].state_dict()
    assert all(torch.equal(value, second[name]) for name, value in by_hand.network.state_dict().items())
    assert made.chosen == by_hand.chosen
    assert list(made.trace) == by_hand.trace


def test_a_second_network_from_a_file_leaves_all_pictures_for_the_calibration(
    view: DefenderView, tmp_path: Path
) -> None:
    save_network(view.network, tmp_path / "copy.safetensors")
    guarded = abstain(view, Agreement(repaired=tmp_path / "copy.safetensors"), refuse=0.1)
    assert guarded.calibration.total == 120
    assert guarded.chosen == "the threshold, on 120 clean pictures"
    assert guarded.method["repaired"] == str(tmp_path / "copy.safetensors")


def test_hard_agreement_needs_no_threshold_but_says_what_it_refuses(view: DefenderView, tmp_path: Path) -> None:
    save_network(view.network, tmp_path / "copy.safetensors")
    guarded = abstain(view, Agreement(repaired=tmp_path / "copy.safetensors", hard=True))
    assert guarded.refuse is None
    assert guarded.threshold == 0.5
    assert (guarded.calibration.hits, guarded.calibration.total) == (0, 120)


def test_a_second_network_that_does_not_fit_is_refused(view: DefenderView, tmp_path: Path) -> None:
    other = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 16, 16), seed=1)
    save_network(other, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"expected a network of 10 classes and input .* got one of 2 classes"):
        abstain(view, Agreement(repaired=tmp_path / "other.safetensors"))
    guarded = abstain(replace(view, data=None), RefuseClass(suspect=1))
    save_network(guarded.network, tmp_path / "guarded.safetensors")
    with pytest.raises(BadInput, match="always answers, got one that abstains"):
        abstain(view, Agreement(repaired=tmp_path / "guarded.safetensors"))


def test_wrong_settings_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a repair, got 'fine-tun'; did you mean 'fine-tune'"):
        make_abstainer("agreement", {"repair": "fine-tun"})
    with pytest.raises(BadInput, match="repair fine-tune: unknown key 'epoch'; did you mean 'epochs'"):
        make_abstainer("agreement", {"repair": "fine-tune", "settings": {"epoch": 1}})
    with pytest.raises(BadInput, match="got both; leave out one"):
        make_abstainer("agreement", {"repaired": tmp_path, "settings": {"epochs": 1}})
    with pytest.raises(BadInput, match="expected an abstainer, got 'agree'; did you mean 'agreement'"):
        make_abstainer("agree")
