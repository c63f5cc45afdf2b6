"""What is chosen to show what a model looks for, and attention that is known by construction."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finegrain import perception
from finegrain.data.base import Data, Sample
from finegrain.engine.evaluate import Predictions
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.perception import draw, perceive
from finegrain.runtime import RuntimeConfig

SIZE = 8


class Spots:
    """Black images with one white patch of 2 × 2 pixels, the one whose number is in the path."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        row, column = divmod(spot(sample.path), SIZE // 2)
        pixels[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 255
        return pixels


def spot(path: str) -> int:
    return int(path.rpartition("/")[2])


def said(labels: list[int], predicted: list[int]) -> Predictions:
    paths = tuple(f"test/{number}" for number in range(len(labels)))
    return Predictions(paths=paths, labels=np.array(labels), probabilities=0.1 + 0.8 * np.eye(8)[predicted])


def splits(predictions: Predictions) -> Data:
    test = tuple(Sample(path=p, label=int(y)) for p, y in zip(predictions.paths, predictions.labels, strict=True))
    names = tuple(f"class {index}" for index in range(8))
    return Data(train=(), val=(), test=test, class_names=names, source=Spots())


def nanovit() -> Classifier:
    """One whose class token attends to white patches, in every head of every layer."""
    torch.manual_seed(0)
    args = {"patch_size": 2, "in_channels": 1, "dim": 4, "depth": 2, "num_heads": 2, "dropout": 0.0}
    model = ModelConfig(name="scratch/nanovit", image_size=SIZE, args=args).build(num_classes=8)
    network = model.network
    with torch.no_grad():
        for parameter in (network.cls_token, network.pos_embed, network.patch_embed.bias):
            parameter.zero_()
        # White is the first feature of either head; black is below zero, as pixels are normalised.
        network.patch_embed.weight.zero_()
        network.patch_embed.weight[[0, 2]] = 1.0
        for block in network.blocks:
            attention = block.self_attn
            attention.in_proj_weight.zero_()
            attention.in_proj_bias.zero_()
            attention.in_proj_bias[[0, 2]] = 2.0  # every query asks for white
            attention.in_proj_weight[4:8] = torch.eye(4)  # keys are the tokens
            attention.out_proj.weight.zero_()
            block.linear2.weight.zero_()
    return model


def runtime():
    return RuntimeConfig(device="cpu", precision="fp32").build()


def test_attention_that_is_known_by_construction() -> None:
    predictions = said([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 0, 4, 5, 6, 7])
    found = perceive(nanovit(), predictions, data=splits(predictions), runtime=runtime())
    assert len(found.attended) == 6
    assert found.attended[0].path == "test/3"  # the only mistake
    assert (found.attended[0].label, found.attended[0].predicted) == (3, 0)
    for image in found.attended:
        assert image.first.shape == image.last.shape == (2, 4, 4)
        assert [int(head.argmax()) for head in (*image.first, *image.last)] == [spot(image.path)] * 4
        assert image.probability == 0.9
        bright = np.flatnonzero(image.pixels[::2, ::2, 0])
        assert bright.tolist() == [spot(image.path)]
    assert found.fields == ()
    assert found.kernels is not None
    assert found.kernels.shape == (4, 1, 2, 2)


def test_a_cnn_has_fields_and_no_attention(monkeypatch) -> None:
    monkeypatch.setattr(perception, "_MOST", 3)
    predictions = said([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 0, 4, 5, 6, 7])
    model = ModelConfig(name="scratch/cnn", image_size=SIZE, args={"channels": (4, 4)}).build(num_classes=8)
    first, second = (perceive(model, predictions, data=splits(predictions), runtime=runtime()) for _ in "ab")
    assert first.attended == ()
    assert first.field_images == 3
    assert [field.cells for field in first.fields] == [8, 4, 2]
    for one, other in zip(first.fields, second.fields, strict=True):
        np.testing.assert_array_equal(one.influence, other.influence)


def test_an_mlp_has_its_first_layer_alone() -> None:
    predictions = said([0, 1], [0, 1])
    model = ModelConfig(name="scratch/mlp", image_size=SIZE).build(num_classes=8)
    assert isinstance(model.get_submodule(model.head_name), nn.Linear)
    found = perceive(model, predictions, data=splits(predictions), runtime=runtime())
    assert (found.fields, found.attended) == ((), ())
    assert found.kernels is not None


def test_a_device_that_fails_costs_the_section_and_not_the_report(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("no room for 3 GB\nmore of it")

    monkeypatch.setattr(perception, "receptive_fields", fail)
    predictions = said([0, 1], [0, 1])
    found = perceive(nanovit(), predictions, data=splits(predictions), runtime=runtime())
    assert (found.unseen, found.fields, found.attended) == ("no room for 3 GB", (), ())
    assert found.kernels is not None


def test_images_are_drawn_of_different_classes_and_mistakes_come_first() -> None:
    labels, predicted = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7], [0, 1, 1, 0, 0, 3, 4, 5, 6, 7]
    lot = np.array([9, 4, 0, 3, 1, 8, 2, 5, 6, 7])
    assert draw(said(labels, predicted), lot) == [4, 3, 9, 0, 8, 5]
    assert draw(said([0, 0, 1], [0, 0, 1]), np.array([2, 1, 0])) == [2, 1]
    assert draw(said([0, 1, 2], [1, 0, 0]), np.array([2, 1, 0])) == [2, 1, 0]
