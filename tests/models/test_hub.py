import logging

import numpy as np
import pytest
import torch
import torch.hub
from torch import nn

from finegrain.errors import ConfigError, WeightsError
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder
from finegrain.tuning.last_block import LastBlock

NAME = f"hub/someone/ntsnet-cub200@{'0123456789' * 4}:ntsnet"


class FakeTrunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=8)
        self.bn1 = nn.BatchNorm2d(4)
        for number in range(1, 5):
            setattr(self, f"layer{number}", nn.Conv2d(4, 4, 1))
        self.fc = nn.Linear(4, 200)

    def forward(self, images):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(images))))))
        return x.mean((2, 3))


class FakeNtsNet(nn.Module):
    """The interface of the real one: seven results, the class scores fourth, and code that needs `np.int`."""

    def __init__(self):
        super().__init__()
        self.device = "somewhere"
        self.pretrained_model = FakeTrunk()
        self.proposal_net = nn.Conv2d(4, 2, 1)
        self.concat_net = nn.Linear(8, 200)
        self.partcls_net = nn.Linear(4, 200)
        self.anchors = np.zeros(2).astype(np.int)

    def forward(self, images):
        assert self.device == images.device
        parts = np.ones(1).astype(np.int)
        feature = self.pretrained_model(images)
        concat_out = torch.cat([feature, feature * int(parts[0])], dim=1)
        other = torch.zeros(len(images), 200)
        return [], concat_out, other, self.concat_net(concat_out), other, other, other


@pytest.fixture
def hub(monkeypatch):
    calls = []

    def load(repo, entry, **options):
        calls.append((repo, entry, options))
        torch.manual_seed(5)
        return FakeNtsNet()

    monkeypatch.setattr(torch.hub, "load", load)
    return calls


def test_class_scores_are_the_fourth_result(hub, tmp_path):
    classifier = ModelConfig(name=NAME, weights="DEFAULT", trust=True).build(num_classes=7).eval()
    assert [call[:2] for call in hub] == [(f"someone/ntsnet-cub200:{'0123456789' * 4}", "ntsnet")] * 2
    assert [call[2]["pretrained"] for call in hub] == [False, True]
    images = torch.randn(2, 3, 64, 64)
    assert classifier(images).shape == (2, 7)
    assert not hasattr(np, "int")
    assert (classifier.preprocessing.image_size, classifier.preprocessing.resize_size) == (448, 600)
    assert classifier.pretrained == f"{NAME} DEFAULT"

    save_folder(classifier, tmp_path, class_names=[str(i) for i in range(7)])
    with pytest.raises(ConfigError, match="your trust"):
        load_folder(tmp_path)
    loaded, _ = load_folder(tmp_path, trust=True)
    assert torch.equal(loaded.eval()(images), classifier(images))


@pytest.mark.parametrize(("num_classes", "anew"), [(200, False), (7, True)])
def test_the_head_of_the_pretrained_classes_is_kept(hub, caplog, num_classes, anew):
    with caplog.at_level(logging.INFO):
        ModelConfig(name=NAME, weights="DEFAULT", trust=True).build(num_classes=num_classes)
    assert ("the head starts anew" in caplog.text) == anew


def test_its_last_block_is_layer4_and_what_follows(hub):
    classifier = ModelConfig(name=NAME, trust=True).build(num_classes=7)
    LastBlock().apply(classifier)
    trained = {name.split(".")[2] for name, p in classifier.named_parameters() if p.requires_grad}
    assert trained == {"pretrained_model", "proposal_net", "concat_net", "partcls_net"}
    assert not classifier.network.network.pretrained_model.layer3.weight.requires_grad
    assert classifier.network.network.pretrained_model.layer4.weight.requires_grad


def test_trust_and_a_pinned_commit_are_required(hub):
    with pytest.raises(ConfigError, match=r"model\.trust=true"):
        ModelConfig(name=NAME).build(num_classes=7)
    with pytest.raises(ConfigError, match="pinned"):
        ModelConfig(name="hub/someone/ntsnet-cub200:ntsnet", trust=True).build(num_classes=7)
    assert hub == []


def test_out_of_reach_or_another_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load", unreachable)
    with pytest.raises(WeightsError, match=r"cannot be fetched.*someone/ntsnet-cub200 at 0123.*unpacked in"):
        ModelConfig(name=NAME, trust=True).build(num_classes=7)
    monkeypatch.setattr(torch.hub, "load", lambda *arguments, **options: nn.Linear(2, 2))
    with pytest.raises(WeightsError, match="no NTS-Net"):
        ModelConfig(name=NAME, trust=True).build(num_classes=7)
