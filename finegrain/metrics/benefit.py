"""Whether generated images help a classifier: the arms of the experiment, and the rule that judges them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import DataError, fault
from finegrain.metrics.comparison import Comparison, compare_runs

Arm = Literal["real", "duplicated", "synthetic", "shuffled", "synthetic only"]
"""What is trained on: the real images; with some of them twice; with as many generated ones; with those under labels
that were shuffled among them; generated ones alone (CAS, Ravuri & Vinyals, NeurIPS 2019)."""
ARMS: tuple[Arm, ...] = get_args(Arm)
CONTROLS: tuple[Arm, ...] = ("real", "duplicated", "shuffled")
"""What generated images must be better than to be said to help."""
LEAST_SEEDS = 5
Pair = tuple[Arm, Arm]


@dataclass(frozen=True, kw_only=True, slots=True)
class Benefit:
    """What trainings of every arm, in pairs of one seed, say of generated images."""

    seeds: int
    images: int
    """Of the test split."""
    differences: Mapping[Pair, Comparison]
    """Accuracy of the first arm minus that of the second, by `compare_runs`: other seeds and other test images."""

    @property
    def verdict(self) -> Literal["helps", "no evidence", "hurts"]:
        """From intervals alone, never from a mean.

        "helps": the intervals of `synthetic` minus each of `CONTROLS` lie above 0. All three must, so that looking at
        three makes no error likelier. A gain that shuffled labels give as well is regularisation, not information,
        and one that duplicates give as well is a matter of weights of classes: neither is help.
        "hurts": the interval of `synthetic` minus `real` lies below 0.
        "no evidence": all else, which is not "no difference".
        """
        if self._side("real") < 0:
            return "hurts"
        return "helps" if all(self._side(control) > 0 for control in CONTROLS) else "no evidence"

    @property
    def reason(self) -> str:
        """What the verdict rests on, in one sentence."""
        if self.verdict == "hurts":
            return "The classifier is worse with the generated images than on real ones alone."
        if self.verdict == "helps":
            return (
                "The classifier is better with the generated images than on real ones alone, than with as many real "
                "ones twice, and than with the same images under shuffled labels."
            )
        if self._side("real") == 0:
            return "The interval of the difference to real images alone holds 0."
        if _side(self.differences["shuffled", "real"]) > 0 and self._side("shuffled") <= 0:
            return "The gain survives shuffled labels: it is regularisation, not information."
        if self._side("shuffled") <= 0:
            return "The gain is not surely larger than that of shuffled labels: it may be regularisation."
        return "The gain is not surely larger than that of as many real images twice."

    def _side(self, control: Arm) -> int:
        return _side(self.differences["synthetic", control])


def _side(comparison: Comparison) -> int:
    """On which side of 0 the interval lies; 0 where it holds 0, or where nothing shows the spread."""
    low, high = comparison.interval or (0.0, 0.0)
    return 1 if low > 0 else -1 if high < 0 else 0


def benefit(hits: Mapping[Arm, NDArray[np.bool_]], labels: NDArray[np.int64]) -> Benefit:
    """Compare the arms, each trained with the same seeds and judged on the same test images.

    The intervals speak of other seeds and other test images. All seeds share the real train images and one version of
    generated ones, so of another split or another generator they say nothing.

    Args:
        hits: Of every arm whether each image was recognised by each training [R, N], row r of all arms of one seed.
        labels: True class indices [N].

    Raises:
        DataError: Fewer than `LEAST_SEEDS`, or not the same seeds or images in all arms.
        NumericsError: NaN among them.
    """
    seeds = min(map(len, hits.values()))
    if seeds < LEAST_SEEDS:
        problem = fault(
            "too few paired seeds for a verdict",
            got=f"{seeds}",
            expected=f"at least {LEAST_SEEDS}",
            remedy="train all arms with more seeds",
        )
        raise DataError(problem)
    pairs: list[Pair] = [(arm, other) for other in ("real", "duplicated") for arm in ARMS if arm not in ("real", other)]
    pairs.append(("synthetic", "shuffled"))
    return Benefit(
        seeds=seeds,
        images=len(labels),
        differences={pair: compare_runs(hits[pair[0]], hits[pair[1]], labels) for pair in pairs},
    )
