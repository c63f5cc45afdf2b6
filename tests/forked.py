"""Runs of the command line in processes of their own, forked from a server that has imported torch already."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["main", "finegrain.recipe", "tiny_recipe", "pytest"])


class Forked:
    """`python main.py` with these words; what it says goes to `log`, and no file may grow beyond `file_bytes`."""

    def __init__(
        self, words: Sequence[str], *, log: Path | str = os.devnull, file_bytes: int = resource.RLIM_INFINITY
    ) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(target=_run, args=(list(words), str(log), file_bytes))
        self._process.start()
        self.pid = self._process.pid or 0

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float = 60) -> int:
        """Wait for its exit code."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise TimeoutError(f"still running after {seconds} s")
        return code


def _run(words: list[str], log: str, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    # A session of its own, as a job scheduler gives: a signal can be sent to all of its processes.
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    # Loader workers as in a process started from a shell; they would otherwise come from a server of their own.
    multiprocessing.set_start_method("fork", force=True)
    import main

    sys.exit(main.main(words))
