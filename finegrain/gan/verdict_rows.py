"""The tables of a verdict: what each arm came to, and what is known of each class."""

import json
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.data.generated import MANIFEST, Generated
from finegrain.gan.experiment import Outcomes
from finegrain.gan.fidelity import train_head
from finegrain.gan.judged import Images, Judged, together
from finegrain.gan.quality import find_copies
from finegrain.gan.version import BY_FILTER
from finegrain.metrics.benefit import ARMS
from finegrain.metrics.by_class import diversities
from finegrain.metrics.statistics import spread
from finegrain.report.verdict_record import ArmRow, ClassRow


def arm_rows(judged: Judged, outcomes: Outcomes, *, steps: int) -> tuple[ArmRow, ...]:
    """The table of arms."""
    real = len(judged.data.train)
    rows = []
    for arm in ARMS:
        one = outcomes.arms[arm]
        accuracies = one.hits.mean(axis=1)
        rows.append(
            ArmRow(
                arm=arm,
                images=one.images,
                added=one.images - (0 if arm == "synthetic only" else real),
                steps=steps,
                strength=one.strength,
                val_top1=one.val_top1,
                accuracies=tuple(accuracies.tolist()),
                top1=spread(accuracies),
            )
        )
    return tuple(rows)


def class_rows(judged: Judged, outcomes: Outcomes, *, seed: int) -> tuple[ClassRow, ...]:
    """The table of classes, in the order of their names in the data."""
    (version,) = judged.versions
    fake, held_out, k = version.images, together(judged.val, judged.test), len(judged.data.class_names)
    asked = dict(zip(version.generated.class_names, version.generated.asked, strict=True))
    passed = _passed(version.generated)
    recognised = _rates(train_head(judged.train, judged.val).hits(fake), fake.labels, k)
    spreads = {
        row.label: row.result.ratio
        for row in diversities(held_out.features, fake.features, held_out.labels, fake.labels, seed=seed, draws=100)
        if row.result is not None
    }
    copies, duplicates = _near(judged, fake, held_out)
    gain = outcomes.arms["synthetic"].hits.mean(axis=0) - outcomes.arms["real"].hits.mean(axis=0)
    changes = _rates(gain, judged.test.labels, k)
    tested, kept = (np.bincount(images.labels, minlength=k).tolist() for images in (judged.test, fake))
    return tuple(
        ClassRow(
            name=name,
            n_real=judged.data.class_counts()[label],
            asked=asked.get(name),
            kept=kept[label],
            passed=passed.get(name),
            fidelity=recognised[label],
            diversity=spreads.get(label),
            copies=copies[label],
            duplicates=duplicates[label],
            n_test=tested[label],
            change=changes[label],
        )
        for label, name in enumerate(judged.data.class_names)
    )


def _passed(generated: Generated) -> dict[str, float]:
    """Of each class that images were asked of, the share that the filter did not refuse; empty without one."""
    if not generated.settings.get("filter"):
        return {}
    rows = [json.loads(line) for line in (generated.path / MANIFEST).read_bytes().splitlines()]
    refused = Counter(row["class"] for row in rows if (row["reason"] or "").startswith(BY_FILTER))
    return {name: 1 - refused[name] / n for name, n in zip(generated.class_names, generated.asked, strict=True) if n}


def _near(judged: Judged, fake: Images, held_out: Images) -> tuple[list[float | None], list[float | None]]:
    """Of each class the share of copies of train images, and of duplicates; None where that cannot be told."""
    k = len(judged.data.class_names)
    found, _ = find_copies(fake, train=judged.train, held_out=held_out)
    if found is None:
        return [None] * k, [None] * k
    flags = (np.isin(np.arange(len(fake)), rows) for rows in (found.copies, found.duplicates))
    copies, duplicates = (_rates(flag, fake.labels, k) for flag in flags)
    return copies, duplicates


def _rates(values: NDArray[Any], labels: NDArray[np.int64], num_classes: int) -> list[float | None]:
    """The mean of each class; None for one without images."""
    return [float(values[labels == c].mean()) if (labels == c).any() else None for c in range(num_classes)]
