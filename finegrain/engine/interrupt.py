"""Turn SIGINT and SIGTERM into a request to stop at the next safe point."""

import signal
from types import FrameType, TracebackType
from typing import Self

from finegrain.errors import FinegrainError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(FinegrainError):
    """A signal asked for a stop, and the state was saved; the exit code is 128 plus the signal."""

    def __init__(self, number: int, *, where: str, remedy: str = "go on with --resume") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} at {where}; {remedy}")
        self.exit_code = 128 + number
        self.signal, self.where = number, where


class Interrupt:
    """While entered, the first signal is remembered and further ones change nothing: a save is never cut short."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Self:
        """Install the handlers."""
        self._previous = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
