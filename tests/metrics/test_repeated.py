import math

import numpy as np
import pytest
from scipy.stats import t as student

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.intervals import wilson
from finegrain.metrics.repeated import FEW_SEEDS, Judged, hit_matrix, judged_ratio, summarise
from finegrain.metrics.statistics import hierarchical_bootstrap

CLASSES = 3


def cell(seed: int, fold: int, answers: dict[str, tuple[int, int]], *, trained: int = 4) -> Judged:
    """A cell that says, for each path, (label, answer)."""
    labels, answered = (np.array(column) for column in zip(*answers.values(), strict=True))
    probabilities = np.full((len(labels), CLASSES), 0.1)
    probabilities[np.arange(len(labels)), answered] = 0.8
    return Judged(
        seed=seed, fold=fold, trained_images=trained, paths=tuple(answers), labels=labels, probabilities=probabilities
    )


# Images a and b show class 0, c and d class 1, e and f class 2; d is taken for 2 by both seeds, b for 1 by one.
HALVES = (
    cell(0, 0, {"a": (0, 0), "c": (1, 1), "e": (2, 2)}, trained=3),
    cell(0, 1, {"b": (0, 1), "d": (1, 2), "f": (2, 2)}, trained=3),
    cell(1, 0, {"f": (2, 2), "d": (1, 2), "a": (0, 0)}, trained=3),
    cell(1, 1, {"b": (0, 0), "e": (2, 2), "c": (1, 1)}, trained=3),
)


def test_mean_and_scatter_by_hand() -> None:
    found = summarise(HALVES, num_classes=CLASSES, draws=100)
    # The four accuracies are 1, 1/3, 2/3 and 1: mean 3/4, squares of deviations 1/16, 25/144, 1/144, 1/16.
    variance = (9 + 25 + 1 + 9) / 144 / 3
    assert [c.top1 for c in found.cells] == pytest.approx([1, 1 / 3, 2 / 3, 1])
    assert found.images == 6
    assert (found.top1.spread.n, found.top1.spread.mean) == (4, pytest.approx(0.75))
    assert found.top1.spread.sd == pytest.approx(math.sqrt(variance))
    half = student.ppf(0.975, 3) * math.sqrt((1 / 4 + 1) * variance)  # 3 judged for 3 trained on
    assert found.top1.of_training == pytest.approx((0.75 - half, 0.75 + half))
    assert found.top5.spread.mean == 1  # of three classes


def test_loss_is_that_of_the_probabilities() -> None:
    found = summarise(HALVES, num_classes=CLASSES, draws=100)
    right, wrong = -math.log(0.8), -math.log(0.1)
    assert found.loss.spread.mean == pytest.approx((9 * right + 3 * wrong) / 12)


def test_confidence_is_judged_cell_by_cell() -> None:
    found = summarise(HALVES, num_classes=CLASSES, draws=100)
    # All confidences are 0.8, so a cell's risk is its share of errors, 0, 2/3, 1/3 and 0, whatever is left out.
    assert found.risk == pytest.approx([1 / 4] * 20)
    assert [cell.ece for cell in found.cells] == pytest.approx([0.2, 0.8 - 1 / 3, 0.8 - 2 / 3, 0.2])
    assert found.ece.spread.mean == pytest.approx(0.25)
    right, wrong = 0.2**2 + 2 * 0.1**2, 0.9**2 + 0.8**2 + 0.1**2
    assert found.brier.spread.mean == pytest.approx((9 * right + 3 * wrong) / 12)


def test_hits_stand_in_the_order_of_the_paths_whatever_the_order_of_the_cells() -> None:
    hits, labels = hit_matrix(HALVES)
    np.testing.assert_array_equal(hits, [[1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 1, 1]])
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2, 2])
    again, same_labels = hit_matrix([HALVES[i] for i in (1, 0, 3, 2)])
    np.testing.assert_array_equal(again, hits)
    np.testing.assert_array_equal(same_labels, labels)


def test_intervals_do_not_depend_on_the_order_of_the_folds() -> None:
    first = summarise(HALVES, num_classes=CLASSES, draws=500)
    second = summarise([HALVES[i] for i in (1, 0, 3, 2)], num_classes=CLASSES, draws=500)
    assert (first.of_images, first.of_both) == (second.of_images, second.of_both)
    assert first.of_images is not None


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        ([], r"\[\]"),
        (HALVES[:3], r"\[3, 6\]"),  # a fold of the second seed is missing
        ((HALVES[0], HALVES[0]), r"\[6\]"),  # each image twice
        ((HALVES[0], cell(1, 0, {"a": (0, 0), "c": (1, 1), "x": (2, 2)})), r"\[3\]"),  # as many, but another one
    ],
)
def test_seeds_that_judged_other_images_are_refused(cells: list[Judged], got: str) -> None:
    with pytest.raises(DataError, match=f"the seeds have not judged the same images: got {got}"):
        summarise(cells, num_classes=CLASSES)


def test_a_probability_that_is_not_finite_is_refused() -> None:
    broken = cell(0, 0, {"a": (0, 0), "c": (1, 1)})
    broken.probabilities[1, 1] = np.nan
    with pytest.raises(NumericsError, match="1 of 2 images"):
        summarise([broken], num_classes=CLASSES)


def test_the_ratio_is_judged_over_trained_on_the_average() -> None:
    uneven = (cell(0, 0, {"a": (0, 0)}, trained=4), cell(0, 1, {"b": (0, 0), "c": (1, 1)}, trained=4))
    assert judged_ratio(uneven) == pytest.approx((1 / 4 + 2 / 4) / 2)


def test_one_common_test_split_needs_no_correction_for_folds() -> None:
    test = {"a": (0, 0), "c": (1, 1), "e": (2, 2)}
    seeds = (cell(0, 0, test), cell(1, 0, test | {"a": (0, 1)}), cell(2, 0, test))
    assert judged_ratio(seeds) == 0
    found = summarise(seeds, num_classes=CLASSES, draws=100)
    scores = np.array([1, 2 / 3, 1])
    half = student.ppf(0.975, 2) * scores.std(ddof=1) / math.sqrt(3)
    assert found.top1.of_training == pytest.approx((scores.mean() - half, scores.mean() + half))


def test_recall_of_a_class_is_the_mean_over_the_seeds() -> None:
    rows = summarise(HALVES, num_classes=CLASSES, draws=100).per_class
    assert [(row.index, row.n) for row in rows] == [(0, 2), (1, 2), (2, 2)]
    assert [row.recall for row in rows] == pytest.approx([0.75, 0.5, 1.0])
    assert rows[1].interval == wilson(1, 2)
    assert all(row.interval[0] <= row.recall <= row.interval[1] for row in rows)


def test_recall_of_a_class_scatters_over_the_cells_that_judged_it() -> None:
    rows = summarise(HALVES, num_classes=CLASSES, draws=100).per_class
    assert [row.spread.variance for row in rows] == pytest.approx([1 / 4, 1 / 3, 0])  # of 1, 0, 1, 1, and 1, 0, 0, 1
    assert [row.spread.sd for row in rows] == pytest.approx([1 / 2, math.sqrt(1 / 3), 0])
    uneven = (cell(0, 0, {"a": (0, 0), "b": (0, 1)}), cell(0, 1, {"c": (1, 1), "d": (1, 2), "e": (0, 0)}))
    first, second, _ = summarise(uneven, num_classes=CLASSES, draws=100).per_class
    assert (first.spread.n, first.spread.variance) == (2, pytest.approx(1 / 8))
    assert (second.spread.n, second.spread.sd) == (1, None)


def test_a_class_without_images_has_no_recall_and_every_interval() -> None:
    row = summarise([cell(0, 0, {"a": (0, 0), "c": (1, 1)})], num_classes=CLASSES, draws=100).per_class[2]
    assert (row.n, row.recall, row.spread, row.interval) == (0, 0.0, None, (0.0, 1.0))


def test_pairs_are_ordered_by_cells_then_by_count() -> None:
    found = summarise(
        (
            cell(0, 0, {"a": (0, 1), "b": (0, 1), "b2": (0, 1), "c": (1, 2)}),
            cell(1, 0, {"a": (0, 0), "b": (0, 0), "b2": (0, 2), "c": (1, 2)}),
        ),
        num_classes=CLASSES,
        draws=100,
    )
    pairs = [(pair.label, pair.predicted, pair.cells, pair.count) for pair in found.confused]
    assert pairs == [(1, 2, 2, 2), (0, 1, 1, 3), (0, 2, 1, 1)]
    np.testing.assert_array_equal(found.confusion, [[2, 3, 1], [0, 0, 2], [0, 0, 0]])


def test_one_cell_has_no_scatter_and_only_the_interval_of_images() -> None:
    found = summarise([cell(0, 0, {"a": (0, 0), "b": (0, 1), "c": (1, 1)})], num_classes=CLASSES, draws=100)
    assert found.top1.spread.sd is None
    assert found.top1.of_training is None
    assert found.of_both is None
    assert found.of_images is not None


def test_where_nothing_varies_there_is_no_interval() -> None:
    perfect = [cell(seed, 0, {"a": (0, 0), "b": (0, 0), "c": (1, 1)}) for seed in range(3)]
    found = summarise(perfect, num_classes=CLASSES, draws=100)
    assert found.top1.spread.sd == 0
    assert (found.top1.of_training, found.of_images, found.of_both) == (None, None, None)


def test_few_seeds_take_the_closed_form_and_many_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    for seeds in (FEW_SEEDS - 1, FEW_SEEDS):
        cells = [
            cell(seed, 0, {str(i): (i % 2, int(rng.random() < 0.3) ^ (i % 2)) for i in range(12)})
            for seed in range(seeds)
        ]
        hits, labels = hit_matrix(cells)
        expected = crossed_interval(hits, labels) if seeds < FEW_SEEDS else hierarchical_bootstrap(hits, labels)
        assert summarise(cells, num_classes=CLASSES).of_both == expected


def test_auroc_is_none_where_a_cell_has_none() -> None:
    single_class = cell(0, 0, {"a": (0, 0), "b": (0, 1)})
    assert summarise([single_class], num_classes=CLASSES, draws=100).auroc is None
    assert summarise(HALVES, num_classes=CLASSES, draws=100).auroc is not None


def test_labels_are_suspected_by_the_mean_over_the_seeds() -> None:
    def suspects(cells: tuple[Judged, ...]) -> list[tuple[str, int, int]]:
        return [(s.path, s.label, s.predicted) for s in summarise(cells, num_classes=CLASSES, draws=100).suspects]

    assert suspects(HALVES[:2]) == [("b", 0, 1), ("d", 1, 2)]
    assert suspects(HALVES) == [("d", 1, 2)]  # the other seed knows b
    assert suspects(tuple(HALVES[i] for i in (3, 0, 2, 1))) == [("d", 1, 2)]
    assert summarise(HALVES, num_classes=CLASSES, draws=100).suspects[0].label_probability == pytest.approx(0.1)
