import numpy as np
import pytest
from report_sample import make_report

from finegrain.metrics.calibration import reliability
from finegrain.metrics.confidence import Answered
from finegrain.metrics.selection import COVERAGES
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH
from finegrain.report.confidence_chart import LARGEST, confidence_charts, reliability_chart, risk_chart

LABELS = np.array([0, 0, 1, 0, 1])
PROBABILITIES = np.array([[p, 1 - p] for p in (0.95, 0.95, 0.95, 0.95, 0.55)])


def at(ticks: tuple[tuple[float, str], ...], value: str) -> float:
    return {label: place for place, label in ticks}[value]


def test_a_dot_lies_at_confidence_and_accuracy() -> None:
    chart = reliability_chart("Right", reliability(LABELS, PROBABILITIES))
    unsure, sure = chart.dots  # bins without an image have no dot
    left, right = at(chart.x_ticks, "0"), at(chart.x_ticks, "100")
    low, high = at(chart.y_ticks, "0"), at(chart.y_ticks, "100")
    assert (sure.x - left) / (right - left) == pytest.approx(0.95)
    assert (sure.y - low) / (high - low) == pytest.approx(0.75)
    assert unsure.y == low
    assert (sure.radius, unsure.radius) == (LARGEST, LARGEST / 2)  # a quarter of the images, a quarter of the area
    assert sure.ends[0] < sure.y < sure.ends[1]
    assert sure.name == "95.0\N{NBSP}% sure: 4 images, 75.0\N{NBSP}% right (30.1–95.4)"
    assert chart.dashed == f"M{left:.1f} {low:.1f}L{right:.1f} {high:.1f}"


def test_the_curve_reaches_from_the_surest_to_all() -> None:
    risk = [0.3 * coverage for coverage in COVERAGES]
    chart = risk_chart(risk)
    assert chart.dots == ()
    assert chart.line.count("L") == len(COVERAGES) - 1
    assert chart.line.endswith(f"L{at(chart.x_ticks, '100'):.1f} {at(chart.y_ticks, '30'):.1f}")


def test_a_threshold_is_marked_within_the_frame() -> None:
    answered = Answered(coverage=0.5, accuracy=0.9, interval=(0.6, 0.95))
    chart = risk_chart([0.1] * 20, answered=answered)
    (dot,) = chart.dots
    assert dot.x == pytest.approx((at(chart.x_ticks, "40") + at(chart.x_ticks, "60")) / 2)
    assert dot.y == pytest.approx(at(chart.y_ticks, "10"))
    assert TOP <= dot.ends[0] < dot.y < dot.ends[1] <= HEIGHT - BOTTOM  # up to 40 %, above the whole curve


def test_no_mistake_is_a_curve_at_zero() -> None:
    chart = risk_chart([0.0] * 20)
    assert f" {at(chart.y_ticks, '0'):.1f}" in chart.line


def test_a_report_has_three_charts_with_dots_in_their_frames() -> None:
    confidence = make_report().confidence
    assert confidence is not None
    charts = confidence_charts(confidence)
    assert [chart.title for chart in charts] == [
        "Right, as trained",
        f"Right, temperature {confidence.temperature:.2f}",
        "Wrong among the answers given",
    ]
    for chart in charts:
        for dot in chart.dots:
            assert LEFT <= dot.x <= WIDTH
            assert TOP <= dot.ends[0] <= dot.ends[1] <= HEIGHT - BOTTOM
    assert len(charts[0].dots) > len(charts[1].dots)  # surer answers share their bins
