"""Kill runs at random moments, go on with each until it is done, and compare it with one that was left alone.

    python tests/crash/campaign.py --kills 20

Prints how many killed runs ended bit-identical to the uninterrupted one; the exit code is 0 if all did.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "tests" / "tiny_recipe.py"


class Process(Protocol):
    """A run of the command line."""

    pid: int

    def kill(self) -> None:
        """Kill it with SIGKILL."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""

    def wait(self) -> int:
        """Wait for its exit code."""


Start = Callable[[Sequence[str]], Process]
"""Starts `python main.py` with these words."""


def words(images: Path, out: Path, *extra: str) -> list[str]:
    """The command line of a tiny run."""
    return ["--config", str(RECIPE), "--out", str(out), f"data.root={images}", *extra]


def fingerprint(run: Path) -> dict[str, str]:
    """Digests of everything a finished run leaves that does not tell the time: equal for bit-identical runs."""
    latest, best = (max((run / "checkpoints").glob(f"{kind}-*")) for kind in ("latest", "best"))
    files = {
        "latest": latest / "state.safetensors",
        "best": best / "model.safetensors",
        "predictions": run / "predictions.csv",
    }
    digests = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    progress = without_times(json.loads((latest / "state.json").read_text())["state"])
    metrics = json.loads((run / "metrics.json").read_text())
    return digests | {"progress": json.dumps(progress), "test": json.dumps(metrics["test"])}


def without_times(state: Any) -> Any:
    """The saved state less the seconds that the training took."""
    if isinstance(state, dict):
        return {key: without_times(value) for key, value in state.items()}
    if isinstance(state, list):
        return [without_times(item) for item in state if not (isinstance(item, list) and item[:1] == ["seconds"])]
    return state


def seconds_of(start: Start, command: Sequence[str], run: Path) -> float:
    """Carry a run out without interruption; return the time from when it takes its folder to its end."""
    process = start(command)
    began = wait_until_begun(run, process)
    succeed(process)
    return time.monotonic() - began


def wait_until_begun(run: Path, process: Process) -> float:
    """Wait until the process has taken its folder, or is gone; return the time."""
    lock, holder = run / "run.lock", f"process {process.pid} "
    while process.poll() is None and not (lock.exists() and lock.read_text().startswith(holder)):
        time.sleep(0.002)
    return time.monotonic()


def succeed(process: Process) -> None:
    """Wait for a process that must not fail."""
    if (code := process.wait()) != 0:
        raise RuntimeError(f"a run that nobody killed ended with exit code {code}")


def kill(process: Process, run: Path, delay: float) -> bool:
    """Kill a process `delay` seconds after it took its folder; return whether it was still alive."""
    wait_until_begun(run, process)
    time.sleep(delay)
    process.kill()
    return process.wait() == -signal.SIGKILL


def real_process(command: Sequence[str]) -> Process:
    """`python main.py` in a new interpreter."""
    return subprocess.Popen([sys.executable, str(ROOT / "main.py"), *command], stdout=subprocess.DEVNULL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run that is killed and gone on with."""

    delays: list[float]
    """Seconds from when the run takes its folder to a kill; one a kill."""
    workers: tuple[int, int]
    """Loader processes before the first kill, and after it."""
    save_steps: int

    def carry_out(self, start: Start, images: Path, run: Path) -> int:
        """Kill the run, then let it end; return how many kills hit it alive."""
        save = f"train.save_steps={self.save_steps}"
        commands = [words(images, run, "--resume", save, f"runtime.num_workers={number}") for number in self.workers]
        first, *further = self.delays
        hits = kill(start(commands[0]), run, first) + sum(kill(start(commands[1]), run, delay) for delay in further)
        succeed(start(commands[1]))
        return hits


def campaign(start: Start, folder: Path, images: Path, *, kills: int, seed: int) -> tuple[int, int]:
    """Kill runs until `kills` kills have hit; return how many runs there were and how many ended bit-identical."""
    uninterrupted = folder / "uninterrupted"
    seconds = seconds_of(start, words(images, uninterrupted), uninterrupted)
    expected = fingerprint(uninterrupted)
    draw = random.Random(seed)
    runs = identical = hits = 0
    while hits < kills:
        trial = Trial(
            delays=[draw.uniform(0, seconds) for _ in range(draw.choice((1, 1, 2)))],
            workers=(draw.choice((0, 2)), draw.choice((0, 2))),
            save_steps=draw.choice((1, 3, 100)),
        )
        run = folder / f"run{runs}"
        hits += trial.carry_out(start, images, run)
        found = fingerprint(run)
        faults = [name for name in expected if found[name] != expected[name]]
        faults += [str(path) for path in run.rglob(".tmp-*")]
        print(f"run {runs}: {trial}: {faults or 'identical'}", flush=True)
        identical += not faults
        runs += 1
    return runs, identical


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills that must have hit a living run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    sys.path.append(str(ROOT))
    sys.path.append(str(RECIPE.parent))
    from tiny_recipe import write_images

    with tempfile.TemporaryDirectory() as name:
        images = write_images(Path(name) / "images")
        runs, identical = campaign(real_process, Path(name), images, kills=options.kills, seed=options.seed)
    print(f"{identical}/{runs} runs bit-identical after {options.kills} kills")
    return 0 if identical == runs else 1


if __name__ == "__main__":
    sys.exit(main())
