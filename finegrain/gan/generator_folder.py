"""Folders that hold a trained generator and all it takes to use it: `generator.json`, `generator.safetensors`."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finegrain.config import check
from finegrain.data.generated import TRAIN_IMAGES, listed
from finegrain.engine.checkpoint import read_json
from finegrain.errors import CheckpointError, fault
from finegrain.gan.nearest import SIDE, Thumbnails
from finegrain.gan.networks.denoiser import DenoiserConfig
from finegrain.gan.networks.generator import GeneratorConfig
from finegrain.gan.networks.sampler import Sampler
from finegrain.models.tensors import digest, read_tensors
from finegrain.models.weights import write_tensors
from finegrain.storage import RunDirectory

FORMAT = 1
"""Raised whenever the content changes its meaning."""
KINDS = {"generator": GeneratorConfig, "denoiser": DenoiserConfig}
"""The sections that a folder can hold, each under its key."""
_SETTINGS, _TENSORS, _THUMBNAILS = "generator.json", "generator.safetensors", "train_thumbnails.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedGenerator:
    """What such a folder holds."""

    generator: Sampler
    """In eval mode, on the CPU; `Sampler.sample` makes images."""
    image_size: int
    """Side of its images in pixels."""
    class_names: tuple[str, ...]
    """In the order of its labels."""
    class_counts: tuple[int, ...]
    """Train images of each class that it saw."""
    data: Mapping[str, str]
    """`Data.identity` of what it was trained for: it saw the train split alone."""
    train_images: bytes | None
    """The file that lists what it saw, a line of 16 hexadecimal digits each: see `Data.train_images`."""
    thumbnails: Thumbnails | None
    """Of these images, to tell how near a generated one comes to them."""
    recipe: str
    """The recipe, as Python."""
    sha256: str
    """Of the file of its tensors."""


def write_generator(
    generator: Sampler,
    folder: Path,
    *,
    config: GeneratorConfig | DenoiserConfig,
    image_size: int,
    class_names: Sequence[str],
    class_counts: Sequence[int],
    data: Mapping[str, str],
    train_images: Sequence[str],
    recipe: str,
    thumbnails: Thumbnails | None = None,
) -> None:
    """Write a generator so that `read_generator` builds it again; arguments as `TrainedGenerator` names them."""
    write_tensors(generator.state_dict(), folder / _TENSORS)
    (folder / TRAIN_IMAGES).write_bytes(listed(train_images))
    if thumbnails is not None:
        write_tensors({"pixels": thumbnails.pixels, "labels": thumbnails.labels}, folder / _THUMBNAILS)
    content = {
        "format": FORMAT,
        **{key: asdict(config) for key, kind in KINDS.items() if isinstance(config, kind)},
        "image_size": image_size,
        "class_names": list(class_names),
        "class_counts": list(class_counts),
        "sha256": digest(folder / _TENSORS),
        "data": dict(data),
        "train_images": digest(folder / TRAIN_IMAGES),
        "train_thumbnails": digest(folder / _THUMBNAILS) if thumbnails is not None else None,
        "recipe": recipe,
    }
    (folder / _SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_generator(folder: Path) -> TrainedGenerator:
    """What `write_generator` wrote.

    Raises:
        CheckpointError: The folder is no such folder, damaged, or of another format.
        WeightsError: So are its tensors.
    """
    content: dict[str, Any] = read_json(folder / _SETTINGS, dict)
    try:
        return _read(folder, content)
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        got = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        expected, remedy = f"a generator of format {FORMAT}", "restore it, or train again"
        what = f"{folder} holds no generator that can be read"
        raise CheckpointError(fault(what, got=got, expected=expected, remedy=remedy)) from error


def _read(folder: Path, content: Mapping[str, Any]) -> TrainedGenerator:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}")
    (kind,) = KINDS.keys() & content.keys()
    config, size, names = KINDS[kind](**content[kind]), content["image_size"], content["class_names"]
    counts = tuple(int(count) for count in content["class_counts"])
    if len(counts) != len(names):
        raise ValueError(f"{len(counts)} counts of {len(names)} classes")
    data, recipe = content["data"], content["recipe"]
    for text in (*names, recipe, data["train split"]):
        if not isinstance(text, str):
            raise TypeError(f"{text} where text is expected")
    seen = (folder / TRAIN_IMAGES).read_bytes() if content.get("train_images") else None
    if seen is not None and hashlib.sha256(seen).hexdigest() != content["train_images"]:
        raise ValueError(f"{TRAIN_IMAGES} with other bytes than it was written with")
    check(config)
    build = partial(config.build, image_size=size, num_classes=len(names))
    tensors = read_tensors(folder / _TENSORS, sha256=content["sha256"])
    _require_shapes(build, tensors)
    generator = build()
    generator.load_state_dict(tensors)
    return TrainedGenerator(
        generator=generator.eval().requires_grad_(False),
        image_size=size,
        class_names=tuple(names),
        class_counts=counts,
        data=data,
        train_images=seen,
        thumbnails=_thumbnails(folder, content.get("train_thumbnails")),
        recipe=recipe,
        sha256=content["sha256"],
    )


def _require_shapes(build: Callable[[], Sampler], tensors: Mapping[str, Tensor]) -> None:
    """Compare with what the settings ask for before any memory is taken for that."""
    with torch.device("meta"):
        wanted = {name: list(tensor.shape) for name, tensor in build().state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            raise ValueError(f"{name} of shape {found.get(name)} for {wanted.get(name)}")


def _thumbnails(folder: Path, sha256: str | None) -> Thumbnails | None:
    """Those in the folder, if it holds any."""
    if sha256 is None:
        return None
    tensors = read_tensors(folder / _THUMBNAILS, sha256=sha256)
    if tensors["pixels"].shape != (len(tensors["labels"]), 3 * SIDE**2):
        raise ValueError(f"thumbnails of shape {list(tensors['pixels'].shape)}")
    return Thumbnails(pixels=tensors["pixels"], labels=tensors["labels"])


def find_generator(path: Path) -> Path:
    """The folder of the generator that the run at `path` kept, every byte verified; `path` if it is such a folder.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    if (path / _SETTINGS).is_file():
        return path
    got = "no such directory" if not path.is_dir() else f"neither checkpoints nor {_SETTINGS}"
    if (path / "checkpoints").is_dir():
        folder = RunDirectory(path, resume=True).newest("best")
        if folder is not None and (folder / _SETTINGS).is_file():
            return folder
        got = "no generator that was kept" if folder is None else "a classifier"
    expected, remedy = "the --out of a training by main_gan.py", "name another directory, or train one"
    raise CheckpointError(fault(f"{path} holds no generator", got=got, expected=expected, remedy=remedy))
