"""Heads trained by mini-batches of SGD or AdamW, all settings of a split at once, to compare with the optimum."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from finegrain.config import Count, NonNegative, Positive, Probability, check
from finegrain.errors import fault
from finegrain.features.head_kinds import HeadKind, Linear, Parameters
from finegrain.features.solver import Setting, Standardization, Trained
from finegrain.runtime import seed_of

_MOMENTUM = 0.9
_BETAS = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniBatchSetting(Setting):
    """One head of the grid."""

    lr: float
    """Of the first step; falls to zero along a cosine."""
    weight_decay: float = 0.0
    """Of weights, not of biases; for SGD part of the gradient, for AdamW apart from it."""


@dataclass(kw_only=True, slots=True)
class MiniBatchGrid:
    """Heads of one kind for every learning rate, weight decay and label smoothing.

    All see the same batches and start at the same parameters, so a head is the same in whatever grid it is trained.
    """

    kind: HeadKind = field(default_factory=Linear)
    """Linear(), Cosine() or Mlp()."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD has momentum 0.9."""
    lrs: tuple[Positive, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """Learning rates."""
    weight_decays: tuple[NonNegative, ...] = (0.01,)
    """Weight decays."""
    smoothings: tuple[Probability, ...] = (0.0,)
    """Label smoothing."""
    epochs: Count = 20
    """Passes over the train rows."""
    steps: Count | None = None
    """Optimiser steps in place of `epochs`, so that more rows do not make a longer training; none: as many as epochs
    take."""
    batch_size: Count = 128
    """Rows."""
    seed: int = 0
    """Of the order of rows and of the first parameters; the heads of another seed are no other split."""
    memory_bytes: Count = 2**30
    """What the heads trained together may take beside the features; one head is always tried."""

    def faults(self) -> list[str]:
        """An empty grid."""
        return [
            fault(f"{name} is empty", got=(), expected="at least one value", remedy=f"set {name}")
            for name in ("lrs", "weight_decays", "smoothings")
            if not getattr(self, name)
        ]

    def only(self, setting: MiniBatchSetting) -> "MiniBatchGrid":
        """The same solver for one setting."""
        return dataclasses.replace(
            self, lrs=(setting.lr,), weight_decays=(setting.weight_decay,), smoothings=(setting.smoothing,)
        )

    def fit(
        self, features: Tensor, labels: Tensor, *, train: Tensor, num_classes: int
    ) -> Iterator[Trained[MiniBatchSetting]]:
        """Train all heads, as many settings of a split at once as the memory allows; see `Solver.fit`.

        Raises:
            ConfigError: A value of the grid is not allowed.
            DataError: A train row is not finite.
        """
        check(self)
        points = itertools.product(self.lrs, self.weight_decays, self.smoothings)
        settings = [MiniBatchSetting(lr=lr, weight_decay=decay, smoothing=share) for lr, decay, share in points]
        generator = torch.Generator().manual_seed(seed_of(self.seed, "head"))
        initial = self.kind.initial(features=features.shape[1], classes=num_classes, generator=generator)
        numbers = sum(value.numel() for value in initial.values())
        at_once = max(1, self.memory_bytes // (4 * (5 * numbers + 8 * self.batch_size * num_classes)))
        for split, mask in enumerate(train):
            taken = features[mask]
            standardization = Standardization.of(taken)
            rows = standardization.apply(taken)
            for start in range(0, len(settings), at_once):
                chunk = settings[start : start + at_once]
                heads = {name: torch.stack([value.to(rows.device)] * len(chunk)) for name, value in initial.items()}
                steps = self._train(heads, rows, labels[mask], chunk)
                for index, setting in enumerate(chunk):
                    one = {name: value[index] for name, value in heads.items()}
                    head = self.kind.module(one, standardization)
                    yield Trained(setting=setting, split=split, head=head, converged=None, iterations=steps)

    def _train(self, heads: Parameters, rows: Tensor, labels: Tensor, settings: Sequence[MiniBatchSetting]) -> int:
        """Train the stacked `heads` in place; returns the number of steps."""
        lr, decay, smoothing = (
            torch.tensor([getattr(setting, name) for setting in settings], device=rows.device)
            for name in ("lr", "weight_decay", "smoothing")
        )
        update = _Sgd(heads, decay) if self.optimizer == "sgd" else _AdamW(heads, decay)
        per_epoch = -(-len(rows) // self.batch_size)
        steps = self.steps or self.epochs * per_epoch
        for step in tqdm(range(steps), desc="heads", unit="step", leave=False, disable=None):
            epoch, place = divmod(step, per_epoch)
            if place == 0:
                generator = torch.Generator().manual_seed(seed_of(self.seed, "order", epoch))
                order = torch.randperm(len(rows), generator=generator).to(rows.device)
                batches = torch.split(order, self.batch_size)
            gradients = _gradients(self.kind, heads, rows[batches[place]], labels[batches[place]], smoothing)
            update.step(heads, gradients, lr * (1 + math.cos(math.pi * step / steps)) / 2)
        return steps


class _Sgd:
    """SGD with momentum; one learning rate and weight decay a head."""

    def __init__(self, heads: Parameters, decay: Tensor) -> None:
        self._decay = decay
        self._momentum = {name: torch.zeros_like(value) for name, value in heads.items()}

    def step(self, heads: Parameters, gradients: Parameters, lr: Tensor) -> None:
        for name, value in heads.items():
            momentum = self._momentum[name].mul_(_MOMENTUM).add_(gradients[name])
            if _decays(name) and self._decay.any():
                momentum.addcmul_(value, _each(self._decay, value))
            value.addcmul_(momentum, _each(lr, value), value=-1)


class _AdamW:
    """AdamW (Loshchilov & Hutter, ICLR 2019); one learning rate and weight decay a head."""

    def __init__(self, heads: Parameters, decay: Tensor) -> None:
        self._decay = decay
        self._first = {name: torch.zeros_like(value) for name, value in heads.items()}
        self._second = {name: torch.zeros_like(value) for name, value in heads.items()}
        self._steps = 0

    def step(self, heads: Parameters, gradients: Parameters, lr: Tensor) -> None:
        self._steps += 1
        debias_first, debias_second = (1 - beta**self._steps for beta in _BETAS)
        for name, value in heads.items():
            self._first[name].lerp_(gradients[name], 1 - _BETAS[0])
            self._second[name].mul_(_BETAS[1]).addcmul_(gradients[name], gradients[name], value=1 - _BETAS[1])
            if _decays(name):
                value.mul_(1 - _each(lr * self._decay, value))
            spread = self._second[name].sqrt().div_(debias_second**0.5).add_(1e-8)
            value.addcdiv_(_each(lr, value) * self._first[name], spread, value=-1 / debias_first)


def _gradients(kind: HeadKind, heads: Parameters, rows: Tensor, labels: Tensor, smoothing: Tensor) -> Parameters:
    """The gradient of every head's own mean loss; heads do not mix."""
    leaves = {name: value.detach().requires_grad_() for name, value in heads.items()}
    with torch.enable_grad():
        log_probabilities = kind.logits(leaves, rows).log_softmax(-1)
        hit = log_probabilities[:, torch.arange(len(rows), device=rows.device), labels]
        smoothed = (1 - smoothing[:, None]) * hit + smoothing[:, None] * log_probabilities.mean(-1)
        gradients = torch.autograd.grad(-smoothed.mean(1).sum(), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def _each(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.view(-1, *[1] * (like.ndim - 1))


def _decays(name: str) -> bool:
    return name.endswith("weight")
