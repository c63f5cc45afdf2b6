"""`main_gan.py --gen`: every row makes its image again, whatever happened meanwhile, and nothing else is touched."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from timm.data.readers.reader_image_folder import ReaderImageFolder

import main_gan
from finegrain.data import splits
from finegrain.data.folder import ImageFolder
from finegrain.data.generated import read_version
from finegrain.errors import OutputError
from finegrain.gan import generate, version
from finegrain.gan.generate import make
from finegrain.gan.generator_folder import read_generator, write_generator
from finegrain.gan.networks.generator import GeneratorConfig
from finegrain.gan.version import Place, Version
from finegrain.runtime import seed_of
from finegrain.storage import RunDirectory

NAMES, COUNTS = ("auk", "F/A-18", "wren"), (3, 9, 7)
CONFIG = GeneratorConfig(width=2, noise_dim=4)
SEEN = ("0123456789abcdef", "fedcba9876543210")
DATA = {"train split": "ab", "train contents": "cd", "test split": "ef"}


def kept_by(run: Path) -> Path:
    return max((run / "checkpoints").glob("best-*"))


def trained(run: Path, *, seed: int = 0, broken: int | None = None, finished: bool = True) -> Path:
    """A run that kept a generator; of the class `broken` it makes no finite pixel."""
    torch.manual_seed(seed)
    made = CONFIG.build(image_size=32, num_classes=3)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    made(torch.randn(16, 4), torch.arange(16) % 3)
    if broken is not None:
        made.embedding.weight.data[broken] = torch.nan
    facts: dict[str, Any] = {"class_names": NAMES, "class_counts": COUNTS, "data": DATA, "train_images": SEEN}
    facts["recipe"] = f"R{seed}"
    with RunDirectory(run, resume=True) as directory:
        directory.save("best", lambda folder: write_generator(made, folder, config=CONFIG, image_size=32, **facts))
        if finished:
            directory.write("metrics.json", "{}")
    return run


def go(*words: str | Path) -> int:
    return main_gan.main(["--gen", "runtime.device=cpu", *map(str, words)])


def files(path: Path) -> dict[str, bytes]:
    found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items() if name != ".lock"}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("run") / "gan")


@pytest.fixture(scope="module")
def whole(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gen") / "whole"
    assert go(run, "--per-class", 14, "--out", out) == 0
    return out


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[int], str]:
    def message(code: int) -> str:
        assert code == 2
        shown = capsys.readouterr().err
        assert shown.startswith("finegrain: ")
        return shown

    return message


def test_the_manifest_tells_of_each_file(run: Path, whole: Path) -> None:
    written, found = files(whole), rows(whole)
    assert len(found) == 42
    assert {row["path"] for row in found} | {"manifest.jsonl", "generation.json", "train_images.txt"} == set(written)
    assert len({row["sha256"] for row in found}) == len({row["seed"] for row in found}) == 42
    assert found[15]["path"] == "F%2FA-18/00001.png"
    assert found[15]["seed"] == seed_of(0, "image", "F/A-18", 1)
    content = json.loads((kept_by(run) / "generator.json").read_text())
    for row in found:
        assert row["sha256"] == hashlib.sha256(written[row["path"]]).hexdigest()
        assert (row["checkpoint"], row["train_split"]) == (content["sha256"], "ab")
        assert (row["kept"], row["reason"]) == (True, None)


def test_a_classifier_reads_it_by_its_manifest(whole: Path) -> None:
    version = read_version(whole)
    assert version.class_names == NAMES
    assert version.asked == (14, 14, 14)
    assert version.train_images == set(SEEN)
    assert [sample.label for sample in version.samples] == [0] * 14 + [1] * 14 + [2] * 14
    assert version.samples[14].path.endswith("/F%2FA-18/00000.png")


def test_any_row_makes_its_image_again_in_any_batch(run: Path, tmp_path: Path) -> None:
    """A hundred rows, one by one, in another order and among another number of images; from what they say alone."""
    out = tmp_path / "out"
    assert go(run, "--per-class", 34, "--truncation", 2, "--out", out) == 0
    chosen, generator = random.Random(0).sample(rows(out), 100), read_generator(kept_by(run))
    places = [
        Place(label=NAMES.index(r["class"]), class_name=r["class"], path=r["path"], seed=r["seed"]) for r in chosen
    ]
    wanted = [(out / place.path).read_bytes() for place in places]
    assert {row["sha256"] for row in chosen} == {hashlib.sha256(content).hexdigest() for content in wanted}
    for size in (1, 7, 100):
        parts = [places[start : start + size] for start in range(0, 100, size)]
        assert [
            image for part in parts for image in make(generator, part, truncation=chosen[0]["truncation"])
        ] == wanted


def test_every_reader_of_class_folders_reads_it(whole: Path) -> None:
    torchvision_reads = torchvision.datasets.ImageFolder(str(whole))
    assert torchvision_reads.classes == ["F%2FA-18", "auk", "wren"]
    assert np.bincount(torchvision_reads.targets).tolist() == [14, 14, 14]
    assert len(ReaderImageFolder(str(whole))) == 42
    config = ImageFolder(root=str(whole))
    data = splits.build(config, config.table())
    assert data.class_names == ("F%2FA-18", "auk", "wren")
    assert len(data.train) + len(data.val) + len(data.test) == 42
    assert data.source.read(data.train[0]).shape == (32, 32, 3)


def test_fewer_images_are_the_first_and_other_seeds_others(run: Path, whole: Path, tmp_path: Path) -> None:
    assert go(run, "--per-class", 3, "--classes", "wren,F/A-18", "--out", tmp_path / "few") == 0
    few, all_of_them = files(tmp_path / "few"), files(whole)
    assert {name for name in few if name.endswith("png")} == {
        f"{name}/0000{number}.png" for name in ("F%2FA-18", "wren") for number in range(3)
    }
    assert all(all_of_them[name] == content for name, content in few.items() if name.endswith("png"))
    for option in (("--seed", "1"), ("--truncation", "0.5")):
        other = tmp_path / option[0]
        assert go(run, "--per-class", 1, *option, "--out", other) == 0
        assert files(other)["wren/00000.png"] != few["wren/00000.png"]
    assert rows(other)[0]["truncation"] == 0.5


def test_classes_are_filled_up_to_a_number(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(run, "--fill-to", 8, "--out", tmp_path / "out") == 0
    assert [len(list((tmp_path / "out").glob(f"{name}/*"))) for name in ("auk", "F*", "wren")] == [5, 0, 1]
    assert "Asked 6, kept 6, of 2 classes." in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["before the file", "before its row", "within its row"])
def test_an_interrupted_version_goes_on_to_the_same_bytes(
    run: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    out, name = tmp_path / "out", "atomic_write" if moment == "before the file" else "append_line"
    write = getattr(version, name)

    def stopped(path: Path, content: Any) -> None:
        if sum(1 for _ in out.rglob("*.png")) == 17:
            if moment == "within its row":
                with path.open("a") as file:
                    file.write(content[:30])
            raise RuntimeError("crash")
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(version, name, stopped)
        with pytest.raises(RuntimeError, match="crash"):
            go(run, "--per-class", 14, "--out", out)
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}
    assert len(times) == 17
    assert go(run, "--per-class", 14, "--out", out) == 0
    assert files(out) == files(whole)
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_a_signal_stops_after_an_image_and_says_how_to_go_on(
    run: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, add = tmp_path / "out", Version.add

    def signalled(self: Version, place: Place, content: bytes | None) -> None:
        add(self, place, content)
        if len(self.rows) == 9:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Version, "add", signalled)
        assert go(run, "--per-class", 14, "--out", out) == 130
    shown = capsys.readouterr().err
    assert f"stopped by SIGINT at image 9 of 42; what is written stays; the same command with --out {out}" in shown
    assert len(rows(out)) == 9
    assert go(run, "--per-class", 14, "--out", out) == 0
    assert files(out) == files(whole)


@pytest.mark.parametrize("call", [7, 20, 21, 22, 23, 24])
def test_a_full_disk_leaves_a_valid_version(
    run: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], str], call: int
) -> None:
    out, fsync, calls = tmp_path / "out", os.fsync, iter(range(1000))

    def full(descriptor: int) -> None:
        if next(calls) >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        shown = refused(go(run, "--per-class", 14, "--out", out))
    assert "No space left on device" in shown
    assert f"{len(rows(out))} of 42 are done: what is written stays; the same command" in shown
    written, named = set(files(out)), {row["path"] for row in rows(out)}
    assert named <= written
    assert len({name for name in written if name.endswith(".png")} - named) <= 1
    assert not any(".tmp-" in name for name in written)
    assert go(run, "--per-class", 14, "--out", out) == 0
    assert files(out) == files(whole)


def test_what_is_lost_is_made_again_and_what_was_changed_is_refused(
    run: Path, whole: Path, tmp_path: Path, refused: Callable[[int], str]
) -> None:
    out, words = tmp_path / "out", ("--per-class", 14, "--out", tmp_path / "out")
    assert go(run, *words) == 0
    lost, manifest = out / "wren" / "00003.png", out / "manifest.jsonl"
    lost.unlink()
    assert go(run, *words) == 0
    assert files(out) == files(whole)
    lost.write_bytes(b"mine")
    assert f"{lost} is not what manifest.jsonl says: got other bytes" in refused(go(run, *words))
    assert lost.read_bytes() == b"mine"
    lost.unlink()
    lines = manifest.read_text().splitlines(keepends=True)
    head, rest = lines[:5], lines[6:]
    for damaged in ([*head, "{\n", *rest], [*head, "[" * 100_000 + "\n", *rest], [*head, *rest], [*lines, lines[0]]):
        manifest.write_text("".join(damaged))
        assert "manifest.jsonl is damaged: got line " in refused(go(run, *words))
    manifest.write_text("".join(lines[:-1]))
    (out / "wren" / "00013.png").write_bytes(b"mine")
    assert "00013.png is not what manifest.jsonl says: got another file" in refused(go(run, *words))


def test_images_that_are_not_finite_or_alike_are_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = trained(tmp_path / "run", broken=2), tmp_path / "out"
    for _ in range(2):  # the second time nothing is missing
        assert go(run, "--per-class", 5, "--truncation", "1e-9", "--out", out) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[:2] == ["Asked 15, kept 2, of 3 classes.", "  auk: asked 5, kept 1 (4 the same as another image)"]
        assert shown[3] == "  wren: asked 5, kept 0 (5 not finite)"
    assert sorted(name for name in files(out) if name.endswith(".png")) == ["F%2FA-18/00000.png", "auk/00000.png"]
    assert not (out / "wren").exists()
    found = rows(out)
    assert (found[1]["path"], found[1]["reason"]) == (None, "same as auk/00000.png")
    assert (found[14]["sha256"], found[14]["reason"]) == (None, "not finite")


def test_each_time_a_new_version_of_the_newest_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generate, "BUNDLED", "nowhere")
    config = Path(main_gan.__file__).parent / "configs" / "gan.py"
    for words in ((), ("--config", config)):
        assert "no trained generator" in (shown := refused(go(*words)))
        assert "train one: python main_gan.py --config configs/gan.py" in shown
    for number, name in enumerate(("gan/20260101-000000-aaaa", "other/20260102-000000-aaaa")):
        trained(tmp_path / "ckpt" / name, seed=number)
    unfinished = trained(tmp_path / "ckpt" / "gan" / "20260103-000000-aaaa", seed=2, finished=False)
    assert go("--per-class", 1) == 0
    (first,) = (tmp_path / "gen").iterdir()
    before = files(first)
    assert json.loads(before["generation.json"])["run"] == "20260102-000000-aaaa"
    assert go("--per-class", 1, "--config", config) == 0
    (second,) = set((tmp_path / "gen").iterdir()) - {first}
    assert json.loads(files(second)["generation.json"])["run"] == "20260101-000000-aaaa"
    assert files(first) == before
    assert go(unfinished, "--dry-run", "--fill-to", 9) == 0
    assert "8 images of 32 pixels" in capsys.readouterr().out
    assert len(list((tmp_path / "gen").iterdir())) == 2
    assert go(unfinished, "--per-class", 1) == 0
    assert "is not finished: this is the best generator so far" in capsys.readouterr().out


def test_with_nothing_trained_the_bundled_generator_is_used_and_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(kept_by(run), tmp_path / "bundle")
    monkeypatch.setattr(generate, "BUNDLED", str(tmp_path / "bundle"))
    monkeypatch.setattr(generate.logger, "info", lambda text, *parts: said.append(text % parts))
    said: list[str] = []
    assert go("--per-class", 1) == 0
    assert said == [
        f"Nothing was trained here yet: this is the bundled generator of drawn birds, {tmp_path / 'bundle'}"
    ]
    (out,) = (tmp_path / "gen").iterdir()
    assert json.loads((out / "generation.json").read_text())["run"] == "bundle"
    config = Path(main_gan.__file__).parent / "configs" / "gan.py"
    assert "no trained generator" in refused(go("--config", config))  # another was asked for
    trained(tmp_path / "ckpt" / "gan" / "20260101-000000-aaaa")
    assert go("--per-class", 1) == 0
    assert len(said) == 1


def test_a_version_is_not_gone_on_with_otherwise(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], str]
) -> None:
    out = tmp_path / "out"
    assert go(run, "--per-class", 1, "--out", out) == 0
    before = files(out)
    other = trained(tmp_path / "other", seed=1)
    for words, difference in [
        ((run, "--per-class", 2), "per_class: 1 was saved, 2 is asked for"),
        ((run, "--per-class", 1, "--seed", 3), "seed: 0 was saved, 3 is asked for"),
        ((run, "--per-class", 1, "--truncation", 1), "truncation: None was saved, 1.0 is asked for"),
        ((run, "--per-class", 1, "--classes", "auk"), "classes: 3 were saved, 1 are asked for"),
        ((other, "--per-class", 1), "checkpoint: "),
    ]:
        assert difference in refused(go(*words, "--out", out))
    assert files(out) == before
    (tmp_path / "mine" / "auk").mkdir(parents=True)
    assert "holds something else: got auk" in refused(go(run, "--per-class", 1, "--out", tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["auk"]
    assert "is no folder" in refused(go(run, "--per-class", 1, "--out", out / "manifest.jsonl"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "wrenn"], "got wrenn; expected one of the generator's 3 classes; did you mean wren"),
        (["--classes", "auk", "ibis,tern"], "--classes has faults (2 faults)"),
        (["--per-class", "0"], "per_class is not allowed: got 0; expected a whole number ≥ 1 or none"),
        (["--per-class", "many"], "per_class"),
        (["--truncation", "0"], "truncation is not allowed: got 0.0"),
        (["--per-class", "2", "--fill-to", "8"], "two numbers of images: got --per-class 2 and --fill-to 8"),
        (["--fill-to", "3"], "nothing to fill: got 3; expected more than 3"),
        (["--resume"], "--gen takes no such option: got --resume"),
        (["runtime.precision=bf16"], "runtime.precision has no effect: got bf16"),
        (["image_size=32"], "unknown config key: got image_size"),
        (["another"], "--gen takes one run"),
    ],
)
def test_wrong_input_is_one_message(
    run: Path, tmp_path: Path, refused: Callable[[int], str], words: list[str], message: str
) -> None:
    assert message in refused(go(run, "--out", tmp_path / "out", *words))
    assert not (tmp_path / "out").exists()


def test_what_holds_no_sound_generator_is_refused(tmp_path: Path, refused: Callable[[int], str]) -> None:
    run = trained(tmp_path / "run")
    tensors = kept_by(run) / "generator.safetensors"
    assert go(kept_by(run), "--dry-run") == 0
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    assert "best-000000 is damaged: got generator.safetensors differs" in refused(go(run, "--dry-run"))
    assert "fetch or copy the file again" in refused(go(kept_by(run), "--dry-run"))
    for name, got in (("none", "no such directory"), ("empty", "neither checkpoints"), ("new", "no generator that")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "new" / "checkpoints").mkdir(parents=True, exist_ok=True)
        assert f"{tmp_path / name} holds no generator: got {got}" in refused(go(tmp_path / name))
    with RunDirectory(tmp_path / "new", resume=True) as directory:
        directory.save("best", lambda folder: (folder / "config.json").touch())
    assert "holds no generator: got a classifier" in refused(go(tmp_path / "new"))


def test_its_options_need_gen_and_a_training_needs_a_config(refused: Callable[[int], str]) -> None:
    assert "only --gen takes these options: got --per-class" in refused(main_gan.main(["--per-class", "3"]))
    assert "--config is missing" in refused(main_gan.main([]))


def test_a_class_folder_that_cannot_be_made_is_one_message(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], str]
) -> None:
    def refuse(path: Path) -> None:
        raise OutputError(f"{path} cannot be written")

    monkeypatch.setattr(version, "make_folder", refuse)
    assert "auk cannot be written\n0 of 3 are done" in refused(go(run, "--per-class", 1, "--out", tmp_path / "out"))
