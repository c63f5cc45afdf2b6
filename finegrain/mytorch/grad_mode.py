"""Whether what is computed is recorded for gradients."""

from contextlib import ContextDecorator
from contextvars import ContextVar, Token

_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now."""
    return _enabled.get()


class no_grad(ContextDecorator):
    """Record nothing: `with no_grad():` or `@no_grad()`."""

    def __init__(self) -> None:
        self._before: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._before.append(_enabled.set(False))

    def __exit__(self, *_: object) -> None:
        _enabled.reset(self._before.pop())
