from pathlib import Path
from typing import Any

import pytest
from small_trainer import ADAMW, MIXUP, SGD, VAL, Keeper, equal, loader, trainer

from finegrain.data.feed import ImageFeed
from finegrain.engine.checkpoint import read_state
from finegrain.engine.interrupt import Interrupted
from finegrain.engine.trainer import Trainer

FULL = {"mix": MIXUP, "ema": True, "accumulate_steps": 2, "patience": 9, "monitor": "loss", "epochs": 2}


def finish(state: dict[str, Any] | None = None, *, workers: int = 0, **settings: Any) -> Trainer:
    """Train to the end, from a saved state or from the start."""
    made = trainer(**{**FULL, **settings})
    if state is not None:
        made.restore(state)
    made.fit(loader(workers=workers), VAL)
    return made


def test_the_same_run_twice_is_the_same_to_the_bit() -> None:
    assert equal(finish().state(), finish().state())


@pytest.mark.parametrize(("optimizer", "steps"), [(ADAMW, 1), (SGD, 2)])
def test_every_saved_state_leads_to_the_same_end(tmp_path: Path, optimizer: Any, steps: int) -> None:
    """Mid-epoch and at its end, by way of the disk, with dropout, mixup, random crops, averages and statistics."""
    settings = {"optimizer": optimizer, "accumulate_steps": steps}
    whole = finish(keeper=Keeper(folder=tmp_path), save_steps=1, **settings)
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == 8 // steps
    for folder in saved:
        resumed = finish(read_state(folder, identity={}), **settings)
        assert equal(resumed.state(), whole.state()), folder.name


def test_train_accuracy_goes_on_counting_where_it_stopped(tmp_path: Path) -> None:
    whole = finish(mix=None, keeper=Keeper(folder=tmp_path), save_steps=1)
    assert all("train_top1" in row for row in whole.progress.history)
    for folder in sorted(tmp_path.iterdir()):
        assert equal(finish(read_state(folder, identity={}), mix=None).state(), whole.state()), folder.name


@pytest.mark.parametrize(("step", "lacking"), [(1, 0), (2, None), (3, 1)])
def test_an_epoch_begun_by_a_version_that_did_not_count_has_no_train_accuracy(
    tmp_path: Path, step: int, lacking: int | None
) -> None:
    """The second of two steps ends an epoch, after which nothing is amiss."""
    whole = finish(mix=None, keeper=Keeper(folder=tmp_path), save_steps=1)
    state = read_state(tmp_path / str(step), identity={})
    del state["progress"]["right"]
    resumed = finish(state, mix=None)
    expected = [dict(row) for row in whole.progress.history]
    if lacking is not None:
        del expected[lacking]["train_top1"]
    assert equal(resumed.progress.history, expected)
    assert equal(resumed.model.state_dict(), whole.model.state_dict())


def test_a_resume_may_load_with_other_workers(tmp_path: Path) -> None:
    whole = finish()
    with pytest.raises(Interrupted):
        finish(keeper=Keeper(stop=3, folder=tmp_path), workers=2)
    assert equal(finish(read_state(tmp_path / "2", identity={})).state(), whole.state())


def test_a_resumed_epoch_sees_each_image_once(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(ImageFeed):
        def epoch(self, epoch: int, start_step: int = 0) -> Any:
            for batch in super().epoch(epoch, start_step):
                seen.extend(batch.indices.tolist())
                yield batch

    train = loader()
    train.__class__ = Watched
    with pytest.raises(Interrupted):
        trainer(keeper=Keeper(stop=6, folder=tmp_path)).fit(train, VAL)
    resumed = trainer()
    resumed.restore(read_state(tmp_path / "2", identity={}))
    resumed.fit(train, VAL)
    assert [sorted(seen[start : start + 11]) for start in (0, 11, 22)] == [list(range(11))] * 3
    assert len(seen) == 33


@pytest.mark.parametrize("stop", [2, 4, 5])
def test_a_stop_at_the_very_last_step_still_validates(tmp_path: Path, stop: int) -> None:
    """The steps are used up, but the epoch's row and best model are not written yet."""
    whole = finish(max_steps=stop, accumulate_steps=1)
    with pytest.raises(Interrupted):
        finish(max_steps=stop, accumulate_steps=1, keeper=Keeper(stop=stop, folder=tmp_path))
    last = max(tmp_path.iterdir())
    assert equal(finish(read_state(last, identity={}), max_steps=stop, accumulate_steps=1).state(), whole.state())


@pytest.mark.parametrize("call", [5, 6, 7, 12])
def test_a_stop_in_the_middle_of_a_validation(tmp_path: Path, call: int) -> None:
    """Validation starts again from its first image; calls 5 and 6 are the first validation's two batches."""

    class Impatient(Keeper):
        calls = 0

        def stop_if_asked(self, trainer: Trainer, *, saved: bool = False) -> None:
            self.calls += 1
            self.stop = trainer.progress.step if self.calls == call else None
            super().stop_if_asked(trainer, saved=saved)

    settings = {"accumulate_steps": 1, "max_steps": None}
    assert (len(loader()), len(VAL)) == (4, 2)
    with pytest.raises(Interrupted):
        finish(keeper=Impatient(folder=tmp_path), **settings)
    last = max(tmp_path.iterdir())
    assert equal(finish(read_state(last, identity={}), **settings).state(), finish(**settings).state())


def test_each_epoch_is_announced_before_its_steps_and_again_on_a_resume(tmp_path: Path) -> None:
    said: list[int] = []
    with pytest.raises(Interrupted):
        trainer(begin_epoch=said.append, keeper=Keeper(stop=6, folder=tmp_path)).fit(loader(), VAL)
    resumed = trainer(begin_epoch=said.append)
    resumed.restore(read_state(tmp_path / "2", identity={}))
    resumed.fit(loader(), VAL)
    assert said == [0, 1, 1, 2]
