"""Visual prompts: what they compute, what moves, and that a run with them can be used."""

import copy
import json

import pytest
import timm
import tiny_recipe
import torch
from torch import Tensor, nn

from finegrain import config
from finegrain.commands import carry_out
from finegrain.engine.checkpoint import Checkpoints
from finegrain.errors import ConfigError, WeightsError
from finegrain.models.adapter_folder import load_adapter, save_adapter
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder
from finegrain.optim.groups import parameter_groups
from finegrain.saliency.layer import find_layers
from finegrain.tuning.last_block import LastBlock
from finegrain.tuning.prompts import Prompts

SIZE, COUNT = 32, 5
IMAGES = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
NETWORKS = ("timm/test_vit", "timm/test_vit4", "torchvision/vit_b_16")
pytestmark = pytest.mark.usefixtures("small_torchvision_vit")
each = pytest.mark.parametrize("name", NETWORKS)
both = pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])


def build(name: str, tuning: Prompts | None = None, **fields) -> Classifier:
    """With blocks that make much of their tokens: fresh ones hardly look at each other."""
    torch.manual_seed(0)
    classifier = ModelConfig(name=name, image_size=SIZE, **fields).build(num_classes=3)
    for key, value in classifier.named_parameters():
        if value.ndim == 2:
            nn.init.normal_(value, std=0.3)
        elif key.endswith("gamma"):
            nn.init.ones_(value)
    if tuning is not None:
        tuning.apply(classifier)
    return classifier.eval()


@torch.no_grad()
def logits(classifier: nn.Module) -> Tensor:
    return classifier.eval()(IMAGES)


def train(classifier: Classifier) -> None:
    classifier.train()
    optimizer = torch.optim.AdamW(classifier.trainable_parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(IMAGES), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def tokens(classifier: Classifier) -> list[Tensor]:
    return [parameter for name, parameter in classifier.named_parameters() if name.startswith("network.prompts.")]


def by_hand(classifier: Classifier, *, deep: bool) -> Tensor:
    """The paper's equations, on the parts of the network."""
    network, prompts = build(classifier.architecture).network, [value.detach() for value in tokens(classifier)]
    network.load_state_dict(classifier.network.state_dict(), strict=False)
    of_timm = classifier.architecture.startswith("timm")
    if of_timm:
        x, blocks = network.norm_pre(network._pos_embed(network.patch_embed(IMAGES))), network.blocks
    else:
        x = torch.cat([network.class_token.expand(4, -1, -1), network._process_input(IMAGES)], dim=1)
        x, blocks = x + network.encoder.pos_embedding, network.encoder.layers
    for number, block in enumerate(blocks):
        if number == 0:
            x = torch.cat([x[:, :1], prompts[0].expand(4, -1, -1), x[:, 1:]], dim=1)
        elif deep:
            x = torch.cat([x[:, :1], prompts[number].expand(4, -1, -1), x[:, 1 + COUNT :]], dim=1)
        x = block(x)
    if of_timm:
        x = network.norm(x)
        return network.forward_head(torch.cat([x[:, :1], x[:, 1 + COUNT :]], dim=1))
    return network.heads(network.encoder.ln(x)[:, 0])


@each
@both
@torch.no_grad()
def test_they_compute_what_the_paper_says(name: str, deep: bool):
    classifier = build(name, Prompts(count=COUNT, deep=deep))
    torch.testing.assert_close(logits(classifier), by_hand(classifier, deep=deep))
    assert (logits(classifier) - logits(build(name))).norm() > 0.01 * logits(classifier).norm()


@torch.no_grad()
def test_shallow_ones_are_what_timm_calls_registers():
    classifier = build("timm/test_vit", Prompts(count=COUNT, deep=False))
    state = classifier.network.state_dict()
    prompts, positions = state.pop("prompts.0.tokens")[None], state["pos_embed"]
    state["reg_token"] = prompts
    state["pos_embed"] = torch.cat([positions[:, :1], torch.zeros_like(prompts), positions[:, 1:]], dim=1)
    network = timm.create_model("test_vit", img_size=SIZE, num_classes=3, reg_tokens=COUNT)
    network.load_state_dict(state)
    torch.testing.assert_close(logits(classifier), logits(network))


@each
@both
def test_only_prompts_and_head_move_and_what_is_saved_is_what_was_trained(name: str, deep: bool, tmp_path):
    base, classifier = build(name), build(name, Prompts(count=COUNT, deep=deep))
    before = copy.deepcopy(classifier.state_dict())
    expected = {key for key in before if key.startswith(("network.prompts.", classifier.head_name))}
    assert {key for key, value in classifier.named_parameters() if value.requires_grad} == expected
    train(classifier)
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, before[key]) != (key in expected), key
    trained = logits(classifier)
    assert torch.equal(logits(copy.deepcopy(classifier)), trained)
    assert torch.equal(logits(classifier.merged()), trained)

    save_folder(classifier, tmp_path / "whole", class_names="abc")
    assert torch.equal(logits(load_folder(tmp_path / "whole")[0]), trained)
    refusal = "Unexpected key" if "timm" in name else "Unknown model"
    with pytest.raises(RuntimeError, match=refusal):  # not loaded without the prompts
        timm.create_model(f"local-dir:{tmp_path / 'whole'}", pretrained=True)
    save_adapter(classifier, tmp_path / "apart", class_names="abc", weights=None)
    loaded = load_adapter(tmp_path / "apart", base)
    assert torch.equal(logits(loaded), trained)
    shared = "pos_embed" if "timm" in name else "class_token"
    assert loaded.network.get_parameter(shared).data_ptr() == base.network.get_parameter(shared).data_ptr()
    assert not hasattr(base.network, "prompts")


def test_a_copy_has_prompts_of_its_own():
    classifier = build("timm/test_vit", Prompts(count=COUNT))
    twin, before = copy.deepcopy(classifier), logits(classifier)
    with torch.no_grad():
        for value in tokens(twin):
            value.normal_()
    assert torch.equal(logits(classifier), before)
    assert not torch.equal(logits(twin), before)


@pytest.mark.parametrize(
    ("name", "tuning", "trainable"),
    [
        ("timm/vit_base_patch16_224", Prompts(count=50), 12 * 50 * 768),
        ("timm/vit_base_patch16_224", Prompts(count=50, deep=False), 50 * 768),
        ("timm/vit_tiny_patch16_224", Prompts(), 12 * 10 * 192),
    ],
)
def test_trainable_parameters(name: str, tuning: Prompts, trainable: int):
    with torch.device("meta"):
        classifier = ModelConfig(name=name).build(num_classes=100)
        head = sum(value.numel() for value in classifier.get_submodule(classifier.head_name).parameters())
        tuning.apply(classifier)
    assert classifier.census().trainable == trainable + head


@both
def test_nothing_is_recorded_before_the_first_prompt(deep: bool):
    classifier = build("timm/test_vit", Prompts(count=COUNT, deep=deep))
    recorded = {}
    for path in ("patch_embed", "blocks.0"):
        module = classifier.network.get_submodule(path)
        module.register_forward_hook(lambda _, __, output, path=path: recorded.update({path: output.requires_grad}))
    classifier.train()(IMAGES).sum().backward()
    assert recorded == {"patch_embed": False, "blocks.0": True}
    assert all(value.grad.abs().sum() > 0 for value in tokens(classifier))


def test_recomputed_blocks_give_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        classifier = build("timm/test_vit", Prompts(count=COUNT), recompute=recompute)
        classifier.train()(IMAGES).square().sum().backward()
        gradients.append([value.grad for value in tokens(classifier)])
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/swin_t", "timm/eva02_tiny_patch14_224"])
def test_other_networks_are_refused(name: str):
    with torch.device("meta"):
        classifier = ModelConfig(name=name).build(num_classes=3)
    with pytest.raises(ConfigError, match=r"takes no prompts: got .*; expected a plain vision transformer"):
        Prompts().apply(classifier)


@pytest.mark.parametrize("count", [0, 1001])
def test_their_number_is_checked(count: int):
    with pytest.raises(ConfigError, match=rf"count is not allowed: got {count}"):
        config.check(Prompts(count=count))


@pytest.mark.parametrize("change", [{"count": 10**9}, {"count": "5"}, {"deep": 1}, {"code": "x"}])
def test_a_folder_with_other_prompts_is_refused(change: dict, tmp_path):
    save_folder(build("timm/test_vit", Prompts(count=COUNT)), tmp_path, class_names="abc")
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"prompts": content["prompts"] | change}))
    with pytest.raises(WeightsError, match="does not describe weights"):
        load_folder(tmp_path)


def test_training_goes_on_from_prompts_but_not_from_others(tmp_path):
    first = build("timm/test_vit", Prompts(count=COUNT))
    save_folder(first, tmp_path, class_names="abc")
    later = ModelConfig(weights=str(tmp_path)).build(num_classes=7)
    Prompts(count=COUNT).apply(later)
    assert all(map(torch.equal, tokens(later), tokens(first)))
    assert len(tokens(later)) == 6
    with pytest.raises(ConfigError, match=r"other prompts: got .*deep=False.*expected .*deep=True"):
        Prompts(count=COUNT, deep=False).apply(later)
    LastBlock().apply(later)
    assert [value.requires_grad for value in tokens(later)] == [False] * 5 + [True], "those of the last block"


@both
def test_they_learn_at_the_rate_of_the_block_that_they_enter_with(deep: bool):
    classifier = build("timm/test_vit", Prompts(count=COUNT, deep=deep))
    groups = parameter_groups(classifier, lr=1.0, layer_decay=0.5)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    expected = [0.5 ** (6 - number) for number in range(6 if deep else 1)]
    assert [rates[id(value)] for value in tokens(classifier)] == expected


def test_the_grid_of_patches_is_found_behind_the_prompts():
    classifier = build("timm/test_vit", Prompts(count=COUNT))
    attentions = [classifier.get_submodule(path) for path in classifier.attention_modules()]
    head = classifier.get_submodule(classifier.head_name)
    layers = find_layers(classifier.network, IMAGES, head=head, attentions=attentions)
    assert {(layer.prefix, layer.height, layer.width) for layer in layers} == {(1 + COUNT, 2, 2)}


@pytest.fixture
def recipe(tmp_path):
    """From weights on disk, with mixup, averages and a probe."""
    save_folder(build("timm/test_vit"), tmp_path / "base", class_names="abc")
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.model.name, recipe.model.weights = "", str(tmp_path / "base")
    recipe.tuning = Prompts(count=COUNT, probe_first=True)
    return recipe


@pytest.mark.parametrize("words", [[], ["tuning.deep=false", "tuning.cached_views=2", "augment.mixup=0"]])
def test_a_run_leaves_a_model_that_can_be_used(recipe, words: list[str], tmp_path):
    assert "test top-1" in carry_out(recipe, words, out=tmp_path / "run")
    best = max((tmp_path / "run" / "checkpoints").glob("best-*"))
    again = ModelConfig(weights=str(best / "adapter")).build(num_classes=3)
    assert torch.equal(logits(again), logits(load_folder(best)[0]))
    assert "test top-1" in carry_out(recipe, ["evaluate"], out=tmp_path / "run")
    assert f"trainable {64 * COUNT * (1 if words else 6) + 2 * 65:,} of" in carry_out(recipe, [], dry_run=True)


def test_a_resumed_run_ends_as_an_uninterrupted_one(recipe, tmp_path, monkeypatch):
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
    whole, cut = (max((tmp_path / run / "checkpoints").glob("latest-*")) for run in ("whole", "cut"))
    assert (whole / "state.safetensors").read_bytes() == (cut / "state.safetensors").read_bytes()
