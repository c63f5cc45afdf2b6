"""The command line as a user meets it: results, and one message with exit code 2 for every wrong input."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from finegrain import config

ROOT = Path(__file__).parent.parent
CONFIG = str(ROOT / "configs" / "folder.py")
TINY = [
    "model.name=timm/test_resnet", "model.weights=none", "model.image_size=32", "train.epochs=1", "train.batch_size=8",
    "schedule.warmup_epochs=0", "runtime.threads=1", "runtime.precision=fp32", "runtime.device=cpu",
]  # fmt: skip


def make_images(root: Path, classes: tuple[str, ...] = ("jay", "wren"), each: int = 10) -> Path:
    rng = np.random.default_rng(list(root.name.encode()))
    for shade, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 100, (40, 40, 3), np.uint8) + np.uint8(60 * shade)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_images(tmp_path / "images")


def go(root: Path, out: Path, *words: str) -> int:
    return main.main([*words[:1], "--config", CONFIG, "--out", str(out), f"data.root={root}", *TINY, *words[1:]])


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one message of a refused run."""
    assert code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("finegrain: ")
    assert "Traceback" not in shown
    return shown


def test_train_then_evaluate_counts_the_looks_at_test(images: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    first = json.loads((out / "metrics.json").read_text())
    assert first["test_evaluations"] == 1
    assert set(first["test"]) >= {"top1", "top1_interval", "macro_f1", "auroc"}
    assert first["parameters"]["trainable"] < first["parameters"]["total"]
    for name in ("report.html", "report.md", "history.csv", "predictions.csv", "config.py"):
        assert (out / name).stat().st_size > 0
    assert go(images, out, "evaluate") == 0
    assert not (out / "features").exists()
    second = json.loads((out / "metrics.json").read_text())
    assert second["test_evaluations"] == 2
    assert second["test"] == first["test"]
    assert second["parameters"] == first["parameters"]


def test_the_written_config_repeats_the_run(images: Path, tmp_path: Path):
    assert go(images, tmp_path / "one", "train") == 0
    assert main.main(["--config", str(tmp_path / "one" / "config.py"), "--out", str(tmp_path / "two")]) == 0
    one, two = ((tmp_path / run / "predictions.csv").read_bytes() for run in ("one", "two"))
    assert one == two


def test_a_drawn_seed_is_said_and_repeats_the_run(images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    assert go(images, tmp_path / "a", "train", "seed=random") == 0
    seed = config.load(tmp_path / "a" / "config.py").seed
    assert f"seed={seed} was drawn" in caplog.text
    assert go(images, tmp_path / "b", "train", f"seed={seed}") == 0
    first, again = (tmp_path / run / "predictions.csv" for run in "ab")
    assert first.read_bytes() == again.read_bytes()
    assert go(images, tmp_path / "c", "train", "seed=random") == 0
    assert config.load(tmp_path / "c" / "config.py").seed != seed


def test_training_can_stop_after_two_steps(images: Path, tmp_path: Path):
    assert go(images, tmp_path / "run", "train", "train.max_steps=2", "train.epochs=50") == 0
    assert len(json.loads((tmp_path / "run" / "metrics.json").read_text())["splits"]) == 3


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("optim.lrr=1", "did you mean optim.lr?"),
        ("optim.lr=-1", "optim.lr is not allowed"),
        ("model.name=resnet51", "resnet50"),
        ("model.weights=no/such/file.safetensors", "no/such/file.safetensors"),
        ("runtime.precision=fp16", "needs CUDA"),
        ("name=a/b", "no folder name"),
        ("schedule.warmup_epochs=9", "longer than the run"),
        ("train.batch_size=0", "train.batch_size"),
    ],
)
def test_a_wrong_value_is_refused(images: Path, tmp_path: Path, capsys, word: str, part: str):
    assert part in refused(capsys, go(images, tmp_path / "run", "train", word))


def test_accuracy_and_coverage_are_promised_as_asked(images: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"

    def promised() -> tuple[float, float]:
        found = json.loads((out / "metrics.json").read_text())["calibration"]
        return found["wanted_accuracy"], found["sets"]["coverage"]

    assert go(images, out, "train", "accuracy=0.8") == 0
    assert promised() == (0.8, 0.9)
    assert go(images, out, "evaluate", "accuracy=0.995", "coverage=0.5") == 0
    assert promised() == (0.995, 0.5)
    assert "accuracy is not allowed: got 1.0; expected a number > 0 and < 1" in refused(
        capsys, go(images, out, "evaluate", "accuracy=1")
    )


def test_an_unknown_command_and_a_missing_config_are_refused(images: Path, tmp_path: Path, capsys):
    assert "no such command" in refused(capsys, go(images, tmp_path / "run", "trian"))
    assert "no such config file" in refused(capsys, main.main(["--config", str(tmp_path / "none.py")]))


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("fold=5", "expected a leaf field of the recipe, or folds, on, seeds; did you mean folds?"),
        ("onn=test", "did you mean on?"),
        ("optim.lrr=1", "did you mean optim.lr?"),
    ],
)
def test_a_misspelt_setting_of_a_command_is_answered_with_the_nearest(
    images: Path, tmp_path: Path, capsys, word: str, part: str
):
    assert part in refused(capsys, go(images, tmp_path / "run", "crossval", word))


@pytest.mark.parametrize("words", [["train"], ["explain"], ["compare", "a", "b"], []])
def test_explain_as_a_flag_is_of_predict_alone(words: list[str], capsys):
    shown = refused(capsys, main.main([*words, "--explain"]))
    assert shown.startswith(f"finegrain: --explain is of predict alone: got {' '.join(words)}; expected predict DIR")


def test_a_config_that_raises_is_refused(tmp_path: Path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("def config():\n    return 1 / 0\n")
    assert f"{file}:2 raised ZeroDivisionError" in refused(capsys, main.main(["--config", str(file)]))


def test_scratch_with_weights_is_refused_before_data_is_read(tmp_path: Path, capsys):
    words = [
        "--config",
        str(ROOT / "configs" / "pretrain_vit.py"),
        "--out",
        str(tmp_path),
        "model.weights=x.safetensors",
    ]
    assert "random weights" in refused(capsys, main.main(words))


def test_a_missing_root_and_one_class_are_refused(tmp_path: Path, capsys):
    assert str(tmp_path / "nowhere") in refused(capsys, go(tmp_path / "nowhere", tmp_path / "a", "train"))
    lonely = make_images(tmp_path / "lonely", classes=("jay",))
    assert "class" in refused(capsys, go(lonely, tmp_path / "b", "train"))


def test_a_damaged_image_stops_the_run_or_is_dropped_and_counted(images: Path, tmp_path: Path, capsys):
    (images / "jay" / "3.png").write_bytes(b"")
    assert "3.png" in refused(capsys, go(images, tmp_path / "a", "train"))
    assert go(images, tmp_path / "b", "train", "data.on_bad=drop") == 0
    numbers = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert sum(split["count"] for split in numbers["splits"].values()) == 19
    assert len(numbers["dropped"]) == 1


def test_a_directory_with_a_run_is_refused_unless_resumed(images: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    assert "--resume" in refused(capsys, go(images, out, "train"))


def test_resuming_a_finished_run_does_not_look_at_test_again(images: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    before = (out / "metrics.json").read_bytes()
    assert go(images, out, "train", "--resume") == 0
    assert "nothing is left to do" in capsys.readouterr().out
    assert (out / "metrics.json").read_bytes() == before
    (out / "report.html").unlink()  # as if it had been killed before the report
    assert go(images, out, "train", "--resume") == 0
    assert (out / "report.html").exists()


def test_the_report_is_of_the_run_whatever_the_command_line_of_evaluate_says(images: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert go(images, out, "train", "optim.lr=0.0123") == 0
    before = json.loads((out / "metrics.json").read_text())
    assert go(images, out, "evaluate", "name=other", "runtime.threads=1") == 0
    after = json.loads((out / "metrics.json").read_text())
    for key in ("name", "parameters", "test"):
        assert after[key] == before[key]
    assert after["seconds_by_phase"]["training"] == pytest.approx(before["seconds_by_phase"]["training"])
    assert "0.0123" in (out / "report.html").read_text()


def test_a_run_may_start_at_a_linear_probe(images: Path, tmp_path: Path):
    """With a rate of nearly nothing the head stays what it starts as."""
    losses = {}
    for probe in ("true", "false"):
        out = tmp_path / probe
        words = ("optim.lr=1e-12", "optim.head_lr=1e-12", "optim.weight_decay=0", f"tuning.probe_first={probe}")
        assert go(images, out, "train", *words) == 0
        losses[probe] = json.loads((out / "metrics.json").read_text())["test"]["loss"]
    assert losses["true"] < 0.2
    assert losses["false"] > 0.5


@pytest.mark.parametrize(
    ("views", "said"), [("flip", "mirror image"), ("five_crop", "five crops"), ("multi_scale", "several scales")]
)
def test_predictions_over_several_views_are_said_to_be(images: Path, tmp_path: Path, views: str, said: str):
    assert go(images, tmp_path / "run", "train", "train.max_steps=1", f"evaluation.views={views}") == 0
    assert said in (tmp_path / "run" / "report.md").read_text()


def test_a_wrong_model_is_met_before_the_images_are_read(images: Path, tmp_path: Path, capsys):
    (images / "jay" / "3.png").write_bytes(b"")
    assert "resnet99" in refused(capsys, go(images, tmp_path / "a", "train", "model.name=resnet99"))


def test_a_network_of_one_size_cannot_be_trained_at_another_than_it_evaluates(images: Path, tmp_path: Path, capsys):
    words = ("train", "model.name=timm/pit_ti_224", "augment.image_size=64")
    assert "model.image_size" in refused(capsys, go(images, tmp_path / "a", *words))
    assert go(images, tmp_path / "b", "train", "augment.image_size=64") == 0


def test_evaluating_on_other_classes_is_refused(images: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    other = make_images(tmp_path / "other", classes=("jay", "yaffle"))
    assert "differ first at number 1" in refused(capsys, go(other, out, "evaluate"))


def test_evaluating_on_other_splits_is_refused(images: Path, tmp_path: Path, capsys):
    """Its test images might be among those that were trained on."""
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    assert "test split" in refused(capsys, go(images, out, "evaluate", "data.split_seed=7"))
    assert json.loads((out / "metrics.json").read_text())["test_evaluations"] == 1


@pytest.mark.parametrize("content", ["", "one", "[1]"])
def test_a_damaged_count_of_looks_is_refused(images: Path, tmp_path: Path, capsys, content: str):
    out = tmp_path / "run"
    assert go(images, out, "train") == 0
    (out / "test_evaluations.json").write_text(content)
    assert "test_evaluations.json is damaged" in refused(capsys, go(images, out, "evaluate"))


def test_a_config_that_returns_another_dataclass_is_refused(tmp_path: Path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from finegrain.models.config import ModelConfig\ndef config():\n    return ModelConfig()\n")
    assert "returned no Recipe" in refused(capsys, main.main(["--config", str(file)]))


def test_capital_split_folders_are_splits_and_no_classes(tmp_path: Path):
    for split in ("Train", "Test"):
        make_images(tmp_path / "images" / split)
    assert go(tmp_path / "images", tmp_path / "run", "train") == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["splits"]["test"]["count"] == 20


def test_help_costs_less_than_a_third_of_importing_torch():
    """Judged by imports, as tests never time: none of the slow libraries is loaded."""
    code = "import atexit, sys, main; atexit.register(lambda: print(*sys.modules)); main.main(['--help'])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "KEY=VALUE" in shown.stdout
    assert not {"torch", "numpy", "cv2", "PIL", "sklearn", "timm", "matplotlib"} & set(shown.stdout.split())
