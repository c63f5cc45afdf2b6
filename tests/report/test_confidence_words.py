from dataclasses import replace

import pytest
from report_sample import predicted

from finegrain.metrics.confidence import Answered, Confidence, Scaling, judge_confidence
from finegrain.metrics.selection import Threshold
from finegrain.report.confidence_words import promises

THRESHOLD = Threshold(confidence=0.875, coverage=0.5, accuracy=0.99, lower_bound=0.96)
ANSWERED = Answered(coverage=0.4, accuracy=0.97, interval=(0.94, 0.985))


def confidence(*, val: int = 60, **changes: object) -> Confidence:
    found = judge_confidence(val=predicted(3, per_class=val, seed=1), test=predicted(3, per_class=30))
    return replace(found, **changes)


def said(known: Confidence) -> tuple[str, ...]:
    return tuple(sentence.replace("\N{NBSP}", " ") for _, sentence in promises(known))


@pytest.mark.parametrize(
    ("temperature", "words"),
    [
        (1.0, "they stay as they are"),
        (2.0, "divided by 2.00, the probabilities are at their best on validation: there the model is too sure"),
        (0.5, "not sure enough of its answers. Which class it names stays the same. On test"),
        (0.051, "edge of what was tried"),
        (19.9, "edge of what was tried"),
    ],
)
def test_a_temperature_says_what_was_wrong(temperature: float, words: str) -> None:
    assert words in said(confidence(temperature=temperature))[0]


def test_a_temperature_says_whether_it_holds_on_test() -> None:
    known = confidence()
    before, after = known.test.before, known.test.after
    assert after.loss < before.loss
    better = f"On test, too, they are better with it: the log-loss goes from {before.loss:.3f} to {after.loss:.3f}."
    assert said(known)[0].endswith(better)
    worse = said(replace(known, test=Scaling(before=after, after=before)))[0]
    assert f"On test they are no better with it: the log-loss goes from {after.loss:.3f} to {before.loss:.3f}" in worse


def test_a_threshold_says_what_it_does_on_test() -> None:
    text = said(confidence(threshold=THRESHOLD, answered=ANSWERED))[1]
    assert "confidence of 0.8750 or more are right in at least 95 %" in text
    assert "40.0 % of the images are answered so, and 97.0 % of these answers are right (94.0–98.5)." in text
    assert said(confidence(threshold=THRESHOLD, answered=None))[1].endswith("No image of test is answered so.")
    assert "180 images, cannot promise" in said(confidence(threshold=None, answered=None))[1]


def test_what_was_asked_for_is_said_as_it_was_asked() -> None:
    known = confidence(threshold=THRESHOLD, answered=ANSWERED, wanted_accuracy=0.995)
    known = replace(known, sets=replace(known.sets, coverage=0.57))
    assert "right in at least 99.5 %: validation" in said(known)[1]
    assert "hold the true class in 57 %: so" in said(known)[2]


def test_sets_say_what_they_hold() -> None:
    known = confidence()
    quality = known.set_quality
    text = said(known)[2]
    assert f"probability of {1 - known.sets.limit:.4f} or more" in text
    assert f"Of test, {100 * quality.coverage:.1f} % do" in text
    assert f"{quality.mean_size:.2f} classes on average" in text


def test_few_images_of_val_say_that_they_are_few() -> None:
    _, threshold, sets = said(confidence(val=2))
    assert "6 images, cannot promise" in threshold
    assert "6 images, is too small" in sets
    assert "every class is in all of them" in sets
