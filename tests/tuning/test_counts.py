"""Exact numbers of trainable parameters, on networks without storage."""

import pytest
import torch

from finegrain.models.config import ModelConfig
from finegrain.tuning.attention import Attention
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock

RESNET50_LAYER4, RESNET50_FC = 14_964_736, 409_800
VIT_BLOCK, VIT_NORM, VIT_ATTENTION = 7_087_872, 1_536, 2_362_368


@pytest.mark.parametrize(
    ("name", "num_classes", "tuning", "trainable"),
    [
        ("resnet18", 200, Full(), 11_279_112),
        ("resnet18", 200, Head(), 102_600),
        ("timm/resnet18", 200, Head(), 102_600),
        ("resnet50", 200, Head(), RESNET50_FC),
        ("resnet50", 200, LastBlock(), RESNET50_LAYER4 + RESNET50_FC),
        ("timm/resnet50", 200, LastBlock(), RESNET50_LAYER4 + RESNET50_FC),
        ("vit_b_16", 10, Head(), 7_690),
        ("vit_b_16", 1000, LastAttention(), VIT_ATTENTION + 769_000),
        ("timm/vit_base_patch16_224", 1000, LastAttention(), VIT_ATTENTION + 769_000),
        ("vit_b_16", 1000, Attention(), 12 * VIT_ATTENTION + 769_000),
        ("vit_b_16", 1000, LastBlock(), VIT_BLOCK + VIT_NORM + 769_000),
        ("timm/vit_base_patch16_224", 1000, LastBlock(), VIT_BLOCK + VIT_NORM + 769_000),
    ],
)
def test_trainable_parameters(name, num_classes, tuning, trainable):
    with torch.device("meta"):
        classifier = ModelConfig(name=name).build(num_classes=num_classes)
    tuning.apply(classifier)
    assert classifier.census().trainable == trainable


def test_total_and_text():
    with torch.device("meta"):
        classifier = ModelConfig(name="resnet18").build(num_classes=200)
    Head().apply(classifier)
    assert classifier.census().total == 11_279_112
    assert str(classifier.census()) == "trainable 102,600 of 11,279,112 (0.9%)"
