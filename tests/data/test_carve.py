from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finegrain.data.base import Sample
from finegrain.data.carve import carve


def samples_of(counts, *, group=None):
    return [
        Sample(path=f"{label}/{number}.jpg", label=label, group=group and group(label, number))
        for label, count in enumerate(counts)
        for number in range(count)
    ]


def counts_of(samples, classes=2):
    counter = Counter(sample.label for sample in samples)
    return [counter[label] for label in range(classes)]


@pytest.mark.parametrize(
    ("count", "fraction", "taken"), [(1, 0.9, 0), (2, 0.1, 1), (2, 0.9, 1), (30, 0.1, 3), (25, 0.1, 3), (10, 0.99, 9)]
)
def test_each_class_gives_its_rounded_share(count, fraction, taken):
    carved = carve(samples_of([count, 20]), fraction=fraction, seed=0)
    assert counts_of(carved.taken)[0] == taken
    assert counts_of(carved.kept)[0] == count - taken


def test_the_carve_is_pinned():
    """A change here changes every published number: the order is a hash of seed and path alone."""
    carved = carve(samples_of([10, 10]), fraction=0.2, seed=0)
    assert [s.path for s in carved.taken] == ["0/0.jpg", "0/9.jpg", "1/1.jpg", "1/8.jpg"]


def test_the_carve_depends_on_seed_and_paths_only():
    samples = samples_of([40, 30])
    first = carve(samples, fraction=0.2, seed=1)
    again = carve(samples[::-1], fraction=0.2, seed=1)
    other = carve(samples, fraction=0.2, seed=2)
    assert set(first.taken) == set(again.taken)
    assert set(first.taken) != set(other.taken)


def test_groups_that_fit_no_class_share_still_fill_the_total():
    samples = samples_of([20] * 10, group=lambda label, number: f"{label}-{number // 10}")
    taken = carve(samples, fraction=0.1, seed=0).taken
    assert len(taken) == 20
    assert len({s.group for s in taken}) == 2


@st.composite
def pools(draw):
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 12)), min_size=2, max_size=60))
    return [
        Sample(path=f"{number}.jpg", label=label, group=None if group is None else str(group))
        for number, (label, group) in enumerate(rows)
    ]


@settings(max_examples=60, deadline=None)
@given(pools(), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_carve_is_a_partition_that_keeps_groups_and_classes_whole(samples, fraction, seed):
    carved = carve(samples, fraction=fraction, seed=seed)
    assert sorted(s.path for s in carved.kept + carved.taken) == sorted(s.path for s in samples)
    groups = [{s.group for s in part if s.group is not None} for part in (carved.kept, carved.taken)]
    assert not groups[0] & groups[1]
    assert {s.label for s in carved.kept} == {s.label for s in samples}
    assert carved == carve(samples, fraction=fraction, seed=seed)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.integers(0, 9))
def test_without_groups_every_share_is_met(counts, seed):
    taken = counts_of(carve(samples_of(counts), fraction=0.1, seed=seed).taken, len(counts))
    assert taken == [max(1, int(0.1 * count + 0.5)) for count in counts]
