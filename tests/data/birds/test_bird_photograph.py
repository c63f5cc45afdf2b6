"""Whole photographs: repeatable, with true boxes, and two species of a genus differing only in the parts that tell."""

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from finegrain.data.birds.photograph import Rendered, render
from finegrain.data.birds.species import PARTS, Part, catalogue, distinguishing_parts

TARGET = catalogue("target")
SEVERAL = [(TARGET[i % 16], i) for i in range(24)]


def near(photographs: list[Rendered], parts: tuple[Part, ...], margin: int) -> np.ndarray:
    """Where any of the parts is in any of the photographs, widened by `margin` pixels."""
    size = len(photographs[0].pixels)
    mask = np.zeros((size, size), bool)
    for left, top, right, bottom in (p.parts[part] for p in photographs for part in parts if part in p.parts):
        rows = slice(max(0, int(top) - margin), int(np.ceil(bottom)) + margin)
        mask[rows, max(0, int(left) - margin) : int(np.ceil(right)) + margin] = True
    return mask


def share_inside(change: np.ndarray, mask: np.ndarray) -> float:
    return float(change[mask].sum() / change.sum())


@pytest.mark.parametrize("genus", range(0, 16, 4))
def test_species_of_a_genus_differ_only_where_their_distinguishing_parts_are(genus):
    tight = []
    for (a, b), index in itertools.product(itertools.combinations(TARGET[genus : genus + 4], 2), range(3)):
        pair = [render(species, index, scene=a.name) for species in (a, b)]
        change = np.abs(pair[0].pixels.astype(int) - pair[1].pixels.astype(int)).sum(axis=-1)
        assert change.any()
        tight.append(share_inside(change, near(pair, distinguishing_parts(a, b), margin=2)))
        # what is left outside is the soft shadow of tail or crest and the blur of the lens
        assert share_inside(change, near(pair, distinguishing_parts(a, b), margin=4)) >= 0.98
    assert np.mean(tight) >= 0.99
    assert min(tight) >= 0.96


def test_the_same_scene_without_a_change_of_species_is_the_same_photograph():
    first = TARGET[0]
    np.testing.assert_array_equal(render(first, 3).pixels, render(first, 3, scene=first.name).pixels)


def test_order_does_not_matter():
    forward = [render(species, index).pixels for species, index in SEVERAL]
    backward = [render(species, index).pixels for species, index in reversed(SEVERAL)]
    for first, second in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_process_draws_the_same_pixels():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(render, TARGET[5], 7, seed=11).result().pixels
    np.testing.assert_array_equal(there, render(TARGET[5], 7, seed=11).pixels)


def test_seed_species_and_index_each_change_the_photograph():
    pixels = render(TARGET[0], 0).pixels.astype(int)
    for other in (render(TARGET[0], 0, seed=1), render(TARGET[0], 1), render(TARGET[1], 0)):
        assert np.abs(pixels - other.pixels).mean() > 3


@pytest.mark.parametrize("size", [32, 96, 128])
def test_boxes_lie_in_the_picture_and_nearly_always_show_every_part(size):
    seen = []
    for species, index in SEVERAL:
        photograph = render(species, index, size=size)
        assert photograph.pixels.shape == (size, size, 3)
        assert photograph.pixels.dtype == np.uint8
        for left, top, right, bottom in photograph.parts.values():
            assert 0 <= left < right <= size
            assert 0 <= top < bottom <= size
        seen.append(len(photograph.parts))
    assert np.mean(seen) > 0.95 * len(PARTS)


def test_the_size_changes_the_resolution_and_not_the_scene():
    small, large = render(TARGET[2], 4, size=96), render(TARGET[2], 4, size=192)
    for part, box in small.parts.items():
        np.testing.assert_allclose(np.array(large.parts[part]) / 2, box, atol=1.5)
    shrunk = large.pixels.reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.95


def test_the_scenery_says_nothing_about_the_species():
    """Mean colours of the four corners are drawn alike for all species."""
    corners = np.array([[render(s, i, size=32).pixels[:6, :6].mean() for i in range(40)] for s in TARGET[:4]])
    spread = corners.mean(axis=1).std()
    assert spread < 3 * corners.std() / np.sqrt(40)
