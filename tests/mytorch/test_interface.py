"""What is asked of tensors in torch's words has torch's answers; known numbers of the larger operators."""

import numpy as np
import pytest
import torch

from finegrain import mytorch
from finegrain.models import numpy_layers
from finegrain.mytorch import nn
from finegrain.mytorch.nn import functional as F

ASKED = {
    "shape": lambda x: tuple(x.shape),
    "size": lambda x: tuple(x.size()),
    "size of one": lambda x: x.size(-1),
    "dim": lambda x: (x.dim(), x.ndim),
    "numel": lambda x: x.numel(),
    "len": len,
    "rows": lambda x: [row.sum().item() for row in x],
    "item": lambda x: x[0, 1].item(),
    "truth": lambda x: bool(x[0, 0] > 0) and not bool(x[0, 0] == 7),
    "argmax": lambda x: (x.argmax().item(), x.argmax(1).numpy().tolist(), tuple(x.argmax(0, keepdim=True).shape)),
    "places of the largest": lambda x: x.max(0).indices.numpy().tolist(),
    "accuracy": lambda x: (x.argmax(1) == x.argmax(1)).float().mean().item(),
    "comparison": lambda x: [
        answer.numpy().tolist() for answer in (x > 2, x < 2, x == 2, x != 2, x >= 2, x <= 2, x != x)
    ],
    "one number": lambda x: (float(x[1, 0]), int(x[0, 1]), float(x[:1, :1])),
    "leaf": lambda x: (x.is_leaf, x.requires_grad, x.grad),
    "methods": lambda x: x.add(1).sub(2).mul(x).div(2.0).pow(2).neg().numpy().tolist(),
    "matmul": lambda x: x.matmul(x.T).numpy().tolist(),
}


@pytest.mark.parametrize("name", ASKED)
def test_answers_are_torchs(name):
    ours, theirs = (ASKED[name](lib.tensor([[1.0, 2.0, 0.5], [4.0, 0.25, 2.0]])) for lib in (mytorch, torch))
    assert ours == theirs


def test_a_tensor_copies_and_from_numpy_shares():
    array = np.ones(2)
    copied, shared = mytorch.tensor(array), mytorch.from_numpy(array)
    array[0] = 5
    assert (copied[0].item(), shared[0].item()) == (1, 5)
    assert shared.numpy() is array
    assert np.asarray(shared) is array


def test_what_is_made_by_a_shape_takes_it_in_both_forms():
    for make in (mytorch.zeros, mytorch.ones):
        assert make((2, 3)).shape == make(2, 3).shape == (2, 3)


def test_arguments_have_torchs_names():
    results = []
    for lib in (mytorch, torch):
        x, weight, call = lib.ones(1, 1, 4, 4), lib.ones(2, 1, 3, 3), lib.nn.functional
        images = call.conv2d(input=x, weight=weight, bias=lib.ones(2), stride=1, padding=[1, 0])
        pooled = call.avg_pool2d(input=call.max_pool2d(input=images, kernel_size=2, stride=1), kernel_size=[3, 1])
        logits = lib.nn.Flatten(start_dim=1)(input=call.relu(input=pooled))
        loss = lib.nn.CrossEntropyLoss()(input=call.log_softmax(input=logits, dim=1), target=lib.tensor([1]))
        results += [loss.item() + lib.nn.MSELoss()(input=logits, target=logits * 2).item()]
    assert results[0] == pytest.approx(results[1], rel=1e-6)


@pytest.mark.parametrize("lib", [nn, numpy_layers])
def test_what_torch_has_at_another_place_is_passed_by_name_alone(lib):
    with pytest.raises(TypeError, match="positional"):
        lib.Conv2d(1, 1, 3, 1, 0, False)  # torch's dilation
    with pytest.raises(TypeError, match="positional"):
        mytorch.optim.SGD([mytorch.ones(1)], 0.1, 0.9, 0.01)  # torch's dampening


def test_a_tensor_shows_its_numbers_and_whether_it_asks_for_a_gradient():
    assert repr(mytorch.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(mytorch.ones(1, requires_grad=True)) == "tensor([1.], requires_grad=True)"


def test_precision_is_changed_with_a_gradient():
    x = mytorch.ones(2, requires_grad=True)
    y = x.double() * 3
    assert y.dtype == mytorch.float64
    y.sum().backward()
    assert (x.grad.dtype, x.grad.array.tolist()) == (mytorch.float32, [3, 3])
    assert x.float() is x


def test_a_kernel_of_one_pixel_moves_the_image():
    """Cross-correlation, not convolution: what stands right of the centre in the kernel is seen at the right."""
    image = np.arange(12.0).reshape(1, 1, 3, 4)
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 1, 2] = 1
    moved = F.conv2d(mytorch.tensor(image), mytorch.tensor(kernel), padding=1).array
    assert moved[..., :-1].tolist() == image[..., 1:].tolist()
    assert not moved[..., -1].any()


def test_windows_of_two_by_two():
    image = mytorch.tensor([[[[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]]])
    assert F.max_pool2d(image, 2).array.tolist() == [[[[4]]]]
    assert F.avg_pool2d(image, 2, stride=1).array.tolist() == [[[[2.5, 4.25]]]]


def test_a_normalised_batch_has_mean_0_and_variance_1_and_no_gradient_of_its_mean_or_scale():
    random = np.random.default_rng(0)
    x = mytorch.tensor(random.normal(5, 3, size=(6, 2, 3, 3)), requires_grad=True)
    one, zero = mytorch.ones(2, dtype=mytorch.float64), mytorch.zeros(2, dtype=mytorch.float64)
    result = F.batch_norm(x, zero, one, one * 1, zero * 1, training=True, eps=1e-12)
    assert result.array.mean(axis=(0, 2, 3)) == pytest.approx([0, 0], abs=1e-12)
    assert result.array.var(axis=(0, 2, 3)) == pytest.approx([1, 1])
    (result * mytorch.tensor(random.normal(size=x.shape))).sum().backward()
    # Moving or stretching all of a channel changes nothing, so that the gradient is orthogonal to both.
    assert x.grad.array.sum(axis=(0, 2, 3)) == pytest.approx([0, 0], abs=1e-10)
    assert (x.grad.array * x.array).sum(axis=(0, 2, 3)) == pytest.approx([0, 0], abs=1e-10)


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    logits = mytorch.zeros(3, 4, requires_grad=True)
    loss = F.cross_entropy(logits, mytorch.tensor([0, 3, 3]))
    assert loss.item() == pytest.approx(np.log(4))
    loss.backward()
    expected = (0.25 - np.eye(4)[[0, 3, 3]]) / 3
    np.testing.assert_allclose(logits.grad.array, expected, rtol=1e-6)


def test_the_first_step_of_adam_has_the_length_of_the_rate():
    x = mytorch.tensor([3.0, -1.0], requires_grad=True)
    (x * mytorch.tensor([100.0, -0.01])).sum().backward()
    mytorch.optim.Adam([x], lr=0.5).step()
    np.testing.assert_allclose(x.array, [2.5, -0.5], rtol=1e-4)
