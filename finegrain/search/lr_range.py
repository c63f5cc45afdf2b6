"""The command `lr-range`: which learning rates the recipe can train with, from one short throw-away training."""

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain import config
from finegrain.config import Count, Positive
from finegrain.data import splits
from finegrain.engine.lr_range import RangeTest, smooth, steepest
from finegrain.errors import fault
from finegrain.recipe import FEATURES, Recipe, build_cache, build_model, build_trainer, start_at_probe, training_feeds
from finegrain.report.figures import lr_range_png
from finegrain.report.tables import csv_text
from finegrain.runtime import Stopwatch, device_faults
from finegrain.storage import RunDirectory

LEAST_STEPS = 20
"""Fewer make no curve."""


@dataclass(kw_only=True, slots=True)
class Sweep:
    """The rates that are tried."""

    low: Positive = 1e-7
    """Of the first step."""
    high: Positive = 10.0
    """Of the last step, which a test seldom reaches."""
    steps: Count = 100
    """Optimiser steps, each at a constant factor times the rate of the one before."""

    def faults(self) -> list[str]:
        """The rate must grow, and there must be a curve."""
        faults = []
        if self.low >= self.high:
            faults.append(fault("low", got=self.low, expected=f"less than high, {self.high:g}", remedy="lower it"))
        if self.steps < LEAST_STEPS:
            faults.append(fault("steps", got=self.steps, expected=f"{LEAST_STEPS} or more", remedy="raise it"))
        return faults

    def rates(self) -> list[float]:
        """One a step."""
        return [float(rate) for rate in np.geomspace(self.low, self.high, self.steps)]


def lr_range(recipe: Recipe, sweep: Sweep, *, directory: RunDirectory) -> str:
    """Train a model that is then thrown away at growing rates; return what to print.

    Writes `lr_range.csv` (step, lr, loss, smoothed) and `lr_range.png`. Val and test are not looked at, no
    checkpoint is written.
    """
    plain = dataclasses.replace(recipe.train, ema_decay=None, max_steps=None, save_steps=None)
    recipe = dataclasses.replace(recipe, train=plain)
    test = RangeTest(sweep.rates())
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        data = splits.build(recipe.data, table)
        cache = build_cache(recipe.runtime, run=directory.path)
        if recipe.tuning.probe_first:
            start_at_probe(model, data=data, seed=recipe.seed, runtime=runtime, cache=cache)
        feed, _ = training_feeds(recipe, model, data=data, runtime=runtime, cache=cache, clock=Stopwatch())
        trainer = build_trainer(recipe, model=model, data=data, batches=len(feed), runtime=runtime, checkpoints=test)
        test.drive(trainer, feed, lr=recipe.optim.lr)
        rates, curve = test.rates[: len(test.losses)], smooth(test.losses)
        found = steepest(rates, test.losses)
        rows = zip(range(len(rates)), rates, test.losses, curve, strict=True)
        directory.write("config.py", config.dump(recipe))
        directory.write("lr_range.csv", csv_text(["step", "lr", "loss", "smoothed"], rows))
        directory.write("lr_range.png", lr_range_png(rates, test.losses, list(curve), suggestion=found))
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{recipe.name}: {_verdict(rates, curve, found)}\n{directory.path / 'lr_range.png'}"


def _verdict(rates: Sequence[float], curve: NDArray[np.float64], found: float | None) -> str:
    """What can be said, and no more."""
    tried = f"{rates[0]:.1e} to {rates[-1]:.1e}"
    if found is None:
        return f"no rate can be suggested: from {tried} the loss did not surely fall"
    said = f"optim.lr={found:.1e} is where the loss falls fastest, of {tried}"
    if curve[-1] < curve[0]:
        return f"{said}; it ends below its start: a greater high may show more"
    return f"{said}; it is lowest at {rates[int(curve.argmin())]:.1e}"
