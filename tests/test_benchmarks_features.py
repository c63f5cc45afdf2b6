"""The benchmarks of features: all sides compute and train the same; nothing is timed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from finegrain.data.base import Table
from finegrain.features.inference import FrozenBackbone
from finegrain.models.config import ModelConfig
from finegrain.runtime import RuntimeConfig

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
IMAGES, SIZE = 4, {"test_resnet": 64, "test_vit": 160}


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    """The folder of the benchmarks is on the path when one is run as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import finegrain_features

        patch.setattr(finegrain_features, "GEMM", 64)
        yield


# Extraction


@pytest.mark.parametrize("name", SIZE)
def test_both_sides_give_the_same_features(name: str) -> None:
    from finegrain_features import FinegrainFeatures
    from peers.timm_features import TimmFeatures

    size = {"model": name, "count": IMAGES, "batch_size": 2, "image_size": SIZE[name]}
    ours, peer = FinegrainFeatures(**size, compile_="never").features(), TimmFeatures(**size).features()
    assert ours.shape == peer.shape
    assert len(ours) == IMAGES
    assert cosine_similarity(ours, peer).min() >= 0.999
    assert cosine_similarity(ours[:1], peer[1:]).max() < 0.999, "images are told apart"


def test_a_round_counts_images_and_operations() -> None:
    from finegrain_features import FinegrainFeatures, flops

    side = FinegrainFeatures(model="test_resnet", count=IMAGES, batch_size=2, image_size=64, compile_="never")
    cost = side.epoch()
    assert cost.images == IMAGES
    assert cost.share == pytest.approx(cost.flops * IMAGES / cost.cpu_seconds / cost.gemm_flops)
    runtime = RuntimeConfig(device="cpu").build()
    convolution = FrozenBackbone(
        nn.Conv2d(3, 4, 3), runtime=runtime, dtype=torch.float32, image_size=8, folded=False, flat=True
    )
    assert flops(convolution, torch.zeros(5, 3, 8, 8)) == 2 * (4 * 6 * 6) * (3 * 3 * 3)


def test_networks_are_the_same_everywhere_and_normalise_their_own_activations() -> None:
    from networks import images, network

    first, second = network("test_resnet", image_size=64), network("test_resnet", image_size=64)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    read: list[torch.Tensor] = []
    last = [module for module in first.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad():
        first(images(8, image_size=64, seed=1))
    assert 0.5 < (read[0].var((0, 2, 3)) / last.running_var).median() < 2


def test_the_second_extraction_runs_no_module(tmp_path: Path) -> None:
    from extract_again import again
    from memory_images import NumberedImages, samples
    from networks import classifier

    table = Table(samples=samples(IMAGES, classes=2), class_names=("a", "b"), source=NumberedImages(40))
    runtime = RuntimeConfig(device="cpu", compile="never").build()
    built = classifier("test_resnet", image_size=64)
    assert again(built, table, tmp_path / "cache", runtime=runtime).forwards == 0
    assert list(tmp_path.rglob("*.safetensors"))


def test_numbered_images_differ() -> None:
    from memory_images import NumberedImages, samples

    source = NumberedImages(32)
    found = {source.read(sample).tobytes() for sample in samples(2000, classes=2)}
    assert len(found) == 2000


def test_goals_are_for_processors_with_matrix_units(monkeypatch: pytest.MonkeyPatch) -> None:
    from figures import verdict

    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert verdict("x", 2.5, 2.0) == "x ratio 2.50"
    assert verdict("x", 2.5, 2.0, needs_amx=False) == "x ratio 2.50 goal 2"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert verdict("x", 2.5, 2.0) == "x ratio 2.50 goal 2"
    assert verdict("x", 2.5, None) == "x ratio 2.50"


# Training behind a frozen part


def small_sides(model: str):
    from boundary import TASKS, Task, sides

    like = TASKS["vit" in model]
    names = tuple(name.replace("blocks.11", "blocks.5") for name in like.names)
    task = Task(model=model, trained=like.trained, names=names, goals={})
    built = sides(task, count=IMAGES, batch_size=IMAGES, image_size=SIZE[model])
    return {name: build() for name, build in built.items()}


def trained(model: nn.Module) -> dict[str, torch.Size]:
    found = model.named_parameters()
    return {name.removeprefix("network."): value.shape for name, value in found if value.requires_grad}


@pytest.mark.parametrize("name", SIZE)
def test_all_sides_train_the_same_parameters_from_the_same_loss(name: str) -> None:
    from boundary import EVERY_STEP, FROZEN, FULL, OURS

    built = small_sides(name)
    expected = trained(built[OURS].model)
    assert expected
    assert trained(built[EVERY_STEP].model) == trained(built[FROZEN].model) == expected
    assert len(trained(built[FULL].model)) == len(list(built[FULL].model.parameters())) > len(expected)
    for side in built.values():
        assert side.epoch().images == IMAGES
    losses = {side: found.loss for side, found in built.items()}
    # A plain loop leaves frozen norms in training mode, where they normalise by the batch.
    same = losses if "vit" in name else {side: losses[side] for side in (OURS, EVERY_STEP)}
    assert max(same.values()) == pytest.approx(min(same.values()), rel=5e-3)
    before = {side: found.loss for side, found in built.items()}
    for side, found in built.items():
        found.epoch()
        assert found.loss != before[side], "it learns"


def test_the_plain_loop_trains_what_the_tunings_do_on_the_networks_that_are_measured() -> None:
    from boundary import TASKS
    from finegrain_steps import TUNINGS

    for task in TASKS:
        with torch.device("meta"):
            built = ModelConfig(name=f"timm/{task.model}").build(num_classes=5)
        TUNINGS[task.trained]().apply(built)
        names = {name.removeprefix("network.") for name, _ in built.named_parameters()}
        assert set(trained(built)) == {name for name in names if name.startswith(task.names)}


# Heads


def test_both_sides_train_a_head_of_the_same_features() -> None:
    from frozen_epochs import EPOCHS, OURS, PEER, sides

    built = sides("test_resnet", count=IMAGES, batch_size=2, measured=2, image_size=64)
    ours, peer = built[OURS](), built[PEER]()
    costs = ours.epoch(), peer.epoch()
    assert [max(cost.after) for cost in costs] == [max(EPOCHS), 2]
    assert [cost.images for cost in costs] == [IMAGES * max(EPOCHS), IMAGES * 2]
    assert set(EPOCHS) <= set(costs[0].after)
    found = {name.removeprefix("fc."): shape for name, shape in trained(ours.model).items()}
    assert found == trained(peer.head)


def test_epochs_beyond_those_measured_go_on_at_their_pace() -> None:
    from course import CourseCost

    cost = CourseCost(images=1, wall_seconds=1.0, cpu_seconds=1.0, after={0: 3.0, 1: 5.0, 2: 9.0})
    assert cost.seconds(1) == 5.0
    assert cost.seconds(2) == 9.0
    assert cost.seconds(10) == 3.0 + 10 * 3.0


# Prediction


@pytest.mark.parametrize("do", ["predict", "extract"])
def test_a_side_goes_through_all_files_each_time(do: str, tmp_path: Path) -> None:
    import predict
    from photographs import write_photographs

    write_photographs(tmp_path, train=IMAGES)
    side = predict.FromFiles(do=do, model="test_resnet", root=tmp_path / "train", image_size=64)
    assert [side.epoch().images, side.epoch().images] == [IMAGES, IMAGES]
