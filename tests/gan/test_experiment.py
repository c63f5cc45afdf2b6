"""The experiment's order: val chooses share and strength, then test is opened, once, for all arms."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from finegrain import config
from finegrain.data.base import Data, Sample
from finegrain.errors import ConfigError
from finegrain.gan.experiment import Experiment, Trainings, best, conduct
from finegrain.gan.learners import Learned, Score
from finegrain.metrics.benefit import ARMS, Arm


@dataclass
class Planted:
    """Classifiers whose val scores are given by share, and which note what is asked of them."""

    val: Mapping[str, tuple[float, float]]
    steps: int = 7
    strengths: tuple[str, ...] = ("weak", "strong")
    asked: list[str] = field(default_factory=list)

    def learn(self, name: str, data: Data, *, seed: int) -> Learned:
        self.asked.append(name)
        share = next((share for share in self.val if f"-{share}-" in name), None)
        scores = self.val[share] if share else (0.5, 0.4)

        def hits(choice: int) -> NDArray[np.bool_]:
            self.asked.append(f"test {name} {choice}")
            return np.arange(10) < 5 + choice + seed % 2

        return Learned(scores=tuple(Score(top1=top1, log_loss=1.0) for top1 in scores), hits=hits)

    def words(self) -> tuple[str, ...]:
        return ()


def splits(fraction: float, seed: int) -> Mapping[Arm, Data]:
    """Each arm with as many images as its place, and ten times its share."""
    sizes = {arm: 1 + place + round(10 * fraction) for place, arm in enumerate(ARMS)}
    return {
        arm: Data(
            train=tuple(Sample(path=str(n), label=0) for n in range(size)), val=(), test=(), class_names=("a",),
            source=None,  # type: ignore[arg-type]
        )
        for arm, size in sizes.items()
    }  # fmt: skip


def test_val_chooses_share_and_strength_and_then_test_is_opened_once() -> None:
    learner = Planted(val={"0.2": (0.6, 0.7), "0.5": (0.9, 0.8)})
    experiment = Experiment(seeds=5, fractions=(0.2, 0.5))
    config.check(experiment)
    trainings = Trainings(learner=learner, arms=splits, seeds=range(3, 8))
    outcomes = conduct(experiment, trainings, open_test=lambda: learner.asked.append("open"))
    assert outcomes.fraction == 0.5
    assert outcomes.candidates == pytest.approx({0.2: 0.7, 0.5: 0.9})
    assert set(outcomes.arms) == set(ARMS)
    synthetic, real = outcomes.arms["synthetic"], outcomes.arms["real"]
    assert (synthetic.strength, synthetic.val_top1, synthetic.images) == ("weak", pytest.approx(0.9), 3 + 5)
    assert (real.strength, real.val_top1, real.images) == ("weak", pytest.approx(0.5), 1 + 5)
    assert synthetic.hits.sum(axis=1).tolist() == [6, 5, 6, 5, 6]
    opened = learner.asked.index("open")
    before, after = learner.asked[:opened], learner.asked[opened + 1 :]
    assert not [name for name in before if name.startswith("test")]
    assert len(set(before)) == len(before) == 5 * (2 + 4)
    assert {name.split("-seed-")[0] for name in before} == {
        "synthetic-0.2", "synthetic-0.5", "real", "duplicated-0.5", "shuffled-0.5", "synthetic-only",
    }  # fmt: skip
    assert len(after) == 25
    assert all(name.startswith("test") for name in after)
    assert "open" not in after


def test_of_equal_shares_the_first_is_taken() -> None:
    learner = Planted(val={"0.2": (0.9, 0.7), "0.5": (0.9, 0.8)})
    trainings = Trainings(learner=learner, arms=splits, seeds=range(5))
    assert conduct(Experiment(fractions=(0.5, 0.2)), trainings, open_test=lambda: None).fraction == 0.5


def test_the_best_strength_is_that_of_the_mean_and_of_equals_that_of_the_least_loss() -> None:
    def learned(*scores: tuple[float, float]) -> Learned:
        rows = tuple(Score(top1=top1, log_loss=loss) for top1, loss in scores)
        return Learned(scores=rows, hits=lambda _: np.zeros(1, dtype=bool))

    one_high = [learned((0.9, 1.0), (0.8, 1.0)), learned((0.5, 1.0), (0.8, 1.0))]
    assert best(one_high) == (1, pytest.approx(0.8))
    equal = [learned((0.8, 1.0), (0.8, 0.5), (0.7, 0.1))]
    assert best(equal) == (1, pytest.approx(0.8))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": 4}, "seeds: got 4; expected at least 5"),
        ({"fractions": ()}, r"fractions: got \(\); expected one or more different shares"),
        ({"fractions": (0.3, 0.3)}, "expected one or more different shares"),
        ({"fractions": (1.0,)}, "fractions"),
    ],
)
def test_a_wrong_experiment_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.check(Experiment(**wrong))  # type: ignore[arg-type]


def test_shares_are_typed_with_commas() -> None:
    experiment = Experiment()
    config.override(experiment, ["fractions=0.1,0.25", "seeds=8"])
    assert (experiment.fractions, experiment.seeds) == ((0.1, 0.25), 8)
