import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from repeated_sample import judged
from report_sample import history

from finegrain.report.cells_chart import by_seed
from finegrain.report.figures import cells_png, confusion_png, curves_png


def _size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        image.load()
        return image.size


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves_are_three_panels_wide(epochs: int) -> None:
    width, height = _size(curves_png(history(epochs), kept_epoch=0))
    assert width > 3 * height


def test_each_column_has_a_line_of_its_own_in_the_curves() -> None:
    rows = history(3)
    drawn = {curves_png(rows)}
    for column in ("train_top1", "test_loss", "test_top1"):
        rows = [row | {column: 0.5 + row["epoch"] / 8} for row in rows]
        drawn.add(curves_png(rows))
    assert len(drawn) == 4


@pytest.mark.parametrize("classes", [2, 20, 200])
def test_confusion_is_drawn_at_any_number_of_classes(classes: int) -> None:
    width, height = _size(confusion_png(np.eye(classes, dtype=np.int64), [f"class {i}" for i in range(classes)]))
    assert 400 < height <= width <= 1500


def test_names_are_not_read_as_formulas() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _size(confusion_png(np.eye(3, dtype=np.int64), [r"$\frac{$", "$a$", "two\nlines" * 9]))


def test_figures_are_the_same_from_any_thread() -> None:
    matrix, names = np.eye(4, dtype=np.int64), list("abcd")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: confusion_png(matrix, names), range(2))
    assert first == second == confusion_png(matrix, names)


@pytest.mark.parametrize(("seeds", "folds"), [(1, 1), (1, 5), (3, 1), (10, 5), (30, 2)])
def test_cells_are_drawn_for_any_number_of_them(seeds: int, folds: int) -> None:
    cells = judged(seeds=seeds, folds=folds)
    width, height = _size(cells_png(by_seed(cells, [float(cell.hits.mean()) for cell in cells])))
    assert 300 < height < width <= 1500


def test_equal_cells_are_drawn() -> None:
    cells = judged(seeds=2, folds=4)
    _size(cells_png(by_seed(cells, [1.0] * len(cells))))
