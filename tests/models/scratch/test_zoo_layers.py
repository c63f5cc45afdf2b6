"""The layers of the zoo against torch's own, and the zoo behind the project's other parts."""

import pytest
import torch
from torch import nn

from finegrain.models.config import ModelConfig
from finegrain.models.scratch.mnist_vit import MultiHeadAttention
from finegrain.models.scratch.parts import grid_side
from finegrain.models.scratch.patch_lstm import LastStep
from finegrain.models.summary import summary
from finegrain.saliency.attention import recorded_attention
from finegrain.saliency.layer import find_layers
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.lora import Lora


def small(name: str, **fields):
    torch.manual_seed(0)
    return ModelConfig(name=f"scratch/{name}", image_size=8, **fields).build(num_classes=3)


VITS = [("nanovit", {"dim": 16, "num_heads": 2}), ("mnist_vit", {"patch_size": 2, "dim": 16, "num_heads": 2})]


def own_and_torchs(dim: int = 12, num_heads: int = 3) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """The same attention twice."""
    torch.manual_seed(0)
    own = MultiHeadAttention(dim, num_heads, 0.0)
    torchs = nn.MultiheadAttention(dim, num_heads, batch_first=True)
    projections = (own.query, own.key, own.value)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        torchs.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
    torchs.out_proj.load_state_dict(own.out.state_dict())
    return own, torchs


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_torchs_attention(fused):
    own, torchs = own_and_torchs()
    own.fused_attn = fused
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(own(tokens), torchs(tokens, tokens, tokens)[0])


def test_attention_shows_the_weights_that_it_computes():
    own, torchs = own_and_torchs()
    tokens = torch.randn(2, 5, 12)
    with recorded_attention([own]) as weights:
        own(tokens)
    expected = torchs(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)[1]
    torch.testing.assert_close(weights[0], expected)
    assert own.fused_attn


@pytest.mark.parametrize(("name", "args"), VITS)
@torch.no_grad()
def test_vits_show_what_each_head_looks_at(name, args):
    classifier = small(name, args=args).eval()
    images = torch.randn(2, 3, 8, 8)
    with recorded_attention([classifier.get_submodule(path) for path in classifier.attention_modules()]) as weights:
        shown = classifier(images)
    torch.testing.assert_close(shown, classifier(images))
    assert [tuple(layer.shape) for layer in weights] == [(2, 2, 17, 17)] * len(classifier.attention_modules())
    torch.testing.assert_close(torch.stack(weights).sum(-1), torch.ones(len(weights), 2, 2, 17))


def test_attention_drops_out_only_in_training():
    own, _ = own_and_torchs()
    own.attn_drop.p = 0.5
    tokens = torch.randn(2, 5, 12)
    assert torch.equal(own.eval()(tokens), own(tokens))
    assert not torch.equal(own.train()(tokens), own(tokens))


def test_the_last_step_reads_the_sequence_forwards_and_its_last_patch_backwards():
    torch.manual_seed(0)
    lstm = LastStep(4, 3, batch_first=True, bidirectional=True)
    tokens = torch.randn(1, 6, 4)
    changed = tokens.clone()
    changed[:, 0] += 1
    assert lstm(tokens).shape == (1, 6)
    assert not torch.allclose(lstm(tokens)[:, :3], lstm(changed)[:, :3], atol=1e-6)
    assert torch.equal(lstm(tokens)[:, 3:], lstm(changed)[:, 3:])


def test_the_last_step_is_compiled():
    lstm, tokens = LastStep(4, 3, batch_first=True, bidirectional=True), torch.randn(1, 6, 4)
    torch.testing.assert_close(torch.compile(lstm, backend="eager")(tokens), lstm(tokens))


@pytest.mark.parametrize("size", range(1, 40))
def test_the_side_of_a_grid_is_that_of_the_layers(size):
    layers = nn.Sequential(
        nn.Conv2d(1, 1, 5, padding=1), nn.MaxPool2d(3, stride=2), nn.Conv2d(1, 1, 4), nn.AvgPool2d(2)
    )
    steps = [(5, 1, 1), (3, 2, 0), (4, 1, 0), (2, 2, 0)]
    try:
        expected = layers(torch.zeros(1, 1, size, size)).shape[-1]
    except RuntimeError:
        with pytest.raises(Exception, match="at least 13 pixels a side"):
            grid_side("it", size, steps)
    else:
        assert grid_side("it", size, steps) == expected


def test_the_least_size_for_very_many_layers_is_computed_and_not_tried():
    with pytest.raises(Exception, match=f"at least {2**60} pixels a side"):
        grid_side("it", 32, [(2, 2, 0)] * 60)


@pytest.mark.parametrize(("name", "args"), VITS)
def test_vits_are_tuned_by_their_attention(name, args):
    classifier = small(name, args=args)
    LastAttention().apply(classifier)
    kept = [path for path in classifier.trainable if "head" not in path]
    assert kept == [classifier.attention_modules()[-1]]


@pytest.mark.parametrize(("name", "args"), [*VITS, ("resnet8", {}), ("mlp", {}), ("patch_lstm", {"dim": 16})])
def test_an_adapter_takes_part_in_eval_too_and_merges(name, args):
    """torch's fused encoder layer would read weights past the adapter."""
    classifier = small(name, args=args).eval()
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = classifier(images)
        Lora(rank=2, target=".*(linear1|fc1|mlp.0|conv|body.0|blocks.1.0|blocks.1.1)").apply(classifier)
        classifier.eval()
        torch.testing.assert_close(classifier(images), before)
        for path, parameter in classifier.named_parameters():
            if "lora_B" in path:
                parameter.fill_(0.1)
        adapted = classifier(images)
        assert not torch.allclose(adapted, before, atol=1e-4)
        torch.testing.assert_close(classifier.merged().eval()(images), adapted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "args"), [*VITS, ("cnn", {"channels": (4,)}), ("patch_lstm", {"dim": 16})])
def test_the_layer_to_explain_by_is_found(name, args):
    classifier = small(name, args=args).eval()
    attentions = [classifier.get_submodule(path) for path in classifier.attention_modules()]
    head = classifier.get_submodule(classifier.head_name)
    layers = find_layers(classifier, torch.randn(1, 3, 8, 8), head=head, attentions=attentions)
    assert (layers[-1].height, layers[-1].width) in {(4, 4), (8, 8)}
    assert layers[-1].prefix == (1 if attentions else 0)


@pytest.mark.parametrize(("name", "args"), [*VITS, ("cnn", {"channels": (4,)}), ("patch_lstm", {"dim": 16})])
def test_a_summary_shows_the_layers(name, args):
    classifier = small(name, args=args)
    Head().apply(classifier)
    shown = summary(classifier, 4)
    assert "Linear" in shown
    assert str(classifier.census()) in shown
