"""What a model's confidence is worth, in words."""

from finegrain.metrics.calibration import TEMPERATURES
from finegrain.metrics.confidence import Confidence
from finegrain.report.format import count, decimal, interval, percent


def promises(confidence: Confidence) -> tuple[tuple[str, str], ...]:
    """What val fitted and what it does on test: temperature, threshold and sets, each with a heading."""
    return (
        ("A temperature", _temperature(confidence)),
        ("Answering only when sure", _threshold(confidence)),
        ("Several classes for an answer", _sets(confidence)),
    )


def _temperature(confidence: Confidence) -> str:
    temperature, (low, high) = confidence.temperature, TEMPERATURES
    if temperature == 1:
        return "No temperature makes the probabilities better on validation: they stay as they are."
    manner = "too sure" if temperature > 1 else "not sure enough"
    found = (
        f"With the logits divided by {temperature:.2f}, the probabilities are at their best on validation: there the "
        f"model is {manner} of its answers. Which class it names stays the same."
    )
    if not 1.2 * low < temperature < high / 1.2:
        found += " This is the edge of what was tried, as validation says too little."
    before, after = confidence.test.before.loss, confidence.test.after.loss
    losses = f"the log-loss goes from {decimal(before)} to {decimal(after)}"
    if after < before:
        return f"{found} On test, too, they are better with it: {losses}."
    return f"{found} On test they are no better with it: {losses}. Validation is too small, or too easy, to say."


def _threshold(confidence: Confidence) -> str:
    threshold, answered, wanted = confidence.threshold, confidence.answered, _share(confidence.wanted_accuracy)
    if threshold is None:
        return (
            f"Validation, {count(confidence.val_images)} images, cannot promise of any confidence that {wanted} of "
            "the answers from it on are right: it has too few images, or mistakes among its surest answers."
        )
    found = (
        f"Answers with a confidence of {decimal(threshold.confidence, 4)} or more are right in at least {wanted}: "
        f"validation promises it with a certainty of 95\N{NBSP}%."
    )
    if answered is None:
        return f"{found} No image of test is answered so."
    return (
        f"{found} Of test, {percent(answered.coverage)} of the images are answered so, and "
        f"{percent(answered.accuracy)} of these answers are right ({interval(answered.interval)})."
    )


def _sets(confidence: Confidence) -> str:
    sets, quality = confidence.sets, confidence.set_quality
    promised = f"hold the true class in {_share(sets.coverage)}"
    if sets.limit > 1:
        return (
            f"Validation, {count(confidence.val_images)} images, is too small to promise that sets of classes "
            f"{promised}, unless every class is in all of them."
        )
    return (
        f"Given every class with a probability of {decimal(1 - sets.limit, 4)} or more, and always the likeliest, "
        f"sets of classes {promised}: so validation promises. Of test, {percent(quality.coverage)} do "
        f"({interval(quality.interval)}), with {decimal(quality.mean_size, 2)} classes on average."
    )


def _share(wanted: float) -> str:
    """As it was asked for: 0.995 is not 100 %."""
    return f"{100 * wanted:g}\N{NBSP}%"
