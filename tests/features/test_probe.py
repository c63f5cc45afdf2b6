import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from finegrain.data.base import Sample
from finegrain.features.probe import STRENGTHS, fit_probe


def task(counts: tuple[int, ...], *, dim: int = 6, spread: float = 1.0) -> tuple[np.ndarray, list[Sample]]:
    """Features of very different means and scales, a cloud a class."""
    random = np.random.default_rng(0)
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    centres = random.normal(size=(len(counts), dim)) * 2
    rows = centres[labels] + spread * random.normal(size=(len(labels), dim))
    rows = rows * np.geomspace(0.01, 100, dim) + 50
    return rows.astype(np.float32), [Sample(path=f"{n}.png", label=label) for n, label in enumerate(labels)]


@pytest.mark.parametrize("counts", [(20, 30, 25), (25, 25)])
def test_it_is_scikit_learns_regression_on_standardised_features(counts) -> None:
    rows, samples = task(counts)
    probe = fit_probe(rows, samples, seed=0)
    assert (probe.weight.shape, probe.bias.shape) == ((len(counts), 6), (len(counts),))
    # Of two classes scikit-learn penalises one weight w where we have ±w/2: half as much, so twice the C.
    strength = probe.strength * (2 if len(counts) == 2 else 1)
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
    expected = peer.fit(rows, [s.label for s in samples]).predict_log_proba(rows)
    logits = rows @ probe.weight.T + probe.bias
    found = (
        logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(1)[:, None]
    )
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01)


def test_the_more_noise_the_stronger_the_penalty() -> None:
    clear, noisy = (fit_probe(*task((40, 40, 40), spread=spread), seed=0).strength for spread in (0.1, 12.0))
    assert clear > noisy
    assert {clear, noisy} <= set(STRENGTHS)


def test_one_image_a_class_gives_the_middle_strength() -> None:
    assert fit_probe(*task((1, 1, 1)), seed=0).strength == STRENGTHS[len(STRENGTHS) // 2]


def test_a_class_of_one_image_is_never_held_out() -> None:
    rows, samples = task((1, 30, 30), spread=0.1)
    probe = fit_probe(rows, samples, seed=0)
    assert np.argmax(rows @ probe.weight.T + probe.bias, axis=1).tolist() == [s.label for s in samples]


def test_the_same_seed_gives_the_same_probe() -> None:
    first, again = (fit_probe(*task((9, 9, 9)), seed=3) for _ in range(2))
    assert first.strength == again.strength
    assert np.array_equal(first.weight, again.weight)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    rows, samples = task((20, 20))
    rows[:, 2] = 7.0
    assert np.isfinite(fit_probe(rows, samples, seed=0).weight).all()
