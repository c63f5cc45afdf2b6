"""Keys of cached features: whatever could change a number changes the key, and nothing else does."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

import cv2
import torch

from finegrain.data.base import Sample, Source, content_key
from finegrain.data.prefetch import ordered_map
from finegrain.features.cut import Cut
from finegrain.models.classifier import Classifier
from finegrain.runtime import Runtime

FORMAT = 2
"""Raised whenever this package computes or stores features in another way."""

_LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "numpy", "pillow", "simplejpeg")

_AT_ONCE = 32
"""Files that a thread reads before it wakes the caller: one by one, that took longer than the hashing."""


def stored_dtype(runtime: Runtime, *, at_cut: bool = False) -> torch.dtype:
    """What is stored: features as float32 where they are computed in it; else float16, which rounds less than bf16."""
    return torch.float32 if runtime.precision == "fp32" and not at_cut else torch.float16


def network_key(classifier: Classifier, runtime: Runtime, cut: Cut | None = None) -> str:
    """SHA-256, in hex, of all that the head, or the module at a `cut`, reads of an image depends on beside the image.

    The weights of what reads, of the head, and of what is trained after a cut are left out: they come later.
    """
    reader = cut.path if cut else classifier.head_name
    after = {reader, classifier.head_name, *(classifier.trainable if cut else ())}
    prefixes = tuple(f"{path}." for path in after)
    description = {
        "format": FORMAT,
        "architecture": classifier.architecture,
        "model_args": classifier.model_args,
        "read by": reader,
        "preprocessing": asdict(classifier.preprocessing),
        "precision": runtime.precision,
        "device": runtime.device.type,
        "channels_last": runtime.channels_last,
        "stored": str(stored_dtype(runtime, at_cut=cut is not None)),
        "libraries": {"opencv": cv2.__version__} | {name: _version(name) for name in _LIBRARIES},
    }
    digest = hashlib.sha256(json.dumps(description, sort_keys=True, default=repr).encode())
    _add_weights(digest, classifier, without=prefixes)
    return digest.hexdigest()


def weights_key(classifier: Classifier) -> str:
    """SHA-256, in hex, of the weights before the head alone: the same on any device, in any precision."""
    digest = hashlib.sha256()
    _add_weights(digest, classifier, without=(f"{classifier.head_name}.",))
    return digest.hexdigest()


def image_keys(samples: Sequence[Sample], source: Source) -> list[bytes]:
    """32 bytes for each sample: of its file's bytes and crop, or of its pixels where the source reads no files.

    Raises:
        DataError: An image cannot be read.
    """
    threads = min(torch.get_num_threads(), 8)
    parts = [samples[start : start + _AT_ONCE] for start in range(0, len(samples), _AT_ONCE)]
    keys = ordered_map(
        lambda part: [content_key(sample, source) for sample in part], parts, threads=threads, ahead=2 * threads
    )
    return list(chain.from_iterable(keys))


def _add_weights(digest: "hashlib._Hash", classifier: Classifier, *, without: tuple[str, ...]) -> None:
    for name, tensor in sorted(classifier.state_dict().items()):
        if not name.startswith(without):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
