import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_recipe import write_images
from versions import write_version

from finegrain.data import splits
from finegrain.data.base import Data, Sample, content_key
from finegrain.data.folder import ImageFolder
from finegrain.data.generated import Generated, mix, read_version, refuse
from finegrain.data.synthetic import SyntheticBirds
from finegrain.errors import ConfigError, DataError, FinegrainError


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Three classes of 5 train images, 2 val and 1 test."""
    config = ImageFolder(root=str(write_images(tmp_path_factory.mktemp("real"))))
    return splits.build(config, config.table())


@pytest.fixture
def made(tmp_path: Path, real: Data) -> Generated:
    """Of two of the classes, in another order than the real ones, by a generator that saw train."""
    seen = real.train_images()
    return read_version(write_version(tmp_path / "v", {"crane": 8, "auk": 6}, seen=seen, refused=2))


def counts(samples: tuple[Sample, ...]) -> list[int]:
    found = Counter(sample.label for sample in samples)
    return [found[label] for label in range(3)]


def message(kind: type[FinegrainError], do: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        do()
    return str(caught.value)


def test_a_version_holds_the_images_that_were_kept(made: Generated, real: Data) -> None:
    assert made.class_names == ("crane", "auk")
    assert made.asked == (10, 8)
    assert counts(made.samples) == [8, 6, 0]
    assert made.train_images == set(real.train_images())
    assert all(len(line) == 16 for line in made.train_images)
    paths = [sample.path for sample in made.samples]
    assert paths[:2] == [f"generated://{made.sha256[:16]}/crane/0000{number}.png" for number in range(2)]
    assert set(paths) == set(made.digests)
    assert made.source.read(made.samples[0]).shape == (32, 32, 3)


def test_a_share_of_each_class_is_mixed_into_train_alone(made: Generated, real: Data) -> None:
    mixed = mix(real, made, fraction=0.5, seed=0)
    assert counts(mixed.train) == [10, 5, 10]
    assert (mixed.val, mixed.test, mixed.class_names) == (real.val, real.test, real.class_names)
    assert mixed.train[:15] == real.train
    assert mixed.class_counts() == [10, 5, 10]
    for sample in mixed.train[15:]:
        assert sample.path.split("/")[3] == real.class_names[sample.label]
        assert mixed.source.read(sample).shape == (32, 32, 3)
    assert np.array_equal(mixed.source.read(real.val[0]), real.source.read(real.val[0]))
    assert "Train holds 10 generated images" in mixed.notes[-2]
    assert "40.0% of it" in mixed.notes[-2]
    assert mixed.notes[-1] == "Classes without a generated image (1): bee_eater."


def test_the_total_is_right_whatever_the_rounding(made: Generated, real: Data) -> None:
    for fraction, total in ((0.05, 1), (0.3, 4), (0.12, 1), (0.2, 2), (0.4, 7)):  # f / (1 - f) of 10
        assert len(mix(real, made, fraction=fraction, seed=0).train) - 15 == total
    assert counts(mix(real, made, fraction=None, seed=0).train) == [11, 5, 13]


def test_the_seed_chooses_and_more_images_include_fewer(made: Generated, real: Data) -> None:
    few, many, again, other = (
        set(mix(real, made, fraction=fraction, seed=seed).train[15:])
        for fraction, seed in ((0.2, 0), (0.5, 0), (0.2, 0), (0.2, 1))
    )
    assert few == again < many
    assert few != other


def test_the_draw_is_the_same_whatever_the_folder_is_called(made: Generated, real: Data) -> None:
    renamed = read_version(made.path.rename(made.path.with_name("w")))
    drawn = [
        {
            each.digests[sample.path]
            for sample in mix(real, each, fraction=0.3, seed=0).train
            if sample.path in each.digests
        }
        for each in (made, renamed)
    ]
    assert drawn[0] == drawn[1] != set(made.digests.values())


def test_features_have_the_keys_they_have_apart(made: Generated, real: Data) -> None:
    mixed = mix(real, made, fraction=None, seed=0)
    for source, samples in ((real.source, real.train[:3]), (made.source, made.samples[:3])):
        for sample in samples:
            assert content_key(sample, mixed.source) == content_key(sample, source)


def test_identity_names_what_was_mixed_in(made: Generated, real: Data) -> None:
    mixed, fewer = (mix(real, made, fraction=fraction, seed=0).identity() for fraction in (None, 0.2))
    differ = {key for key, value in real.identity().items() if mixed[key] != value}
    assert differ == {"train split", "train contents"}
    assert mixed["synthetic"] == f"14 images of {made.sha256}"
    assert fewer["train contents"] not in (mixed["train contents"], real.identity()["train contents"])
    assert "synthetic" not in real.identity()


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_generator_that_saw_an_image_that_judges_is_refused(made: Generated, real: Data, split: str) -> None:
    judged: tuple[Sample, ...] = getattr(real, split)
    known = replace(made, train_images=frozenset([*real.train_images(), real.image_ids[judged[0].path]]))
    shown = message(DataError, lambda: mix(real, known, fraction=0.2, seed=0))
    assert f"trained on images that are to judge: got 1 of {split} ({judged[0].path}); expected no image of" in shown


def test_what_its_generator_saw_must_be_known(made: Generated, real: Data) -> None:
    unlisted = replace(made, train_images=None)
    shown = message(DataError, lambda: mix(real, unlisted, fraction=0.2, seed=0))
    assert "does not tell which images its generator was trained on: got no list of them" in shown
    stranger = replace(made, train_images=frozenset({"0" * 16}))
    assert "No train image is among those" in mix(real, stranger, fraction=0.2, seed=0).notes[-1]


def test_a_drawing_is_the_same_at_any_size() -> None:
    small, large = (
        SyntheticBirds(num_species=2, image_size=size, train_per_species=2, val_per_species=2, test_per_species=1)
        for size in (32, 64)
    )
    later = SyntheticBirds(num_species=2, train_per_species=4, val_per_species=1, test_per_species=1)
    ids = [data.train_images() for data in (splits.build(c, c.table()) for c in (small, large, later))]
    assert ids[0] == ids[1]
    assert set(ids[0]) < set(ids[2])
    other = replace(small, seed=1)
    assert set(ids[0]).isdisjoint(splits.build(other, other.table()).train_images())


def test_other_classes_and_too_few_images_are_refused(tmp_path: Path, made: Generated, real: Data) -> None:
    foreign = read_version(write_version(tmp_path / "f", {"auk": 1, "dodo": 1}, seen=["ab"]))
    shown = message(DataError, lambda: mix(real, foreign, fraction=0.2, seed=0))
    assert "f has other classes: got dodo; expected those of the data: auk, bee_eater, crane" in shown
    shown = message(DataError, lambda: mix(real, made, fraction=0.6, seed=0))
    assert "got 6 of auk, too few of 1 of 2 classes; expected 8 of it; make more by --gen --per-class 11" in shown


def test_damaged_and_foreign_folders_are_one_message(tmp_path: Path) -> None:
    def shown(path: Path) -> str:
        return message(DataError, lambda: read_version(path))

    assert "none holds no generated images: got no such folder" in shown(tmp_path / "none")
    assert "got no generation.json in it" in shown(tmp_path)
    whole = write_version(tmp_path / "v", {"auk": 2, "crane": 2}, seen=["ab"])
    originals = {file: file.read_bytes() for file in whole.rglob("*") if file.is_file()}
    settings, manifest = whole / "generation.json", whole / "manifest.jsonl"
    rows = manifest.read_text().splitlines(keepends=True)
    content = json.loads(settings.read_text())
    for file, changed, got in [
        (manifest, "".join(rows[:3]).encode(), "got 3 of 4 images; "),
        (manifest, "".join([*rows[:3], "{\n"]).encode(), "got Expecting property name"),
        (manifest, manifest.read_bytes().replace(b"crane/00001", b"../crane/0001"), "leads out of the dataset"),
        (manifest, manifest.read_bytes().replace(b'"crane"', b'"dodo"'), "got tuple.index(x): x not in tuple"),
        (settings, b"[", "got Expecting value"),
        (settings, b"[" * 100_000, "got maximum recursion depth"),
        (settings, b"[]", "got list indices must be integers"),
        (settings, json.dumps({**content, "train_images": "ab"}).encode(), "got train_images.txt with other bytes"),
        (settings, json.dumps({"classes": []}).encode(), "got no 'images'"),
        (whole / "auk" / "00001.png", b"other", "got auk/00001.png with other bytes than manifest.jsonl says"),
    ]:
        file.write_bytes(changed)
        assert "v is not whole: " in (found := shown(whole))
        assert got in found
        file.write_bytes(originals[file])
    (whole / "auk" / "00001.png").unlink()
    assert "auk/00001.png cannot be read" in shown(whole)


def test_splits_are_built_with_what_the_config_names(tmp_path: Path, real: Data) -> None:
    root, seen = str(write_images(tmp_path / "real")), real.train_images()
    version = write_version(tmp_path / "v", {"auk": 3, "bee_eater": 3, "crane": 3}, seen=seen)
    config = ImageFolder(root=root, synthetic=str(version))
    data = splits.build(config, config.table())
    assert [count - 5 for count in data.class_counts()] == [2, 2, 2]  # 3/7 of 15 are 6.4
    assert not any(sample.path.startswith("generated:") for sample in (*data.val, *data.test))
    assert not any("pixels a side" in note for note in data.notes)
    assert "tune takes no generated images" in message(ConfigError, lambda: refuse(config, command="tune"))
    refuse(replace(config, synthetic=None), command="tune")


def test_smaller_images_than_the_real_ones_are_said_to_be(tmp_path: Path) -> None:
    root = write_images(tmp_path / "real")
    for file in root.rglob("*.png"):
        with Image.open(file) as image:
            large = image.resize((70, 60))
        large.save(file)
    config = ImageFolder(root=str(root))
    seen = splits.build(config, config.table()).train_images()
    version = write_version(tmp_path / "v", {"auk": 3, "bee_eater": 3, "crane": 3}, seen=seen)
    notes = splits.build(replace(config, synthetic=str(version)), config.table()).notes
    assert f"The images of {version} have 32 pixels a side, the first of train 60: being less sharp" in notes[-1]
