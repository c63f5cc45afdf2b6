"""Arms are trained by equal steps, whatever their number of images; a training that was stopped goes on."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_recipe import config, write_images

from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.checkpoint import read_course
from finegrain.engine.interrupt import Interrupted
from finegrain.engine.trainer import Trainer
from finegrain.errors import ConfigError
from finegrain.features.cache import FeatureCache
from finegrain.gan.learners import BATCH_SIZE, EPOCHS, RATES, FineTuner, HeadLearner
from finegrain.optim.plateau import Plateau
from finegrain.recipe import Recipe
from finegrain.storage import RunDirectory
from finegrain.tuning.full import Full
from finegrain.tuning.gradual import Gradual


def rows(count: int, name: str) -> tuple[Sample, ...]:
    return tuple(Sample(path=f"{name}/{number}", label=number % 3) for number in range(count))


def cloud(samples: Sequence[Sample]) -> torch.Tensor:
    """A feature that tells the class, among others that do not; a function of the path."""
    noise = [np.random.default_rng(list(sample.path.encode())).normal(size=8) for sample in samples]
    centres = np.eye(8)[[sample.label for sample in samples]] * 3
    return torch.tensor(np.stack(noise) + centres, dtype=torch.float32)


def planted(train: int = 200) -> Data:
    return Data(
        train=rows(train, "train"), val=rows(30, "val"), test=rows(60, "test"), class_names=("a", "b", "c"),
        source=None,  # type: ignore[arg-type]
    )  # fmt: skip


def test_heads_take_the_steps_of_the_real_images_whatever_the_arm() -> None:
    data = planted()
    learner = HeadLearner(data, cloud, device=torch.device("cpu"))
    assert learner.steps == EPOCHS * 2 == EPOCHS * -(-200 // BATCH_SIZE)
    arm = dataclasses.replace(data, train=rows(1000, "more"))
    learned = learner.learn("more", arm, seed=1)
    assert len(learned.scores) == len(RATES) == len(learner.strengths)
    assert max(score.top1 for score in learned.scores) > 0.8
    assert learned.hits(3).shape == (60,)
    assert learned.hits(3).mean() > 0.8


def test_a_head_is_a_function_of_its_seed_and_images() -> None:
    data = planted()
    learner = HeadLearner(data, cloud, device=torch.device("cpu"))
    first, again, other = (learner.learn("real", data, seed=seed).scores for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_val_and_test_have_no_part_in_the_training_of_a_head() -> None:
    data = planted()
    moved = dataclasses.replace(data, test=rows(60, "other"), val=data.val)
    one, two = (HeadLearner(d, cloud, device=torch.device("cpu")).learn("real", d, seed=1) for d in (data, moved))
    assert one.scores == two.scores


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def tiny(root: Path) -> tuple[Recipe, Data]:
    """15 train images in batches of 4: three epochs of 4 steps."""
    recipe = config()
    recipe.data.root = str(root)
    recipe.tuning = Full()
    recipe.augment = AugmentConfig(preset="none")
    return recipe, splits.build(recipe.data, recipe.data.table())


def tuner(recipe: Recipe, data: Data, folder: Path) -> FineTuner:
    cache = FeatureCache(folder / "features")
    return FineTuner(recipe, data, folder=folder / "runs", runtime=recipe.runtime.build(), cache=cache)


def test_a_fine_tuned_arm_of_more_images_takes_as_many_steps(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = tiny(images)
    learner = tuner(recipe, data, tmp_path)
    assert learner.steps == 12
    arms = {"real": data, "more": dataclasses.replace(data, train=data.train + data.train[:5])}
    rates: dict[str, list[float]] = {"real": [], "more": []}
    step: Callable[[Trainer], None] = Trainer._step
    for name, arm in arms.items():

        def noted(trainer: Trainer, name: str = name) -> None:
            rates[name].append(trainer.optimizer.param_groups[0]["lr"])
            step(trainer)

        monkeypatch.setattr(Trainer, "_step", noted)
        learned = learner.learn(name, arm, seed=3)
        with RunDirectory(tmp_path / "runs" / name, resume=True) as own:
            course = read_course(own)
        assert course.finished
        assert learned.scores[0].top1 == max(row["eval_top1"] for row in course.history)
        assert learned.hits(0).shape == (3,)
    # Three epochs of 4 steps, and two of 5 with 2 of a third: a warm-up of 4 steps and the same fall to the 12th.
    assert len(rates["real"]) == 12
    assert rates["more"] == pytest.approx(rates["real"])
    assert rates["more"][4] == pytest.approx(max(rates["more"]))


def test_a_stopped_arm_goes_on_and_a_finished_one_is_not_trained_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = tiny(images)
    whole = tuner(recipe, data, tmp_path / "whole").learn("real", data, seed=0)
    learner, step = tuner(recipe, data, tmp_path / "cut"), Trainer._step
    taken: list[int] = []

    def stop_in_the_second_epoch(trainer: Trainer) -> None:
        taken.append(trainer.progress.step)
        if trainer.progress.step == 6 and len(taken) == 7:
            raise Interrupted(15, where="step 6")
        step(trainer)

    monkeypatch.setattr(Trainer, "_step", stop_in_the_second_epoch)
    with pytest.raises(Interrupted):
        learner.learn("real", data, seed=0)
    learned = learner.learn("real", data, seed=0)
    assert taken == [*range(7), *range(4, 12)]
    assert learned.scores == whole.scores
    assert learner.learn("real", data, seed=0).scores == whole.scores
    assert len(taken) == 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": Plateau()}, "Plateau counts epochs: got epochs of different lengths"),
        ({"tuning": Gradual()}, "Gradual counts epochs"),
        ({"patience": 2}, "train.patience stops arms after different steps"),
    ],
)
def test_what_counts_epochs_is_refused(changes: dict[str, object], message: str, images: Path, tmp_path: Path) -> None:
    recipe, data = tiny(images)
    recipe.train.patience = changes.pop("patience", None)  # type: ignore[assignment]
    recipe = dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        tuner(recipe, data, tmp_path)
