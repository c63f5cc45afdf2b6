"""The zoo: exact counts, shapes, gradients, sizes it takes, and what the project asks of any network."""

import copy

import pytest
import torch

from finegrain.errors import ConfigError, WeightsError
from finegrain.models.architecture import find_architecture
from finegrain.models.config import ModelConfig
from finegrain.models.scratch.googlenet import Inception
from finegrain.models.scratch_library import ScratchLibrary
from finegrain.models.weights import load_folder, save_folder

NAMES = ScratchLibrary().names()
GREY = {"in_channels": 1}
SMALL = {
    "mlp": (8, {"hidden": (16,)}),
    "cnn": (8, {"channels": (4, 8), "hidden": 16}),
    "lenet": (12, {}),
    "lenet_bn": (16, {}),
    "lenet_relu": (12, {}),
    "mytorch_fcn": (8, {}),
    "mytorch_lenet": (12, {"batch_norm": True}),
    "nin": (67, {}),
    "googlenet": (32, {}),
    "resnet8": (8, {}),
    "resnet18": (8, {}),
    "mnist_conv1": (8, {}),
    "mnist_conv2": (16, {}),
    "nanovit": (8, {"patch_size": 4, "dim": 16, "num_heads": 2}),
    "mnist_vit": (8, {"patch_size": 4, "dim": 16}),
    "patch_lstm": (8, {"patch_size": 4, "dim": 16, "hidden": 16}),
}
"""The smallest image of each that is tried by running it, and arguments that make it small."""


def build(name: str, *, num_classes: int = 10, image_size: int | None = None, **args):
    return ModelConfig(name=f"scratch/{name}", image_size=image_size, args=args).build(num_classes=num_classes)


def small(name: str, **fields):
    torch.manual_seed(0)
    size, args = SMALL[name]
    return build(name, image_size=size, **args, **fields)


def images_for(classifier, *, count: int = 3):
    side = classifier.preprocessing.image_size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "args", "parameters"),
    [
        ("mlp", {}, 1_707_274),
        ("cnn", {}, 1_147_914),
        ("resnet18", {}, 11_173_962),
        ("nanovit", {"patch_size": 2}, 1_242_442),
        ("nanovit", {"patch_size": 4}, 1_212_490),
        ("patch_lstm", {}, 2_536_842),
        ("lenet", {}, 61_706),
        ("lenet_bn", {}, 44_878),
        ("alexnet", {}, 29_983_114),
        ("vgg11", GREY, 128_806_154),
        ("nin", GREY, 1_992_166),
        ("mnist_conv1", {}, 3_870),
        ("mnist_conv2", {}, 50_826),
        ("resnet8", {}, 98_346),
        ("mytorch_fcn", {}, 235_146),
        ("mytorch_lenet", {}, 61_706),
        ("mnist_vit", {}, 205_962),
        ("googlenet", {}, 5_983_802),
        # torchvision's, less what its 7×7 stem and its 1,000 classes have more
        ("resnet34", {}, 21_797_672 - 7_680 - 990 * 513),
        ("resnet50", {}, 25_557_032 - 7_680 - 990 * 2_049),
        ("resnet101", {}, 44_549_160 - 7_680 - 990 * 2_049),
        ("resnet152", {}, 60_192_808 - 7_680 - 990 * 2_049),
        ("vgg13", {}, 133_047_848 - 990 * 4_097),
        ("vgg16", {}, 138_357_544 - 990 * 4_097),
        ("vgg19", {}, 143_667_240 - 990 * 4_097),
    ],
)
def test_exact_numbers_of_parameters(name, args, parameters):
    with torch.device("cpu" if name == "patch_lstm" else "meta"):  # without storage each of its steps is slow
        census = build(name, **args).census()
    assert (census.total, census.trainable) == (parameters, parameters)


def test_an_inception_block_has_the_published_shape_and_count():
    block = Inception(192, 64, (96, 128), (16, 32), 32)
    assert sum(parameter.numel() for parameter in block.parameters()) == 163_696
    assert block(torch.zeros(1, 192, 5, 5)).shape == (1, 256, 5, 5)


@pytest.mark.parametrize(("depth", "convolutions"), [(11, 8), (13, 10), (16, 13), (19, 16)])
def test_vgg_has_the_layers_of_its_name(depth, convolutions):
    with torch.device("meta"):
        kinds = [type(module) for module in build(f"vgg{depth}").modules()]
    assert kinds.count(torch.nn.Conv2d) == convolutions
    assert kinds.count(torch.nn.Linear) == depth - convolutions


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnets_have_the_layers_of_their_name(depth):
    """Shortcuts are not counted, as in the paper."""
    with torch.device("meta"):
        modules = dict(build(f"resnet{depth}").named_modules())
    layers = [
        path
        for path, module in modules.items()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and "shortcut" not in path
    ]
    assert len(layers) == depth


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_network_maps_its_images_to_logits(name, in_channels):
    with torch.device("meta"):
        size = 8 if name == "patch_lstm" else None  # without storage each of its steps is slow
        classifier = build(name, num_classes=7, image_size=size, in_channels=in_channels)
        side = classifier.preprocessing.image_size
        assert classifier(torch.zeros(2, 3, side, side)).shape == (2, 7)
        assert classifier(torch.zeros(2, 1, side, side)).shape == (2, 7)
    groups = classifier.layer_groups()
    assert [groups[0].name, groups[-1].name] == ["stem", "head"]
    assert groups[-1].module_paths[-1] == classifier.head_name == "network.head"


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_reaches_every_parameter(name):
    classifier = small(name).train()
    images = images_for(classifier, count=8)
    torch.nn.functional.cross_entropy(classifier(images), torch.arange(8)).backward()
    silent = [path for path, parameter in classifier.named_parameters() if not parameter.grad.abs().sum() > 0]
    # A bias right before a batch norm is taken away again, and one of a key adds the same to all of a query's scores.
    normed = any("BatchNorm" in type(module).__name__ for module in classifier.modules())
    assert all(path.endswith("bias" if normed else "key.bias") for path in silent if path.endswith("bias"))
    # Of the LSTM's way back, the last step's output is that of its first step, before which there is nothing.
    expected = ["network.blocks.0.weight_hh_l1_reverse"] if name == "patch_lstm" else []
    assert [path for path in silent if not path.endswith("bias")] == expected


@pytest.mark.parametrize("name", SMALL)
def test_the_logits_of_an_image_do_not_depend_on_the_others_in_eval(name):
    classifier = small(name).eval()
    images = images_for(classifier)
    with torch.no_grad():
        torch.testing.assert_close(classifier(images[1:2]), classifier(images)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet_bn", "resnet8", "mnist_vit", "nanovit", "patch_lstm"])
def test_a_saved_folder_gives_the_same_logits(name, tmp_path):
    classifier = small(name, num_classes=2).eval()
    save_folder(classifier, tmp_path, class_names=("a", "b"))
    loaded, class_names = load_folder(tmp_path)
    loaded.eval()
    images = images_for(classifier)
    with torch.no_grad():
        assert torch.equal(loaded(images), classifier(images))
    assert class_names == ("a", "b")
    assert loaded.architecture == f"scratch/{name}"


def test_tuples_come_back_from_a_folder(tmp_path):
    save_folder(small("cnn", num_classes=2), tmp_path, class_names=("a", "b"))
    assert load_folder(tmp_path)[0].census() == small("cnn", num_classes=2).census()


def test_a_grey_network_sees_a_grey_image_as_it_is():
    classifier = small("lenet").eval()
    grey = images_for(classifier)[:, :1]
    torch.testing.assert_close(classifier(grey.expand(-1, 3, -1, -1)), classifier(grey))


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ConfigError, match="got 4; expected 1 or 3"):
        small("cnn")(torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize("name", SMALL)
def test_a_network_takes_images_of_one_size_or_of_any(name):
    classifier = small(name).eval()
    side = classifier.preprocessing.image_size
    sizes = [(side + 1, side + 1), (side, side + 8)]  # tokens of a single patch would be added to all positions
    for height, width in [*sizes, (4, 4)] if name == "patch_lstm" else sizes:
        images = torch.zeros(1, 3, height, width)
        if name in {"nin", "googlenet", "resnet8", "resnet18"}:
            assert classifier(images).shape == (1, 10)
        else:
            with pytest.raises(ConfigError, match=rf"got \[{height}, {width}\]; expected \[{side}, {side}\]"):
                classifier(images)


LEAST = {
    "lenet": 12,
    "mytorch_lenet": 12,
    "lenet_bn": 16,
    "alexnet": 15,
    "vgg11": 32,
    "nin": 67,
    "mnist_conv1": 8,
    "mnist_conv2": 16,
}


@pytest.mark.parametrize(("name", "least"), [*LEAST.items(), ("cnn", 8)])
def test_images_too_small_are_refused_with_the_smallest_that_do(name, least):
    with torch.device("meta"):
        build(name, image_size=least).eval()(torch.zeros(1, 3, least, least))
        with pytest.raises(ConfigError, match=f"got {least - 1}; expected at least {least} pixels a side"):
            build(name, image_size=least - 1)


@pytest.mark.parametrize(
    ("name", "size", "multiple", "nearest"),
    [("nanovit", 33, 2, 32), ("mnist_vit", 30, 7, 28), ("mnist_vit", 5, 7, 7), ("patch_lstm", 31, 2, 30)],
)
def test_images_that_do_not_divide_into_patches_are_refused(name, size, multiple, nearest):
    expected = f"got {size}; expected a multiple of {multiple} pixels a side; set model.image_size={nearest}"
    with pytest.raises(ConfigError, match=expected):
        build(name, image_size=size)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("cnn", {"chanels": (4,)}, "takes no such argument: got chanels; expected one of .*channels"),
        ("cnn", {"channels": (4, 0)}, r"cannot take this channels: got \(4, 0\); expected a whole number ≥ 1"),
        ("cnn", {"channels": ()}, "expected 1 kernel sizes"),
        ("cnn", {"kernel_sizes": (3, 5)}, r"got \(3, 5\); expected 3 kernel sizes"),
        ("cnn", {"dropout": 1.0}, "expected a number ≥ 0 and < 1"),
        ("lenet", {"activation": "gelu"}, "got gelu; expected one of sigmoid, relu"),
        ("mlp", {"in_channels": 2}, "got 2; expected one of 1, 3"),
        ("vgg11", {"depth": 16}, "takes no such argument: got depth"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(name, args, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        build(name, **args)


def test_what_is_said_elsewhere_is_no_argument():
    faults = ModelConfig(name="scratch/cnn", args={"image_size": 8, "pretrained": True, "hidden": 9}).faults()
    assert len(faults) == 1
    assert "got pretrained, image_size" in faults[0] or "got image_size, pretrained" in faults[0]


@pytest.mark.parametrize("name", ["nanovit", "mnist_vit"])
def test_heads_must_divide_the_features(name):
    with pytest.raises(WeightsError, match=f"scratch/{name} cannot be built"):
        build(name, dim=30, num_heads=4)


def test_no_network_is_pretrained():
    with pytest.raises(WeightsError, match="has no pretrained weights"):
        ModelConfig(name="scratch/lenet", weights="DEFAULT").build(num_classes=2)


def test_kinds_of_dropout():
    assert build("mnist_vit").get_submodule("network.blocks.0.attn.attn_drop").p == 0
    classifier = ModelConfig(name="scratch/mnist_vit", attention_dropout=0.2).build(num_classes=2)
    assert classifier.get_submodule("network.blocks.0.attn.attn_drop").p == 0.2
    with pytest.raises(ConfigError, match="scratch/lenet has no attention_dropout"):
        ModelConfig(name="scratch/lenet", attention_dropout=0.2).build(num_classes=2)


def test_bare_names_mean_the_zoo_last():
    assert str(find_architecture("lenet")) == "scratch/lenet"
    assert str(find_architecture("resnet18")) == "torchvision/resnet18"
    assert str(find_architecture("vgg11")) == "timm/vgg11"
    with pytest.raises(WeightsError, match="did you mean scratch/nanovit"):
        find_architecture("scratch/nanovti")


def test_resnets_take_any_size_while_training():
    classifier = ModelConfig(name="scratch/resnet8", image_size=9).build(num_classes=3, train_size=6).eval()
    assert classifier(torch.zeros(1, 3, 6, 6)).shape == (1, 3)
    with pytest.raises(ConfigError, match="takes images of one size"):
        ModelConfig(name="scratch/lenet").build(num_classes=3, train_size=20)


def test_a_copy_is_independent():
    classifier = small("patch_lstm").eval()
    twin = copy.deepcopy(classifier)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
        assert classifier(images_for(classifier)).abs().sum() > 0
