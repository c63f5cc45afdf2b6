"""torch's layers computed by the engine: the same results, gradients, states and trainings as torch's own."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from finegrain import mytorch
from finegrain.models import numpy_layers
from finegrain.mytorch.networks import fcn, lenet

LAYERS = {
    "Linear": ((5, 4), (3, 5)),
    "Conv2d": ((2, 3, (3, 2), 2, 1), (2, 2, 5, 6)),
    "AvgPool2d": ((2, 1), (2, 2, 4, 5)),
    "MaxPool2d": ((3, 2, 1), (2, 2, 5, 5)),
    "BatchNorm2d": ((3,), (2, 3, 2, 4)),
    "ReLU": ((), (3, 4)),
    "Sigmoid": ((), (3, 4)),
    "Tanh": ((), (3, 4)),
}


@pytest.fixture
def calls(monkeypatch):
    """Where the engine's graph was gone through backward."""
    seen, backward = [], mytorch.Tensor.backward

    def noted(tensor, *given, **options):
        seen.append(tensor)
        backward(tensor, *given, **options)

    monkeypatch.setattr(mytorch.Tensor, "backward", noted)
    return seen


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_torchs_in_all_but_who_computes(name, training, calls):
    arguments, shape = LAYERS[name]
    ours = getattr(numpy_layers, name)(*arguments).double().train(training)
    theirs = getattr(nn, name)(*arguments).double().train(training)
    theirs.load_state_dict(ours.state_dict())
    ends = []
    for layer in (ours, theirs):
        torch.manual_seed(0)
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        result = layer(x)
        (result * torch.linspace(1, 2, result.numel(), dtype=torch.float64).view_as(result)).sum().backward()
        ends.append([result, x.grad, *(parameter.grad for parameter in layer.parameters()), *layer.buffers()])
    assert len(calls) == 1
    assert isinstance(ours, type(theirs))
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("build", [fcn, lenet, lambda lib: lenet(lib, batch_norm=True, activation="ReLU")])
def test_a_network_trains_as_torchs(build, calls):
    torch.manual_seed(0)
    ours, theirs = build(numpy_layers).double(), build(nn).double()
    theirs.load_state_dict(ours.state_dict())
    images, labels = torch.randn(5, 4, 1, 28, 28, dtype=torch.float64), torch.randint(0, 10, (5, 4))
    told = []
    for model in (ours, theirs):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for batch, target in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        told.append(losses)
    assert calls
    np.testing.assert_allclose(*told, rtol=0, atol=1e-9)
    twin = copy.deepcopy(ours).eval()
    torch.testing.assert_close(twin(images[0]), theirs.eval()(images[0]), rtol=1e-8, atol=1e-8)


def test_nothing_is_recorded_without_gradients(monkeypatch):
    modes, relu = [], numpy_layers.F.relu
    monkeypatch.setattr(numpy_layers.F, "relu", lambda x: modes.append(mytorch.is_grad_enabled()) or relu(x))
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        assert not numpy_layers.ReLU()(x).requires_grad
    assert numpy_layers.ReLU()(x).requires_grad
    assert modes == [False, True]


def test_a_graph_that_torch_keeps_is_gone_through_again():
    layer, x = numpy_layers.Linear(2, 3), torch.ones(1, 2, requires_grad=True)
    loss = numpy_layers.ReLU()(layer(x)).sum()
    first, again = (torch.autograd.grad(loss, [x, layer.weight], retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    loss.backward()
    assert torch.equal(layer.weight.grad, first[1])


def test_frozen_weights_and_images_get_no_gradient():
    layer = numpy_layers.Linear(2, 3)
    layer.weight.requires_grad_(False)
    layer(torch.ones(1, 2)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad.tolist() == [1, 1, 1]


def test_half_precision_is_computed_in_single():
    layer = numpy_layers.Linear(2, 3).bfloat16()
    result = layer(torch.ones(1, 2, dtype=torch.bfloat16, requires_grad=True))
    result.sum().backward()
    assert (result.dtype, layer.weight.grad.dtype) == (torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(result, nn.functional.linear(torch.ones(1, 2).bfloat16(), layer.weight, layer.bias))
