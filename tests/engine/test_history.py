import errno
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from finegrain.engine.history import TensorBoardLog
from finegrain.errors import OutputError


def test_each_row_is_written(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        log({"epoch": 0.0, "train_loss": 1.5, "eval_top1": 0.25})
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"train/loss" in content
    assert b"eval/top1" in content


def test_a_picture_is_written_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with TensorBoardLog(tmp_path, over="step") as log:
        log.picture("grid", pixels, 40)
        log({"step": 40.0, "d_loss": 1.5})
        read = EventAccumulator(str(tmp_path)).Reload()
        (found,) = read.Images("grid")
    assert found.step == read.Scalars("d/loss")[0].step == 40
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.encoded_image_string))), pixels)


def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with TensorBoardLog(tmp_path) as log:
        monkeypatch.setattr(log._writer, "flush", full)
        with pytest.raises(OutputError, match=r"cannot be written: got No space left.*--resume"):
            log({"epoch": 0.0, "train_loss": 1.5})


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), TensorBoardLog(tmp_path / "file" / "log"):
        pass


def test_rows_may_be_counted_by_something_else_than_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TensorBoardLog(tmp_path, over="step") as log:
        said: list[tuple[str, float, int]] = []
        monkeypatch.setattr(log._writer, "add_scalar", lambda *scalar: said.append(scalar))
        log({"step": 40.0, "d_loss": 1.5})
    assert said == [("d/loss", 1.5, 40)]
