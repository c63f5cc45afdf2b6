"""Gradual unfreezing: what moves in which epoch, and that a run may be cut anywhere."""

import copy

import pytest
import tiny_recipe
import torch
from torch import nn

from finegrain.commands import carry_out
from finegrain.engine.checkpoint import Checkpoints
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.tuning.gradual import Gradual

SIZE, CLASSES = 32, 3
pytestmark = pytest.mark.usefixtures("small_torchvision_vit")


def build(name: str) -> Classifier:
    torch.manual_seed(0)
    classifier = ModelConfig(name=name, image_size=SIZE, dropout=0.2).build(num_classes=CLASSES)
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight, std=0.5)
    return classifier


def train(classifier: Classifier, optimizer: torch.optim.Optimizer) -> None:
    """Two steps: the second uses the momentum."""
    classifier.train()
    for _ in range(2):
        logits, labels = classifier(torch.randn(4, 3, SIZE, SIZE)), torch.tensor([0, 1, 2, 0])
        # Smoothed: where all answers were sure and right, no gradient would be left.
        nn.functional.cross_entropy(logits, labels, label_smoothing=0.5).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit", "torchvision/vit_b_16", "timm/mobilenetv2_035"])
def test_each_stage_moves_one_group_more_and_nothing_else(name, every):
    classifier, tuning = build(name), Gradual(every=every)
    tuning.apply(classifier)
    assert classifier.census().trainable == classifier.census().total, "the optimiser knows all from the start"
    optimizer = torch.optim.SGD(classifier.trainable_parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    groups = classifier.layer_groups()
    for epoch in range(every * len(groups)):
        tuning.begin_epoch(classifier, epoch=epoch)
        if epoch % every < every - 1:
            continue
        whole = epoch >= every * (len(groups) - 1)
        paths = [path for group in groups[len(groups) - 1 - epoch // every :] for path in group.module_paths]
        prefixes = tuple("" if whole else f"{path}." for path in paths)
        before = copy.deepcopy(classifier.state_dict())
        train(classifier, optimizer)
        parameters = dict(classifier.named_parameters())
        assert {key for key, value in parameters.items() if value.requires_grad} == {
            key for key in parameters if key.startswith(prefixes)
        }
        for key, value in classifier.state_dict().items():
            assert torch.equal(value, before[key]) != key.startswith(prefixes), f"{key} in epoch {epoch}"
        for path, module in classifier.network.named_modules():
            if next(module.children(), None) is None:
                assert module.training == f"network.{path}.".startswith(prefixes), path
    assert classifier.boundary is None


def test_what_rests_records_no_graph_and_stays_so_for_the_same_epoch():
    classifier, tuning = build("timm/test_vit"), Gradual()
    tuning.apply(classifier)
    for epoch in (3, 3, 1):
        tuning.begin_epoch(classifier, epoch=epoch)
        assert classifier.boundary == f"network.blocks.{6 - epoch}"
        classifier.train()(torch.randn(2, 3, SIZE, SIZE)).sum().backward()
    assert sum(len(module._forward_pre_hooks) for module in classifier.modules()) == 1


def test_statistics_may_rest_although_their_scales_are_trained():
    classifier, tuning = build("timm/test_resnet"), Gradual(frozen_statistics=True)
    tuning.apply(classifier)
    optimizer = torch.optim.SGD(classifier.trainable_parameters(), lr=0.05)
    for epoch in (1, 9):
        tuning.begin_epoch(classifier, epoch=epoch)
        before = {key: value.clone() for key, value in classifier.named_buffers()}
        scale = classifier.get_parameter("network.layer4.0.bn1.weight").clone()
        train(classifier, optimizer)
        assert all(torch.equal(value, before[key]) for key, value in classifier.named_buffers())
        assert not torch.equal(classifier.get_parameter("network.layer4.0.bn1.weight"), scale)


@pytest.fixture
def recipe(tmp_path):
    """With averages, mixup, penalty and a probe; weights move by momentum and decay."""
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.tuning = Gradual(probe_first=True)
    recipe.optim.layer_decay = 0.5
    recipe.penalty.l2_sp = 1e-3
    recipe.train.monitor = "last"
    return recipe


def test_in_a_run_the_groups_that_rest_to_the_end_equal_their_start(recipe, tmp_path, caplog):
    caplog.set_level("INFO")
    states = []
    start = recipe.model.build(num_classes=3)

    def keep(self, trainer, *, kept, save=Checkpoints.save):
        states.append(copy.deepcopy(trainer.state()))
        save(self, trainer, kept=kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", keep)
        carry_out(recipe, [], out=tmp_path / "run")
    groups = start.layer_groups()
    assert len(groups) == 6
    assert [line for line in caplog.messages if "layer groups" in line] == [
        f"epoch {epoch}: {epoch} of 6 layer groups are trained" for epoch in (1, 2, 3)
    ]
    resting = tuple(f"{path}." for group in groups[:3] for path in group.module_paths)
    for part in ("model", "ema"):
        first, last = states[0][part], states[-1][part]
        for key in first:
            if key.startswith(resting):
                assert torch.equal(first[key], last[key]), key
        assert not torch.equal(first["network.layer3.0.conv1.weight"], last["network.layer3.0.conv1.weight"])
    assert len(states[0]["optimizer"]["state"]) < len(states[1]["optimizer"]["state"])


def test_a_run_resumed_in_the_middle_of_an_epoch_ends_as_an_uninterrupted_one(recipe, tmp_path, monkeypatch):
    recipe.train.save_steps, recipe.train.epochs = 1, 2
    carry_out(recipe, [], out=tmp_path / "whole")
    save = Checkpoints.save

    def save_and_die(self, trainer, *, kept):
        save(self, trainer, kept=kept)
        if trainer.progress.step == 6:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        carry_out(recipe, [], out=tmp_path / "cut")
    carry_out(recipe, [], out=tmp_path / "cut", resume=True)
    whole, cut = (max((tmp_path / run / "checkpoints").glob("latest-*")) for run in ("whole", "cut"))
    assert (whole / "state.safetensors").read_bytes() == (cut / "state.safetensors").read_bytes()


def test_features_are_not_cached_for_what_will_be_trained(recipe):
    with pytest.raises(Exception, match=r"tuning.cached_views cannot be: got 1; expected none, as every layer"):
        carry_out(recipe, ["tuning.cached_views=1", "augment.mixup=0"], dry_run=True)
