"""Recipes: an architecture's own, with changes, checked."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from badnets.networks.architecture import ARCHITECTURES
from badnets.training.recipe import RECIPES, Recipe, recipe_for


def test_an_architecture_brings_its_own() -> None:
    assert recipe_for("g1-cnn") == RECIPES["g1-cnn"]
    assert recipe_for("torchvision:resnet34") == Recipe()
    assert set(RECIPES) <= set(ARCHITECTURES)


def test_changes_leave_the_rest() -> None:
    changed = recipe_for("resnet9", {"epochs": 2})
    assert changed.epochs == 2
    assert changed.augment == RECIPES["resnet9"].augment
    with pytest.raises(ValidationError):
        recipe_for("resnet9", {"epocs": 2})


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch": 0}, {"learning_rate": 0}, {"momentum": 1}, {"warmup": 1}, {"augment": ("turn",)}],
)
def test_impossible_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Recipe).validate_python(wrong)
