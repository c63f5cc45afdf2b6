"""Attention that is shown is the attention that is computed, in both libraries; rollout by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from finegrain.errors import ConfigError
from finegrain.models.config import ModelConfig
from finegrain.saliency.attention import class_attention, recorded_attention, rollout


def test_timm_shows_what_its_fused_kernel_hides():
    torch.manual_seed(0)
    network = ModelConfig(name="timm/test_vit", image_size=64).build(num_classes=5).network.eval()
    images = torch.randn(2, 3, 64, 64)
    attention = [block.attn for block in network.blocks]
    assert attention[0].fused_attn
    with torch.no_grad():
        plain = network(images)
        with recorded_attention(attention) as weights:
            shown = network(images)
    torch.testing.assert_close(shown, plain)
    heads = attention[0].num_heads
    assert [tuple(layer.shape) for layer in weights] == [(2, heads, 17, 17)] * len(attention)
    torch.testing.assert_close(weights[0].sum(dim=-1), torch.ones(2, heads, 17))
    with torch.no_grad():
        network(images)
    assert len(weights) == len(attention)


def test_torch_attention_by_hand():
    torch.manual_seed(0)
    network = VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    ).eval()
    layer = network.encoder.layers[0].self_attention
    read: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad(), hook, recorded_attention([layer]) as weights:
        network(torch.randn(1, 3, 32, 32))
    queries, keys, _ = (read[0] @ layer.in_proj_weight.T + layer.in_proj_bias).split(8, dim=2)
    queries, keys = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in (queries, keys))
    expected = (queries @ keys.transpose(2, 3) / 4**0.5).softmax(dim=-1)
    torch.testing.assert_close(weights[0], expected.detach())


def test_rollout_is_the_product_of_the_layers():
    first = torch.tensor([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    second = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    layers = [torch.stack([matrix, matrix.flip(0)])[None] for matrix in (first, second)]
    mixed = [(layer[0].mean(dim=0).numpy() + np.eye(3)) / 2 for layer in layers]
    product = mixed[1] @ mixed[0]
    np.testing.assert_allclose(rollout(layers, prefix=1)[0], product[0, 1:], rtol=1e-6)
    np.testing.assert_allclose(rollout(layers, prefix=0)[0], product.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(product.sum(axis=1), 1, rtol=1e-6)


def test_the_class_token_attends_by_layer_and_head():
    layers = [torch.rand(2, 3, 5, 5) for _ in range(4)]
    shown = class_attention(layers, prefix=1)
    assert shown.shape == (2, 4, 3, 4)
    torch.testing.assert_close(shown[1, 2, 0], layers[2][1, 0, 0, 1:])
    torch.testing.assert_close(class_attention(layers, prefix=0)[0, 0, 0], layers[0][0, 0].mean(dim=0))


def test_an_attention_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match=r"does not show its weights.*Linear"), recorded_attention([nn.Linear(2, 2)]):
        pass
