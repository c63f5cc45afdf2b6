"""A trainer of small parts on images of noise, each part replaceable."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finegrain.data.base import Sample
from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.engine.checkpoint import write_state
from finegrain.engine.ema import WeightEMA
from finegrain.engine.interrupt import Interrupted
from finegrain.engine.trainer import TrainConfig, Trainer
from finegrain.optim.cosine import Cosine
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

K = 3
SMALL = Preprocessing(image_size=8, resize_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear")
CPU = Runtime(device=torch.device("cpu"), precision="fp32", channels_last=True, num_workers=0, deterministic=True)
FP16 = replace(CPU, precision="fp16")
SGD = lambda parameters: torch.optim.SGD(parameters, lr=1.0)  # noqa: E731
ADAMW = lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)  # noqa: E731
MIXUP = AugmentConfig(mixup=0.5, mix_probability=0.7).mix(K)


class Noise:
    """Images of noise, brighter in one channel by class."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        random = np.random.default_rng(int(sample.path.removesuffix(".png")))
        pixels = random.integers(0, 100, (12, 12, 3), dtype=np.uint8)
        pixels[..., sample.label] += 50
        return pixels


def loader(
    count: int = 11, *, batch_size: int = 3, train: bool = True, preset: Any = "strong", workers: int = 0
) -> ImageFeed:
    samples = [Sample(path=f"{number}.png", label=number % K) for number in range(count)]
    transform = AugmentConfig(preset=preset).train_transform(SMALL) if train else eval_transform(SMALL)
    sizes = {"batch_size": batch_size, "num_workers": workers}
    images = Loader(samples, source=Noise(), transform=transform, seed=7, train=train, **sizes)
    return ImageFeed(images, preprocessing=SMALL, runtime=CPU)


VAL = loader(6, train=False)


def network() -> nn.Module:
    """A network with all that a resume must restore: statistics, dropout, a layout in memory."""
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, K)
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def linear() -> nn.Module:
    """A network whose images do not meet in a batch."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, K))


@dataclass
class Keeper:
    """Remembers what it was asked to save; asks for a stop after `stop` steps."""

    stop: int | None = None
    saved: list[tuple[int, bool]] = field(default_factory=list)
    folder: Path | None = None

    def save(self, trainer: Trainer, *, kept: bool) -> None:
        self.saved.append((trainer.progress.step, kept))
        if self.folder is not None:
            (folder := self.folder / f"{len(self.saved)}").mkdir()
            write_state(folder, trainer.state(), identity={})

    def stop_if_asked(self, trainer: Trainer, *, saved: bool = False) -> None:
        if trainer.progress.step == self.stop:
            if not saved:
                self.save(trainer, kept=False)
            raise Interrupted(15, where="here")


def trainer(
    *,
    model: nn.Module | None = None,
    loss: nn.Module | None = None,
    optimizer: Callable[[Any], torch.optim.Optimizer] = ADAMW,
    runtime: Runtime = CPU,
    mix: Any = None,
    ema: bool = False,
    keeper: Keeper | None = None,
    penalty: Callable[[], Tensor | None] = lambda: None,
    watch: Callable[[Tensor], AbstractContextManager[None]] = nullcontext,
    begin_epoch: Callable[[int], None] = lambda epoch: None,
    batches: int = 4,
    **config: Any,
) -> Trainer:
    model = model or network()
    settings = TrainConfig(**{"epochs": 3, "batch_size": 3, **config})
    built = optimizer(model.parameters())
    return Trainer(
        config=settings,
        model=model,
        loss=loss or nn.CrossEntropyLoss(),
        penalty=penalty,
        watch=watch,
        optimizer=built,
        schedule=Cosine().build(built, steps_per_epoch=batches, epochs=settings.epochs),
        runtime=runtime,
        mix=mix,
        ema=WeightEMA(model, decay=0.9) if ema else None,
        seed=7,
        keeper=keeper or Keeper(),
        begin_epoch=begin_epoch,
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(left: Any, right: Any) -> bool:
    """Equality to the bit of nested states, whatever the time they took."""
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        keys = left.keys() - {"seconds"}
        return keys == right.keys() - {"seconds"} and all(equal(left[key], right[key]) for key in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right
