"""CPU seconds of grids of heads on frozen features, by this project and by what one would write without it.

    python benchmarks/heads.py            # about 20 minutes on 2 quiet cores
    python benchmarks/heads.py --quick    # whether it runs; its figures say little

Features are drawn: families of eight classes, shared directions of variation, rectified, of unequal scale.

- sweep: eight learning rates, each a loop over mini-batches of 32 in torch (SGD, 6 epochs, cosine), one head after the
  other, against our grids of eight settings; its figure counts only at or above the loop's best held-out accuracy.
- grid: repeated stratified k-fold × eight strengths, all 400 fits by us, against scikit-learn's LogisticRegression on
  the splits of the rounds only; its cost of all fits is extrapolated from these. With its default tolerance of 1e-4 it
  stops up to 2 % above the least loss, we and its tolerance of 1e-6 within 1e-4 of it.

In each round all sides take turns on the same split, another one a round, after one on little data that warms up; a
ratio is the median over rounds. Standardising and judging are measured too. Everything runs on one thread, so that CPU
seconds are those of work: a goal in seconds on two cores is twice as many CPU seconds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from figures import verdict
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from finegrain.features.heads import score_heads
from finegrain.features.logistic import LogisticGrid
from finegrain.features.minibatch import MiniBatchGrid
from finegrain.features.solver import Standardization
from finegrain.runtime import RuntimeConfig

SWEEP_GOAL, GRID_GOAL_CPU_SECONDS = 15.0, 120.0
FOLDS, EPOCHS = 5, 6
LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LOOP, BATCHES, SWEEP = "torch, a loop", "finegrain, mini-batches", "finegrain, logistic"
PEER, SHORT_PEER, GRID = "scikit-learn, converged", "scikit-learn, defaults", "finegrain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Features [N, D] and labels [N] of K classes, with train masks [S, N]."""

    features: Tensor
    labels: Tensor
    num_classes: int
    train: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What the eight heads of one split took, and the held-out accuracy of the best."""

    cpu_seconds: float
    accuracy: float


Side = Callable[[Task, int], float]
"""From the task and a split to the best held-out accuracy of eight heads."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="600 rows, 1 round, 1 repeat")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10, help=f"of {FOLDS} folds")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.features, options.classes, options.repeats, options.rounds = 600, 96, 10, 1, 1
    task = draw(options.rows, options.features, options.classes, repeats=options.repeats)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "scikit-learn"))
    print(f"{os.cpu_count()} CPUs, load {load}, {libraries}")
    print(f"{options.rows} × {options.features}, {options.classes} classes, {options.rounds} rounds")
    RuntimeConfig(device="cpu", threads=1, compile="never").build()  # a run's allocator and threads, for all sides
    with threadpool_limits(1):
        sweep = measure({LOOP: loop, BATCHES: batches, SWEEP: logistic_sweep}, task, rounds=options.rounds)
        print(table("sweep of 8 settings", sweep, peer=LOOP))
        peers = {PEER: partial(scikit_learn, tolerance=1e-6), SHORT_PEER: partial(scikit_learn, tolerance=1e-4)}
        grid = measure({**peers, GRID: logistic_grid}, task, rounds=options.rounds)
        print(table("8 strengths of a split", grid, peer=PEER))
        print(verdict("heads_sweep", ratio(sweep[SWEEP], sweep[LOOP]), SWEEP_GOAL))
        print(whole_grid(task, grid))


def draw(rows: int, features: int, classes: int, *, repeats: int) -> Task:
    """Features of class-structured images, and the train masks of a repeated stratified k-fold."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(rows) % classes)
    families = random.normal(size=(classes // 8 + 1, features))
    centres = families[np.arange(classes) // 8] + random.normal(size=(classes, features))
    directions = random.normal(size=(256, features)) * np.geomspace(1, 0.1, 256)[:, None]
    signal = 0.2 * (2048 / features) ** 0.5
    drawn = signal * centres[labels] + 0.06 * random.normal(size=(rows, 256)) @ directions
    drawn += 1.5 * random.normal(size=drawn.shape)
    drawn = np.maximum(drawn, -0.3) * np.geomspace(0.1, 3, features) + 1
    train = torch.zeros(FOLDS * repeats, rows, dtype=torch.bool)
    splitter = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=0)
    for mask, (taken, _) in zip(train, splitter.split(labels, labels), strict=True):
        mask[taken] = True
    return Task(
        features=torch.tensor(drawn, dtype=torch.float32),
        labels=torch.from_numpy(labels),
        num_classes=classes,
        train=train,
    )


def loop(task: Task, split: int) -> float:
    """One head after the other, as one would write it."""
    mask = task.train[split]
    rows = Standardization.of(task.features[mask]).apply(task.features)
    return max(_train_one(rows[mask], task.labels[mask], rows[~mask], task.labels[~mask], lr=lr) for lr in LRS)


def _train_one(rows: Tensor, labels: Tensor, unseen: Tensor, truth: Tensor, *, lr: float) -> float:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(rows.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(head.weight)  # torch's own start costs this side seven points of accuracy
    optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * -(-len(rows) // 32))
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(rows), generator=generator), 32):
            optimizer.zero_grad()
            F.cross_entropy(head(rows[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        return float((head(unseen).argmax(1) == truth).float().mean())


def batches(task: Task, split: int) -> float:
    """The same learning rates at once, at four times the batch and the rate."""
    lrs = tuple(4 * lr for lr in LRS)
    grid = MiniBatchGrid(optimizer="sgd", lrs=lrs, weight_decays=(0.0,), epochs=EPOCHS, batch_size=128)
    return _best(grid, task, split)


def logistic_sweep(task: Task, split: int) -> float:
    """Eight strengths, to the precision that choosing needs."""
    return _best(LogisticGrid(strengths=STRENGTHS, tolerance=1e-3), task, split)


def logistic_grid(task: Task, split: int) -> float:
    """Eight strengths, each close to its optimum."""
    return _best(_grid(), task, split)


def scikit_learn(task: Task, split: int, *, tolerance: float) -> float:
    """Eight strengths, each from zero."""
    mask, labels = task.train[split].numpy(), task.labels.numpy()
    scaler = StandardScaler().fit(task.features.numpy()[mask])
    rows, unseen = (scaler.transform(task.features.numpy()[part]) for part in (mask, ~mask))
    solvers = (LogisticRegression(C=strength, tol=tolerance, max_iter=10_000) for strength in STRENGTHS)
    return max(float(solver.fit(rows, labels[mask]).score(unseen, labels[~mask])) for solver in solvers)


def _grid() -> LogisticGrid:
    return LogisticGrid(strengths=STRENGTHS, tolerance=1e-5)


def _best(grid: LogisticGrid | MiniBatchGrid, task: Task, split: int) -> float:
    scores = score_heads(
        grid, task.features, task.labels, train=task.train[split : split + 1], num_classes=task.num_classes
    )
    return max(score.accuracy for score in scores)


def measure(sides: dict[str, Side], task: Task, *, rounds: int) -> dict[str, list[Cost]]:
    """Each side's cost of every round; who goes first changes from round to round."""
    little = draw(100, 16, 4, repeats=1)
    for side in sides.values():
        side(little, 0)
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            before = time.process_time()
            accuracy = sides[name](task, number)
            costs[name].append(Cost(cpu_seconds=time.process_time() - before, accuracy=accuracy))
    return costs


def ratio(ours: Sequence[Cost], peer: Sequence[Cost]) -> float:
    """How many times fewer CPU seconds we take, as the median over rounds."""
    pairs = zip(ours, peer, strict=True)
    return statistics.median(theirs.cpu_seconds / mine.cpu_seconds for mine, theirs in pairs)


def table(title: str, costs: dict[str, list[Cost]], *, peer: str) -> str:
    """Medians with least and most, held-out accuracy as the mean over rounds, and the peer's cost by each side's."""
    lines = [f"{title:<30}{'CPU seconds':>26}{'best accuracy':>16}{'fewer, ×':>12}"]
    for name, rounds in costs.items():
        seconds = [cost.cpu_seconds for cost in rounds]
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"
        accuracy = statistics.mean(cost.accuracy for cost in rounds)
        lines.append(f"  {name:<28}{spread:>26}{accuracy:>16.4f}{ratio(rounds, costs[peer]):>12.2f}")
    return "\n".join(lines)


def whole_grid(task: Task, grid: dict[str, list[Cost]]) -> str:
    """All fits by us, measured; by {PEER}, extrapolated from the rounds."""
    before = time.process_time()
    scores = score_heads(_grid(), task.features, task.labels, train=task.train, num_classes=task.num_classes)
    spent = time.process_time() - before
    peer = statistics.median(cost.cpu_seconds for cost in grid[PEER]) * len(task.train)
    converged = sum(score.converged is True for score in scores)
    return (
        f"heads_grid {spent:.1f} CPU-s goal {GRID_GOAL_CPU_SECONDS:g} ({len(scores)} fits, {converged} converged)\n"
        f"{PEER}, extrapolated from {len(grid[PEER])} of {len(task.train)} splits: {peer:.0f} CPU-s, "
        f"ratio {peer / spent:.1f}"
    )


if __name__ == "__main__":
    main()
