"""A resumed training of a GAN repeats an uninterrupted one bit by bit."""

from pathlib import Path
from typing import Any

import pytest
from small_gan import Keeper, diffusion, equal, feed, gan, vae

from finegrain.engine.checkpoint import read_state
from finegrain.engine.interrupt import Interrupted
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import Hinge, Relativistic, Wasserstein
from finegrain.gan.trainer import GeneratorTrainer

EVERYTHING = {
    "loss": Hinge(lecam=0.1, r1=0.1),
    "augment": DiffAugment(color=True),
    "fade_fraction": 0.6,
}


def finish(state: dict[str, Any] | None = None, **settings: Any) -> GeneratorTrainer:
    made = gan(**settings)
    if state is not None:
        made.restore(state)
    made.fit(feed())
    return made


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        {"loss": Relativistic(), "discriminator": {"conditioning": "classifier"}, "generator": {"style": "transposed"}},
        {"loss": Wasserstein(), "discriminator": {"conditioning": "concat"}, "discriminator_steps": 1},
        {"discriminator": {"conditioning": "reacgan", "normalisation": "batch"}, "discriminator_steps": 1},
    ],
    ids=["hinge", "relativistic", "wasserstein", "reacgan"],
)
def test_every_saved_state_leads_to_the_same_end(tmp_path: Path, settings: dict[str, Any]) -> None:
    """By way of the disk: both networks, both optimisers, averages, spectral norms, LeCam, the history."""
    whole = finish(keeper=Keeper(folder=tmp_path), **settings)
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == 5
    for folder in saved:
        resumed = finish(read_state(folder, identity={}), **settings)
        assert equal(resumed.state(), whole.state()), folder.name


@pytest.mark.parametrize("method", [vae, diffusion])
def test_so_does_every_saved_state_of_the_other_methods(tmp_path: Path, method: Any) -> None:
    whole = method(keeper=Keeper(folder=tmp_path))
    whole.fit(feed())
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == 5
    for folder in saved:
        resumed = method()
        resumed.restore(read_state(folder, identity={}))
        resumed.fit(feed())
        assert equal(resumed.state(), whole.state()), folder.name
    assert not equal(method(flip=0.0).state(), whole.state())


def test_a_stopped_training_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = finish(**EVERYTHING)
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 3; go on with --resume"):
        finish(keeper=Keeper(stop=3, folder=tmp_path), **EVERYTHING)
    resumed = finish(read_state(tmp_path / "3", identity={}), **EVERYTHING)
    assert equal(resumed.state(), whole.state())
    assert not equal(
        finish(fade_fraction=0.0, **{k: EVERYTHING[k] for k in ("loss", "augment")}).state(), whole.state()
    )


def test_each_step_sees_the_next_images_and_an_epoch_each_image_once(tmp_path: Path) -> None:
    seen: list[int] = []
    train = feed()  # 11 images in 3 batches
    plain = train.epoch

    def watched(epoch: int, start_step: int = 0) -> Any:
        for inputs in plain(epoch, start_step):
            seen.extend(inputs.indices.tolist())
            yield inputs

    train.epoch = watched  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        gan(keeper=Keeper(stop=2, folder=tmp_path), steps=6).fit(train)
    resumed = gan(steps=6)
    resumed.restore(read_state(tmp_path / "2", identity={}))
    resumed.fit(train)
    assert len(seen) == 44
    assert [sorted(seen[start : start + 11]) for start in range(0, 44, 11)] == [list(range(11))] * 4
