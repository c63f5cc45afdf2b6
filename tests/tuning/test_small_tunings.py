"""One battery over every tuning that trains little, on a network of every kind."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from finegrain.models.adapter_folder import load_adapter, save_adapter
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.tuning.adapter import Adapter
from finegrain.tuning.base import Tuning
from finegrain.tuning.bitfit import BitFit
from finegrain.tuning.ia3 import IA3
from finegrain.tuning.loha import LoHa
from finegrain.tuning.lokr import LoKr
from finegrain.tuning.lora import Lora
from finegrain.tuning.norms import Norms

SIZE, NAMES = 32, ("auk", "bee_eater", "crane")
NETWORKS = (
    "timm/test_vit",
    "torchvision/vit_b_16",
    "timm/test_resnet",
    "timm/mobilenetv2_035",
    "timm/test_convnext",
)
TUNINGS: dict[str, Tuning] = {
    "lora": Lora(rank=4),
    "rslora": Lora(rank=4, rslora=True, dropout=0.1),
    "dora": Lora(rank=4, dora=True),
    "ia3": IA3(),
    "loha": LoHa(),
    "lokr": LoKr(),
    "bitfit": BitFit(),
    "norms": Norms(),
}
MARKS = ("lora_", "ia3_", "hada_", "lokr_")
"""In the names of what adapters train."""
CASES = [pytest.param(name, tuning, id=f"{key}-{name}") for key, tuning in TUNINGS.items() for name in NETWORKS]
pytestmark = pytest.mark.usefixtures("small_torchvision_vit")


def build(name: str) -> Classifier:
    """With a head that passes gradients on, and the statistics of some images, so that activations stay of one size."""
    torch.manual_seed(0)
    classifier = ModelConfig(name=name, image_size=SIZE).build(num_classes=len(NAMES))
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight, std=0.1)
    for module in classifier.modules():
        if isinstance(module, _BatchNorm):
            nn.init.ones_(module.weight)  # some libraries start residual branches at zero
            module.momentum = 1.0
    with torch.no_grad():
        classifier.train()(torch.randn(16, 3, SIZE, SIZE))
    return classifier.eval()


IMAGES = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def logits(classifier: Classifier) -> torch.Tensor:
    return classifier.eval()(IMAGES.to(next(classifier.parameters()).dtype))


def train(classifier: Classifier) -> None:
    """Three steps."""
    classifier.train()
    optimizer = torch.optim.AdamW(classifier.trainable_parameters(), lr=2e-3)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(IMAGES), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    classifier.eval()


def stated(classifier: Classifier, tuning: Tuning) -> set[str]:
    """Names of the parameters that the tuning promises to train."""
    names = [name for name, _ in classifier.named_parameters()]
    if isinstance(tuning, Adapter):
        chosen = [name for name in names if any(mark in name for mark in MARKS)]
    elif isinstance(tuning, BitFit):
        chosen = [name for name in names if name.endswith("bias")]
    else:
        norms = [path for path, module in classifier.named_modules() if "Norm" in type(module).__name__]
        chosen = [name for name in names if name.rpartition(".")[0] in norms]
    return {*chosen, *(name for name in names if name.startswith(classifier.head_name))}


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("name", "tuning"), CASES)
def test_at_first_nothing_changes_then_what_is_stated_moves_is_saved_and_merges(name: str, tuning: Tuning, tmp_path):
    base = build(name)
    classifier = build(name)
    tuning.apply(classifier)
    assert relative_difference(logits(classifier), logits(base)) <= 1e-6
    before = copy.deepcopy(classifier.state_dict())
    expected = stated(classifier, tuning)
    train(classifier)
    parameters = {key for key, _ in classifier.named_parameters()}
    assert {key for key, p in classifier.named_parameters() if p.requires_grad} == expected
    for key, value in classifier.state_dict().items():
        if key in parameters:
            assert torch.equal(value, before[key]) != (key in expected), key
        elif not isinstance(tuning, Norms):
            assert torch.equal(value, before[key]), key

    adapted = logits(classifier)
    assert relative_difference(adapted, logits(base)) > 1e-3
    assert torch.equal(logits(copy.deepcopy(classifier)), adapted)
    plain = classifier.merged()
    assert {*plain.state_dict()} == {*base.state_dict()}
    # A deep convolutional network of random weights magnifies rounding by a hundred: the algebra is judged in float64.
    assert relative_difference(logits(plain), adapted) <= (1e-6 if "vit" in name else 1e-4)
    exact = copy.deepcopy(classifier).double()
    assert relative_difference(logits(exact.merged()), logits(exact)) <= 1e-12
    assert torch.equal(logits(classifier), adapted), "the adapted one stays"

    start = copy.deepcopy(base.state_dict())
    save_adapter(classifier, tmp_path, class_names=NAMES, weights=None)
    loaded = load_adapter(tmp_path, base)
    assert torch.equal(logits(loaded), adapted)
    assert torch.equal(logits(loaded.merged()), logits(classifier.merged()))
    assert all(torch.equal(value, start[key]) for key, value in base.state_dict().items())
