import copy

import torch
from torch import nn

from finegrain.engine.ema import WeightEMA


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def train_step(model: nn.Module) -> None:
    model.train()
    model(torch.randn(8, 3)).square().mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
                parameter.grad = None


def test_formula_with_its_warm_up() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    ema, expected = WeightEMA(model, decay=0.25), 0.0
    for step, decay in enumerate([1 / 10, 2 / 11, 0.25, 0.25], start=1):
        nn.init.constant_(model.weight, float(step))
        ema.update(model)
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(ema.module.weight.item(), expected, rtol=1e-6, atol=0.0)


def test_a_fixed_model_is_its_own_average() -> None:
    model = network()
    ema = WeightEMA(model, decay=0.99)
    for _ in range(5):
        ema.update(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(ema.module.state_dict()[name], tensor)


def test_frozen_weights_and_statistics_stay_equal_to_the_bit() -> None:
    model = network()
    model[0].requires_grad_(False)
    ema = WeightEMA(model, decay=0.9)
    for _ in range(3):
        train_step(model)
        ema.update(model)
    assert torch.equal(ema.module[0].weight, model[0].weight)
    assert not torch.equal(ema.module[2].weight, model[2].weight)


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = network()
    ema = WeightEMA(model, decay=0.9)
    start = model[1].running_mean.clone()
    train_step(model)
    ema.update(model)
    torch.testing.assert_close(ema.module[1].running_mean, 0.1 * start + 0.9 * model[1].running_mean)
    assert ema.module[1].num_batches_tracked == model[1].num_batches_tracked == 1


def test_the_average_is_in_eval_mode_and_apart_from_the_model() -> None:
    model = network()
    ema = WeightEMA(model, decay=0.9)
    assert not any(module.training for module in ema.module.modules())
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = copy.deepcopy(ema.module.state_dict())
    train_step(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in ema.module.state_dict().items())


def test_resumes_on_the_bit() -> None:
    model = network()
    ema = WeightEMA(model, decay=0.9)
    train_step(model)
    ema.update(model)
    saved = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
    assert all(isinstance(tensor, torch.Tensor) for tensor in saved.values())
    resumed = WeightEMA(network(), decay=0.9)
    resumed.load_state_dict(saved)
    for _ in range(2):
        train_step(model)
        ema.update(model)
        resumed.update(model)
    for name, tensor in ema.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)
