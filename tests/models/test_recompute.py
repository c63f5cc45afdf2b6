import copy

import pytest
import torch

from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.models.recompute import recompute_blocks
from finegrain.runtime import RuntimeConfig

NETWORKS = {
    "timm/test_resnet": {},
    "timm/test_vit": {"drop_path_rate": 0.5, "attention_dropout": 0.2},
    "torchvision/resnet18": {},
    "timm/mobilenetv2_035": {},
    "vit_b_16": {},
}


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest) -> tuple[Classifier, Classifier]:
    """The same classifier in training, keeping everything, and recomputing its blocks."""
    torch.manual_seed(0)
    plain = ModelConfig(name=request.param, image_size=64, **NETWORKS[request.param]).build(num_classes=5).train()
    frugal = copy.deepcopy(plain)
    recompute_blocks(frugal)
    return plain, frugal


def backward(classifier: Classifier) -> int:
    """Bytes that one training step kept for its backward pass, of other tensors than parameters."""
    weights = {p.data_ptr() for p in classifier.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    torch.manual_seed(1)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = classifier(images).square().sum()
    held = sum(kept.values())
    loss.backward()
    return held


def test_gradients_and_statistics_are_the_same_for_less_memory(pair):
    plain, frugal = pair
    assert backward(frugal) < 0.8 * backward(plain)
    assert list(frugal.state_dict()) == list(plain.state_dict())
    for (name, mine), theirs in zip(frugal.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad), name
    for (name, mine), theirs in zip(frugal.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(mine, theirs), name


def test_a_copy_computes_with_its_own_weights(pair):
    _, frugal = pair
    twin = copy.deepcopy(frugal)
    with torch.no_grad():
        for parameter in frugal.parameters():
            parameter.fill_(torch.nan)
    assert twin(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_without_gradients_nothing_is_different(pair):
    plain, frugal = pair
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(frugal.eval()(images), plain.eval()(images))


def test_attention_is_recomputed_by_the_kernel_that_computed_it():
    """In bf16 the CPU trains attention by another kernel than the fastest, and leaves that choice after the forward."""
    runtime = RuntimeConfig(device="cpu", precision="bf16").build()
    torch.manual_seed(0)
    plain = ModelConfig(name="timm/test_vit", image_size=64).build(num_classes=5).train()
    frugal = copy.deepcopy(plain)
    recompute_blocks(frugal)
    images = torch.randn(4, 3, 64, 64)
    for classifier in (plain, frugal):
        with runtime.training_forward():
            loss = classifier(images).float().square().sum()
        loss.backward()
    for mine, theirs in zip(frugal.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)
