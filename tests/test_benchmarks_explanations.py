"""The benchmark of explanations: its truth is where two species differ, and a map of the truth gets full marks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe
import torch
from PIL import Image

from finegrain.commands import carry_out
from finegrain.data.base import Source, Table
from finegrain.data.birds.species import distinguishing_parts
from finegrain.data.cub import Cub
from finegrain.data.synthetic import SyntheticBirds, parse_path
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig

BIRDS = SyntheticBirds(num_species=8, train_per_species=1, val_per_species=1, test_per_species=1)
LISTS = ("classes", "images", "image_class_labels", "train_test_split", "bounding_boxes")
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
    cells = [row.split(" | ") for row in (truth, elsewhere)]
    assert [cell.partition(" ")[0] for cell in cells[0][2:5]] == ["100.0"] * 3
    assert [cell.partition(" ")[0] for cell in cells[1][2:4]] == ["0.0"] * 2
    assert {len(row) for row in cells} == {len(benchmark.COLUMNS)}


def write_cub(root: Path) -> Table:
    """The drawn birds in CUB's layout, each with the box of all its parts; what was written."""
    drawn = BIRDS.table()
    lines: dict[str, list[str]] = {name: [] for name in LISTS}
    for label, name in enumerate(drawn.class_names, start=1):
        lines["classes"].append(f"{label} {label:03d}.{name}")
        (root / "images" / f"{label:03d}.{name}").mkdir(parents=True)
    for number, sample in enumerate(drawn.samples, start=1):
        rendered = drawn.source.render(sample)
        file = f"{sample.label + 1:03d}.{drawn.class_names[sample.label]}/{number:04d}.png"
        Image.fromarray(rendered.pixels).save(root / "images" / file)
        corners = np.array(list(rendered.parts.values()))
        (left, top), (right, bottom) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
        lines["images"].append(f"{number} {file}")
        lines["image_class_labels"].append(f"{number} {sample.label + 1}")
        lines["train_test_split"].append(f"{number} {int(sample.split != 'test')}")
        lines["bounding_boxes"].append(f"{number} {left} {top} {right - left} {bottom - top}")
    for name in LISTS:
        (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines[name]))
    return drawn


def test_a_run_on_data_in_cubs_layout_is_measured_by_its_boxes(benchmark, tmp_path: Path, capsys):
    drawn = write_cub(tmp_path / "CUB_200_2011")
    recipe = tiny_recipe.config()
    recipe.data = Cub(root=str(tmp_path), val_fraction=0.5)
    words = ["train", "train.epochs=1", "schedule.warmup_epochs=0", "tuning.probe_first=false"]
    carry_out(recipe, words, out=tmp_path / "run")
    config, run = str(tmp_path / "run" / "config.py"), str(tmp_path / "run")
    capsys.readouterr()
    benchmark.main(["--config", config, run, "--images", "4", "--curves", "2"])
    table, _, notes = capsys.readouterr().out.partition("\n\n")
    header, _, *rows = table.splitlines()
    assert header == benchmark.HEADER.splitlines()[0]
    assert [row.split(" | ")[1] for row in rows][:3] == ["centre", "random", "gradcam"]
    assert {row.count(" | ") for row in rows} == {len(benchmark.COLUMNS) - 1}
    boxes = [s.box for s in Cub(root=str(tmp_path)).table().samples if s.split == "test"]
    shares = [(right - left) * (bottom - top) / 96**2 for left, top, right, bottom in boxes[::2]]
    assert len(boxes) == len(drawn.class_names)
    assert notes.startswith("run (timm/test_resnet): 4 images")
    share = float(notes.rpartition("takes ")[2].partition(" %")[0])
    assert share == pytest.approx(100 * np.mean(shares), rel=0.25)  # the crop leaves the border out
    with pytest.raises(SystemExit, match="cropped to their boxes"):
        benchmark.main(["--config", config, run, "data.box_margin=0.1"])
