"""Kill cross-validations at random moments, give the command again until they are done, and compare the tables.

    PYTHONPATH=. python tests/crash/cells_campaign.py --kills 50

Prints how many killed evaluations ended with the table of one that was left alone, without a cell computed twice; the
exit code is 0 if all did.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.campaign import RECIPE, Start, kill, real_process, seconds_of, succeed
from tests.tiny_recipe import write_images


def words(images: Path, out: Path) -> list[str]:
    """The command line of a tiny cross-validation, every cell of which is trained."""
    protocol = ["folds=2", "seeds=3", "train.epochs=2", "train.save_steps=1"]
    return ["crossval", "--config", str(RECIPE), "--out", str(out), f"data.root={images}", *protocol]


def table(out: Path) -> bytes:
    """The results of a finished evaluation."""
    return (out / "results.csv").read_bytes()


def finished(out: Path) -> set[str]:
    """The files of its finished cells, which are named by their bytes, the seconds among them."""
    return {path.name for path in (out / "cells").glob("*.safetensors")}


def campaign(start: Start, folder: Path, images: Path, *, kills: int, seed: int) -> tuple[int, int]:
    """Kill evaluations until `kills` kills have hit; return how many there were and how many ended as they should."""
    whole = folder / "whole"
    seconds = seconds_of(start, words(images, whole), whole)
    draw = random.Random(seed)
    evaluations = right = hits = 0
    while hits < kills:
        out = folder / f"evaluation{evaluations}"
        kept: set[str] = set()
        for _ in range(draw.choice((1, 2, 3))):
            hits += kill(start(words(images, out)), out, draw.uniform(0, seconds))
            kept |= finished(out)
        succeed(start(words(images, out)))
        faults = [] if table(out) == table(whole) else ["another table"]
        faults += ["cells computed again"] if not kept <= finished(out) else []
        faults += ["cells counted twice"] if len(finished(out)) != len(finished(whole)) else []
        faults += [str(path) for path in out.rglob(".tmp-*")]
        print(f"evaluation {evaluations}: {len(kept)} cells before the last start: {faults or 'the same'}", flush=True)
        right += not faults
        evaluations += 1
    return evaluations, right


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="kills that must have hit a living process")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        images = write_images(Path(name) / "images")
        evaluations, right = campaign(real_process, Path(name), images, kills=options.kills, seed=options.seed)
    print(f"{right}/{evaluations} tables the same after {options.kills} kills")
    return 0 if right == evaluations else 1


if __name__ == "__main__":
    sys.exit(main())
