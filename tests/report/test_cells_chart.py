import math
from itertools import pairwise

import pytest
from repeated_sample import judged

from finegrain.report.cells_chart import by_seed, mean_history, strips
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH


@pytest.mark.parametrize(
    ("seeds", "folds", "labels"),
    [
        (2, 3, ["0", "1", "all"]),
        (1, 3, ["0"]),  # all together would be the same again
        (3, 1, ["all"]),  # one cell a seed: one column of seeds
        (1, 1, ["all"]),
    ],
)
def test_groups_are_the_seeds_and_all_together(seeds: int, folds: int, labels: list[str]) -> None:
    cells = judged(seeds=seeds, folds=folds)
    groups = by_seed(cells, [0.01 * i for i in range(len(cells))])
    assert [group.label for group in groups] == labels
    assert groups[-1].scores[-1] == pytest.approx(len(cells) - 1)
    assert groups[-1].names[-1] == f"seed {seeds - 1}" + (f", fold {folds - 1}" if folds > 1 else "")


def test_a_box_holds_the_middle_half_of_four_or_more() -> None:
    three, four = (by_seed(judged(seeds=1, folds=n), [0.1 * i for i in range(n)])[0] for n in (3, 4))
    assert three.quartiles is None
    assert four.quartiles == pytest.approx((7.5, 22.5))
    assert four.mean == pytest.approx(15)


@pytest.mark.parametrize(("seeds", "folds"), [(1, 1), (3, 1), (10, 5), (40, 2)])
def test_every_dot_lies_in_the_frame_and_higher_scores_higher(seeds: int, folds: int) -> None:
    cells = judged(seeds=seeds, folds=folds)
    scores = [0.5 + 0.001 * i for i in range(len(cells))]
    drawn = strips(by_seed(cells, scores))
    for strip in drawn.strips:
        heights = [y for _, y, _ in strip.dots]
        assert heights == sorted(heights, reverse=True)
        assert all(LEFT < x < WIDTH and TOP <= y <= HEIGHT - BOTTOM for x, y, _ in strip.dots)
        assert min(heights) <= strip.mean_y <= max(heights)
        if strip.box is not None:
            assert min(heights) < strip.box[0] < strip.box[1] < max(heights)
    assert drawn.strips[-1].label == "all"
    assert drawn.strips[-1].dots[0][2].endswith(": 50.0\N{NBSP}%")


def test_labels_that_have_no_room_are_left_out() -> None:
    cells = judged(seeds=40, folds=2)
    drawn = strips(by_seed(cells, [0.5] * len(cells)))
    places = [strip.x for strip in drawn.strips[:-1] if strip.label]
    assert 5 < len(places) < 40
    assert min(b - a for a, b in pairwise(places)) >= 26


def test_the_mean_course_goes_as_far_as_every_cell() -> None:
    short = [{"epoch": 0.0, "eval_top1": 0.2, "lr": 1.0}]
    long = [{"epoch": 0.0, "eval_top1": 0.4, "lr": 1.0}, {"epoch": 1.0, "eval_top1": 0.9}]
    first, second = mean_history([short, long])
    assert first == pytest.approx({"epoch": 0.0, "eval_top1": 0.3, "lr": 1.0})
    assert second == {"epoch": 1.0}


def test_the_mean_course_leaves_out_what_a_cell_has_not_or_not_finite() -> None:
    rows = mean_history([[{"epoch": 0.0, "a": 1.0, "b": math.nan, "c": 1.0}], [{"epoch": 0.0, "a": 3.0, "b": 1.0}]])
    assert rows == [{"epoch": 0.0, "a": 2.0}]
    assert mean_history([]) == []
