"""Runs that train an adapter: through the recipe, from kill to resume, to folders that can be used."""

import json
from pathlib import Path

import pytest
import timm
import tiny_recipe
import torch

from finegrain.commands import carry_out
from finegrain.engine.checkpoint import Checkpoints
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder
from finegrain.recipe import Recipe
from finegrain.tuning.bitfit import BitFit
from finegrain.tuning.lora import Lora
from finegrain.tuning.norms import Norms

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """From weights on disk, with dropout, mixup and averages."""
    torch.manual_seed(0)
    base = ModelConfig(name="timm/test_vit", image_size=32).build(num_classes=4)
    save_folder(base, tmp_path / "base", class_names="abcd")
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.model.name, recipe.model.weights = "", str(tmp_path / "base")
    recipe.tuning = Lora(rank=2, dropout=0.1, probe_first=True)
    recipe.optim.layer_decay = 0.8
    recipe.penalty.l2_sp = 1e-3
    return recipe


def newest(run: Path, kind: str) -> Path:
    return max((run / "checkpoints").glob(f"{kind}-*"))


def test_a_run_leaves_a_plain_network_and_its_adapter(recipe, tmp_path):
    assert "test top-1" in carry_out(recipe, [], out=tmp_path / "run")
    best = newest(tmp_path / "run", "best")
    plain, names = load_folder(best)
    assert names == tiny_recipe.CLASSES
    network = timm.create_model(f"local-dir:{best}", pretrained=True).eval()
    assert torch.equal(network(IMAGES), plain.eval()(IMAGES))
    again = ModelConfig(weights=str(best / "adapter")).build(num_classes=3).eval()
    torch.testing.assert_close(again(IMAGES), network(IMAGES))
    manifest = json.loads((best / "manifest.json").read_text())
    assert {
        "adapter/adapter_model.safetensors",
        "adapter/adapter_config.json",
        "adapter/config.json",
    } <= manifest.keys()
    carry_out(recipe, ["evaluate"], out=tmp_path / "run")

    damaged = best / "adapter" / "adapter_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    with pytest.raises(Exception, match=r"best.*is damaged: got adapter/adapter_model.safetensors differs"):
        carry_out(recipe, ["evaluate"], out=tmp_path / "run")


@pytest.mark.parametrize(
    "tuning", [Lora(rank=2, dropout=0.1, dora=True), BitFit(), Norms()], ids=["dora", "bitfit", "norms"]
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(recipe, tuning, tmp_path, monkeypatch):
    recipe.tuning = tuning
    carry_out(recipe, [], out=tmp_path / "whole")
    save, saved = Checkpoints.save, []

    def save_and_die(self, trainer, *, kept):
        save(self, trainer, kept=kept)
        saved.append(kept)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        carry_out(recipe, [], out=tmp_path / "cut")
    carry_out(recipe, [], out=tmp_path / "cut", resume=True)
    assert len(saved) == 3
    whole, cut = (newest(tmp_path / run, "latest") / "state.safetensors" for run in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_what_lies_before_the_adapter_runs_once(recipe, tmp_path):
    recipe.tuning = Lora(rank=2, target=r"blocks\.5\..*", cached_views=1)
    recipe.augment.mixup, recipe.augment.preset = 0.0, "weak"
    carry_out(recipe, [], out=tmp_path / "run")
    best = newest(tmp_path / "run", "best")
    again = ModelConfig(weights=str(best / "adapter")).build(num_classes=3).eval()
    torch.testing.assert_close(again(IMAGES), load_folder(best)[0].eval()(IMAGES))


def test_a_plan_says_how_much_is_trained(recipe):
    plan = carry_out(recipe, [], dry_run=True)
    assert "timm/test_vit: trainable 4,738 of" in plan
    with pytest.raises(Exception, match=r"tuning.target matches no layer.*blocks\.\*\.attn\.qkv"):
        carry_out(recipe, ["tuning.target=query"], dry_run=True)
