"""Optimisers and whole trainings, step for step beside torch's, in double precision."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from finegrain import mytorch
from finegrain.mytorch.networks import fcn, lenet

STEPS, BATCH = 100, 8
OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_optimisers_take_torchs_steps(name, settings):
    ends = []
    for lib in (mytorch, torch):
        used, unused = (lib.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True) for _ in range(2))
        optimizer = getattr(lib.optim, name)([used, unused], **settings)
        for step in range(20):
            optimizer.param_groups[0]["lr"] = settings["lr"] / (1 + step)
            optimizer.zero_grad()
            (used**4 / 40 - used).sum().backward()
            optimizer.step()
        assert unused.detach().numpy().tolist() == [1, -2, 3]
        ends.append(used.detach().numpy())
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_an_optimiser_wants_parameters_and_settings_that_are_not_negative():
    with pytest.raises(ValueError, match="got no parameters"):
        mytorch.optim.SGD([])
    with pytest.raises(ValueError, match=r"got \(1.0, 0.9\); expected below 1"):
        mytorch.optim.Adam([mytorch.ones(1, requires_grad=True)], betas=(1.0, 0.9))
    weight = mytorch.ones(2, requires_grad=True)
    for others in (weight, [weight * 2], [{"params": [weight]}]):
        with pytest.raises(ValueError, match=r"expected leaves.*; pass a list of parameters"):
            mytorch.optim.SGD(others)
    with pytest.raises(ValueError, match=r"'lr': -1"):
        mytorch.optim.Adam([mytorch.ones(1, requires_grad=True)], lr=-1)


def test_momentum_is_not_touched_with_the_gradient():
    x = mytorch.tensor([1.0], requires_grad=True)
    optimizer = mytorch.optim.SGD([x], lr=1.0, momentum=0.5)
    x.sum().backward()
    optimizer.step()
    x.grad.array[...] = 0
    optimizer.step()
    assert x.item() == 1 - 1 - 0.5


def losses(lib, build, arguments, optimizer):
    """Of every step: the same start, and the same batches of classes that can be learned."""
    random = np.random.default_rng(0)
    labels, classes = random.integers(0, 10, (STEPS, BATCH)), random.normal(size=(10, 1, 28, 28))
    images = classes[labels] + random.normal(size=(STEPS, BATCH, 1, 28, 28))
    mytorch.manual_seed(3)
    start = build(mytorch.nn, **arguments).double().state_dict()
    model = build(lib.nn, **arguments).double()
    model.load_state_dict(
        {name: torch.from_numpy(value.array) for name, value in start.items()} if lib is torch else start
    )
    name, settings = optimizer
    steps, criterion = getattr(lib.optim, name)(model.parameters(), **settings), lib.nn.CrossEntropyLoss()
    told = []
    for batch, target in zip(images, labels, strict=True):
        steps.zero_grad()
        loss = criterion(model(lib.from_numpy(batch)), lib.from_numpy(target))
        loss.backward()
        steps.step()
        told.append(loss.item())
    return told, {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("build", "arguments", "optimizer", "left"),
    [
        (lenet, {}, ("Adam", {"lr": 0.01}), 0.95),
        (lenet, {"activation": "ReLU", "batch_norm": True}, OPTIMIZERS[1], 0.5),
        (lenet, {"activation": "Tanh"}, ("SGD", {"lr": 0.1}), 0.5),
        (fcn, {}, ("SGD", {"lr": 0.1, "momentum": 0.5}), 0.5),
    ],
    ids=["lenet with sigmoids", "lenet with relus", "lenet with tanh", "fcn"],
)
def test_a_hundred_steps_follow_torch(build, arguments, optimizer, left):
    ours, our_state = losses(mytorch, build, arguments, optimizer)
    theirs, their_state = losses(torch, build, arguments, optimizer)
    assert len(ours) == STEPS
    assert np.mean(ours[-5:]) < left * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    for name, value in their_state.items():
        np.testing.assert_allclose(our_state[name], value, rtol=0, atol=1e-6)


def test_the_engine_needs_no_torch():
    code = (
        "import sys; from finegrain import mytorch, mytorch as t; t.nn.Linear(1, 1); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
