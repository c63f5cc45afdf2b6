import torch

from finegrain.optim.layout import restore_layout


def test_moments_lie_in_memory_as_their_parameters_and_keep_their_values() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam([weight])
    weight.square().sum().backward()
    optimizer.step()
    moment = optimizer.state[weight]["exp_avg"].clone()
    optimizer.state[weight]["exp_avg"] = moment.contiguous()
    restore_layout(optimizer)
    assert optimizer.state[weight]["exp_avg"].stride() == weight.stride()
    assert torch.equal(optimizer.state[weight]["exp_avg"], moment)
    assert optimizer.state[weight]["step"].item() == 1
