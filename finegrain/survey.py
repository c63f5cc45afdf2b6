"""The command `features`: what the frozen network says of each image, and how well that tells classes apart."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from safetensors.torch import save

from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.features.extract import Features, extract
from finegrain.features.inference import frozen_once
from finegrain.features.knn import knn_votes
from finegrain.features.probe import fit_probe
from finegrain.metrics.intervals import wilson
from finegrain.recipe import FEATURES, Recipe, build_cache, build_model
from finegrain.report.format import interval, percent
from finegrain.runtime import Stopwatch, device_faults
from finegrain.storage import RunDirectory

NEIGHBOURS = 10


def survey(recipe: Recipe, *, directory: RunDirectory) -> str:
    """Extract the features of all splits, and judge on val a probe and the nearest neighbours of train.

    Writes `features.safetensors` (`train`, `val`, `test`: [N, D]; `train_labels`, …: int64 [N]), and `features.csv`
    (split, row, path, label, class). Test labels are written, never looked at.

    Returns:
        The result in a few lines, the last being the file's path.
    """
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        data = splits.build(recipe.data, table)
        parts = {"train": data.train, "val": data.val, "test": data.test}
        cache = build_cache(recipe.runtime, run=directory.path)
        with clock("features"):
            see = partial(extract, source=data.source, classifier=model, runtime=runtime, cache=cache)
            build = frozen_once(model)
            found = {name: see(samples, build=build, title=f"{name} features") for name, samples in parts.items()}
        with clock("probe"):
            accuracy = _accuracy(found["train"], found["val"], data=data, seed=recipe.seed)
        labels = {f"{name}_labels": torch.tensor([s.label for s in samples]) for name, samples in parts.items()}
        values = {name: features.values for name, features in found.items()}
        directory.write("config.py", config.dump(recipe))
        directory.write("features.safetensors", save(values | labels, metadata={"key": found["train"].key}))
        directory.write("features.csv", _listing(parts, data.class_names))
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    count, width = sum(map(len, parts.values())), values["train"].shape[1]
    return "\n".join(
        [
            f"{model.architecture}: {count:,} images, {width:,} features each, in {clock.seconds['features']:.1f} s",
            *accuracy,
            str(directory.path / "features.safetensors"),
        ]
    )


def _accuracy(train: Features, val: Features, *, data: Data, seed: int) -> list[str]:
    """Lines that say how a linear probe and the nearest neighbours of train do on val."""
    rows, labels = train.values.float(), torch.tensor([sample.label for sample in data.train])
    queries, truth = val.values.float(), np.array([sample.label for sample in data.val])
    probe = fit_probe(rows.numpy(), data.train, seed=seed)
    logits = queries.numpy() @ probe.weight.T + probe.bias
    k = min(NEIGHBOURS, len(rows))
    votes = knn_votes(queries, rows, labels, ks=[k], num_classes=len(data.class_names))[k]
    return [
        f"{name}: val top-1 {percent(hits / len(truth))} ({interval(wilson(hits, len(truth)))}, n = {len(truth)})"
        for name, hits in (
            (f"linear probe (C = {probe.strength:g})", int((logits.argmax(1) == truth).sum())),
            (f"{k} nearest neighbours", int((votes.argmax(1).numpy() == truth).sum())),
        )
    ]


def _listing(parts: Mapping[str, Sequence[Sample]], class_names: Sequence[str]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["split", "row", "path", "label", "class"])
    for name, samples in parts.items():
        rows = enumerate(samples)
        table.writerows([name, row, sample.path, sample.label, class_names[sample.label]] for row, sample in rows)
    return text.getvalue()
