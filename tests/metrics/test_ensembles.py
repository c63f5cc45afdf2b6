"""Averages, diversity and gain, against values worked out by hand."""

import numpy as np
import pytest

from finegrain.metrics.ensembles import average, diversity, gain

LABELS = np.array([0, 0, 1, 2])


def surely(*answers: int) -> np.ndarray:
    return np.eye(3)[list(answers)] * 0.8 + 0.2 / 3


MEMBERS = np.stack([surely(0, 1, 1, 1), surely(0, 2, 0, 2), surely(0, 1, 1, 2)])
"""Wrong: the second and fourth image; the second and third; the second."""


def test_probabilities_are_averaged_as_they_are():
    members = np.array([[[0.9, 0.1]], [[0.3, 0.7]]])
    np.testing.assert_allclose(average(members, "probabilities"), [[0.6, 0.4]])


def test_the_average_of_logits_is_the_geometric_mean():
    members = np.array([[[0.9, 0.1]], [[0.4, 0.6]]])
    roots = np.sqrt([0.9 * 0.4, 0.1 * 0.6])
    np.testing.assert_allclose(average(members, "logits"), [roots / roots.sum()])


def test_one_member_can_rule_a_class_out_of_the_average_of_logits_alone():
    members = np.array([[[0.0, 0.6, 0.4]], [[0.9, 0.05, 0.05]], [[0.9, 0.05, 0.05]]])
    assert average(members, "probabilities").argmax() == 0
    ruled_out = average(members, "logits")
    assert ruled_out.argmax() == 1
    assert 0 <= ruled_out[0, 0] < 1e-9
    np.testing.assert_allclose(ruled_out.sum(), 1)


def test_pairs_that_differ_and_pairs_that_are_both_wrong():
    shares = diversity(LABELS, MEMBERS)
    np.testing.assert_allclose(shares.disagreement, np.array([[0, 3, 1], [3, 0, 2], [1, 2, 0]]) / 4)
    np.testing.assert_allclose(shares.double_fault, np.array([[2, 1, 1], [1, 2, 1], [1, 1, 1]]) / 4)
    assert shares.missed_by_all == 1 / 4
    assert shares.error == pytest.approx(5 / 12)


def test_the_gain_is_that_over_the_mean_member():
    averaged = average(MEMBERS, "probabilities")
    assert averaged.argmax(1).tolist() == [0, 1, 1, 2]  # of the equal ones the first
    found = gain(LABELS, MEMBERS, averaged)
    assert found.difference == pytest.approx(3 / 4 - 7 / 12)


def test_equal_members_gain_nothing_and_show_no_spread():
    twice = np.stack([MEMBERS[0], MEMBERS[0]])
    found = gain(LABELS, twice, average(twice, "logits"))
    assert (found.difference, found.interval) == (0, None)


def test_many_weak_members_that_err_apart_gain():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    answers = np.where(random.random((9, 300)) < 0.6, labels, random.integers(0, 3, (9, 300)))
    members = np.stack([surely(*row) for row in answers])
    found = gain(labels, members, average(members, "probabilities"))
    assert found.interval is not None
    assert found.interval[0] > 0.1
