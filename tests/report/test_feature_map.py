from dataclasses import replace

import numpy as np
import pytest
from report_sample import make_report

from finegrain.report.feature_map import MAP_FRAME, feature_map
from finegrain.report.record import ErrorAnalysis, FeatureMap


def test_every_dot_lies_in_the_frame_and_tells_its_own_image() -> None:
    report = make_report()
    drawn = feature_map(report)
    assert drawn is not None
    assert all(0 <= x <= MAP_FRAME["width"] and 0 <= y <= MAP_FRAME["height"] for x, y, _ in drawn.dots)
    predicted = report.predictions.probabilities.argmax(1).tolist()
    for (_, _, right), (path, label, taken_for, probability) in zip(drawn.dots, drawn.readings, strict=True):
        row = report.predictions.paths.index(path)
        assert (label, taken_for) == (report.predictions.labels[row], predicted[row])
        assert right == (label == taken_for)
        assert probability == pytest.approx(report.predictions.probabilities[row].max(), abs=1e-4)


def test_mistakes_lie_above_the_others() -> None:
    drawn = feature_map(make_report())
    assert drawn is not None
    rights = [right for _, _, right in drawn.dots]
    assert rights == sorted(rights, reverse=True)
    assert not rights[-1]


def test_proportions_are_kept_and_the_longer_side_fills_the_frame() -> None:
    places = np.array([[0.0, 0.0], [30.0, 0.0], [30.0, 10.0]])
    report = make_report(errors=ErrorAnalysis(feature_map=FeatureMap(rows=(4, 5, 7), places=places)))
    drawn = feature_map(report)
    assert drawn is not None
    by_path = {reading[0]: dot for dot, reading in zip(drawn.dots, drawn.readings, strict=True)}
    a, b, c = (by_path[report.predictions.paths[row]] for row in (4, 5, 7))
    assert b[0] - a[0] == pytest.approx(3 * (c[1] - b[1]))
    assert b[0] - a[0] == pytest.approx(MAP_FRAME["width"] - 16)


def test_points_that_coincide_are_drawn_in_the_middle() -> None:
    report = make_report()
    assert report.errors.feature_map is not None
    same = replace(report.errors.feature_map, places=np.ones((9, 2)))
    drawn = feature_map(make_report(errors=replace(report.errors, feature_map=same)))
    assert drawn is not None
    assert {dot[:2] for dot in drawn.dots} == {(MAP_FRAME["width"] / 2, MAP_FRAME["height"] / 2)}


def test_no_map_where_there_is_none() -> None:
    assert feature_map(make_report(errors=ErrorAnalysis())) is None
