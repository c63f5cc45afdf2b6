"""The graph: what is recorded, what accumulates, what is refused."""

import operator

import numpy as np
import pytest
import torch

from finegrain import mytorch
from finegrain.mytorch import ShapeError
from finegrain.mytorch.nn import Parameter
from finegrain.mytorch.nn import functional as F


def zeros(*shape):
    return mytorch.zeros(*shape, requires_grad=True)


def test_a_tensor_used_twice_gets_both_gradients_and_leaves_accumulate():
    x = mytorch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    (y + y * x).sum().backward()  # x² + x³
    assert x.grad.array.tolist() == [2 + 3, 4 + 12]
    x.sum().backward()
    assert x.grad.array.tolist() == [6, 17]


def test_gradients_of_two_leaves_share_no_memory():
    a, b = zeros(2), zeros(2)
    (a + b).sum().backward()
    a.grad.array += 1
    assert b.grad.array.tolist() == [1, 1]


def test_only_what_asks_for_it_is_differentiated():
    x, constant = zeros(2), mytorch.ones(2)
    y = x * constant
    assert (y.requires_grad, y.is_leaf, x.is_leaf, (constant * 2).is_leaf) == (True, False, True, True)
    y.sum().backward()
    assert constant.grad is None
    assert not y.detach().requires_grad
    assert y.detach().array is y.array


def test_a_graph_deeper_than_pythons_stack():
    x = mytorch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1


def test_no_grad_nests_and_decorates():
    x = zeros(1)

    @mytorch.no_grad()
    def double():
        with mytorch.no_grad():
            assert not mytorch.is_grad_enabled()
        assert not mytorch.is_grad_enabled()
        return x * 2

    assert not double().requires_grad
    assert not double().requires_grad
    assert mytorch.is_grad_enabled()
    with pytest.raises(KeyError), mytorch.no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_backward_goes_through_a_graph_once():
    x = zeros(2)
    shared = x * 2
    shared.sum().backward()
    with pytest.raises(RuntimeError, match=r"came by here before: got shape \[2\]"):
        (shared * 3).sum().backward()
    kept = x * 3
    kept.sum().backward(retain_graph=True)
    kept.sum().backward()
    assert x.grad.array.tolist() == [2 + 3 + 3] * 2
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        x.detach().sum().backward()


def test_backward_begins_at_one_number_or_takes_a_gradient():
    x = zeros(2)
    with pytest.raises(ShapeError, match=r"\[2\] and \[2\]"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\[2\] and \[3\]"):
        (x * 2).backward(mytorch.ones(3))
    (x * 2).backward(mytorch.tensor([1.0, 10.0]))
    assert x.grad.array.tolist() == [2, 20]


@pytest.mark.parametrize("function", [lambda x: x.max(), lambda x: x.max(dim=0).values, lambda x: x.relu().sum()])
def test_ties_are_shared_or_go_to_the_first_as_in_torch(function):
    grads = []
    for lib in (mytorch, torch):
        x = lib.tensor([0.0, 3.0, 3.0, 0.0, -1.0], requires_grad=True)
        function(x).backward()
        grads.append(x.grad.numpy().tolist())
    assert grads[0] == grads[1]


def test_the_first_of_equal_pixels_gets_the_gradient_as_in_torch():
    grads = []
    for lib in (mytorch, torch):
        x = lib.tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
        lib.nn.functional.max_pool2d(x, 3, stride=1).sum().backward()
        grads.append(x.grad.numpy().tolist())
    assert grads[0] == grads[1]


@pytest.mark.parametrize(("base", "exponent"), [(0.0, 2.0), (0.0, 0.0), (0.0, 1.0), (-2.0, 3.0), (2.0, 0.0)])
def test_powers_at_zero_have_torchs_gradients(base, exponent):
    grads = []
    for lib in (mytorch, torch):
        a, b = lib.tensor(base, requires_grad=True), lib.tensor(exponent, requires_grad=True)
        (a**b).backward()
        grads.append([a.grad.item(), b.grad.item()])
    assert grads[0] == pytest.approx(grads[1], nan_ok=True)


NOT_FINITE = {
    "relu": ([np.nan, -1.0, 2.0], lambda lib, x: x.relu().sum()),
    "max": ([1.0, np.nan, 3.0, np.nan], lambda lib, x: x.max()),
    "softmax": ([0.0, -np.inf, 1.0], lambda lib, x: x.softmax(0)[2]),
    "cross_entropy": ([0.0, -np.inf, 1.0], lambda lib, x: lib.nn.functional.cross_entropy(x[None], lib.tensor([0]))),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_what_is_not_finite_has_torchs_gradients(name):
    numbers, function = NOT_FINITE[name]
    ends = []
    for lib in (mytorch, torch):
        x = lib.tensor(numbers, requires_grad=True)
        with np.errstate(invalid="ignore"):
            result = function(lib, x)
            result.backward()
        ends.append([result.item(), *x.grad.numpy().tolist()])
    assert ends[0] == pytest.approx(ends[1], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cross_entropy", "sigmoid", "tanh"])
def test_numbers_of_a_thousand_overflow_nothing(name):
    x = mytorch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 999.0]], requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        if name == "cross_entropy":
            result = F.cross_entropy(x, mytorch.tensor([1, 1]))
            assert result.item() == pytest.approx((2000 + np.log1p(np.exp(-1.0))) / 2, rel=1e-6)
        else:
            result = getattr(F, name)(x, **({"dim": 1} if "softmax" in name else {}))
        result.sum().backward()
    assert np.isfinite(result.array).all()
    assert np.isfinite(x.grad.array).all()


def test_kinds_of_numbers_combine_as_in_torch():
    kinds = {}
    for lib in (mytorch, torch):
        single, double, whole = (lib.tensor([1], dtype=kind) for kind in (lib.float32, lib.float64, lib.int64))
        results = [single + 2.5, single + double, whole + single, whole / whole, whole * 2.5, whole + whole, 1 - single]
        results += [whole.exp(), whole.sigmoid(), (single > 0) + 1, (single > 0) * 2, (single > 0) + (single > 0)]
        results += [lib.tensor([1.5]), lib.tensor([1]), whole.float(), single.double(), double.argmax(), double > 0]
        kinds[lib] = [str(result.dtype).removeprefix("torch.") for result in results]
    assert kinds[mytorch] == kinds[torch]


def test_the_default_precision():
    mytorch.set_default_dtype(mytorch.float64)
    try:
        with pytest.raises(TypeError, match="got int64; expected float32 or float64"):
            mytorch.set_default_dtype(mytorch.int64)
        assert mytorch.nn.Linear(2, 1).weight.dtype == mytorch.tensor(1.0).dtype == mytorch.float64
    finally:
        mytorch.set_default_dtype(mytorch.float32)
    assert mytorch.ones(1).dtype == mytorch.float32


def test_arrays_on_the_left_do_not_take_over():
    x = zeros(2)
    assert (np.ones(2, dtype=np.float32) - x).requires_grad
    assert len([row.item() for row in x]) == 2


SHAPES = [
    (lambda: zeros(2, 3) + zeros(4), "[2, 3] and [4]"),
    (lambda: zeros(2, 3) * zeros(2), "[2, 3] and [2]"),
    (lambda: zeros(2, 3) @ zeros(2, 3), "[2, 3] and [2, 3]"),
    (lambda: zeros(5, 2, 3) @ zeros(4, 3, 2), "[5, 2, 3] and [4, 3, 2]"),
    (lambda: zeros(3) @ zeros(), "[3] and []"),
    (lambda: zeros(2, 3).view(4, -1), "[2, 3] and [4, -1]"),
    (lambda: zeros(2, 3).view(-2, 3), "[2, 3] and [-2, 3]"),
    (lambda: zeros(2, 3, 4).flatten(2, 1), "[2, 3, 4] and [2, 1]"),
    (lambda: zeros(3).flatten(1), "got 1 of [3]; expected -1 to 0"),
    (lambda: zeros(2, 3).permute(0, 0), "[2, 3] and [0, 0]"),
    (lambda: zeros(2, 3).sum(dim=2), "no such axis: got 2 of [2, 3]; expected -2 to 1"),
    (lambda: zeros(2, 3).transpose(0, -3), "got -3 of [2, 3]"),
    (lambda: zeros().softmax(0), "got 0 of []; expected none, as a single number has no axes"),
    (lambda: F.linear(zeros(2, 3), zeros(4, 5)), "[2, 3] and [4, 5]"),
    (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(4, 1, 3, 3)), "[1, 3, 8, 8] and [4, 1, 3, 3]"),
    (lambda: F.conv2d(zeros(1, 1, 2, 8), zeros(4, 1, 5, 5), padding=1), "[1, 1, 4, 10] and [5, 5]"),
    (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(4, 3, 0, 3)), "[1, 3, 8, 8] and [4, 3, 0, 3]"),
    (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(4, 3, 3, 3), zeros(1)), "[4, 3, 3, 3] and [1]"),
    (lambda: F.batch_norm(zeros(2, 3), zeros(3), zeros(1), zeros(3), zeros(3)), "[2, 3] and [1]"),
    (lambda: F.batch_norm(zeros(2, 3), zeros(3), zeros(3), zeros(3), zeros(1)), "[2, 3] and [1]"),
    (lambda: F.max_pool2d(zeros(1, 1, 2, 2), 3), "[1, 1, 2, 2] and [3, 3]"),
    (lambda: F.avg_pool2d(zeros(1, 1, 8, 8), 2, padding=2), "[1, 1, 8, 8] and [2, 2]"),
    (lambda: mytorch.nn.BatchNorm2d(3)(zeros(2, 4, 1, 1)), "[2, 4, 1, 1] and [3]"),
    (lambda: mytorch.nn.BatchNorm2d(3)(zeros(2, 3)), "[2, 3] and [3]"),
    (lambda: mytorch.nn.BatchNorm2d(3)(zeros(1, 3, 1, 1)), "[1, 3, 1, 1] and [3]"),
    (lambda: F.mse_loss(zeros(2, 1), zeros(2)), "[2, 1] and [2]"),
    (lambda: F.cross_entropy(zeros(2, 3), mytorch.tensor([1])), "[2, 3] and [1]"),
    (lambda: F.cross_entropy(zeros(2, 3), mytorch.zeros(2)), "[2, 3] and [2]"),
]


@pytest.mark.parametrize(("call", "named"), SHAPES, ids=[named for _, named in SHAPES])
def test_shapes_that_do_not_fit_are_named(call, named):
    with pytest.raises(ShapeError) as caught:
        call()
    assert named in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.max_pool2d(zeros(1, 1, 4, 4), 2, stride=0), "no such stride: got 0; expected 1 or more"),
        (lambda: F.avg_pool2d(zeros(1, 1, 4, 4), (2, 0)), r"no such kernel_size: got \(2, 0\)"),
        (lambda: F.conv2d(zeros(1, 1, 4, 4), zeros(1, 1, 2, 2), padding=-1), "no such padding: got -1; expected 0"),
        (lambda: F.conv2d(zeros(1, 1, 4, 4), zeros(1, 1, 2, 2), padding="same"), "no such padding: got same"),
        (
            lambda: F.conv2d(zeros(1, 1, 4, 4), zeros(1, 1, 2, 2), stride=(1, 1, 1)),
            r"got \(1, 1, 1\); expected 1 or more, or two such",
        ),
        (lambda: F.dropout(zeros(2), 1.5), "no probability: got 1.5"),
    ],
)
def test_numbers_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_else_is_refused():
    with pytest.raises(IndexError, match=r"no such class: got 3; expected 0 to 2, as the logits are \[2, 3\]"):
        F.cross_entropy(zeros(2, 3), mytorch.tensor([0, 3]))
    with pytest.raises(IndexError, match="got -1"):
        F.cross_entropy(zeros(2, 3), mytorch.tensor([0, -1]))
    with pytest.raises(TypeError, match="got int64; expected floats"):
        mytorch.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="a target that asks for one"):
        F.cross_entropy(zeros(2, 3), zeros(2, 3))
    with pytest.raises(TypeError, match="no writing in place"):
        zeros(2)[0] = 1
    with pytest.raises(RuntimeError, match="what was computed stays in its graph"):
        (zeros(2) * 2).requires_grad_(False)
    with pytest.raises(TypeError, match="got int64; expected floats"):
        mytorch.tensor([1]).requires_grad_()
    with pytest.raises(TypeError, match="len"):
        list(zeros())


@pytest.mark.parametrize("make", [lambda: zeros(2), lambda: Parameter(mytorch.ones(2), requires_grad=False)])
@pytest.mark.parametrize("change", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow])
def test_a_leaf_does_not_change_in_place(make, change):
    with pytest.raises(TypeError, match="use an optimiser"), mytorch.no_grad():
        change(make(), 1)


def test_other_tensors_are_replaced_where_they_change_in_place():
    x, total = zeros(2), mytorch.zeros(2)
    before = total
    total += x + 3
    total *= total
    assert (before.array.tolist(), total.array.tolist()) == ([0, 0], [9, 9])
    total.sum().backward()
    assert x.grad.array.tolist() == [6, 6]


INTEGERS = {
    "mean": lambda x: x.mean(),
    "softmax": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(0),
    "cross_entropy": lambda x: F.cross_entropy(x[0, 0], mytorch.tensor([0, 1])),
    "conv2d": lambda x: F.conv2d(x, mytorch.ones(1, 1, 1, 1)),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, *(mytorch.ones(1) for _ in range(4))),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_refused_where_only_floats_make_sense(name):
    """The mean of pixels of 200 in uint8 would be one of what is left of their sum."""
    with pytest.raises(TypeError, match=f"{name} is of floats alone: got uint8; expected floats; call float"):
        INTEGERS[name](mytorch.tensor(np.full((1, 1, 2, 2), 200, dtype=np.uint8)))


def test_integers_have_no_gradient():
    x = zeros(2)
    assert not x.to(mytorch.int64).requires_grad
    assert not (x > 0).requires_grad
