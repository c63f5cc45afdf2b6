"""Runs whose frozen part is computed once end as the others do, and are gone on with as the others are."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_recipe

from finegrain import caching, config
from finegrain.commands import carry_out
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.checkpoint import Checkpoints
from finegrain.engine.interrupt import Interrupted
from finegrain.errors import ConfigError, OutputError
from finegrain.features import inference
from finegrain.features.shelf import Shelf
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_block import LastBlock


@pytest.fixture
def go(tmp_path: Path):
    root = tiny_recipe.write_images(tmp_path / "images")

    def go(out: str, *, tuning=None, preset="none", views="flip", resume=False, words=(), **augment) -> dict:
        recipe = tiny_recipe.config()
        recipe.data.root = str(root)
        recipe.tuning = tuning or Head()
        recipe.augment = AugmentConfig(preset=preset, **augment)
        recipe.evaluation.views = views
        carry_out(recipe, list(words), out=tmp_path / out, resume=resume, dry_run=False)
        return json.loads((tmp_path / out / "metrics.json").read_text())

    go.folder = tmp_path
    return go


def probabilities(go, out: str) -> np.ndarray:
    rows = (go.folder / out / "predictions.csv").read_text().splitlines()[1:]
    return np.array([[float(word) for word in row.split(",")[3::2]] for row in rows])


@pytest.mark.parametrize(
    ("tuning", "views"),
    [
        (Head(), "flip"),
        (LastBlock(cached_views=1), "five_crop"),
        (Head(cached_views=1, probe_first=True), "multi_scale"),
    ],
)
def test_what_is_learned_is_the_same(go, monkeypatch, caplog, tuning, views) -> None:
    caplog.set_level("INFO")
    cached = go("cached", tuning=tuning, views=views)
    assert "run once an image" in caplog.text
    monkeypatch.setattr(caching, "train_views", lambda *_, **__: None)
    whole = go("whole", tuning=tuning, views=views)
    np.testing.assert_allclose(probabilities(go, "cached"), probabilities(go, "whole"), atol=2e-3)
    assert cached["val"]["loss"] == pytest.approx(whole["val"]["loss"], rel=1e-2)
    assert not (go.folder / "cached" / "features").exists()


def test_the_frozen_network_is_built_once_for_train_and_val(go, monkeypatch) -> None:
    built = []
    frozen = inference.frozen

    def counted(*arguments, **options):
        built.append(arguments)
        return frozen(*arguments, **options)

    monkeypatch.setattr(inference, "frozen", counted)
    go("run", words=["runtime.precision=fp32"])
    assert len(built) == 2  # and once of the best model, for all that is compared afterwards


@pytest.mark.parametrize(
    ("tuning", "looked_at"), [(Head(), False), (LastBlock(cached_views=2), False), (LastBlock(cached_views=2), True)]
)
def test_a_stopped_run_goes_on_to_the_bit(go, monkeypatch, tuning, looked_at) -> None:
    preset = "none" if isinstance(tuning, Head) else "strong"
    go("whole", tuning=tuning, preset=preset)
    stop = Checkpoints.stop_if_asked

    def stop_at(self, trainer, *, saved=False):
        if trainer.progress.step == 6:
            self.save(trainer, kept=False)
            raise Interrupted(15, where="here")
        stop(self, trainer, saved=saved)

    monkeypatch.setattr(Checkpoints, "stop_if_asked", stop_at)
    with pytest.raises(Interrupted):
        go("stopped", tuning=tuning, preset=preset)
    assert list((go.folder / "stopped" / "features").iterdir())
    monkeypatch.setattr(Checkpoints, "stop_if_asked", stop)
    if looked_at:
        go("stopped", tuning=tuning, preset=preset, words=["evaluate"])
        assert list((go.folder / "stopped" / "features").iterdir())
        assert "not finished: it was stopped after 1 epochs" in (go.folder / "stopped" / "report.md").read_text()
    go("stopped", tuning=tuning, preset=preset, resume=True)
    assert "not finished" not in (go.folder / "stopped" / "report.md").read_text()
    whole, stopped = ((go.folder / out / "predictions.csv").read_bytes() for out in ("whole", "stopped"))
    assert whole == stopped


def test_a_cache_of_the_users_own_serves_the_next_run(go, caplog) -> None:
    caplog.set_level("INFO")
    words = [f"runtime.cache={go.folder / 'cache'}"]
    go("first", words=words)
    caplog.clear()
    go("second", words=[*words, "train.epochs=2"])
    counts = [record.message for record in caplog.records if "from the cache" in record.message]
    assert len(counts) == 4  # train and val; what the mistakes, and the map, are compared by
    assert all(" 0 computed" in count for count in counts)


def test_a_varied_image_is_not_cached_by_itself() -> None:
    assert caching.train_views(Head(), AugmentConfig(preset="weak"), seed=0) is None
    assert caching.train_views(Head(), AugmentConfig(preset="none", mixup=0.2), seed=0) is None
    assert caching.train_views(LastBlock(), AugmentConfig(preset="none"), seed=0) is None
    assert len(caching.train_views(LastBlock(cached_views=3), AugmentConfig(), seed=0)) == 3


@pytest.mark.parametrize(
    ("tuning", "augment", "why"),
    [
        (Full(cached_views=2), {"preset": "weak"}, "every layer is trained"),
        (LastBlock(cached_views=2), {"preset": "weak", "cutmix": 1.0}, "whole batches of images are mixed"),
        (LastBlock(cached_views=2), {"preset": "none"}, "images are not varied"),
    ],
)
def test_what_cannot_be_cached_is_refused(tuning, augment, why) -> None:
    recipe = tiny_recipe.config()
    recipe.tuning, recipe.augment = tuning, AugmentConfig(**augment)
    with pytest.raises(ConfigError, match=f"tuning.cached_views cannot be: got .; expected none, as {why}"):
        config.check(recipe)


@pytest.mark.parametrize(
    ("tuning", "augment", "allowed"),
    [
        (Head(), AugmentConfig(preset="none"), False),
        (LastBlock(cached_views=2), AugmentConfig(), False),
        (Head(), AugmentConfig(), True),
        (LastBlock(), AugmentConfig(preset="none"), True),
    ],
)
def test_test_has_no_curve_where_images_are_read_once(tuning, augment, allowed) -> None:
    recipe = tiny_recipe.config()
    recipe.tuning, recipe.augment = tuning, augment
    config.check(recipe)
    recipe.evaluation.test_curve = True
    if allowed:
        config.check(recipe)
        return
    with pytest.raises(
        ConfigError, match=r"evaluation.test_curve cannot be: got true; expected false, .*; leave it out"
    ):
        config.check(recipe)


def test_too_small_a_disk_is_met_before_anything_is_computed(go, monkeypatch) -> None:
    usage = shutil.disk_usage

    def small(path):
        return SimpleNamespace(free=1000) if "features" in str(path) else usage(path)

    monkeypatch.setattr(shutil, "disk_usage", small)
    with pytest.raises(OutputError, match=r"got 1,000 bytes free; expected .* with room for [\d,]+ bytes"):
        go("run", tuning=LastBlock(cached_views=2), preset="strong")


def test_train_is_not_begun_where_val_has_no_room_after_it(go, monkeypatch) -> None:
    asked = []

    def note(self, needed: int) -> None:
        asked.append((needed, len(list(go.folder.rglob("*.safetensors")))))

    monkeypatch.setattr(Shelf, "require_room", note)
    go("run", tuning=LastBlock(cached_views=2), preset="strong", words=["train.epochs=1"])
    (first, stored), (second, _) = asked
    train, val = 2 * 3 * tiny_recipe.COUNTS["train"], 2 * 3 * tiny_recipe.COUNTS["val"]
    assert stored == 0
    assert first / second == (train + val) / val


def test_a_limit_too_small_is_met_before_anything_is_computed(go) -> None:
    words = [f"runtime.cache={go.folder / 'cache'}", "runtime.cache_limit_gb=1e-6"]
    with pytest.raises(OutputError, match="its limit of size is smaller"):
        go("run", tuning=LastBlock(cached_views=2), preset="strong", words=words)
