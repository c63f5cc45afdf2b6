"""Run directories in forked processes of their own, which may be killed or starved."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from finegrain.errors import OutputError
from finegrain.storage import RunDirectory

Say = Callable[[object], None]


def begin(path: Path) -> RunDirectory:
    return RunDirectory(path, resume=True)


def spawn(action: Callable[[Say], object]) -> tuple[int, int]:
    """Run `action` in a forked process; return its id and a pipe with what it says, or the OutputError it raised."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(reading)
            try:
                action(lambda text: os.write(writing, str(text).encode()))
            except OutputError as error:
                os.write(writing, f"OutputError: {error}".encode())
        os._exit(0)
    os.close(writing)
    return pid, reading


def in_child(action: Callable[[], object]) -> tuple[int, str]:
    """Run `action` in a forked process; return its wait status, and its result or OutputError as text."""
    pid, answer = spawn(lambda say: say(action()))
    with open(answer) as pipe:
        said = pipe.read()
    return os.waitpid(pid, 0)[1], said
