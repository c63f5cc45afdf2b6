"""What val taught of a model's confidence comes back from the report as it was written."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from finegrain.errors import ConfigError
from finegrain.metrics.fitted import Fitted, find_unsure

WRITTEN = {
    "val_images": 300,
    "temperature": 2.0,
    "threshold": {"confidence": 0.8, "coverage": 0.5, "accuracy": 0.99, "lower_bound": 0.95},
    "sets": {"method": "lac", "coverage": 0.9, "limit": 0.75},
}
P = np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04]])


def test_it_is_applied_as_by_hand():
    fitted = Fitted.read(json.loads(json.dumps(WRITTEN)))
    assert fitted.threshold == 0.8
    np.testing.assert_allclose(fitted.calibrated(P), softmax(np.log(P) / 2, axis=1))
    assert fitted.sets(P).tolist() == [[True, True, False], [True, False, False]]


def test_what_val_could_not_promise_is_none():
    fitted = Fitted.read(WRITTEN | {"threshold": None, "sets": WRITTEN["sets"] | {"limit": None}})
    assert fitted.threshold is None
    assert fitted.sets(P) is None


def test_unsure_is_what_lies_below_the_threshold_or_has_several_classes():
    fitted = Fitted.read(WRITTEN)
    without = Fitted.read(WRITTEN | {"threshold": None})
    strict = Fitted.read(WRITTEN | {"threshold": None, "sets": WRITTEN["sets"] | {"limit": 0.4}})
    nothing = Fitted.read(WRITTEN | {"threshold": None, "sets": WRITTEN["sets"] | {"limit": None}})
    for threshold, known, expected, word in (
        (None, fitted, [True, False], "below 0.8"),
        (0.95, fitted, [True, True], "below 0.95"),
        (0.9, None, [True, False], "below 0.9"),
        (None, without, [True, False], "sets that hold the true one in 90%"),
        (None, strict, [True, False], "not exactly one class"),
    ):
        found, rule = find_unsure(P, threshold=threshold, fitted=known)
        assert found is not None
        assert found.tolist() == expected
        assert word in rule
    assert strict.sets(P).sum(axis=1).tolist() == [1, 1], "the likeliest of the first is not likely enough"
    assert find_unsure(P, threshold=None, fitted=nothing)[0] is None
    assert find_unsure(P, threshold=None, fitted=None)[0] is None


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": "2"},
        {"temperature": float("nan")},
        {"val_images": 0},
        {"threshold": {"confidence": 1.5}},
        {"threshold": {"coverage": 0.5}},
        {"threshold": 0.8},
        {"sets": None},
        {"sets": {"method": "aps", "coverage": 0.9, "limit": 0.5}},
        {"sets": {"method": "lac", "coverage": 0.9, "limit": -1.0}},
    ],
)
def test_what_cannot_be_is_refused(change: dict):
    with pytest.raises((ConfigError, KeyError, TypeError)):
        Fitted.read(WRITTEN | change)


@pytest.mark.parametrize("content", [None, [], "text", {}])
def test_other_json_is_refused(content: object):
    with pytest.raises((KeyError, TypeError)):
        Fitted.read(content)
