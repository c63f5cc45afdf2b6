"""`main_gan.py` as a user meets it: what a run leaves, an exact resume, and one message for every wrong input."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import main
import main_gan
from finegrain.gan.generator_folder import read_generator
from finegrain.gan.trainer import GeneratorTrainer

ROOT = Path(__file__).parent.parent.parent
CONFIG = str(ROOT / "configs" / "gan.py")
TINY = [
    "image_size=32", "data.num_species=3", "data.train_per_species=6", "data.val_per_species=4", "data.image_size=32",
    "data.test_per_species=1", "generator.width=2", "discriminator.width=2", "generator.noise_dim=4",
    "train.steps=5", "train.evaluate_steps=2", "train.batch_size=8", "train.discriminator_steps=1",
    "selection.samples=12", "runtime.device=cpu", "runtime.precision=fp32",
]  # fmt: skip


def go(out: Path, *words: str) -> int:
    return main_gan.main(["--config", CONFIG, "--out", str(out), *TINY, *words])


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one message of a refused run."""
    assert code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("finegrain: ")
    assert "Traceback" not in shown
    return shown


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gan") / "whole"
    assert go(out) == 0
    return out


def products(run: Path) -> dict[str, bytes]:
    """Everything a finished run leaves that does not tell the time."""
    latest, best = (max((run / "checkpoints").glob(f"{kind}-*")) for kind in ("latest", "best"))
    files = [latest / "state.safetensors", best / "generator.safetensors", best / "generator.json"]
    files += [run / "generated.png", *sorted((run / "grids").iterdir())]
    return {file.name: file.read_bytes() for file in files}


def test_a_run_leaves_checkpoints_grids_and_a_report(whole: Path) -> None:
    assert [path.name for path in sorted((whole / "grids").iterdir())] == [
        "step-000002.png", "step-000004.png", "step-000005.png",
    ]  # fmt: skip
    assert Image.open(whole / "generated.png").size == (8 * 34 - 2, 3 * 34 - 2)
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["kept_step"] in (2, 4, 5)
    assert metrics["counts"] == {"train": 18, "val": 12, "test": 3}
    distance = metrics["kernel_distance"]
    assert (distance["n_real"], distance["n_fake"]) == (12, 12)
    assert len(distance["extractor"]["sha256"]) == 64
    history = (whole / "history.csv").read_text().splitlines()
    assert history[0].startswith("step,d_loss,d_real,d_fake,g_loss,kernel_distance,diversity")
    assert len(history) == 4
    page = (whole / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert (whole / "curves.png").stat().st_size > 0
    logged = EventAccumulator(str(whole / "tensorboard")).Reload()
    assert [picture.step for picture in logged.Images("grid")] == [2, 4, 5]


def test_the_kept_generator_is_tied_to_the_train_split_and_makes_the_grid(whole: Path) -> None:
    kept = read_generator(max((whole / "checkpoints").glob("best-*")))
    assert kept.data == json.loads((whole / "metrics.json").read_text())["identity"]
    assert {"train split", "train contents"} <= set(kept.data)
    assert len((kept.train_images or b"").splitlines()) == 18
    assert kept.thumbnails is not None
    assert sorted(kept.thumbnails.labels.tolist()) == sorted([0, 1, 2] * 6)
    assert kept.class_names == tuple(json.loads((whole / "metrics.json").read_text())["class_names"])
    state = json.loads((max((whole / "checkpoints").glob("latest-*")) / "state.json").read_text())
    assert state["identity"]["train split"] == kept.data["train split"]
    assert kept.generator.sample([0, 1], [5, 6]).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(("step", "crash"), [(3, False), (4, False), (3, True), (5, True)])
def test_a_killed_run_goes_on_to_the_same_bytes(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, crash: bool
) -> None:
    take_step = GeneratorTrainer._take_step

    def stopped(self: GeneratorTrainer, images: object) -> None:
        if crash and self.progress.step == step - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        take_step(self, images)  # type: ignore[arg-type]
        if self.progress.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(GeneratorTrainer, "_take_step", stopped)
        if crash:
            process = multiprocessing.get_context("fork").Process(target=go, args=(tmp_path / "run",))
            process.start()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        else:
            assert go(tmp_path / "run") == 143
    assert go(tmp_path / "run", "--resume") == 0
    assert products(tmp_path / "run") == products(whole)


def test_a_collapse_ends_the_training_and_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A learning rate ten times too high: images come nearer to val's for some steps, and then go far away."""
    words = ["data.train_per_species=20", "data.val_per_species=8", "generator.width=4", "discriminator.width=4"]
    words += ["generator.noise_dim=8", "train.batch_size=16", "train.ema_decay=0.8", "train.lr=2e-3"]
    words += ["selection.samples=24", "train.steps=1000", "train.evaluate_steps=5", "train.patience=8"]
    config = tmp_path / "recipe.py"
    config.write_text(
        "from finegrain.data.synthetic import SyntheticBirds\nfrom finegrain.gan.losses import NonSaturating\n"
        "from finegrain.gan.methods.adversarial import GanRecipe\n\n\n"
        "def config():\n    return GanRecipe(name='high', data=SyntheticBirds(), loss=NonSaturating())\n"
    )
    assert main_gan.main(["--config", str(config), "--out", str(tmp_path / "run"), *TINY, *words]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    with (tmp_path / "run" / "history.csv").open() as file:
        history = {int(float(row["step"])): float(row["kernel_distance"]) for row in csv.DictReader(file)}
    kept, last = found["kept_step"], max(history)
    assert last == kept + 40 < 1000
    assert history[5] > history[kept] == min(history.values())
    assert history[last] > 10 * history[kept]
    said = f"Collapsed at step {last} ({history[last] / history[kept]:.1f} times the distance), using step {kept}."
    assert said in shown
    assert said in (tmp_path / "run" / "report.html").read_text()


def test_the_written_config_repeats_the_run(whole: Path, tmp_path: Path) -> None:
    assert main_gan.main(["--config", str(whole / "config.py"), "--out", str(tmp_path / "again")]) == 0
    assert products(tmp_path / "again")["generated.png"] == products(whole)["generated.png"]


def test_a_run_is_not_gone_on_with_under_another_recipe(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds a run already" in refused(capsys, go(whole))
    shown = refused(capsys, go(whole, "--resume", "train.lr=1e-3"))
    assert "train.lr: 0.0002 was saved, 0.001 is asked for" in shown


def test_resume_takes_only_a_generators_run(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos" / "wren").mkdir(parents=True)
    (tmp_path / "photos" / ".hidden").touch()
    assert "holds nothing to go on with: got wren and no config.py" in refused(
        capsys, go(tmp_path / "photos", "--resume")
    )
    assert sorted(file.name for file in (tmp_path / "photos").iterdir()) == [".hidden", "wren"]
    (tmp_path / "of_a_classifier").mkdir()
    (tmp_path / "of_a_classifier" / "config.py").write_text("def config() -> Recipe:\n")
    shown = refused(capsys, go(tmp_path / "of_a_classifier", "--resume"))
    assert "got a config.py of another kind; expected a training that a GanRecipe began" in shown
    (tmp_path / "file").touch()
    assert "holds nothing to go on with: got file" in refused(capsys, go(tmp_path / "file", "--resume"))


def test_what_a_run_left_that_was_killed_at_once_is_gone_on_with(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(whole / "pixel_components.safetensors", run)
    for name in ("run.lock", ".tmp-test"):
        (run / name).touch()
    assert go(run, "--resume") == 0
    assert products(run) == products(whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.synthetic=gen/x"], "a generator learns from real images: got gen/x; expected none"),
        (["image_size=48"], "image_size cannot take this value: got 48; expected one of 32, 64, 128, 256"),
        (["data.train_per_species=1"], "a class with one train image: got plain-winged"),
        (["data.val_per_species=3"], "val has too few images to choose a generator: got 9; expected at least 10"),
        (["runtime.cache=x"], "runtime.cache has no effect"),
        (
            ["discriminator.normalisation=batch", "loss.r1=1"],
            "discriminator.normalisation: got batch; expected spectral",
        ),
        (["train.step=5"], "unknown config key: got train.step"),
        (["train.lr=1e30"], "is not finite at step"),
        (["selection.classifier=nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in refused(capsys, go(tmp_path / "run", *words))


def test_one_thing_is_done_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main_gan.main(["--gen", "--quality"])
    assert "argument --quality: not allowed with argument --gen" in capsys.readouterr().err
    shown = refused(capsys, main_gan.main([]))
    assert "--config is missing" in shown
    assert "add --gen, --quality or --verdict" in shown


def test_each_program_refuses_the_others_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quickstart = str(ROOT / "configs" / "quickstart.py")
    message = "config() returned no generator's recipe: got Recipe; expected a GanRecipe, VaeRecipe or DiffusionRecipe"
    assert message in refused(capsys, main_gan.main(["--config", quickstart]))
    assert "config() returned no Recipe: got GanRecipe" in refused(capsys, main.main(["--config", CONFIG]))


def test_a_folder_of_images_can_be_generated_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("jay", "wren"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    config = tmp_path / "recipe.py"
    config.write_text(
        "from finegrain.data.folder import ImageFolder\nfrom finegrain.gan.methods.adversarial import GanRecipe\n\n\n"
        "def config():\n    return GanRecipe(name='own', data=ImageFolder(root='images', val_fraction=0.4))\n"
    )
    words = [word for word in TINY if not word.startswith("data.")]
    words += [f"data.root={tmp_path / 'images'}", "train.steps=1"]
    assert main_gan.main(["--config", str(config), "--out", str(tmp_path / "run"), *words]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["class_names"] == ["jay", "wren"]
    assert "carved out of train" in metrics["notes"][0]


def test_used_up_memory_names_settings_of_this_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: object, images: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(GeneratorTrainer, "_take_step", full)
    shown = refused(capsys, go(tmp_path / "run"))
    assert "the device's memory is used up: got CUDA out of memory" in shown
    assert "lower train.batch_size or the networks' width" in shown
    assert "accumulate_steps" not in shown


@pytest.mark.parametrize("kind", ["cvae", "diffusion"])
def test_the_other_kinds_of_generators_go_the_same_way(tmp_path: Path, kind: str) -> None:
    """A run, its report, and images of it."""
    words = [word for word in TINY if not word.startswith(("generator", "discriminator", "train.discriminator"))]
    words += {
        "cvae": ["generator.width=2", "generator.noise_dim=4", "encoder.width=2"],
        "diffusion": ["denoiser.width=4", "denoiser.sampling_steps=1", "denoiser.guidance=1"],
    }[kind]
    go = ["--config", str(ROOT / "configs" / f"{kind}.py"), *words, "train.steps=2", "--out"]
    assert main_gan.main([*go, str(tmp_path / "run")]) == 0
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0].split(",")
    assert {"mse", "kernel_distance"} <= set(header)
    assert (tmp_path / "run" / "report.html").stat().st_size > 0
    made = ["--gen", str(tmp_path / "run"), "--per-class", "2", "--truncation", "1", "--out", str(tmp_path / "gen")]
    assert main_gan.main([*made, "runtime.device=cpu"]) == 0
    assert len((tmp_path / "gen" / "manifest.jsonl").read_text().splitlines()) == 6
