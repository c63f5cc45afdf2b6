"""What is chosen of the errors, where neighbours come from, and what stays bounded."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe
import torch
from numpy.typing import NDArray
from parsed_page import Page
from PIL import Image
from torch import Tensor

from finegrain import error_analysis
from finegrain.commands import carry_out
from finegrain.data.base import Data, Sample
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.evaluate import Predictions
from finegrain.error_analysis import analyse, maps_by, show
from finegrain.explain import Photograph, explain_all
from finegrain.features.extract import Features, extract
from finegrain.judgement import best_model
from finegrain.metrics.mistakes import Mistake
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.optim.cosine import Cosine
from finegrain.preprocessing import Preprocessing
from finegrain.report.gallery import data_uri, thumbnail
from finegrain.runtime import RuntimeConfig
from finegrain.storage import RunDirectory
from finegrain.tuning.base import Tuning
from finegrain.tuning.head import Head
from finegrain.tuning.last_block import LastBlock
from finegrain.tuning.lora import Lora
from finegrain.tuning.prompts import Prompts


class Shades:
    """Images of one shade, the number in their path."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        return np.full((20, 30, 3), shade(sample), np.uint8)


def shade(sample: Sample) -> int:
    return int(sample.path.rpartition("/")[2])


def see(samples: Sequence[Sample]) -> Tensor:
    """Features that lie near each other where shades do."""
    angles = torch.tensor([shade(sample) / 100 for sample in samples])
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def darker(mistakes: Sequence[Mistake], photographs: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
    """A map for each, that tells its photograph."""
    return [photograph // 2 for _, photograph in zip(mistakes, photographs, strict=True)]


def images(split: str, shades: Sequence[int], labels: Sequence[int]) -> tuple[Sample, ...]:
    return tuple(Sample(path=f"{split}/{s}", label=y) for s, y in zip(shades, labels, strict=True))


def splits(test: Sequence[Sample], num_classes: int = 2) -> Data:
    train = images("train", (10, 40, 90, 160, 200), (0, 0, 0, 1, 1))
    names = tuple(f"class {index}" for index in range(num_classes))
    return Data(train=train, val=(), test=tuple(test), class_names=names, source=Shades())


def predictions(test: Sequence[Sample], probabilities: NDArray[np.float64]) -> Predictions:
    labels = np.array([sample.label for sample in test])
    return Predictions(paths=tuple(s.path for s in test), labels=labels, probabilities=probabilities)


def shade_of(jpeg: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(jpeg)))[5, 5, 0])


def test_a_mistake_stands_beside_the_nearest_train_images_of_both_classes() -> None:
    test = images("test", (50, 170), (1, 1))
    (found,) = analyse(
        predictions(test, np.array([[0.8, 0.2], [0.1, 0.9]])), data=splits(test), see=see, explain=darker
    ).mistakes
    assert (found.mistake.path, found.mistake.label, found.mistake.predicted) == ("test/50", 1, 0)
    assert found.like_predicted
    assert found.like_label
    assert (found.like_predicted.path, found.like_label.path) == ("train/40", "train/160")
    assert found.like_predicted.cosine == pytest.approx(np.cos(0.1), abs=1e-6)
    assert (found.like_predicted.among, found.like_label.among) == (3, 2)
    pictures = [found.image, found.like_predicted.image, found.like_label.image]
    np.testing.assert_allclose([shade_of(picture) for picture in pictures], [50, 40, 160], atol=2)


def test_every_mistake_has_the_map_of_its_own_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_analysis, "_EXPLAINED_AT_ONCE", 2)
    batches = []

    def explain(mistakes: Sequence[Mistake], photographs: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
        batches.append([mistake.path for mistake in mistakes])
        return darker(mistakes, photographs)

    test = images("test", (50, 100, 150, 200, 250), (1, 1, 0, 1, 1))
    said = predictions(test, np.array([[0.7, 0.3], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]))
    found = analyse(said, data=splits(test), see=see, explain=explain)
    assert batches == [["test/100", "test/200"], ["test/50"]]
    np.testing.assert_allclose([shade_of(one.heat) for one in found.mistakes if one.heat], [50, 100, 25], atol=2)
    assert not found.unexplained


def test_what_cannot_be_explained_is_said_and_costs_nothing_else() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4), torch.nn.Linear(4, 2))
    model = Classifier(
        network,
        architecture="own/flat",
        preprocessing=Preprocessing(
            mean=(0, 0, 0), std=(1, 1, 1), image_size=16, resize_size=16, interpolation="bilinear"
        ),
        num_classes=2,
        head="2",
        matcher={"stem": r"^0", "blocks": r"^(1)"},
    )
    explain = maps_by(model, runtime=RuntimeConfig(device="cpu", precision="fp32").build())
    test = images("test", (50, 170), (1, 1))
    found = analyse(predictions(test, np.array([[0.8, 0.2], [0.1, 0.9]])), data=splits(test), see=see, explain=explain)
    assert found.unexplained.startswith("Sequential cannot be explained: got no module that gives a grid")
    (one,) = found.mistakes
    assert one.heat is None
    assert one.like_label
    assert found.stamps


def test_the_ends_of_the_classes_come_with_their_pictures() -> None:
    test = images("test", (50, 60, 70, 80), (1, 1, 0, 0))
    said = predictions(test, np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1], [1, 0]]))
    found = analyse(said, data=splits(test), see=see, explain=darker)
    assert [(ends.label, ends.hardest, ends.easiest) for ends in found.extremes] == [(1, (0, 1), ()), (0, (2, 3), ())]
    np.testing.assert_allclose([shade_of(found.stamps[row]) for row in range(4)], [50, 60, 70, 80], atol=2)


@pytest.mark.parametrize(("classes", "each", "shown"), [(2, 3, 2), (100, 2, 100), (200, 1, 200), (300, 1, 240)])
def test_the_number_of_pictures_is_bounded(
    classes: int, each: int, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_analysis, "MOST_MAPPED", 5)
    labels = np.repeat(np.arange(classes), 2 * each)
    test = images("test", [int(i % 250) for i in range(len(labels))], labels.tolist())
    test = tuple(Sample(path=f"{number}/{shade(s)}", label=s.label) for number, s in enumerate(test))
    found = analyse(predictions(test, np.eye(classes)[labels]), data=splits(test, classes), see=see, explain=darker)
    assert len(found.extremes) == shown
    assert {len(ends.hardest) for ends in found.extremes} == {len(ends.easiest) for ends in found.extremes} == {each}
    assert len(found.stamps) == 2 * each * shown


def test_a_large_split_is_mapped_by_a_sample_that_is_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_analysis, "MOST_MAPPED", 20)
    test = images("test", range(0, 200, 2), [0] * 100)
    said = predictions(test, np.tile([1.0, 0], (100, 1)))
    first, second = (analyse(said, data=splits(test), see=see, explain=darker) for _ in "ab")
    assert first.feature_map
    assert second.feature_map
    assert len(set(first.feature_map.rows)) == 20
    assert first.feature_map.rows == tuple(sorted(first.feature_map.rows)) == second.feature_map.rows
    assert first.feature_map.rows[-1] > 50  # not the first twenty


def test_without_features_a_mistake_stands_alone() -> None:
    test = images("test", (50,), (1,))
    mistake = Mistake(path="test/50", label=1, predicted=0, label_probability=0.1, probability=0.9)
    (found,) = show([mistake], images=test, pool=splits(test).train, source=Shades(), see=None)
    assert (found.like_label, found.like_predicted) == (None, None)
    assert shade_of(found.image) == pytest.approx(50, abs=2)


def one_mistake(paths: Sequence[str], *_: object, limit: int) -> tuple[Mistake, ...]:
    """As if the first image were mistaken."""
    return (Mistake(path=paths[0], label=0, predicted=1, label_probability=0.2, probability=0.7),)


def test_a_head_run_computes_no_train_image_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its loop read of train is found in the run's cache, which then goes, and test is looked at once."""
    computed: list[tuple[list[str], Features]] = []

    def note(samples: Sequence[Sample], **words) -> Features:
        found = extract(samples, **words)
        computed.append(([sample.path for sample in samples], found))
        return found

    monkeypatch.setattr(error_analysis, "extract", note)
    monkeypatch.setattr(error_analysis, "surest_mistakes", one_mistake)
    recipe = tiny_recipe.config()
    recipe.tuning, recipe.augment = Head(), AugmentConfig(preset="none")
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    carry_out(recipe, [], out=tmp_path / "run", resume=False, dry_run=False)
    paths, features = computed[0]
    assert sorted({path.split("/")[0] for path in paths}) == ["test", "train"]
    assert (features.hits, features.misses) == (10, 1)  # five train images of each class, and the mistake
    assert not (tmp_path / "run" / "features").exists()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test_evaluations"] == 1
    assert "error analysis" in metrics["seconds_by_phase"]


@pytest.mark.parametrize(
    "tuning",
    [Head(), LastBlock(), Lora(rank=2), Prompts(count=3), Prompts(count=3, deep=False)],
    ids=["head", "last block", "lora", "deep prompts", "prompts"],
)
def test_the_page_of_a_run_shows_the_map_that_explain_makes(
    tuning: Tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the best model, whatever was trained of it: frozen parts, merged adapters, prompts."""
    monkeypatch.setattr(error_analysis, "surest_mistakes", one_mistake)
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.tuning, recipe.model = tuning, ModelConfig(name="timm/test_vit", image_size=64)
    recipe.evaluation.views = "flip"
    recipe.train.epochs, recipe.schedule = 1, Cosine()
    carry_out(recipe, [], out=tmp_path / "run")
    page = Page((tmp_path / "run" / "report.html").read_text())
    table, runtime = recipe.data.table(), recipe.runtime.build()
    with RunDirectory(tmp_path / "run", resume=True) as directory:
        model = best_model(directory, class_names=table.class_names, runtime=runtime)
    photograph = table.source.read(next(sample for sample in table.samples if sample.split == "test"))
    explained = explain_all(
        [Photograph(path="", label=None, pixels=photograph)],
        model,
        "hirescam",
        compared=(1, 0),
        name="",
        chosen="",
        names=table.class_names,
        views="flip",
        batch_size=1,
        runtime=runtime,
    )
    (panel,) = [panel for panel in explained.images[0].panels if panel.title == "bee_eater rather than auk"]
    (shown,) = page.having("img", alt="Heat where it speaks for bee_eater rather than auk")
    assert panel.picture.std() > 0
    assert shown["src"] == data_uri(thumbnail(panel.picture))
    assert "averages over more views (evaluation.views=flip)" in page.text
