"""`--quality` on planted images: it finds what is known to be wrong with them, and nothing else."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import D, K, features, images, judged, real

from finegrain.data.base import Sample
from finegrain.errors import DataError
from finegrain.gan.judged import Images
from finegrain.gan.quality import SHOWN, Bench, assess, findings, prepare
from finegrain.report.quality_record import VersionRecord


class Small:
    """Half the size of the others."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        return np.zeros((16, 20, 3), np.uint8)


RANDOM = np.random.default_rng(9)
HELD_OUT = real("held_out", 40, seed=7)
TRAIN = real("train", 40, seed=0)


def with_features(rows: np.ndarray, shown: Images = HELD_OUT) -> Images:
    return dataclasses.replace(shown, features=rows.astype(np.float32))


PLANTED = {
    "held_out": HELD_OUT,
    "copies": images("copies", TRAIN.labels, TRAIN.features),
    "noise": with_features(RANDOM.normal(5, 1, (4 * 40, D))),
    "shuffled": with_features(RANDOM.permutation(HELD_OUT.features)),
    "collapsed": with_features(features(np.arange(K), seed=3)[HELD_OUT.labels] + RANDOM.normal(0, 0.01, (160, D))),
}


@pytest.fixture(scope="module")
def bench() -> Bench:
    return prepare(judged(PLANTED), seed=0)


@pytest.fixture(scope="module")
def found(bench: Bench) -> dict[str, VersionRecord]:
    return {version.name: assess(version, bench) for version in bench.judged.versions}


def overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]


def test_other_real_images_are_as_good_as_real_ones(bench: Bench, found: dict[str, VersionRecord]):
    version, of_real = found["held_out"], findings(bench, list(found.values()))["real"]
    assert not version.distances.overall.above_floor
    assert min(p for p in version.distances.adjusted_p if p is not None) > 0.05
    assert overlap(version.shown.interval, of_real.interval)
    assert of_real.accuracy > 0.6
    assert version.against_real.verdict() == "no evidence"
    assert version.places.coverage == pytest.approx(version.places.like_coverage, abs=0.1)
    assert not version.collapsed
    assert not version.copied
    assert version.memorisation is not None
    assert version.memorisation.rate < 0.05
    assert min(twin.ratio for twin in version.twins) > 0


def test_copies_of_train_are_found_however_good_they_look(found: dict[str, VersionRecord]):
    version = found["copies"]
    assert not version.distances.overall.above_floor
    assert version.against_real.difference == 0
    assert version.copied
    assert version.memorisation is not None
    assert version.memorisation.rate == 1
    assert len(version.twins) == SHOWN
    for twin in version.twins:
        assert twin.ratio == 0
        assert twin.path.replace("copies", "train") == twin.train_path


def test_noise_shows_no_class_teaches_nothing_and_is_far_away(found: dict[str, VersionRecord]):
    version = found["noise"]
    assert version.distances.overall.value > 100 * version.distances.overall.floor.high
    assert version.distances.overall.p == pytest.approx(1 / 1000)
    assert version.shown.interval[0] <= 1 / K
    assert version.against_real.verdict() == "worse"
    assert version.places.density < 0.01
    assert not version.copied


def test_shuffled_labels_show_in_all_but_the_overall_distance(found: dict[str, VersionRecord]):
    version = found["shuffled"]
    assert not version.distances.overall.above_floor
    assert max(p for p in version.distances.adjusted_p if p is not None) < 0.05
    assert version.shown.interval[0] <= 1 / K <= version.shown.interval[1]
    assert version.against_real.verdict() == "worse"
    assert version.taught.accuracy < 0.5


def test_images_that_repeat_each_other_are_collapsed_and_duplicates(found: dict[str, VersionRecord]):
    version = found["collapsed"]
    assert version.collapsed == list(range(K))
    assert version.memorisation is not None
    assert version.memorisation.duplicate_rate == pytest.approx(1 - K / 160)


def test_versions_are_ranked_by_what_they_teach(bench: Bench, found: dict[str, VersionRecord]):
    said = findings(bench, list(found.values()))
    accuracies = [version.taught.accuracy for version in said["versions"]]
    assert accuracies == sorted(accuracies, reverse=True)
    names = [version.name for version in said["versions"]]
    first, last = names.index("held_out"), names.index("shuffled")
    assert said["compared"][first, last].verdict() == "better"
    copies = tuple(sorted((first, names.index("copies"))))
    assert said["compared"][copies].verdict() == "no evidence"
    assert {pair.family for pair in said["compared"].values()} == {10}


def test_versions_are_compared_at_equal_numbers_of_the_classes_that_all_have():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    fewer = images("fewer", labels, features(labels, seed=4))
    bench = prepare(judged({"all": HELD_OUT, "fewer": fewer}), seed=0)
    assert bench.counts.tolist() == [40, 30, 20, 0]
    assert set(bench.test.labels) == {0, 1, 2}
    one, other = (assess(version, bench) for version in bench.judged.versions)
    assert (one.given, one.n, other.given, other.n) == (160, 90, 100, 90)
    assert one.taught.n_train == other.taught.n_train == bench.real_taught.n_train == 90
    assert one.distances.overall.n_fake == one.distances.overall.n_real == 90
    said = findings(bench, [one, other])
    assert (said["judged"], said["real"].n, said["real_by_class"][3].n) == ([0, 1, 2], 180, 0)
    assert set(one.strips) == set(said["strips"]) == {0, 1, 2}


def test_more_images_than_train_teach_several_times():
    bench = prepare(judged({"many": real("many", 125, seed=5)}), seed=0)
    version = assess(bench.judged.versions[0], bench)
    assert (version.taught.trainings, version.taught.n_train) == (3, 160)
    assert bench.real_taught.trainings == 1
    assert version.against_real.verdict() == "no evidence"


def test_too_few_held_out_images_leave_copies_unmeasured():
    bench = prepare(judged({"copies": PLANTED["copies"]}, val=4, test=20), seed=0)
    version = assess(bench.judged.versions[0], bench)
    assert (version.memorisation, version.copied, list(version.twins)) == (None, False, [])
    assert version.unmeasured.startswith("96 held-out images cannot tell copies: at least 99")


def test_held_out_images_that_train_has_leave_copies_unmeasured():
    """And all else is found out none the less."""
    found = judged({"copies": PLANTED["copies"]})
    features = found.val.features.copy()
    features[:9] = found.train.features[:9]
    bench = prepare(dataclasses.replace(found, val=dataclasses.replace(found.val, features=features)), seed=0)
    version = assess(bench.judged.versions[0], bench)
    assert version.memorisation is None
    assert version.unmeasured.startswith("held-out images that are in train: got ")
    assert version.shown.n == 160


def test_one_class_is_refused():
    lone = images("lone", np.zeros(20, np.int64), features(np.zeros(20, np.int64), seed=4))
    with pytest.raises(DataError, match=r"too few classes to judge: got 1 classes in every version.*generate more"):
        prepare(judged({"all": HELD_OUT, "lone": lone}), seed=0)


def test_notes_tell_what_the_numbers_cannot():
    found = judged({"held_out": HELD_OUT})
    assert found.notes() == ()
    (version,) = found.versions
    generated = dataclasses.replace(
        version.generated, train_images=frozenset({"seen", "a", "b"}), settings={"filter": {"sha256": "ef"}}
    )
    blurred = dataclasses.replace(version.images, source=Small())
    changed = dataclasses.replace(version, generated=generated, images=blurred)
    foreign, chosen, small = dataclasses.replace(found, versions=(changed,)).notes()
    assert foreign.startswith("2 of the 3 images that the generator and the filter of held_out learned from are not")
    assert chosen.startswith("A classifier chose among the images of held_out")
    assert small.startswith("The images of held_out have 16 pixels a side, the first of train 32")
