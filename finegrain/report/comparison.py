"""The report of a comparison: what it leaves for people to read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finegrain.metrics.comparison import Comparison
from finegrain.report.comparison_page import html
from finegrain.report.comparison_record import ComparisonRecord
from finegrain.report.escape import one_line
from finegrain.report.format import is_p, percent, signed
from finegrain.storage import atomic_write

PAGE = "compare.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonReport(ComparisonRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The verdicts, for a terminal."""
        first, *others = [f"{one_line(one.name)}: top-1 {percent(one.top1.mean)}" for one in self.settings]
        lines = [first]
        for other, comparison in zip(others, self.comparisons, strict=True):
            lines += [other, *self._sentences(comparison)]
        return "\n".join([*lines, self.comparisons[0].method, *map(one_line, self.notes)])

    def _sentences(self, comparison: Comparison) -> Iterator[str]:
        interval = "no interval, as nothing shows its spread"
        if comparison.interval is not None:
            interval = " to ".join(map(signed, comparison.interval))
        p = "p unknown" if comparison.adjusted_p is None else is_p(comparison.adjusted_p)
        holm = f" ({self.adjusted()})" if self.adjusted() else ""
        yield f"  {comparison.verdict()}: {signed(comparison.difference)} points ({interval}), {p}{holm}"
        if comparison.smallest is not None:
            strictest = f", {self.strictest()}" if self.strictest() else ""
            points = f"{100 * comparison.smallest:.2f} points"
            yield f"  a difference of {points} would have been shown 4 times in 5{strictest}"

    def write(self, folder: Path) -> Path:
        """Write `compare.html` into `folder`; return its path.

        Raises:
            OutputError: It cannot be written.
        """
        atomic_write(folder / PAGE, html(self))
        return folder / PAGE
