"""The command `features`: what the frozen network says of each image, and how well that tells classes apart."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.features.extract import Features, extract
from finegrain.features.head_kinds import Cosine, HeadKind, Mlp
from finegrain.features.heads import fit_best
from finegrain.features.inference import frozen_once
from finegrain.features.knn import knn_votes
from finegrain.features.minibatch import MiniBatchGrid
from finegrain.features.probe import fit_probe, held_out_fifth
from finegrain.metrics.intervals import wilson
from finegrain.recipe import FEATURES, Recipe, build_cache, build_model
from finegrain.report.format import interval, percent
from finegrain.runtime import Stopwatch, device_faults
from finegrain.storage import RunDirectory

NEIGHBOURS = 10


@dataclass(kw_only=True, slots=True)
class Survey:
    """What is said of the features, beside what they are."""

    heads: tuple[Literal["linear", "knn", "cosine", "mlp"], ...] = ("linear", "knn")
    """What is trained on train and judged on val: a linear probe at its optimum, the nearest neighbours, and, by
    mini-batches of AdamW at four rates, cosines with class vectors or a hidden layer; a fifth of train chooses."""


def survey(recipe: Recipe, judged: Survey, *, directory: RunDirectory) -> str:
    """Extract the features of all splits, and judge on val what is trained on those of train.

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
            accuracy = _accuracy(judged, found["train"], found["val"], data=data, seed=recipe.seed)
        labels = {f"{name}_labels": _labels(samples) for name, samples in parts.items()}
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


def _accuracy(judged: Survey, train: Features, val: Features, *, data: Data, seed: int) -> list[str]:
    """A line for each head that says how it does on val."""
    truth, lines = _labels(data.val), []
    for kind in judged.heads:
        if kind == "linear":
            name, answers = _linear(train, val, data=data, seed=seed)
        elif kind == "knn":
            name, answers = _nearest(train, val, data=data)
        else:
            name, answers = _by_steps(kind, train, val, data=data, seed=seed)
        hits = int((answers == truth).sum())
        share = f"{percent(hits / len(truth))} ({interval(wilson(hits, len(truth)))}, n = {len(truth)})"
        lines.append(f"{name}: val top-1 {share}")
    return lines


def _linear(train: Features, val: Features, *, data: Data, seed: int) -> tuple[str, Tensor]:
    probe = fit_probe(train.values.float().numpy(), data.train, seed=seed)
    logits = val.values.float().numpy() @ probe.weight.T + probe.bias
    return f"linear probe (C = {probe.strength:g})", torch.from_numpy(logits.argmax(1))


def _nearest(train: Features, val: Features, *, data: Data) -> tuple[str, Tensor]:
    rows, k = train.values.float(), min(NEIGHBOURS, len(data.train))
    votes = knn_votes(val.values.float(), rows, _labels(data.train), ks=[k], num_classes=len(data.class_names))[k]
    return f"{k} nearest neighbours", votes.argmax(1)


def _by_steps(
    kind: Literal["cosine", "mlp"], train: Features, val: Features, *, data: Data, seed: int
) -> tuple[str, Tensor]:
    head: HeadKind = Cosine() if kind == "cosine" else Mlp()
    fitted = fit_best(
        MiniBatchGrid(kind=head, seed=seed),
        train.values,
        _labels(data.train),
        train=~held_out_fifth(data.train, seed=seed)[None],
        num_classes=len(data.class_names),
        features_key=train.key,
    )
    logits = fitted.predict(val.values, features_key=val.key)
    return f"{kind} head (lr = {fitted.setting.lr:g})", logits.argmax(1)


def _labels(samples: Sequence[Sample]) -> Tensor:
    return torch.tensor([sample.label for sample in samples])


def _listing(parts: Mapping[str, Sequence[Sample]], class_names: Sequence[str]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["split", "row", "path", "label", "class"])
    for name, samples in parts.items():
        rows = enumerate(samples)
        table.writerows([name, row, sample.path, sample.label, class_names[sample.label]] for row, sample in rows)
    return text.getvalue()
