import numpy as np
import pytest
from planted import K, features, images, real

from finegrain.errors import DataError
from finegrain.features.probe import STRENGTHS
from finegrain.gan.fidelity import MOST_TRAININGS, separate_trainings, taught_by, train_head

VAL, TEST = real("val", 15, seed=1), real("test", 60, seed=2)


def test_a_head_is_fitted_on_its_images_alone():
    """Val only chooses among strengths: with one true label a row it cannot teach what train does not show."""
    train = real("train", 40, seed=0)
    head = train_head(train, VAL)
    assert head.strength in STRENGTHS
    assert head.hits(TEST).mean() > 0.6
    wrong = images("wrong", (train.labels + 1) % K, train.features)
    assert train_head(wrong, VAL).hits(TEST).mean() < 1 / K


def test_a_head_knows_the_classes_it_was_shown():
    labels = np.repeat([1, 3], 40)
    head = train_head(images("two", labels, features(labels, seed=0)), VAL)
    assert head.classes.tolist() == [1, 3]
    hits = head.hits(TEST)
    assert not hits[np.isin(TEST.labels, [0, 2])].any()
    assert hits[np.isin(TEST.labels, [1, 3])].mean() > 0.6


def test_without_val_images_of_its_classes_nothing_can_choose():
    labels = np.repeat([1, 3], 40)
    with pytest.raises(DataError, match=r"no val image to choose a head by: got none; expected one or more; raise"):
        train_head(images("two", labels, features(labels, seed=0)), VAL.take(np.flatnonzero(VAL.labels == 0)))


def test_trainings_share_no_image_and_have_the_numbers_asked_for():
    many = real("many", 30, seed=3)
    counts = np.array([10, 9, 0, 8])
    parts = separate_trainings(many, counts, seed=1)
    assert len(parts) == 3
    for part in parts:
        assert np.bincount(part.labels, minlength=K).tolist() == counts.tolist()
    assert len({sample.path for part in parts for sample in part.samples}) == 3 * counts.sum()
    assert len(separate_trainings(many, counts // 5, seed=1)) == MOST_TRAININGS
    again = separate_trainings(many, counts, seed=1)
    assert [part.samples for part in again] == [part.samples for part in parts]
    assert separate_trainings(many, counts, seed=2)[0].samples != parts[0].samples


def test_each_training_is_judged_on_all_of_test():
    taught = taught_by(separate_trainings(real("many", 30, seed=3), np.full(K, 10), seed=1), val=VAL, test=TEST)
    assert (taught.hits.shape, taught.n_train, taught.trainings) == ((3, len(TEST)), 40, 3)
    assert taught.labels.tolist() == TEST.labels.tolist()
