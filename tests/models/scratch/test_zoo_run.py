"""A network from scratch through the whole path: trained, judged, explained, and asked about new images."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from finegrain.models.weights import load_folder

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_digits_are_learned_from_reported_and_predicted(tmp_path: Path):
    words = ["model.args.depth=1", "model.args.dim=16", "train.epochs=1", "schedule.warmup_epochs=0"]
    run = ["--config", str(ROOT / "configs" / "digits_vit.py"), "--out", str(tmp_path / "run"), *words]
    assert main.main(run) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "First layer" in page
    assert "Each test image stands twice" in page
    (best,) = (tmp_path / "run" / "checkpoints").glob("best-*")
    model, class_names = load_folder(best)
    assert class_names == tuple("0123456789")
    assert model.architecture == "scratch/mnist_vit"
    assert model.model_args == {"patch_size": 2, "depth": 1, "dim": 16, "image_size": 8}
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "one.png")
    answers = tmp_path / "answers.csv"
    asked = ["predict", "--out", str(tmp_path / "run"), f"images={tmp_path / 'one.png'}", f"to={answers}"]
    assert main.main(asked) == 0
    with answers.open() as stream:
        assert len(list(csv.DictReader(stream))) == 1
