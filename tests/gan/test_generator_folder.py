import json
from pathlib import Path

import numpy as np
import pytest
import torch

from finegrain.errors import CheckpointError, WeightsError
from finegrain.gan.generator_folder import read_generator, write_generator
from finegrain.gan.nearest import Thumbnails
from finegrain.gan.networks.denoiser import DenoiserConfig
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.pictures import grid, to_pixels

CONFIG = GeneratorConfig(width=2, noise_dim=4, style="transposed", conditioning="concat")


def written(folder: Path) -> Generator:
    torch.manual_seed(0)
    made = CONFIG.build(image_size=64, num_classes=2)
    made(torch.randn(4, 4), torch.tensor([0, 1, 1, 0]))  # statistics that are not those of the start
    folder.mkdir()
    names, data = ("jay", "wren"), {"train split": "ab"}
    facts = {"class_names": names, "class_counts": (5, 6), "data": data, "train_images": ("ab", "cd"), "recipe": "R"}
    facts["thumbnails"] = Thumbnails(pixels=torch.arange(384).byte().view(2, 192), labels=torch.tensor([0, 1]))
    write_generator(made, folder, config=CONFIG, image_size=64, **facts)
    return made.eval()


def test_a_generator_makes_the_same_images_after_the_disk(tmp_path: Path) -> None:
    made, read = written(tmp_path / "a"), read_generator(tmp_path / "a")
    assert torch.equal(read.generator.sample([0, 1], [3, 4]), made.sample([0, 1], [3, 4]))
    assert (read.image_size, read.class_names, read.data, read.recipe) == (
        64,
        ("jay", "wren"),
        {"train split": "ab"},
        "R",
    )
    assert read.train_images == b"ab\ncd\n"
    assert read.thumbnails is not None
    assert torch.equal(read.thumbnails.pixels, torch.arange(384).byte().view(2, 192))
    assert read.thumbnails.labels.tolist() == [0, 1]


def test_a_generator_without_lists_of_what_it_saw_can_be_read(tmp_path: Path) -> None:
    written(tmp_path / "a")
    for name in ("train_images.txt", "train_thumbnails.safetensors"):
        (tmp_path / "a" / name).unlink()
    settings = tmp_path / "a" / "generator.json"
    content = json.loads(settings.read_text())
    settings.write_text(json.dumps({key: value for key, value in content.items() if not key.startswith("train_")}))
    read = read_generator(tmp_path / "a")
    assert read.train_images is read.thumbnails is None


def test_so_does_a_diffusion_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = DenoiserConfig(width=4, sampling_steps=2, guidance=2.0)
    made = config.build(image_size=32, num_classes=2).eval()
    made.requires_grad_(False)  # as what is read: kernels that record a graph may round differently
    facts = {"class_names": ("jay", "wren"), "class_counts": (5, 6), "data": {"train split": "ab"}, "recipe": "R"}
    facts["train_images"] = ()
    write_generator(made, tmp_path, config=config, image_size=32, **facts)
    read = read_generator(tmp_path).generator
    assert torch.equal(read.sample([0, 1], [3, 4]), made.sample([0, 1], [3, 4]))
    content = json.loads((tmp_path / "generator.json").read_text())
    (tmp_path / "generator.json").write_text(json.dumps(content | {"generator": {"width": 2}}))
    with pytest.raises(CheckpointError, match="holds no generator that can be read"):
        read_generator(tmp_path)


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a")
    settings, tensors = tmp_path / "a" / "generator.json", tmp_path / "a" / "generator.safetensors"
    content = json.loads(settings.read_text())
    for change in (
        {"format": 9},
        {"image_size": 32},
        {"generator": {"width": 2, "depth": 3}},
        {"generator": {"width": 10**6, "noise_dim": 10**6}},
        {"class_names": ["jay"]},
        {"class_counts": [5]},
        {"class_counts": [1e999, 6]},
        {"class_names": ["jay", 5]},
        {"data": {}},
        {"data": ["train split"]},
        {"recipe": 5},
    ):
        settings.write_text(json.dumps(content | change))
        with pytest.raises(CheckpointError, match="holds no generator that can be read"):
            read_generator(tmp_path / "a")
    settings.write_text(json.dumps({key: value for key, value in content.items() if key != "recipe"}))
    with pytest.raises(CheckpointError, match="got no 'recipe'"):
        read_generator(tmp_path / "a")
    settings.write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_generator(tmp_path / "a")
    settings.write_text(json.dumps(content))
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    listed = tmp_path / "a" / "train_images.txt"
    for content in (b"ab\n", None):
        listed.write_bytes(content) if content else listed.unlink()
        with pytest.raises(CheckpointError, match="train_images"):
            read_generator(tmp_path / "a")
    listed.write_bytes(b"ab\ncd\n")
    with pytest.raises(WeightsError):
        read_generator(tmp_path / "a")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_generator(tmp_path)


def test_settings_that_ask_for_more_than_the_file_holds_take_no_memory(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    written(folder)
    content = json.loads((folder / "generator.json").read_text())
    content["generator"]["width"] = 10**7
    (folder / "generator.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"got \S+ of shape \[.*\] for \[.*0000000.*\]; expected a generator"):
        read_generator(folder)


def test_pixels_span_the_levels_and_round() -> None:
    levels = torch.tensor([-1.0, 0.0, 1.0, 1.5, 2 / 255 * 100.4 - 1]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_pixels(levels)[0, 0, :, 0].tolist() == [0, 128, 255, 255, 100]


def test_a_grid_goes_row_by_row() -> None:
    images = np.stack([np.full((3, 3, 3), level, np.uint8) for level in range(6)])
    drawn = grid(images, columns=3)
    assert drawn.shape == (2 * 5 - 2, 3 * 5 - 2, 3)
    assert [int(drawn[top, left, 0]) for top in (0, 5) for left in (0, 5, 10)] == [0, 1, 2, 3, 4, 5]
    assert (drawn[3:5] == 255).all()
