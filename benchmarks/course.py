"""What several epochs took, epoch by epoch, so that any number of them can be told."""

from collections.abc import Mapping
from dataclasses import dataclass

from side import Cost


@dataclass(frozen=True, kw_only=True, slots=True)
class CourseCost(Cost):
    """CPU seconds of a course of epochs."""

    after: Mapping[int, float]
    """By the number of epochs that are done; 0: before the first."""

    def seconds(self, epochs: int) -> float:
        """After so many epochs: as measured, or beyond them at the mean pace of those measured."""
        if epochs in self.after:
            return self.after[epochs]
        last = max(self.after)
        return self.after[0] + epochs * (self.after[last] - self.after[0]) / last
