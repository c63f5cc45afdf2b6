"""What each arm is trained on: as many images, of the same classes, and val and test untouched."""

from collections import Counter

import pytest
from planted_points import CLASSES, FAKE, REAL, K, Planted

from finegrain.errors import DataError
from finegrain.gan.arms import build_arms
from finegrain.metrics.benefit import ARMS


def test_every_arm_has_what_its_name_says() -> None:
    planted = Planted("held out")
    data, arms = planted.data, build_arms(planted.data, planted.generated, fraction=0.6, seed=1)
    assert tuple(arms) == ARMS
    real, generated = set(data.train), set(planted.generated.samples)
    added = {arm: arms[arm].train[len(data.train) :] for arm in ARMS if arm != "synthetic only"}
    assert arms["real"].train == data.train
    for arm, samples in added.items():
        assert arms[arm].train[: len(data.train)] == data.train
        counts = Counter(sample.label for sample in samples)
        assert counts == ({} if arm == "real" else dict.fromkeys(range(K), 6)), arm  # 6 of 6 + 4 are 60 %.
    assert set(added["duplicated"]) <= real
    assert {sample.path for sample in added["synthetic"]} <= {sample.path for sample in generated}
    assert len(set(added["synthetic"])) == 6 * K
    assert {s.path for s in arms["synthetic only"].train} == {s.path for s in generated}
    for arm in arms.values():
        assert (arm.val, arm.test, arm.class_names) == (data.val, data.test, CLASSES)


def test_every_real_image_is_doubled_before_any_is_there_three_times() -> None:
    planted = Planted("held out")
    twice = build_arms(planted.data, planted.generated, fraction=0.6, seed=1)["duplicated"].train
    counts = Counter(sample.path for sample in twice)
    assert len(twice) == (REAL + 6) * K
    assert set(counts.values()) == {2, 3}
    assert build_arms(planted.data, planted.generated, fraction=0.2, seed=1)["duplicated"].train != twice


def test_shuffled_labels_are_those_of_the_same_images_dealt_out_anew() -> None:
    planted = Planted("held out")
    arms = build_arms(planted.data, planted.generated, fraction=0.9, seed=1)
    right, wrong = (arms[arm].train[len(planted.data.train) :] for arm in ("synthetic", "shuffled"))
    assert [sample.path for sample in right] == [sample.path for sample in wrong]
    assert Counter(s.label for s in right) == Counter(s.label for s in wrong)
    kept = sum(one.label == other.label for one, other in zip(right, wrong, strict=True))
    assert len(right) == 36 * K
    assert kept / len(right) == pytest.approx(1 / K, abs=0.1)


def test_seeds_take_other_images_and_the_same_seed_the_same() -> None:
    planted = Planted("held out")
    first, again, other = (build_arms(planted.data, planted.generated, fraction=0.6, seed=seed) for seed in (1, 1, 2))
    assert {arm: data.train for arm, data in first.items()} == {arm: data.train for arm, data in again.items()}
    for arm in ("duplicated", "synthetic", "shuffled"):
        assert first[arm].train != other[arm].train


def test_a_version_that_is_too_small_for_the_share_is_refused() -> None:
    planted = Planted("held out")
    with pytest.raises(DataError, match=f"too few images.*got {FAKE} of class_0"):
        build_arms(planted.data, planted.generated, fraction=0.95, seed=0)
