import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from repeated_sample import judged, make_repeated

from finegrain.metrics.repeated import Judged
from finegrain.report.repeated_record import RepeatedRecord
from finegrain.report.repeated_tables import RESULTS, costs_csv, metrics_json, result_row
from finegrain.report.tables import csv_text


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def results_csv(report: RepeatedRecord) -> str:
    """All rows, as `repeated.judges` puts them together."""
    cells = zip(report.judged, report.hashes, strict=True)
    return csv_text(RESULTS, [result_row(cell, weights=report.weights, hashes=hashes) for cell, hashes in cells])


def _of_one_class() -> tuple[Judged, ...]:
    """One cell whose AUROC is not defined."""
    cells = judged(seeds=1, folds=1)
    cells[0].labels[:] = 0
    return cells


def test_results_have_a_row_a_cell_with_exact_scores() -> None:
    report = make_repeated()
    rows = _rows(results_csv(report))
    assert [(row["seed"], row["fold"]) for row in rows] == [(str(s), str(f)) for s in (0, 1) for f in (0, 1, 2)]
    for row, cell in zip(rows, report.metrics.cells, strict=True):
        names = ("top1", "top5", "macro_f1", "auroc", "loss", "ece", "brier")
        assert [float(row[name]) for name in names] == [getattr(cell, name) for name in names]
        assert (row["images"], row["trained_images"], row["weights"]) == ("6", "12", "a1_in1k")
    assert rows[2]["val_sha256"] == "v2" * 32


def test_wall_times_are_in_the_costs() -> None:
    report = make_repeated()
    slower = dataclasses.replace(report, seconds=tuple(9 * s for s in report.seconds), peak_memory_bytes=1)
    assert costs_csv(slower) != costs_csv(report)


def test_results_are_safe_in_a_spreadsheet_and_leave_gaps_empty() -> None:
    rows = _rows(results_csv(make_repeated(cells=_of_one_class(), weights="=cmd()\n")))
    assert (rows[0]["weights"], rows[0]["auroc"]) == ("'=cmd()\\n", "")


def test_costs_count_images_once_an_epoch_and_the_judged() -> None:
    rows = _rows(costs_csv(make_repeated()))
    assert [row["epochs"] for row in rows] == ["4", "5"] * 3
    assert [int(row["images_seen"]) for row in rows[:2]] == [12 * 4 + 6, 12 * 5 + 6]
    assert float(rows[0]["images_per_second"]) == pytest.approx((12 * 4 + 6) / 1.5)
    head = _rows(costs_csv(make_repeated(histories=(), seconds=(0.0,) * 6)))[0]
    assert (head["epochs"], head["images_seen"], head["images_per_second"]) == ("0", "18", "")


def test_metrics_json_has_the_promised_shape() -> None:
    report = make_repeated()
    content = json.loads(metrics_json(report))
    scores = [cell.top1 for cell in report.metrics.cells]
    assert content["top1"]["cells"] == scores
    assert content["top1"]["mean"] == pytest.approx(np.mean(scores))
    assert content["top1"]["sd"] == pytest.approx(np.std(scores, ddof=1))
    assert content["top1"]["variance"] == pytest.approx(np.var(scores, ddof=1))
    for of, expected in (
        ("training", report.metrics.top1.of_training),
        ("images", report.metrics.of_images),
        ("both", report.metrics.of_both),
    ):
        assert content["top1"][f"interval_{of}"] == list(expected or ())
    assert set(content["loss"]) == {"mean", "variance", "sd", "cells", "interval_training"}
    assert content["risk_coverage"]["risk"] == list(report.metrics.risk)
    assert content["risk_coverage"]["coverage"][-1] == 1
    assert content["cells"][4] == {"seed": 1, "fold": 1}
    assert [row["name"] for row in content["per_class"]] == ["wren", "robin", "jay"]
    recalls = [cell.per_class[1].recall for cell in report.metrics.cells]
    assert content["per_class"][1]["sd"] == pytest.approx(np.std(recalls, ddof=1))
    assert content["per_class"][1]["variance"] == pytest.approx(np.var(recalls, ddof=1))
    assert content["seconds"] == sum(report.seconds)
    seen = [int(row["images_seen"]) for row in _rows(costs_csv(report))]
    assert content["images_per_second"] == pytest.approx(sum(seen) / sum(report.seconds))
    assert content["splits"][5]["train"] == "t5" * 32
    assert content["parameters"] == {"total": 11_279_112, "trainable": 102_600}


def test_metrics_json_writes_what_is_not_known_as_null() -> None:
    content = json.loads(metrics_json(make_repeated(cells=_of_one_class())))
    assert content["auroc"] is None
    assert content["top1"]["sd"] is None
    assert content["top1"]["interval_training"] is content["top1"]["interval_both"] is None


def test_metrics_json_survives_names_that_are_not_utf8() -> None:
    text = metrics_json(make_repeated(["b\udcffd", "a", "c"], weights="w\udcff", protocol=("p\udcff",)))
    content = json.loads(text.encode())
    assert content["per_class"][0]["name"] == "b\\udcffd"
    assert (content["weights"], content["protocol"]) == ("w\\udcff", ["p\\udcff"])
