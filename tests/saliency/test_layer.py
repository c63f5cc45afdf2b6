"""Where a network is explained: found by watching it run, the same for every library."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from finegrain.errors import ConfigError
from finegrain.models.config import ModelConfig
from finegrain.saliency.layer import Layer, find_layers


def found(name: str, size: int) -> tuple[list[str], tuple[Layer, ...]]:
    with torch.device("meta"):  # shapes are all that counts
        model = ModelConfig(name=name, image_size=size).build(num_classes=5).eval()
        layers = find_layers(
            model.network,
            torch.zeros(1, 3, size, size),
            head=model.get_submodule(model.head_name),
            attentions=[model.get_submodule(path) for path in model.attention_modules()],
        )
    paths = {module: path for path, module in model.network.named_modules()}
    return [paths[layer.module] for layer in layers], layers


@pytest.mark.parametrize(
    ("name", "size", "path", "arrangement", "side", "prefix"),
    [
        ("timm/test_resnet", 224, "layer4", "channels first", 7, 0),
        ("timm/test_resnet", 96, "layer2", "channels first", 12, 0),
        ("torchvision/resnet50", 224, "layer4", "channels first", 7, 0),
        ("torchvision/resnet50", 96, "layer2", "channels first", 12, 0),
        ("timm/test_convnext", 64, "stages.1", "channels first", 8, 0),
        ("timm/convnext_atto", 224, "norm_pre", "channels first", 7, 0),
        ("torchvision/convnext_tiny", 96, "features.3", "channels first", 12, 0),
        ("timm/efficientnet_b0", 224, "bn2", "channels first", 7, 0),
        ("timm/efficientnet_b0", 96, "blocks.2", "channels first", 12, 0),
        ("torchvision/efficientnet_b0", 224, "features", "channels first", 7, 0),
        ("timm/mobilenetv2_100", 224, "bn2", "channels first", 7, 0),
        ("timm/mobilenetv3_small_050", 224, "blocks", "channels first", 7, 0),
        ("torchvision/mobilenet_v2", 64, "features.6", "channels first", 8, 0),
        ("torchvision/mobilenet_v3_small", 224, "features", "channels first", 7, 0),
        ("timm/densenet121", 224, "features", "channels first", 7, 0),
        ("torchvision/densenet121", 64, "features.denseblock2", "channels first", 8, 0),
        ("timm/regnety_002", 224, "final_conv", "channels first", 7, 0),
        ("timm/vgg11", 224, "features", "channels first", 7, 0),
        ("torchvision/vgg11", 224, "avgpool", "channels first", 7, 0),
        ("torchvision/vgg11", 96, "features.14", "channels first", 12, 0),
        ("timm/inception_v3", 299, "Mixed_7c", "channels first", 8, 0),
        ("timm/test_vit", 64, "blocks.5.norm1", "tokens", 4, 1),
        ("timm/vit_tiny_patch16_224", 224, "blocks.11.norm1", "tokens", 14, 1),
        ("timm/deit_tiny_patch16_224", 224, "blocks.11.norm1", "tokens", 14, 1),
        ("timm/deit3_small_patch16_224", 96, "blocks.11.norm1", "tokens", 6, 1),
        ("timm/vit_base_patch16_siglip_224", 224, "blocks.11.norm1", "tokens", 14, 0),
        ("timm/vit_small_patch16_dinov3", 64, "blocks.11.norm1", "tokens", 4, 5),
        ("timm/beit_base_patch16_224", 224, "blocks.11.norm1", "tokens", 14, 1),
        ("timm/cait_xxs24_224", 64, "blocks_token_only.1.norm1", "tokens", 4, 1),
        ("torchvision/vit_b_16", 224, "encoder.layers.encoder_layer_11.ln_1", "tokens", 14, 1),
        ("timm/swin_tiny_patch4_window7_224", 224, "norm", "channels last", 7, 0),
        ("timm/swinv2_tiny_window8_256", 256, "norm", "channels last", 8, 0),
        ("torchvision/swin_t", 224, "permute", "channels first", 7, 0),
        ("torchvision/swin_t", 64, "features.3", "channels last", 8, 0),
        ("timm/vit_tiny_r_s16_p8_224", 64, "blocks.11.norm1", "tokens", 2, 1),
        ("timm/maxvit_tiny_tf_224", 224, "norm", "channels first", 7, 0),
        ("timm/maxvit_tiny_tf_224", 96, "stages.1", "channels first", 12, 0),
        ("torchvision/maxvit_t", 224, "blocks.3", "channels first", 7, 0),
        ("timm/coatnet_nano_rw_224", 224, "norm", "channels first", 7, 0),
    ],
)
def test_no_layer_has_to_be_named(name: str, size: int, path: str, arrangement: str, side: int, prefix: int):
    paths, layers = found(name, size)
    layer = layers[-1]
    assert (paths[-1], layer.arrangement, layer.height, layer.width) == (path, arrangement, side, side)
    assert layer.prefix == prefix
    assert all(replace(other, module=layer.module) == layer for other in layers)
    assert arrangement == "tokens" or len(layers) == 1


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("timm/test_vit", (4, 5)), ("timm/vit_tiny_patch16_224", (8, 9, 10, 11)), ("timm/cait_xxs24_224", (1,))],
)
def test_the_last_third_of_the_attentions_counts(name: str, blocks: tuple[int, ...]):
    where = "blocks_token_only" if "cait" in name else "blocks"
    assert found(name, 64)[0] == [f"{where}.{number}.norm1" for number in blocks]


def test_tokens_and_channels_become_a_grid_in_reading_order():
    values = torch.arange(6.0)
    tokens = torch.cat([torch.tensor([-1.0]), values]).view(1, 7, 1)
    layer = Layer(module=nn.Identity(), arrangement="tokens", height=2, width=3, prefix=1)
    assert layer.as_grid(tokens).tolist() == [[values.view(2, 3).tolist()]]
    layer = Layer(module=nn.Identity(), arrangement="channels last", height=2, width=3)
    assert layer.as_grid(values.view(1, 2, 3, 1)).tolist() == [[values.view(2, 3).tolist()]]


def test_tokens_that_fill_no_grid_are_refused():
    with pytest.raises(ConfigError, match=r"TNT cannot be explained: got 197 tokens.*choose a CNN, ViT or Swin"):
        found("timm/tnt_s_patch16_224", 224)


def test_a_network_without_a_grid_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match=r"Sequential cannot be explained.*choose a CNN, ViT or Swin"):
        find_layers(network, torch.zeros(1, 3, 2, 2), head=network[2], attentions=())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
