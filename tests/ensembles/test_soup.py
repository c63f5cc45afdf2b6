"""The greedy soup: what gets in, what comes out, and who cannot be in one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from finegrain.engine.evaluate import Predictions
from finegrain.ensembles.members import Member
from finegrain.ensembles.soup import greedy_soup, why_not
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig

WEIGHTS = {"architecture": "timm/test_resnet", "model.image_size": None, "model.weights": "a.pth"}


def network(value: float) -> Classifier:
    """Every weight and every running statistic is `value`; counters are its whole part."""
    model = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    return model


def value_of(model: Classifier) -> float:
    (value,) = {float(v) for t in model.state_dict().values() if t.is_floating_point() for v in t.unique()}
    return value


def said(right: int) -> Predictions:
    """So many of ten images are recognised."""
    probabilities = np.tile([0.9, 0.1], (10, 1))
    return Predictions(
        paths=tuple("0123456789"), labels=(np.arange(10) >= right).astype(np.int64), probabilities=probabilities
    )


def stir(values: Sequence[float], right: Sequence[int], first: int) -> tuple[float, tuple[int, ...], list[float]]:
    """The soup's value and members, and the values that were tried; `right` is what each try gets right."""
    tried: list[float] = []

    def see(model: Classifier) -> Predictions:
        tried.append(value_of(model))
        return said(right[len(tried) - 1])

    soup = greedy_soup([lambda v=v: network(v) for v in values], see=see, first=said(first))
    return value_of(soup.model), soup.kept, tried


def test_the_soup_is_the_average_of_those_that_do_not_make_it_worse():
    value, kept, tried = stir([1, 2, 30, 6], right=[8, 7, 8], first=8)
    assert tried == pytest.approx([1.5, 11, 3])
    assert kept == (0, 1, 3)
    assert value == pytest.approx((1 + 2 + 6) / 3)


def test_a_better_soup_raises_what_the_next_must_reach():
    value, kept, _ = stir([1, 3, 8], right=[9, 8], first=8)
    assert (value, kept) == (2, (0, 1))


def test_the_best_model_is_a_soup_by_itself():
    assert stir([4, 5], right=[2], first=3) == (4, (0,), [4.5])


def member(**changes: Any) -> Member:
    content: dict[str, Any] = {"name": "a", "see": lambda _: said(5), "load": lambda: network(1), "identity": WEIGHTS}
    return Member(**content | changes)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, ""),
        ({"load": None}, "no weights on the disk"),
        ({"knows_val": True}, "share no val split"),
        (
            {"identity": WEIGHTS | {"architecture": "timm/test_vit"}},
            "differ in architecture: timm/test_resnet, ",
        ),
        ({"identity": WEIGHTS | {"model.image_size": 64}}, "differ in image size: None, 64"),
        ({"identity": WEIGHTS | {"tuning.count": 10}}, "differ in the number of their prompts: None, 10"),
        ({"identity": WEIGHTS | {"tuning.deep": True}}, "differ in the depth of their prompts: None, True"),
        ({"identity": WEIGHTS | {"model.weights": "b.pth"}}, "differ in the weights they started from: a.pth, b.pth"),
    ],
)
def test_unlike_models_are_not_averaged_and_the_reason_is_told(other: dict[str, Any], reason: str):
    found = why_not([member(), member(**other)])
    assert reason in found
    assert bool(found) == bool(reason)


def test_models_from_random_weights_are_not_averaged():
    alike = [member(identity=WEIGHTS | {"model.weights": None})] * 2
    assert "random weights" in why_not(alike)
