import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finegrain.data.base import Sample
from finegrain.data.folds import make_folds
from finegrain.errors import DataError

NAMES = ("jay", "wren", "tit")


def samples(counts: dict[int, int], *, per_group: int | None = None) -> list[Sample]:
    made = []
    for label, count in counts.items():
        for number in range(count):
            group = None if per_group is None else f"{label}-{number // per_group}"
            made.append(Sample(path=f"{label}/{number}.jpg", label=label, group=group))
    return made


def test_every_image_is_held_out_once_and_classes_evenly():
    pool = samples({0: 10, 1: 11, 2: 25})
    made = make_folds(pool, folds=5, seed=0, class_names=NAMES)
    assert sorted(s.path for fold in made for s in fold.held_out) == sorted(s.path for s in pool)
    for fold in made:
        assert not set(fold.train) & set(fold.held_out)
        assert set(fold.train) | set(fold.held_out) == set(pool)
        counts = Counter(sample.label for sample in fold.held_out)
        assert counts[0] == 2
        assert counts[1] in (2, 3)
        assert counts[2] == 5


def test_order_has_no_part_and_the_seed_has():
    pool = samples({0: 10, 1: 10, 2: 10})
    mixed = random.Random(0).sample(pool, len(pool))
    assert make_folds(mixed, folds=3, seed=7, class_names=NAMES) == make_folds(pool, folds=3, seed=7, class_names=NAMES)
    assert make_folds(pool, folds=3, seed=8, class_names=NAMES) != make_folds(pool, folds=3, seed=7, class_names=NAMES)


@given(st.lists(st.integers(1, 5), min_size=8, max_size=20), st.integers(0, 1000))
def test_no_group_is_on_both_sides(sizes: list[int], seed: int):
    pool = [
        Sample(path=f"{group}-{number}", label=group % 2, group=str(group))
        for group, size in enumerate(sizes)
        for number in range(size)
    ]
    for fold in make_folds(pool, folds=2, seed=seed, class_names=NAMES[:2]):
        assert not {s.group for s in fold.train} & {s.group for s in fold.held_out}


def test_too_many_folds_name_the_most():
    with pytest.raises(DataError, match=r"6 folds are too many for class wren: got 4 .* set folds=4"):
        make_folds(samples({0: 10, 1: 4, 2: 9}), folds=6, seed=0, class_names=NAMES)
    with pytest.raises(DataError, match=r"class wren: got 2 images or groups.* set folds=2"):
        make_folds(samples({0: 12, 1: 8, 2: 12}, per_group=4), folds=3, seed=0, class_names=NAMES)
    with pytest.raises(DataError, match="add images of this class"):
        make_folds(samples({0: 5, 1: 1, 2: 5}), folds=2, seed=0, class_names=NAMES)
    with pytest.raises(DataError, match="class tit: got 0"):
        make_folds(samples({0: 5, 1: 5}), folds=2, seed=0, class_names=NAMES)


def test_a_division_that_leaves_a_class_untrained_is_refused(monkeypatch: pytest.MonkeyPatch):
    pool = samples({0: 6, 1: 6}, per_group=3)
    bad = [([i for i, s in enumerate(pool) if s.label == 0], [i for i, s in enumerate(pool) if s.label == 1])]
    monkeypatch.setattr("finegrain.data.folds.StratifiedGroupKFold.split", lambda *_: bad)
    with pytest.raises(DataError, match="a fold whose training lacks class wren"):
        make_folds(pool, folds=2, seed=0, class_names=NAMES[:2])


def test_groups_that_cannot_be_divided_so_name_the_most_folds_that_can():
    sizes = [(1, 8), (0, 2), (2, 2), (0, 2), (2, 2)]  # 2: an image of either class
    pool = [
        Sample(path=f"{group}-{number}", label=number % 2 if kind == 2 else kind, group=str(group))
        for group, (kind, size) in enumerate(sizes)
        for number in range(size)
    ]
    with pytest.raises(DataError, match=r"into 3 folds: got a fold whose training lacks class wren.* set folds=2"):
        make_folds(pool, folds=3, seed=0, class_names=NAMES[:2])
    assert all(fold.held_out for fold in make_folds(pool, folds=2, seed=0, class_names=NAMES[:2]))


def test_an_empty_fold_is_refused(monkeypatch: pytest.MonkeyPatch):
    pool = samples({0: 6, 1: 6}, per_group=2)
    everything = list(range(len(pool)))
    uneven = [(everything[1::2], everything[::2]), (everything[::2], everything[1::2]), (everything, [])]
    monkeypatch.setattr("finegrain.data.folds.StratifiedGroupKFold.split", lambda self, *_: uneven[: self.n_splits])
    with pytest.raises(DataError, match=r"into 3 folds: got a fold without an image.* set folds=2"):
        make_folds(pool, folds=3, seed=0, class_names=NAMES[:2])
