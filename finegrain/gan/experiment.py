"""The experiment of a verdict: every arm trained with every seed, val chooses, test is opened once for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from finegrain.config import Count, Range
from finegrain.data.base import Data
from finegrain.errors import fault
from finegrain.gan.learners import Learned, Learner
from finegrain.metrics.benefit import ARMS, LEAST_SEEDS, Arm

Share = Annotated[float, Range(above=0, below=1)]


@dataclass(kw_only=True, slots=True)
class Experiment:
    """How sure the verdict is to be, and what is tried."""

    seeds: Count = LEAST_SEEDS
    """Trainings of each arm; the seeds follow the recipe's."""
    fractions: tuple[Share, ...] = (0.3,)
    """Shares of generated images among those trained on, of which val chooses one."""

    def faults(self) -> list[str]:
        """Few seeds have no verdict, and one share is needed."""
        faults = []
        if self.seeds < LEAST_SEEDS:
            remedy = "set a larger number: fewer show no spread that can be relied on"
            faults.append(fault("seeds", got=self.seeds, expected=f"at least {LEAST_SEEDS}", remedy=remedy))
        if not self.fractions or len(set(self.fractions)) < len(self.fractions):
            got, expected = self.fractions, "one or more different shares"
            faults.append(fault("fractions", got=got, expected=expected, remedy="name each once"))
        return faults


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one arm."""

    images: int
    """Trained on."""
    strength: str
    """What val chose, in words."""
    val_top1: float
    """Of what was chosen, mean over the seeds."""
    hits: NDArray[np.bool_]
    """Whether each training recognised each test image [R, N]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """What came of all."""

    fraction: float
    candidates: Mapping[float, float]
    """Of every share, val top-1 of the arm `synthetic`."""
    arms: Mapping[Arm, Outcome]


@dataclass(kw_only=True, slots=True)
class Trainings:
    """Trains what has not been trained yet."""

    learner: Learner
    arms: Callable[[float, int], Mapping[Arm, Data]]
    """The splits of all arms for a share and a seed; see `arms.build_arms`."""
    seeds: Sequence[int]
    _done: dict[str, Learned] = field(default_factory=dict)

    def of(self, arm: Arm, fraction: float) -> list[Learned]:
        """One for each seed."""
        bar = tqdm(self.seeds, desc=arm, unit="seed", leave=False, disable=None)
        return [self._learn(arm, fraction, seed) for seed in bar]

    def _learn(self, arm: Arm, fraction: float, seed: int) -> Learned:
        share = "" if arm in ("real", "synthetic only") else f"-{fraction:g}"
        name = f"{arm.replace(' ', '-')}{share}-seed-{seed}"
        if name not in self._done:
            self._done[name] = self.learner.learn(name, self.arms(fraction, seed)[arm], seed=seed)
        return self._done[name]


def conduct(experiment: Experiment, trainings: Trainings, *, open_test: Callable[[], None]) -> Outcomes:
    """Train, choose by val alone, then judge everything chosen on test.

    Args:
        experiment: Checked.
        trainings: Of its seeds.
        open_test: Called once, before anything sees test.
    """
    learner = trainings.learner
    candidates = {share: best(trainings.of("synthetic", share))[1] for share in experiment.fractions}
    fraction = max(candidates, key=lambda share: round(candidates[share], 12))  # of equals the first that was named
    learned = {arm: trainings.of(arm, fraction) for arm in ARMS}
    chosen = {arm: best(seeds) for arm, seeds in learned.items()}
    open_test()
    sizes = trainings.arms(fraction, trainings.seeds[0])
    return Outcomes(
        fraction=fraction,
        candidates=candidates,
        arms={
            arm: Outcome(
                images=len(sizes[arm].train),
                strength=learner.strengths[choice],
                val_top1=val_top1,
                hits=np.stack([one.hits(choice) for one in learned[arm]]),
            )
            for arm, (choice, val_top1) in chosen.items()
        },
    )


def best(seeds: Sequence[Learned]) -> tuple[int, float]:
    """Which strength has the best mean val top-1 over the seeds, of equals the least log-loss; and that top-1."""
    top1, loss = (
        np.mean([[getattr(score, key) for score in one.scores] for one in seeds], axis=0)
        for key in ("top1", "log_loss")
    )
    choice = int(np.lexsort((loss, -np.round(top1, 12)))[0])
    return choice, float(top1[choice])
