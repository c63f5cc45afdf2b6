import csv
import io
import json

import numpy as np
import pytest
from report_sample import Predicted, history, make_report

from finegrain.report.tables import history_csv, metrics_json, predictions_csv


def _rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_metrics_json_has_the_promised_shape() -> None:
    report = make_report()
    content = json.loads(metrics_json(report))
    assert content["test"] == content["val"] == json.loads(json.dumps(report.test.as_dict()))
    assert content["test"]["top1"] == pytest.approx(8 / 9)
    assert len(content["test"]["top1_interval"]) == 2
    assert content["parameters"] == {"total": 11_279_112, "trainable": 102_600}
    assert (content["seconds"], content["test_evaluations"], content["kept_epoch"]) == (61.5, 1, 4)
    assert content["images_per_second"] == pytest.approx((5 * 9 + 9) / 61.5)  # five epochs, and the judged
    assert content["splits"]["val"] == {"count": 9, "sha256": "v" * 64}
    assert content["dropped"] == [{"path": "train/broken.jpg", "reason": "truncated"}]


def test_metrics_json_counts_the_looks_for_the_curves_apart() -> None:
    rows = [row | {"test_top1": 0.5} for row in history(5)[:3]] + history(5)[3:]
    content = json.loads(metrics_json(make_report(history=rows, test_evaluations=4)))
    assert (content["test_evaluations"], content["test_evaluations_for_curves"]) == (4, 3)
    assert json.loads(metrics_json(make_report()))["test_evaluations_for_curves"] == 0


def test_metrics_json_tells_what_confidence_is_worth() -> None:
    report = make_report()
    assert report.confidence is not None
    content = json.loads(metrics_json(report))["calibration"]
    assert content["temperature"] == report.confidence.temperature
    for split in ("val", "test"):
        for when in ("before", "after"):
            judged = getattr(getattr(report.confidence, split), when)
            assert content[split][when]["ece"] == judged.ece
            assert [row["count"] for row in content[split][when]["reliability"]] == [
                b.count for b in judged.reliability
            ]
    assert content["sets"] == {"method": "lac", "coverage": 0.9, "limit": report.confidence.sets.limit}
    assert content["set_quality"]["mean_size"] == report.confidence.set_quality.mean_size
    assert (content["threshold"], content["answered"]) == (None, None)
    assert json.loads(metrics_json(make_report(confidence=None)))["calibration"] is None
    known = json.loads(metrics_json(make_report(checkpoint="best-000003", views="flip")))
    assert (known["checkpoint"], known["views"]) == ("best-000003", "flip")


def test_metrics_json_writes_what_is_not_finite_as_null() -> None:
    content = json.loads(metrics_json(make_report(seconds={"training": float("nan")}, val=None)))
    assert content["seconds"] is content["images_per_second"] is None
    assert content["val"] is None


def test_metrics_json_survives_names_that_are_not_utf8() -> None:
    text = metrics_json(make_report(dropped=[("b\udcffd\x1b.jpg", "bad")]))
    assert json.loads(text.encode())["dropped"][0]["path"] == "b\\udcffd\\x1b.jpg"


def test_history_has_timms_columns_and_exact_numbers() -> None:
    rows = _rows(history_csv(history(3)))
    assert rows[0] == ["epoch", "train_loss", "eval_loss", "eval_top1", "eval_top5", "lr"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "2"]
    assert [[float(cell) for cell in row] for row in rows[1:]] == [list(row.values()) for row in history(3)]


def test_history_appends_further_columns_and_leaves_gaps_empty() -> None:
    rows = _rows(history_csv([{"epoch": 0.0, "seconds": 2.0, "lr": 0.1}, {"epoch": 1.0, "lr": 0.1}]))
    assert rows == [["epoch", "lr", "seconds"], ["0", "0.1", "2.0"], ["1", "0.1", ""]]


def test_predictions_are_ranked_with_ties_by_class_index() -> None:
    predictions = Predicted(
        paths=("a.jpg",), labels=np.array([2]), probabilities=np.array([[0.25, 0.5, 0.25, 0.0, 0.0, 0.0]])
    )
    header, row = _rows(predictions_csv(predictions, ["a", "b", "c", "d", "e", "f"]))
    assert header[:4] == ["path", "label", "class_1", "probability_1"]
    assert header[-1] == "probability_5"
    assert row == ["a.jpg", "c", "b", "0.5", "a", "0.25", "c", "0.25", "d", "0", "e", "0"]


def test_two_classes_have_two_ranks() -> None:
    predictions = Predicted(paths=("a.jpg",), labels=np.array([0]), probabilities=np.array([[0.25, 0.75]]))
    header, row = _rows(predictions_csv(predictions, ["a", "b"]))
    assert len(header) == 6
    assert row == ["a.jpg", "a", "b", "0.75", "a", "0.25"]


def test_hostile_names_and_paths_stay_in_their_cell() -> None:
    predictions = Predicted(paths=('x,"\n\x1b[2J.jpg', "-1+1.jpg"), labels=np.array([0, 1]), probabilities=np.eye(2))
    rows = _rows(predictions_csv(predictions, ["=cmd()", "@b"]))
    assert rows[1][:3] == ['x,"\\n\\x1b[2J.jpg', "'=cmd()", "'=cmd()"]
    assert rows[2][:3] == ["'-1+1.jpg", "'@b", "'@b"]
