"""What fine-tuning each part of a network gives and costs on your own data: one table over configs.

    FINEGRAIN_DATA=FOLDER python benchmarks/methods.py --out DIR configs/birds_vit_tiny_*.py
    python benchmarks/methods.py --out DIR configs/quickstart.py --quick    # whether it runs; its figures say little

Every config is a `crossval on=test` of `--seeds` seeds, in a process and a folder of its own; KEY=VALUE among the
configs is for all of them. Stopped and begun again, finished seeds are not computed again. Accuracy is the mean over
seeds with its sd and, in brackets, the interval for other runs and other images (with fewer than 3 seeds for other
images alone); minutes are the median run's, memory is the process's peak, MB those of `adapter/` where there is one,
else of the model. A head alone is fitted to its optimum on features computed once, whose time falls to the first seed.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MAIN = Path(__file__).resolve().parent.parent / "main.py"
COLUMNS = ("config", "test top-1, %", "trained, %", "minutes a run", "peak memory, GB", "MB to keep")


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and print the table as Markdown after every config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="+", metavar="CONFIG_OR_KEY=VALUE")
    parser.add_argument("--out", type=Path, required=True, help="a folder for each config is made in it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 steps of each of 2 seeds")
    options = parser.parse_args(argv)
    configs = [Path(word) for word in options.words if "=" not in word]
    changes = [word for word in options.words if "=" in word]
    if options.quick:
        options.seeds, changes = 2, [*changes, "train.max_steps=2", "train.epochs=1", "schedule.warmup_epochs=0"]
    rows = []
    for config in configs:
        folder = options.out / config.stem
        train(config, folder, seeds=options.seeds, changes=changes)
        rows.append(row(config.stem, json.loads((folder / "metrics.json").read_text()), kept=kept_bytes(folder)))
        print(table(rows), flush=True)


def train(config: Path, folder: Path, *, seeds: int, changes: Sequence[str]) -> None:
    """The evaluation of a config; nothing where it is finished, as its peak of memory would be measured anew."""
    done = folder / "metrics.json"
    if done.exists() and len(json.loads(done.read_text())["cells"]) == seeds:
        return
    words = ["crossval", "on=test", f"seeds={seeds}", "--config", str(config), "--out", str(folder), *changes]
    subprocess.run([sys.executable, str(MAIN), *words], check=True)


def kept_bytes(folder: Path) -> int | None:
    """Bytes of what has to be kept of one run: its adapter, else its model; None where heads were fitted."""
    for pattern in ("runs/*/checkpoints/best-*/adapter", "runs/*/checkpoints/best-*"):
        for found in sorted(folder.glob(pattern)):
            return sum(file.stat().st_size for file in found.glob("*.safetensors"))
    return None


def row(name: str, metrics: Mapping[str, Any], *, kept: int | None) -> tuple[str, ...]:
    """The cells of a config's row."""
    top1, parameters = metrics["top1"], metrics["parameters"]
    low, high = top1["interval_both"] or top1["interval_images"]
    scatter = "" if top1["sd"] is None else f" ± {100 * top1['sd']:.1f}"
    peak = metrics["peak_memory_bytes"]
    return (
        f"`{name}`",
        f"{100 * top1['mean']:.1f}{scatter} ({100 * low:.1f}–{100 * high:.1f})",
        f"{100 * parameters['trainable'] / parameters['total']:.1f}",
        f"{statistics.median(metrics['seconds_by_cell']) / 60:.1f}",
        "" if peak is None else f"{peak / 1e9:.1f}",
        "" if kept is None else f"{kept / 1e6:.1f}",
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (COLUMNS, ["---"] * len(COLUMNS), *rows)) + "\n"


if __name__ == "__main__":
    main()
