import math

import pytest
from report_sample import history

from finegrain.report.chart import BOTTOM, HEIGHT, LABEL_GAP, LEFT, RIGHT, TOP, WIDTH, charts, spread


def test_three_charts_with_their_lines() -> None:
    drawn = charts(history(4), kept_epoch=3)
    assert [(c.title, [line.name for line in c.lines]) for c in drawn] == [
        ("Loss", ["train", "validation"]),
        ("Accuracy", ["val. top-1", "val. top-5"]),
        ("Learning rate", ["rate"]),
    ]
    assert drawn[1].lines[0].values == pytest.approx((50, 54, 58, 62))
    assert drawn[0].best_x == WIDTH - RIGHT


def test_train_and_test_are_drawn_beside_validation_where_they_are_known() -> None:
    rows = [row | {"train_top1": 0.25, "test_loss": 1.5, "test_top1": 0.75} for row in history(3)]
    loss, accuracy, _ = charts(rows)
    assert [(line.name, line.number) for line in loss.lines] == [("train", 1), ("validation", 2), ("test", 3)]
    names = [("train top-1", 1), ("val. top-1", 2), ("test top-1", 3), ("val. top-5", 4)]
    assert [(line.name, line.number) for line in accuracy.lines] == names
    assert [line.values[0] for line in accuracy.lines] == pytest.approx([25, 50, 75, 90])
    before = [(line.name, line.number) for line in charts(history(3))[1].lines]
    assert before == [("val. top-1", 2), ("val. top-5", 4)]


def test_every_point_lies_in_the_frame_and_higher_values_higher() -> None:
    for chart in charts(history(7)):
        for line in chart.lines:
            assert all(point is not None for point in line.points)
            xs, ys = zip(*(point for point in line.points if point), strict=True)
            assert (xs[0], xs[-1]) == (LEFT, WIDTH - RIGHT)
            assert min(ys) >= TOP
            assert max(ys) <= HEIGHT - BOTTOM
    falling = charts(history(7))[0].lines[0]
    assert falling.points[0][1] < falling.points[-1][1]  # type: ignore[index]


def test_a_point_agrees_with_the_ticks() -> None:
    chart = charts([{"epoch": 0.0, "lr": 0.2}, {"epoch": 1.0, "lr": 0.1}])[0]
    heights = {label: y for y, label in chart.y_ticks}
    assert [point[1] for point in chart.lines[0].points if point] == [heights["0.2"], heights["0.1"]]


def test_a_value_that_is_not_finite_interrupts_the_line() -> None:
    rows = [{"epoch": float(e), "train_loss": loss} for e, loss in enumerate([3.0, math.nan, 2.0, 1.0])]
    line = charts(rows)[0].lines[0]
    assert line.values[1] is None
    assert line.points[1] is None
    assert line.path.count("M") == 2
    assert line.path.count("L") == 1


def test_no_history_or_nothing_finite_no_chart() -> None:
    assert charts([]) == ()
    assert charts([{"epoch": 0.0, "train_loss": math.inf}]) == ()


@pytest.mark.parametrize("value", [0.0, 0.5, 3.0])
def test_one_epoch_and_constant_values_are_drawn(value: float) -> None:
    for chart in charts([{"epoch": 0.0, "train_loss": value, "eval_top1": value, "lr": value}], kept_epoch=0):
        assert math.isfinite(chart.lines[0].points[0][1])  # type: ignore[index]
        assert chart.best_x == LEFT


def test_a_kept_epoch_outside_the_history_is_not_marked() -> None:
    assert charts(history(2), kept_epoch=9)[0].best_x is None


def test_spread_keeps_labels_apart_and_free_ones_in_place() -> None:
    assert spread([10, 100]) == [10, 100]
    assert spread([50, 48]) == [48 + LABEL_GAP, 48]


def test_spread_moves_labels_up_where_they_would_leave_the_frame() -> None:
    assert spread([10, 100], lowest=100) == [10, 100]
    assert spread([99, 100, 98], lowest=100) == [100 - LABEL_GAP, 100, 100 - 2 * LABEL_GAP]
    drawn = charts([{"epoch": 0.0, "train_loss": 4.0, "eval_loss": 0.0, "test_loss": 0.01}])[0]
    assert max(line.label_y for line in drawn.lines) <= HEIGHT - BOTTOM


def test_histories_behind_share_the_scale_and_name_their_line() -> None:
    rows = [{"epoch": 0.0, "eval_loss": 1.0}, {"epoch": 1.0, "eval_loss": 2.0}]
    above = [{"epoch": 0.0, "eval_loss": 1.0}, {"epoch": 1.0, "eval_loss": 5.0}]
    chart = charts(rows, behind=[rows, above])[0]
    assert [line.number for line in chart.lines] == [2]  # there is no train loss, whose colour stays free
    assert [number for number, _ in chart.faint] == [2, 2]
    assert chart.faint[0][1] == chart.lines[0].path != chart.faint[1][1]
    heights = {label: y for y, label in chart.y_ticks}
    assert "5" in heights
    assert f" {heights['5']:.1f}" in chart.faint[1][1]
