"""Grids of heads on frozen features: what is trained on what, how the best is chosen, and what is refused."""

import logging
import math

import numpy as np
import pytest
import torch
from sklearn.model_selection import RepeatedStratifiedKFold

from finegrain.errors import CheckpointError, ConfigError, DataError
from finegrain.features.head_kinds import Cosine, Linear, Mlp
from finegrain.features.heads import HeadScore, best_setting, fit_best, score_heads
from finegrain.features.logistic import LogisticGrid, LogisticSetting
from finegrain.features.minibatch import MiniBatchGrid

CLASSES = 4


def clouds(count: int = 80, *, dim: int = 6, spread: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of very different means and scales, a cloud a class."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    rows = random.normal(size=(CLASSES, dim))[labels] * 2 + spread * random.normal(size=(count, dim))
    return torch.tensor(rows * np.geomspace(0.01, 100, dim) + 5, dtype=torch.float32), torch.tensor(labels)


def masks(labels: torch.Tensor, *, folds: int = 4, repeats: int = 1) -> torch.Tensor:
    """Train masks [folds × repeats, N]."""
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=0)
    train = torch.zeros(folds * repeats, len(labels), dtype=torch.bool)
    for mask, (rows, _) in zip(train, splitter.split(labels, labels), strict=True):
        mask[rows] = True
    return train


SOLVERS = {
    "logistic": LogisticGrid(strengths=(0.01, 1.0), smoothings=(0.0, 0.1)),
    "sgd": MiniBatchGrid(optimizer="sgd", lrs=(0.003, 0.03), weight_decays=(0.0, 0.01), epochs=8, batch_size=16),
    "adamw": MiniBatchGrid(lrs=(0.01, 0.03), smoothings=(0.0, 0.1), epochs=8, batch_size=16),
    "cosine": MiniBatchGrid(kind=Cosine(), lrs=(0.01, 0.03), epochs=8, batch_size=16),
    "mlp": MiniBatchGrid(kind=Mlp(hidden=16), lrs=(0.01, 0.03), epochs=8, batch_size=16),
}


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest):
    return SOLVERS[request.param]


def trained(solver, features, labels, train):
    return list(solver.fit(features, labels, train=train, num_classes=CLASSES))


def test_every_kind_learns_clouds_that_lie_apart(solver):
    features, labels = clouds()
    fit = fit_best(solver, features, labels, train=masks(labels), num_classes=CLASSES, features_key="k")
    assert (fit.predict(features, features_key="k").argmax(1) == labels).all()
    assert max(score.accuracy for score in fit.scores) == 1.0


def test_rows_held_out_are_not_read(solver):
    features, labels = clouds()
    train = masks(labels)[:1]
    spoilt, relabelled = features.clone(), labels.clone()
    spoilt[~train[0]], relabelled[~train[0]] = torch.nan, 0
    pairs = zip(trained(solver, features, labels, train), trained(solver, spoilt, relabelled, train), strict=True)
    for clean, other in pairs:
        assert torch.equal(clean.head(features), other.head(features))


def test_a_head_is_the_same_alone_and_in_a_grid(solver):
    features, labels = clouds(spread=1.5)
    train = masks(labels)
    for head in trained(solver, features, labels, train)[:: 1 + len(train)]:
        (alone,) = trained(solver.only(head.setting), features, labels, train[head.split][None])
        found, expected = (one.head(features).softmax(1) for one in (alone, head))
        torch.testing.assert_close(found, expected, atol=0.01 if alone.converged else 1e-3, rtol=0)


def test_a_small_memory_changes_nothing():
    features, labels = clouds()
    train = masks(labels)[:1]
    grid, small = (MiniBatchGrid(epochs=4, batch_size=16, memory_bytes=size) for size in (2**30, 1))
    for head, other in zip(*(trained(g, features, labels, train) for g in (grid, small)), strict=True):
        torch.testing.assert_close(head.head(features), other.head(features), atol=1e-4, rtol=1e-4)


def test_steps_may_stand_in_place_of_epochs():
    features, labels = clouds()
    train = masks(labels)[:1]
    (by_epochs,) = trained(MiniBatchGrid(lrs=(0.01,), epochs=3, batch_size=16), features, labels, train)
    assert by_epochs.iterations == 3 * math.ceil(int(train.sum()) / 16)
    steps = by_epochs.iterations
    (same,) = trained(MiniBatchGrid(lrs=(0.01,), epochs=1, steps=steps, batch_size=16), features, labels, train)
    assert torch.equal(same.head(features), by_epochs.head(features))
    (cut,) = trained(MiniBatchGrid(lrs=(0.01,), steps=steps - 1, batch_size=16), features, labels, train)
    assert cut.iterations == steps - 1
    assert not torch.equal(cut.head(features), by_epochs.head(features))


def test_repeated_training_gives_the_same_bits(solver):
    features, labels = clouds()
    first, again = (trained(solver, features, labels, masks(labels)[:2]) for _ in range(2))
    for head, other in zip(first, again, strict=True):
        assert torch.equal(head.head(features), other.head(features))


@pytest.mark.parametrize("kind", [Linear(), Cosine(), Mlp(hidden=8)])
def test_a_head_reads_raw_features(kind):
    """Features rescaled and shifted, as a constant one is too, give the same logits."""
    features, labels = clouds()
    features[:, 2] = 7.0
    moved = features * torch.tensor([1, 10, 3, 0.1, 1, 5.0]) + torch.tensor([3, 0, 1, 0, 9, 0.0])
    grid, train = MiniBatchGrid(kind=kind, lrs=(0.01,), epochs=3, batch_size=16), masks(labels)[:1]
    (head,), (other) = trained(grid, features, labels, train), trained(grid, moved, labels, train)
    torch.testing.assert_close(head.head(features), other[0].head(moved), atol=1e-2, rtol=1e-3)


def test_sgd_takes_the_steps_of_torch():
    features, labels = clouds(16, spread=1.0)
    features = (features - features.mean(0)) / features.std(0, correction=0)
    grid = MiniBatchGrid(optimizer="sgd", lrs=(0.1,), weight_decays=(0.01,), epochs=5, batch_size=16)
    _compare_with_torch(grid, features, labels, lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9))


def test_adamw_takes_the_steps_of_torch():
    features, labels = clouds(16, spread=1.0)
    features = (features - features.mean(0)) / features.std(0, correction=0)
    grid = MiniBatchGrid(lrs=(0.1,), weight_decays=(0.01,), epochs=5, batch_size=16)
    _compare_with_torch(grid, features, labels, lambda groups: torch.optim.AdamW(groups, lr=0.1))


def _compare_with_torch(grid, features, labels, build):
    (found,) = trained(grid, features, labels, torch.ones(1, len(labels), dtype=torch.bool))
    layer = torch.nn.Linear(features.shape[1], CLASSES)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    groups = [{"params": [layer.weight], "weight_decay": 0.01}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = build(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, grid.epochs)
    for _ in range(grid.epochs):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(layer(features), labels).backward()
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(found.head(features), layer(features), atol=1e-4, rtol=1e-4)


def test_a_diverged_head_is_not_chosen():
    features, labels = clouds()
    grid = MiniBatchGrid(kind=Mlp(hidden=8), optimizer="sgd", lrs=(0.01, 1e30), epochs=4, batch_size=16)
    fit = fit_best(grid, features, labels, train=masks(labels), num_classes=CLASSES, features_key="k")
    assert fit.setting.lr == 0.01
    assert any(score.log_loss == math.inf for score in fit.scores)


def scored(strength: float, accuracy: float, log_loss: float) -> HeadScore[LogisticSetting]:
    return HeadScore(
        setting=LogisticSetting(strength=strength),
        split=0,
        accuracy=accuracy,
        log_loss=log_loss,
        converged=True,
        iterations=1,
    )


def test_the_best_has_the_best_mean_accuracy_then_the_least_log_loss():
    scores = [scored(1, 0.5, 0.1), scored(1, 0.9, 0.1), scored(2, 0.8, 0.9), scored(2, 0.7, 0.9)]
    assert best_setting(scores).strength == 2
    assert best_setting([*scores, scored(3, 0.75, 0.8)]).strength == 3


def test_the_scores_are_of_the_rows_held_out():
    features, labels = clouds(spread=2.0)
    train, grid = masks(labels), LogisticGrid(strengths=(0.1,))
    scores = score_heads(grid, features, labels, train=train, num_classes=CLASSES)
    assert [score.split for score in scores] == [0, 1, 2, 3]
    for score, one in zip(scores, trained(grid, features, labels, train), strict=True):
        logits, truth = one.head(features)[~train[one.split]], labels[~train[one.split]]
        assert score.accuracy == pytest.approx(float((logits.argmax(1) == truth).float().mean()))
        assert score.log_loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, truth)), rel=1e-4)


def test_a_head_refuses_features_of_another_key():
    features, labels = clouds()
    grid = LogisticGrid(strengths=(0.1,))
    fit = fit_best(grid, features, labels, train=masks(labels), num_classes=CLASSES, features_key="abc")
    with pytest.raises(CheckpointError, match=r"features of key xyz; expected key abc; extract them"):
        fit.predict(features, features_key="xyz")


def test_a_fit_that_stops_short_says_so(caplog: pytest.LogCaptureFixture):
    features, labels = clouds(spread=3.0)
    grid = LogisticGrid(strengths=(10.0,), max_iterations=1, tolerance=1e-9)
    with caplog.at_level(logging.WARNING):
        fit = fit_best(grid, features, labels, train=masks(labels), num_classes=CLASSES, features_key="k")
    assert fit.converged is False
    assert "short of its optimum" in caplog.text


REFUSED = {
    "two splits with the same train rows": lambda x, y, t: (x, y, t[[0, 1, 0]]),
    "split 0 with every row in train": lambda x, y, t: (x, y, torch.ones_like(t)),
    "split 0 with fewer than two classes": lambda x, y, t: (x, y, t & (y == 1)),
    r"torch.int64 \[4, 80\]": lambda x, y, t: (x, y, t.long()),
    r"torch.bool \[0, 80\]": lambda x, y, t: (x, y, t[:0]),
    r"shapes \[80, 6\] and \[79\]": lambda x, y, t: (x, y[1:], t),
    "labels 0 to 4": lambda x, y, t: (x, y + (y == 3), t),
    "labels -1 to 2": lambda x, y, t: (x, y - 1, t),
    "60 of 60 train rows with NaN": lambda x, y, t: (x * torch.nan, y, t),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_together_is_refused(message: str):
    features, labels = clouds()
    features, labels, train = REFUSED[message](features, labels, masks(labels))
    with pytest.raises(DataError, match=message):
        score_heads(LogisticGrid(), features, labels, train=train, num_classes=CLASSES)


@pytest.mark.parametrize("field", ["strengths", "smoothings"])
def test_an_empty_grid_is_refused(field: str):
    features, labels = clouds()
    with pytest.raises(ConfigError, match=f"{field} is empty"):
        score_heads(LogisticGrid(**{field: ()}), features, labels, train=masks(labels), num_classes=CLASSES)
    if field == "smoothings":
        with pytest.raises(ConfigError, match="smoothings is empty"):
            score_heads(MiniBatchGrid(smoothings=()), features, labels, train=masks(labels), num_classes=CLASSES)


def test_a_negative_strength_is_refused():
    features, labels = clouds()
    with pytest.raises(ConfigError, match="strengths"):
        score_heads(LogisticGrid(strengths=(-1.0,)), features, labels, train=masks(labels), num_classes=CLASSES)
