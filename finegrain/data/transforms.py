"""What is done to an image between the decoder and the network: augmentation, evaluation transform, normalisation."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from finegrain.config import Count, Fraction, NonNegative, Range
from finegrain.data import pipelines
from finegrain.data.pipelines import EvalView
from finegrain.errors import ConfigError, fault
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import seed_of


class Transform(Protocol):
    """Turns uint8 [H, W, 3] into uint8 [S, S, 3], or [V·S, S, 3] with V views of the image below each other."""

    def __call__(self, *, image: NDArray[np.uint8]) -> dict[str, Any]:
        """The transformed image under the key `image`."""
        ...

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
        """Draw from these two generators from now on."""
        ...


class Strength(NamedTuple):
    """What a preset stands for."""

    min_scale: float
    color_jitter: float
    coarse_dropout: float


Views = Literal["plain", "flip", "five_crop", "multi_scale"]
"""What evaluation looks at of an image; see `eval_views`."""

ZOOM = 0.875
"""Between the scales of `multi_scale`; 224 / 256, the usual crop of evaluation."""

PRESETS = {
    "weak": Strength(min_scale=0.5, color_jitter=0.0, coarse_dropout=0.0),
    "medium": Strength(min_scale=0.25, color_jitter=0.2, coarse_dropout=0.0),
    "strong": Strength(min_scale=0.08, color_jitter=0.4, coarse_dropout=0.25),
}


@dataclass(kw_only=True, slots=True)
class AugmentConfig:
    """How training images are varied. Hue is never changed: colour tells species apart."""

    preset: Literal["none", "weak", "medium", "strong"] = "weak"
    """Strength of what is not set below; none: training images are prepared as in evaluation."""
    crop: Literal["random_resized_crop", "resize_crop"] = "random_resized_crop"
    """A crop of random area and shape, or a random square after a resize of the short side."""
    image_size: Count | None = None
    """Side of training images in pixels; none: evaluation's. Smaller is faster, and often better (arXiv:1906.06423).
    ViTs of timm then resample their position embeddings at every step; other networks of a fixed size refuse it."""
    resize_size: Count | None = None
    """Short side in pixels before the square of `resize_crop`; none: the weights' own."""
    min_scale: Annotated[float, Range(above=0, most=1)] | None = None
    """Smallest area of `random_resized_crop` as a fraction of the image; none: the preset's."""
    antialias: bool = True
    """Average what shrinks, as evaluation does; false: OpenCV's plain resize, a little faster, with moiré."""
    flip: Fraction = 0.5
    """Probability of mirroring left to right."""
    color_jitter: Fraction | None = None
    """Largest relative change of brightness, contrast and saturation; none: the preset's."""
    coarse_dropout: Fraction | None = None
    """Probability of erasing one to four rectangles; none: the preset's."""
    mixup: NonNegative = 0.0
    """Alpha of mixup's Beta distribution; 0: no mixup."""
    cutmix: NonNegative = 0.0
    """Alpha of cutmix's Beta distribution; 0: no cutmix."""
    mix_probability: Fraction = 1.0
    """Share of batches that are mixed, half by each where both are on."""

    def faults(self) -> list[str]:
        """Settings that cannot have an effect beside the others."""
        ignored: dict[str, str] = {}
        if self.preset == "none":
            names = ("resize_size", "min_scale", "antialias", "color_jitter", "coarse_dropout")
            ignored |= dict.fromkeys(names, "augment.preset is none")
        elif self.crop == "resize_crop":
            ignored["min_scale"] = "augment.crop is resize_crop"
        else:
            ignored["resize_size"] = "augment.crop is random_resized_crop"
        default = {field.name: field.default for field in fields(self)}
        return [
            fault(
                f"augment.{name} has no effect",
                got=value,
                expected=f"{str(default[name]).lower()}, as {why}",
                remedy="leave it out",
            )
            for name, why in ignored.items()
            if (value := getattr(self, name)) != default[name]
        ]

    def train_transform(self, preprocessing: Preprocessing) -> Transform:
        """The pipeline of training images.

        Raises:
            ConfigError: The resized image would be smaller than what the model sees.
        """
        if self.image_size is not None:
            resize_size = round(preprocessing.resize_size * self.image_size / preprocessing.image_size)
            preprocessing = replace(preprocessing, image_size=self.image_size, resize_size=resize_size)
        if self.preset == "none":
            return eval_transform(preprocessing)
        preset = PRESETS[self.preset]
        crop = self._crop(preprocessing, preset.min_scale if self.min_scale is None else self.min_scale)
        red, green, blue = (round(255 * mean) for mean in preprocessing.mean)
        pipeline: Transform = pipelines.train_pipeline(
            crop,
            flip=self.flip,
            color_jitter=preset.color_jitter if self.color_jitter is None else self.color_jitter,
            coarse_dropout=preset.coarse_dropout if self.coarse_dropout is None else self.coarse_dropout,
            fill=(red, green, blue),
        )
        return pipeline

    def mix(self, num_classes: int) -> "BatchMix | None":
        """Mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019) of a batch; None where neither is on."""
        methods: list[Callable[..., Any]] = []
        if self.mixup > 0:
            methods.append(v2.MixUp(alpha=self.mixup, num_classes=num_classes))
        if self.cutmix > 0:
            methods.append(v2.CutMix(alpha=self.cutmix, num_classes=num_classes))
        if not methods or self.mix_probability == 0:
            return None
        return BatchMix(v2.RandomChoice(methods), num_classes=num_classes, probability=self.mix_probability)

    def _crop(self, preprocessing: Preprocessing, min_scale: float) -> Any:
        size = preprocessing.image_size
        resize = pipelines.Resize(size=size, interpolation=preprocessing.interpolation, antialias=self.antialias)
        if self.crop == "random_resized_crop":
            return pipelines.RandomResizedCrop(resize, min_scale=min_scale)
        resize_size = preprocessing.resize_size if self.resize_size is None else self.resize_size
        _check_resize_size(resize_size, size)
        return pipelines.RandomSquareCrop(resize, resize_size=resize_size)


class BatchMix:
    """Mixes a batch with itself, as a function of a seed; the process-wide random state is left as it was."""

    def __init__(self, method: Callable[..., Any], *, num_classes: int, probability: float) -> None:
        self._method = method
        self._num_classes = num_classes
        self._probability = probability

    def __call__(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Images [B, 3, S, S] float and labels [B] int64 as images [B, 3, S, S] and soft labels [B, K] float32."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_of(seed, "mix"))
            if float(torch.rand(())) >= self._probability:
                return images, torch.nn.functional.one_hot(labels, self._num_classes).float()
            mixed, targets = self._method(images, labels)
            return mixed, targets


def eval_transform(preprocessing: Preprocessing, views: Sequence[EvalView] = ()) -> Transform:
    """The pipeline of evaluated images: resize of the short side, central square, or `views` of `eval_views`.

    Raises:
        ConfigError: The resized image would be smaller than what the model sees.
    """
    _check_resize_size(preprocessing.resize_size, preprocessing.image_size)
    return pipelines.EvalPipeline(
        image_size=preprocessing.image_size,
        interpolation=preprocessing.interpolation,
        views=tuple(views) or eval_views(preprocessing, "plain"),
    )


def eval_views(preprocessing: Preprocessing, views: Views) -> tuple[EvalView, ...]:
    """What evaluation looks at of an image, each a square of the size that the model sees.

    - plain: the central square of the image resized to `resize_size`.
    - flip: the same, and its mirror image.
    - five_crop: centre and corners of the central square of side `resize_size`; where that is no larger than what the
      model sees, of side `image_size` / 0.875. The five of the ten crops of Krizhevsky, Sutskever & Hinton, NeurIPS
      2012, that are not mirrored.
    - multi_scale: the centre with the short side resized to 1, 0.875 and 1 / 0.875 times `resize_size`, never below
      `image_size`: two views where the model sees the whole short side.
    """
    size, resize = preprocessing.image_size, preprocessing.resize_size
    plain = EvalView(resize)
    if views == "flip":
        return plain, plain._replace(mirrored=True)
    if views == "five_crop":
        larger = resize if resize > size else round(size / ZOOM)
        places = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
        return tuple(EvalView(larger, down, right) for down, right in places)
    if views == "multi_scale":
        return tuple(dict.fromkeys(map(EvalView, (resize, max(round(resize * ZOOM), size), round(resize / ZOOM)))))
    return (plain,)


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Images uint8 [B, 3, S, S] in [0, 255] as float32 (x / 255 − mean) / std, on the same device."""
    mean = 255 * torch.tensor(preprocessing.mean, device=images.device)
    std = 255 * torch.tensor(preprocessing.std, device=images.device)
    if not images.is_contiguous(memory_format=torch.channels_last):
        return images.float().sub_(mean.view(3, 1, 1)).div_(std.view(3, 1, 1))
    # Row by row: three neighbours with a mean of their own each are six times as slow as a whole row. On a CPU image by
    # image: a batch is larger than its cache.
    batch, channels, height, width = images.shape
    mean, std = mean.repeat(width), std.repeat(width)
    rows = images.permute(0, 2, 3, 1).flatten(2)
    values = torch.empty(rows.shape, device=images.device)
    part = 1 if images.device.type == "cpu" else batch
    for pixels, normalized in zip(torch.split(rows, part), torch.split(values, part), strict=True):
        normalized.copy_(pixels).sub_(mean).div_(std)
    return values.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _check_resize_size(resize_size: int, image_size: int) -> None:
    if resize_size < image_size:
        raise ConfigError(
            fault(
                "the resize is smaller than what the model sees",
                got=resize_size,
                expected=f"≥ image_size, {image_size}",
                remedy="raise augment.resize_size or lower model.image_size",
            )
        )
