"""benchmarks/methods.py: its table says what the evaluations wrote."""

import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
METRICS = {
    "top1": {"mean": 0.912, "sd": 0.0061, "interval_both": [0.9, 0.9249], "interval_images": [0.905, 0.92]},
    "parameters": {"total": 2000, "trainable": 50},
    "seconds_by_cell": [60, 600, 90],
    "peak_memory_bytes": 1_540_000_000,
    "cells": [{"seed": seed, "fold": 0} for seed in range(3)],
}


@pytest.fixture(scope="module")
def methods():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import methods

        yield methods


def test_a_row_says_accuracy_share_time_memory_and_size(methods: ModuleType):
    cells = ("`birds`", "91.2 ± 0.6 (90.0–92.5)", "2.5", "1.5", "1.5", "0.5")
    assert methods.row("birds", METRICS, kept=527_695) == cells
    assert methods.table([cells]).splitlines()[2] == "| `birds` | 91.2 ± 0.6 (90.0–92.5) | 2.5 | 1.5 | 1.5 | 0.5 |"


def test_what_is_not_known_stays_empty(methods: ModuleType):
    top1 = {"mean": 0.5, "sd": None, "interval_both": None, "interval_images": [0.4, 0.6]}
    cells = methods.row("one", METRICS | {"top1": top1, "peak_memory_bytes": None}, kept=None)
    assert cells == ("`one`", "50.0 (40.0–60.0)", "2.5", "1.5", "", "")


def test_an_adapter_is_what_has_to_be_kept_where_there_is_one(methods: ModuleType, tmp_path: Path):
    assert methods.kept_bytes(tmp_path) is None
    best = tmp_path / "runs" / "seed-0-fold-0" / "checkpoints" / "best-000002"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_bytes(bytes(1000))
    assert methods.kept_bytes(tmp_path) == 1000
    (best / "adapter").mkdir()
    (best / "adapter" / "model.safetensors").write_bytes(bytes(10))
    assert methods.kept_bytes(tmp_path) == 10


def test_a_finished_evaluation_is_not_begun_again(methods: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[list[str]] = []
    monkeypatch.setattr(methods.subprocess, "run", lambda words, **_: started.append(words))
    config, folder = Path("configs/quickstart.py"), tmp_path / "quickstart"
    methods.train(config, folder, seeds=3, changes=["optim.lr=1"])
    assert started[0][2:] == [
        "crossval", "on=test", "seeds=3", "--config", str(config), "--out", str(folder), "optim.lr=1",
    ]  # fmt: skip
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    methods.train(config, folder, seeds=3, changes=[])
    assert len(started) == 1
    methods.train(config, folder, seeds=4, changes=[])
    assert len(started) == 2
