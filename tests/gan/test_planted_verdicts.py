"""The experiment on planted generators, with heads: real images that were held out help, and nothing else does."""

from functools import partial

import pytest
import torch
from planted_points import Kind, Planted

from finegrain.gan.arms import build_arms
from finegrain.gan.experiment import Experiment, Trainings, conduct
from finegrain.gan.learners import HeadLearner
from finegrain.metrics.benefit import Benefit, benefit


def judged(kind: Kind, *, seed: int = 0, fraction: float = 0.9) -> Benefit:
    """The verdict on a planted generator."""
    planted = Planted(kind, seed=seed)
    learner = HeadLearner(planted.data, planted.features, device=torch.device("cpu"))
    arms = partial(build_arms, planted.data, planted.generated)
    trainings = Trainings(
        learner=learner, arms=lambda fraction, seed: arms(fraction=fraction, seed=seed), seeds=range(5)
    )
    outcomes = conduct(Experiment(fractions=(fraction,)), trainings, open_test=lambda: None)
    labels = torch.tensor([sample.label for sample in planted.data.test]).numpy()
    return benefit({arm: one.hits for arm, one in outcomes.arms.items()}, labels)


@pytest.mark.parametrize("seed", range(3))
def test_real_images_that_were_held_out_help(seed: int) -> None:
    result = judged("held out", seed=seed)
    assert result.verdict == "helps"
    assert result.differences["synthetic", "real"].difference > 0.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["noise", "mislabelled", "copies"])
def test_what_brings_nothing_new_does_not_help(kind: Kind, seed: int) -> None:
    assert judged(kind, seed=seed).verdict != "helps"


def test_many_wrong_labels_hurt() -> None:
    assert judged("mislabelled").verdict == "hurts"


def test_what_shuffling_leaves_is_never_called_help() -> None:
    """Points near the origin under any label only keep a head small: what that gains is no information."""
    results = [judged("noise", seed=seed, fraction=0.8) for seed in range(3, 6)]
    assert not [result for result in results if result.verdict == "helps"]
    assert all(result.differences["synthetic", "shuffled"].verdict() == "no evidence" for result in results)
