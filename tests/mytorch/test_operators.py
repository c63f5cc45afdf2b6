"""Each operator's result and gradients: torch's to 1e-10, and finite differences, in double precision."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from finegrain import mytorch

REPEATED = [0, 2, 2, 0, 2]
SOFT = np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.6, 0.2, 0.1], [0.1, 0.1, 0.8]])


def batch_norm(training):
    """A function of (lib, x, weight, bias), with fresh running statistics."""

    def run(lib, x, weight, bias):
        mean, var = (lib.tensor(np.linspace(start, 2, 3)) for start in (-1, 0.5))
        return lib.nn.functional.batch_norm(x, mean, var, weight, bias, training)

    return run


# Names that end in + have positive inputs.
CASES: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "add": (lambda lib, a, b: a + b, [(2, 3), (2, 3)]),
    "add, broadcast": (lambda lib, a, b: a + b, [(4, 1, 3), (2, 1)]),
    "add, a number": (lambda lib, a: 2 + a + 0.5, [(3,)]),
    "add, itself": (lambda lib, a: a + a, [(3,)]),
    "sub": (lambda lib, a, b: a - b, [(2, 1, 3), (4, 1)]),
    "sub, from a number": (lambda lib, a: 1 - a, [(2, 3)]),
    "mul": (lambda lib, a, b: a * b, [(1, 3), (2, 4, 1)]),
    "mul, scalar": (lambda lib, a, b: a * b, [(2, 3), ()]),
    "mul, ones that stay": (lambda lib, a, b: a * b, [(1, 1), (1, 1)]),
    "div+": (lambda lib, a, b: a / b, [(2, 3), (3,)]),
    "div, a number+": (lambda lib, a: 2 / a, [(2, 3)]),
    "pow": (lambda lib, a: a**3, [(2, 3)]),
    "pow, 0": (lambda lib, a: a**0, [(2, 3)]),
    "pow, both+": (lambda lib, a, b: a**b, [(2, 3), (2, 1)]),
    "pow, of a number": (lambda lib, a: 2**a, [(2, 3)]),
    "neg": (lambda lib, a: -a, [(2, 3)]),
    "exp": (lambda lib, a: a.exp(), [(2, 3)]),
    "log+": (lambda lib, a: a.log(), [(2, 3)]),
    "relu": (lambda lib, a: a.relu(), [(4, 5)]),
    "sigmoid": (lambda lib, a: (3 * a).sigmoid(), [(4, 5)]),
    "tanh": (lambda lib, a: a.tanh(), [(4, 5)]),
    "matmul": (lambda lib, a, b: a @ b, [(2, 3), (3, 4)]),
    "matmul, batches": (lambda lib, a, b: a @ b, [(5, 2, 3), (5, 3, 4)]),
    "matmul, broadcast": (lambda lib, a, b: a @ b, [(5, 1, 2, 3), (6, 3, 4)]),
    "matmul, one for all": (lambda lib, a, b: a @ b, [(5, 2, 3), (3, 4)]),
    "matmul, vectors": (lambda lib, a, b: a @ b, [(3,), (3,)]),
    "matmul, vector and matrices": (lambda lib, a, b: a @ b, [(3,), (5, 3, 4)]),
    "matmul, matrices and vector": (lambda lib, a, b: a @ b, [(5, 2, 3), (3,)]),
    "sum": (lambda lib, a: a.sum(), [(2, 3)]),
    "sum, dim": (lambda lib, a: a.sum(dim=1), [(2, 3, 4)]),
    "sum, no dims are all": (lambda lib, a: a.sum(dim=()), [(2, 3)]),
    "mean, no dims are all": (lambda lib, a: a.mean(dim=(), keepdim=True), [(2, 3)]),
    "sum, dims kept": (lambda lib, a: a.sum(dim=(0, -1), keepdim=True), [(2, 3, 4)]),
    "mean": (lambda lib, a: a.mean(), [(2, 3)]),
    "mean, dims": (lambda lib, a: a.mean(dim=(0, 2)), [(2, 3, 4)]),
    "mean, dim kept": (lambda lib, a: a.mean(dim=-1, keepdim=True), [(2, 3, 4)]),
    "max": (lambda lib, a: a.max(), [(2, 3)]),
    "max, dim": (lambda lib, a: a.max(dim=1).values, [(2, 3, 4)]),
    "max, dim kept": (lambda lib, a: a.max(dim=-1, keepdim=True)[0], [(2, 3, 4)]),
    "view": (lambda lib, a: a.view(3, -1) * a.reshape((3, 4)), [(2, 6)]),
    "view of a transpose": (lambda lib, a: a.transpose(0, 1).reshape(-1), [(2, 6)]),
    "transpose": (lambda lib, a: a.transpose(-1, 1) @ a, [(5, 2, 3)]),
    "permute": (lambda lib, a: a.permute(2, 0, 1), [(2, 3, 4)]),
    "T": (lambda lib, a: a.T, [(2, 3)]),
    "flatten": (lambda lib, a: a.flatten(1), [(2, 3, 4)]),
    "flatten, the middle": (lambda lib, a: a.flatten(1, -2), [(2, 3, 2, 2)]),
    "flatten, a number": (lambda lib, a: a.flatten(), [()]),
    "flatten, an empty batch": (lambda lib, a: a.flatten(1), [(0, 2, 3)]),
    "index, a number": (lambda lib, a: a[1], [(3, 4)]),
    "index, slices": (lambda lib, a: a[:, 1::2, None, ..., -1], [(3, 4, 2)]),
    "index, repeated": (lambda lib, a: a[REPEATED], [(3, 4)]),
    "index, repeated tensor": (lambda lib, a: a[:, lib.tensor(REPEATED)], [(2, 3)]),
    "index, pairs": (lambda lib, a: a[lib.tensor([0, 1, 1]), lib.tensor([2, 0, 0])], [(2, 3)]),
    "index, a mask": (lambda lib, a: a[a > 0], [(4, 5)]),
    "index, a number beside a list": (lambda lib, a: a[1, :, REPEATED], [(2, 4, 3)]),
    "index, a number, a new axis and a list": (lambda lib, a: a[1, None, ..., REPEATED], [(2, 4, 3)]),
    "index, a list beside a number": (lambda lib, a: a[REPEATED, :, lib.tensor(1)], [(3, 4, 2)]),
    "index, lists apart": (lambda lib, a: a[[0, 1, 1], :, [2, 0, 0]], [(2, 4, 3)]),
    "index, a mask and a number": (lambda lib, a: a[lib.tensor([[True, False], [True, True]]), 1], [(2, 2, 3)]),
    "index, nothing": (lambda lib, a: a[[]], [(2, 3)]),
    "index, all numbers": (lambda lib, a: a[1, lib.tensor(2)], [(2, 3)]),
    "index, True": (lambda lib, a: a[True], [(2, 3)]),
    "index, views that overlap": (lambda lib, a: a[1:] * a[:-1], [(5, 2)]),
    "softmax": (lambda lib, a: a.softmax(dim=1), [(2, 3, 4)]),
    "log_softmax": (lambda lib, a: a.log_softmax(dim=-1), [(2, 3)]),
    "layers, flattening": (lambda lib, a: lib.nn.Flatten()(a) @ lib.nn.Flatten(0, 2)(a), [(1, 2, 2)]),
    "linear": (lambda lib, x, w, b: lib.nn.functional.linear(x, w, b), [(5, 2, 3), (4, 3), (4,)]),
    "conv2d": (lambda lib, x, w, b: lib.nn.functional.conv2d(x, w, b), [(2, 3, 5, 6), (4, 3, 3, 2), (4,)]),
    "conv2d, stride and padding": (
        lambda lib, x, w: lib.nn.functional.conv2d(x, w, stride=(2, 3), padding=(2, 1)), [(2, 2, 6, 7), (3, 2, 3, 3)]
    ),
    "conv2d, pixels left over": (
        lambda lib, x, w, b: lib.nn.functional.conv2d(x, w, b, stride=3), [(1, 1, 7, 9), (2, 1, 2, 2), (2,)]
    ),
    "conv2d, twice": (
        lambda lib, x, w: lib.nn.functional.conv2d(lib.nn.functional.conv2d(x, w, padding=1), w),
        [(2, 2, 4, 4), (2, 2, 3, 3)],
    ),
    "avg_pool2d": (lambda lib, x: lib.nn.functional.avg_pool2d(x, 2), [(2, 3, 4, 5)]),
    "avg_pool2d, overlapping": (
        lambda lib, x: lib.nn.functional.avg_pool2d(x, (3, 2), stride=(2, 1), padding=1), [(2, 2, 6, 5)]
    ),
    "max_pool2d": (lambda lib, x: lib.nn.functional.max_pool2d(x, 2), [(2, 3, 5, 4)]),
    "max_pool2d, overlapping": (
        lambda lib, x: lib.nn.functional.max_pool2d(x, 3, stride=(1, 2), padding=1), [(2, 2, 5, 6)]
    ),
    "batch_norm, training": (batch_norm(True), [(4, 3, 2, 2), (3,), (3,)]),
    "batch_norm, evaluation": (batch_norm(False), [(4, 3, 2, 2), (3,), (3,)]),
    "batch_norm, of rows": (batch_norm(True), [(5, 3), (3,), (3,)]),
    "mse_loss": (lambda lib, a, b: lib.nn.functional.mse_loss(a, b), [(2, 3), (2, 3)]),
    "cross_entropy": (lambda lib, a: lib.nn.functional.cross_entropy(a, lib.tensor([2, 0, 1, 1])), [(4, 3)]),
    "cross_entropy, soft": (lambda lib, a: lib.nn.functional.cross_entropy(a, lib.tensor(SOFT)), [(4, 3)]),
}  # fmt: skip


def draw(name: str) -> list[NDArray[np.float64]]:
    """The inputs of a case; none is near 0, where relu has a corner."""
    random = np.random.default_rng(len(name))
    signs = [1.0] if name.endswith("+") else [-1.0, 1.0]
    return [np.array(random.choice(signs, shape) * random.uniform(0.2, 1.5, shape)) for shape in CASES[name][1]]


def run(lib: ModuleType, name: str) -> list[NDArray[np.float64]]:
    """The result and all gradients, of a weighted sum of the result."""
    inputs = [lib.tensor(array, requires_grad=True) for array in draw(name)]
    result = CASES[name][0](lib, *inputs)
    (result * lib.tensor(weights(tuple(result.shape)))).sum().backward()
    return [result.detach().numpy(), *(tensor.grad.numpy() for tensor in inputs)]


def weights(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape) + 1.1


def value(name: str, arrays: list[NDArray[np.float64]]) -> float:
    result = CASES[name][0](mytorch, *map(mytorch.tensor, arrays)).numpy()
    return float((result * weights(result.shape)).sum())


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_torchs(name):
    for ours, theirs in zip(run(mytorch, name), run(torch, name), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_differences(name):
    arrays, (_, *gradients) = draw(name), run(mytorch, name)
    for array, gradient in zip(arrays, gradients, strict=True):
        for place in np.ndindex(array.shape):
            before, step = array[place], 1e-5
            sides = []
            for moved in (before + step, before - step):
                array[place] = moved
                sides.append(value(name, arrays))
            array[place] = before
            assert gradient[place] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6, abs=1e-7)


CONSTANTS_IN_DOUBLE = ("batch_norm, training", "batch_norm, evaluation", "batch_norm, of rows", "cross_entropy, soft")


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(CONSTANTS_IN_DOUBLE)))
def test_single_precision_stays_single(name):
    inputs = [mytorch.tensor(array.astype(np.float32), requires_grad=True) for array in draw(name)]
    result = CASES[name][0](mytorch, *inputs)
    result.sum().backward()
    assert {result.dtype, *(tensor.grad.dtype for tensor in inputs)} == {mytorch.float32}
