"""The benchmark of explanations: its truth is where two species differ, and a map of the truth gets full marks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finegrain.data.base import Source
from finegrain.data.birds.species import distinguishing_parts
from finegrain.data.synthetic import SyntheticBirds, parse_path
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig

BIRDS = SyntheticBirds(num_species=8, train_per_species=1, val_per_species=1, test_per_species=1)
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import explanations

        yield explanations


def build() -> Classifier:
    torch.manual_seed(0)
    return ModelConfig(name="timm/test_resnet", image_size=96).build(num_classes=8).eval()


class Photographs:
    """Drawn birds whose parts nobody knows."""

    def __init__(self, source: Source) -> None:
        self.read = source.read


def test_the_truth_of_photographs_is_the_box(benchmark):
    table = BIRDS.table()
    samples = tuple(replace(sample, box=(8.0, 8.0, 40.0, 24.0)) for sample in table.samples)
    boxed = replace(table, samples=samples, source=Photographs(table.source))
    truth = benchmark.make_task(build(), boxed, limit=100).truth[0]
    rows, columns = np.nonzero(truth)
    middle = (rows.mean(), columns.mean())
    assert middle == pytest.approx((15.5, 23.5), abs=3)  # the crop moves it a little
    assert truth.sum() == pytest.approx(32 * 16, rel=0.2)
    with pytest.raises(SystemExit, match="no boxes"):
        benchmark.make_task(build(), replace(boxed, samples=table.samples), limit=100)


def test_the_truth_is_the_parts_that_differ(benchmark, capsys: pytest.CaptureFixture[str]):
    model, table = build(), BIRDS.table()
    task = benchmark.make_task(model, table, limit=100)
    tests = [sample for sample in table.samples if sample.split == "test"]
    assert task.pixels.shape == (len(task.labels), 3, 96, 96)
    for label, rival, truth in zip(task.labels, task.rivals, task.truth, strict=True):
        one, other = (parse_path(tests[k].path)[0] for k in (label, rival))
        assert rival != label
        assert one.genus == other.genus
        parts = table.source.render(tests[label]).parts
        left, top, right, bottom = next(parts[part] for part in distinguishing_parts(one, other) if part in parts)
        row, column = round((top + bottom) / 2), round((left + right) / 2)
        assert truth[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].any()  # the crop moves it a little
    maps = task.truth.astype(np.float32)
    benchmark.line("a", "truth", task, rather=maps, alone=maps, model=model)
    benchmark.line("a", "elsewhere", task, rather=1 - maps, alone=1 - maps, model=model)
    truth, elsewhere = capsys.readouterr().out.splitlines()[-2:]
    assert truth.count("100.0 (") == 3
    assert elsewhere.count(": 0.0 (") == 1
