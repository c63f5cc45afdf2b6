"""The logistic solver against scikit-learn, where products are exact and where they are rounded."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from finegrain.features import logistic
from finegrain.features.curvature import Curvature
from finegrain.features.lbfgs import History, dot
from finegrain.features.logistic import LogisticGrid
from finegrain.features.logistic_path import LogisticPath

STRENGTHS = (0.001, 0.03, 1.0, 30.0)


def task(count: int = 400, *, dim: int = 20, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of unequal scale; the classes overlap."""
    random = np.random.default_rng(1)
    labels = random.integers(classes, size=count)
    rows = random.normal(size=(classes, dim))[labels] + 1.2 * random.normal(size=(count, dim))
    return ((rows @ random.normal(size=(dim, dim))) * np.geomspace(0.1, 10, dim) + 3).astype(np.float32), labels


def fitted(rows: np.ndarray, labels: np.ndarray, *, classes: int, **options):
    """Heads fitted on all rows, by strength."""
    everything = torch.ones(1, len(labels), dtype=torch.bool)
    grid = LogisticGrid(**options)
    found = grid.fit(torch.tensor(rows), torch.tensor(labels), train=everything, num_classes=classes)
    return {one.setting.strength: one for one in found}


def objective(weight: np.ndarray, logits: np.ndarray, labels: np.ndarray, strength: float) -> float:
    top = logits.max(1)
    normaliser = top + np.log(np.exp(logits - top[:, None]).sum(1))
    return (normaliser - logits[np.arange(len(labels)), labels]).sum() + (weight**2).sum() / 2 / strength


@pytest.fixture(params=["bf16", "fp32"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In what steps are computed, whatever this machine is fast at."""
    monkeypatch.setattr(logistic, "_fast_in_bf16", lambda device: request.param == "bf16")
    return request.param


@pytest.mark.parametrize("classes", [3, 7])
def test_it_finds_the_optimum_of_scikit_learn(products: str, classes: int):
    rows, labels = task(1200, classes=classes)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    for strength, one in fitted(rows, labels, classes=classes, strengths=STRENGTHS).items():
        peer = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8).fit(scaled.astype(np.float64), labels)
        logits = one.head(torch.tensor(rows)).double().numpy()
        found = objective(one.head.weight.numpy() * rows.std(0), logits, labels, strength)
        least = objective(peer.coef_, scaled @ peer.coef_.T + peer.intercept_, labels, strength)
        assert one.converged
        assert found == pytest.approx(least, rel=1e-4)
        assert (logits.argmax(1) == peer.predict(scaled)).mean() >= 0.999


def test_a_far_step_along_the_path_ends_where_a_start_from_zero_does(products: str):
    rows, labels = task()
    far = fitted(rows, labels, classes=7, strengths=(1e-8, 1.0))[1.0]
    near = fitted(rows, labels, classes=7, strengths=(1.0,))[1.0]
    assert far.iterations > 5
    torch.testing.assert_close(far.head(torch.tensor(rows)), near.head(torch.tensor(rows)), atol=0.1, rtol=0.01)


@pytest.mark.parametrize("strength", [1e4, 1e9])
def test_classes_that_lie_apart_give_finite_heads_without_a_penalty(products: str, strength: float):
    rows = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    (one,) = fitted(rows, np.repeat(np.arange(4), 5), classes=4, strengths=(strength,)).values()
    assert one.head(torch.tensor(rows)).isfinite().all()
    assert one.head(torch.tensor(rows)).argmax(1).tolist() == np.repeat(np.arange(4), 5).tolist()


def test_rounded_products_that_lead_nowhere_are_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logistic, "_fast_in_bf16", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: torch.zeros_like(self, dtype=torch.bfloat16))
    rows, labels = task()
    exact = fitted(rows, labels, classes=7, strengths=(0.1,), precision="fp32")[0.1]
    found = fitted(rows, labels, classes=7, strengths=(0.1,))[0.1]
    assert found.converged
    torch.testing.assert_close(found.head(torch.tensor(rows)), exact.head(torch.tensor(rows)), atol=0.05, rtol=0)


def test_smoothing_is_that_of_torch(products: str):
    """At the optimum the gradient of torch's smoothed loss and of the penalty cancel."""
    rows, labels = task()
    grid = {"strengths": (0.1,), "smoothings": (0.2,), "tolerance": 1e-8}
    head = fitted(rows, labels, classes=7, **grid)[0.1].head
    scale = torch.tensor(rows.std(0))
    weight = (head.weight * scale).requires_grad_()
    logits = torch.nn.functional.linear(torch.tensor(rows) / scale, weight, head.bias)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="sum", label_smoothing=0.2)
    (loss + weight.square().sum() / 2 / 0.1).backward()
    assert weight.grad.norm() < 1e-3 * loss


def test_fewer_rows_than_classes_and_than_features(products: str):
    rows, _ = task(6)
    one = fitted(rows, np.arange(6), classes=9, strengths=(1.0,))[1.0]
    assert one.head(torch.tensor(rows)).argmax(1).tolist() == list(range(6))


def test_a_class_without_rows_is_never_predicted(products: str):
    rows, labels = task(classes=3)
    for one in fitted(rows, labels, classes=5, strengths=STRENGTHS).values():
        assert one.head(torch.tensor(rows)).argmax(1).max() < 3
        assert one.head(torch.tensor(rows)).isfinite().all()


def test_a_constant_feature_changes_nothing(products: str):
    rows, labels = task()
    padded = np.concatenate([rows, np.full((len(rows), 1), 1e3, np.float32)], axis=1)
    for strength, one in fitted(rows, labels, classes=7, strengths=(0.01, 1.0)).items():
        other = fitted(padded, labels, classes=7, strengths=(0.01, 1.0))[strength]
        torch.testing.assert_close(other.head.weight[:, :-1], one.head.weight, atol=0.01, rtol=0.01)
        assert other.head.weight[:, -1].abs().max() < 1e-6


def test_l_bfgs_knows_a_quadratic_after_as_many_steps_as_it_has_dimensions():
    torch.manual_seed(0)
    root = torch.randn(6, 6, dtype=torch.float64)
    hessian, history = root @ root.T + torch.eye(6, dtype=torch.float64), History(6)
    basis = torch.linalg.eigh(hessian).eigenvectors.T  # conjugate steps, as an exact line search takes them
    for step in basis:
        history.append(step[None], (hessian @ step)[None])
    gradient = torch.randn(6, dtype=torch.float64)
    torch.testing.assert_close(history.direction(gradient[None], torch.clone)[0], torch.linalg.solve(hessian, gradient))
    history.shift(torch.full((6,), 2.0, dtype=torch.float64))
    shifted = hessian + 2 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(history.direction(gradient[None], torch.clone)[0], torch.linalg.solve(shifted, gradient))


def test_steps_without_curvature_are_not_remembered():
    history = History(3)
    history.append(torch.ones(1, 2), -torch.ones(1, 2))
    assert torch.equal(history.direction(torch.ones(1, 2), lambda gradient: 3 * gradient), torch.full((1, 2), 3.0))
    assert float(dot(torch.ones(2, 2), torch.ones(2, 2))) == 4


@pytest.mark.parametrize("dim", [20, 200])
def test_the_curvature_is_the_hessian_of_the_strongest_directions_and_the_mean_of_the_others(dim: int):
    torch.manual_seed(0)
    rows = torch.randn(500, dim) @ torch.diag(torch.cat([torch.full((5,), 30.0), torch.ones(dim - 5)]))
    rows = torch.cat([rows - rows.mean(0), torch.ones(500, 1)], dim=1)
    penalty = torch.full((dim + 1,), 7.0)
    penalty[-1] = 0
    hessian = 0.1 * rows.T @ rows + penalty.diag()
    product = Curvature(rows, rows).inverse(torch.tensor(0.1), penalty)(hessian)
    known = [0, 1, 2, 3, 4, dim] if dim > 128 else list(range(dim + 1))
    torch.testing.assert_close(product[known][:, known], torch.eye(len(known)), atol=0.02, rtol=0)
    eigenvalues = torch.linalg.eigvals(product).real
    assert eigenvalues.max() / eigenvalues.min() < (20 if dim > 128 else 1.02)


def test_no_more_directions_are_known_than_there_are_rows():
    """Beyond them there is but rounding, of which an eigenvalue solver may find no end."""
    rows = torch.cat([torch.randn(12, 96), torch.ones(12, 1)], dim=1)
    assert Curvature(rows, rows)._directions.shape == (97, 12 + 1)


def test_a_converged_path_is_within_its_tolerance_however_loose_the_tolerance_is(products: str):
    """What rounding hides adds up along the path; it must not pass for convergence."""
    rows, labels = task(1200)
    strengths = (0.001, 0.01, 0.1, 1.0, 10.0)
    loose = fitted(rows, labels, classes=7, strengths=strengths, tolerance=1e-4)
    exact = fitted(rows, labels, classes=7, strengths=strengths, tolerance=1e-8, precision="fp32")
    for strength, one in loose.items():
        found, least = (
            objective(head.weight.numpy() * rows.std(0), head(torch.tensor(rows)).double().numpy(), labels, strength)
            for head in (one.head, exact[strength].head)
        )
        assert one.converged
        assert found == pytest.approx(least, rel=30 * 1e-4)


@pytest.mark.parametrize(("strength", "anew"), [(1.0, True), (0.0101, False)])
def test_what_rounding_may_hide_weighs_more_where_the_penalty_is_weaker(monkeypatch, strength: float, anew: bool):
    rows, labels = task()
    scaled = torch.tensor((rows - rows.mean(0)) / rows.std(0))
    targets = torch.nn.functional.one_hot(torch.tensor(labels), 7).float()
    with_ones = torch.cat([scaled, torch.ones(len(labels), 1)], dim=1)
    path = LogisticPath(with_ones, targets, rounded=True, tolerance=1e-3, max_iterations=100)
    points = path.solve([0.01, strength])
    next(points)
    path._doubt = 0.1 * path._enough()
    done: list[str] = []
    for step in ("_differentiate", "_descend"):
        do = getattr(path, step)
        monkeypatch.setattr(path, step, lambda *args, do=do, step=step: (done.append(step), do(*args))[1])
    next(points)
    assert (done[:1] == ["_differentiate"]) is anew
