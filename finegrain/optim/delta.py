"""A penalty on features: what the blocks say of an image may not go far from what they said before training."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.config import Positive
from finegrain.errors import ConfigError, fault
from finegrain.optim.groups import LayeredModel, in_module
from finegrain.optim.penalty import Penalty, PenaltyConfig


@dataclass(kw_only=True, slots=True)
class Delta(PenaltyConfig):
    """Adds `delta · mean over blocks of Σ (f - f_start)² / Σ f_start²`, f being what a block gives of the batch.

    DELTA (Li et al., ICLR 2019, arXiv:1901.09229) with equal weights for all channels; relative, so that one number
    does for every layer and network. It costs a second copy of the weights, and for each step a forward pass without
    a graph: about a third more time where all layers are trained. BatchNorm by the batch's statistics counts as
    distance from the start on; `tuning.frozen_statistics` avoids that.
    """

    delta: Positive = 0.1
    """Coefficient of the distance."""

    def build(self, model: LayeredModel) -> "FeaturePenalty":
        """Make the penalty of the trainable parameters and of the blocks that have some.

        Features are held to what `model` computes now: call this before training or resuming.

        Raises:
            ConfigError: No block is trained.
        """
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        blocks = [
            group.module_paths[-1]
            for group in model.layer_groups()[1:-1]
            if any(in_module(name, path) for name in trained for path in group.module_paths)
        ]
        if not blocks:
            what, remedy = "penalty.delta has no features to hold", "choose another tuning or penalty"
            raise ConfigError(fault(what, got="0 trained blocks", expected="at least 1", remedy=remedy))
        assert isinstance(model, nn.Module)
        return FeaturePenalty(PenaltyConfig.build(self, model), model, blocks=blocks, strength=self.delta)


class FeaturePenalty(Penalty):
    """Adds to the penalty of weights the distance of features in the forward pass that was watched last."""

    def __init__(self, weights: Penalty, model: nn.Module, *, blocks: Sequence[str], strength: float) -> None:
        """Keep a copy of `model` as it is, and compare what its modules at the paths `blocks` give."""
        self._of_weights, self._model, self._blocks, self._strength = weights, model, blocks, strength
        self._start = deepcopy(model).eval().requires_grad_(False)
        self._distance: Tensor | None = None

    @contextmanager
    def watch(self, images: Tensor) -> Iterator[None]:
        """Meanwhile, `model` is expected to run on `images`.

        Raises:
            ConfigError: A block gives no tensor.
        """
        with _outputs(self._start, self._blocks) as start, torch.no_grad():
            self._start(images)
        if missing := [path for path in self._blocks if path not in start]:
            what, remedy = "penalty.delta cannot read this block", "choose another penalty"
            raise ConfigError(fault(what, got=missing[0], expected="a tensor", remedy=remedy))
        with _outputs(self._model, self._blocks) as now:
            yield
        terms = [(now[path] - start[path]).square().sum() / start[path].square().sum() for path in self._blocks]
        self._distance = torch.stack(terms).mean()

    def __call__(self) -> Tensor | None:
        """The sum of both penalties; differentiable."""
        weights = self._of_weights()
        if self._distance is None:
            return weights
        distance = self._strength * self._distance
        return distance if weights is None else distance + weights


@contextmanager
def _outputs(model: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Meanwhile, what modules of `model` give is kept, in float32, by their paths."""
    found: dict[str, Tensor] = {}

    def note(path: str, _: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            found[path] = output.float()

    with ExitStack() as hooks:
        for path in paths:
            hooks.callback(model.get_submodule(path).register_forward_hook(partial(note, path)).remove)
        yield found
