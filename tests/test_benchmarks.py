"""The benchmark's parts: both sides train the same parameters on the same images; nothing is timed."""

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
IMAGES, BATCH = 4, 2


@pytest.fixture(scope="module")
def train():
    """benchmarks/train.py, whose folder is on the path when it is run as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import train

        yield train


@pytest.fixture(scope="module")
def job(train: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("photographs")
    train.write_photographs(root, train=IMAGES)
    return train.Job(
        root=root,
        model="test_resnet",
        trained=train.LAST_BLOCK,
        num_classes=train.CLASSES,
        batch_size=BATCH,
        threads=torch.get_num_threads(),
    )


def test_the_photographs_are_jpegs_of_every_class_and_split(job, train: ModuleType):
    files = sorted(job.root.rglob("*.jpg"))
    assert len(files) == IMAGES + 2 * train.CLASSES
    with Image.open(files[0]) as image:
        assert (image.format, image.size) == ("JPEG", train.SIZE)
    for split in ("train", "val", "test"):
        assert len({path.parent.name for path in files if path.parts[-3] == split}) == train.CLASSES


@pytest.fixture(scope="module", autouse=True)
def no_workers(train: ModuleType):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peers.timm_side.WORKERS", 0)
        patch.setattr("peers.plain_side.WORKERS", 0)
        yield


@pytest.fixture(scope="module")
def sides(job, train: ModuleType):
    return {name: build(job) for name, build in train.SIDES.items()}


def test_a_side_trains_each_image_of_an_epoch_once(sides):
    for side in sides.values():
        for _ in range(2):
            cost = side.epoch()
            assert cost.images == IMAGES
            assert cost.wall_seconds > 0
            assert cost.cpu_seconds > 0


def trained(side) -> dict[str, torch.Size]:
    names = side.model.named_parameters()
    return {name.removeprefix("network."): p.shape for name, p in names if p.requires_grad}


def test_all_sides_train_the_same_parameters_and_leave_the_rest(sides):
    ours, *peers = map(trained, sides.values())
    assert ours
    assert all(key.startswith(("layer4.", "fc.")) for key in ours)
    assert peers == [ours] * len(peers)


def test_all_sides_train_everything_when_asked(job, train: ModuleType):
    whole = dataclasses.replace(job, trained=train.EVERYTHING)
    ours, *peers = (trained(build(whole)) for build in train.SIDES.values())
    assert "conv1.0.weight" in ours
    assert peers == [ours] * len(peers)


def test_ratios_are_taken_within_a_round(train: ModuleType):
    ours = [train.Cost(images=8, wall_seconds=wall, cpu_seconds=2 * wall) for wall in (1.0, 4.0)]
    peer = [train.Cost(images=8, wall_seconds=wall, cpu_seconds=wall) for wall in (3.0, 8.0)]
    assert train.paired_ratios(ours, peer) == [3.0, 2.0]
    assert train.paired_ratios(ours, peer, cpu=True) == [1.5, 1.0]
    shown = train.table("resnet18", {train.OURS: ours, train.PEER: peer})
    assert "2.50 (2.00–3.00)" in shown


def test_images_that_make_no_whole_batches_are_refused(train: ModuleType):
    with pytest.raises(SystemExit):
        train.main(["--images", "33"])
