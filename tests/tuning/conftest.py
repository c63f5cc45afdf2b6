"""Networks small enough to train in a moment."""

import pytest


@pytest.fixture(scope="module")
def small_torchvision_vit():
    """torchvision's ViT with two narrow blocks instead of twelve wide ones."""
    from torchvision.models import vision_transformer

    full_size = vision_transformer._vision_transformer

    def small(**arguments):
        return full_size(**{**arguments, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32})

    vision_transformer._vision_transformer = small
    yield
    vision_transformer._vision_transformer = full_size
