"""Training at one size and evaluating at another, and weights that were made for a third."""

import pytest
import timm
import tiny_recipe
import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from finegrain.commands import carry_out
from finegrain.errors import ConfigError, WeightsError
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder

VITS = {"vit_tiny_patch16_224": 16, "test_vit4": 16, "eva02_tiny_patch14_224": 14}
"""Sides of their patches. The second takes any size by itself, the third has rotary positions beside the learned."""


def build(name: str, image_size: int, train_size: int | None = None) -> Classifier:
    torch.manual_seed(0)
    classifier = ModelConfig(name=f"timm/{name}", image_size=image_size).build(num_classes=3, train_size=train_size)
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight)
    return classifier.eval()


def images(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize(("name", "patch"), VITS.items())
def test_a_vit_shown_another_size_is_timms_vit_of_that_size(name: str, patch: int):
    classifier = build(name, 4 * patch, train_size=6 * patch)
    state = classifier.network.state_dict()
    with torch.no_grad():
        fixed = build(name, 4 * patch)
        fixed.network.load_state_dict(state)
        torch.testing.assert_close(classifier(images(4 * patch)), fixed(images(4 * patch)))
        if name != "test_vit4":
            with pytest.raises(AssertionError, match="doesn't match model"):
                fixed(images(6 * patch))

        large = timm.create_model(name, num_classes=3, img_size=6 * patch).eval()
        tokens = state["pos_embed"].shape[1] - 16
        state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [6, 6], num_prefix_tokens=tokens)
        large.load_state_dict(state)
        torch.testing.assert_close(classifier(images(6 * patch)), large(images(6 * patch)))
    classifier(images(6 * patch)).square().sum().backward()
    gradient = classifier.network.pos_embed.grad
    assert gradient[0].abs().sum(1).gt(0).all(), "every position is trained, whatever the size"


@pytest.mark.parametrize("train_size", [None, 64])
def test_a_network_shown_its_own_size_is_built_as_ever(train_size: int | None):
    classifier = build("test_vit", 64, train_size)
    assert classifier.model_args == {"img_size": 64}
    assert build("test_resnet", 64, 96).model_args == {}


@pytest.mark.parametrize("name", ["timm/pit_ti_224", "timm/swin_tiny_patch4_window7_224", "torchvision/vit_b_16"])
def test_other_networks_of_one_size_refuse_another(name: str):
    with torch.device("meta"), pytest.raises(ConfigError, match=r"got augment\.image_size=192; .*set model.image_size"):
        ModelConfig(name=name, image_size=224).build(num_classes=3, train_size=192)


def test_a_size_that_cuts_patches_is_refused():
    with pytest.raises(WeightsError, match=r"augment\.image_size does not .*got 100; .*set augment\.image_size=96"):
        build("test_vit", 64, train_size=100)


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/test_resnet"])
def test_a_run_trains_at_its_size_and_is_judged_at_the_networks(name: str, tmp_path, monkeypatch):
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.model.name, recipe.augment.image_size, recipe.train.epochs = name, 48, 1
    recipe.augment.preset, recipe.tuning.probe_first = "medium", False
    seen, forward = set(), Classifier.forward

    def note(self, shown):
        seen.add((self.training, shown.shape[-1]))
        return forward(self, shown)

    monkeypatch.setattr(Classifier, "forward", note)
    carry_out(recipe, [], out=tmp_path / "run")
    assert seen == {(True, 48), (False, 32)}
    best = max((tmp_path / "run" / "checkpoints").glob("best-*"))
    ours, theirs = load_folder(best)[0].eval(), timm.create_model(f"local-dir:{best}", pretrained=True).eval()
    with torch.no_grad():
        for size in (32, 48):
            assert torch.equal(ours(images(size)), theirs(images(size)))


@pytest.mark.parametrize("name", ["test_vit", "test_vit4"])
def test_a_folder_loaded_at_another_size_is_as_timm_loads_it(name: str, tmp_path):
    save_folder(build(name, 64), tmp_path, class_names="abc")
    ours = ModelConfig(weights=str(tmp_path), image_size=96).build(num_classes=3).eval()
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, img_size=96).eval()
    with torch.no_grad():
        assert torch.equal(ours(images(96)), theirs(images(96)))
