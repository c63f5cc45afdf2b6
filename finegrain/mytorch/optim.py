"""Optimisers, step for step torch's."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from finegrain.errors import fault
from finegrain.mytorch.array import Array
from finegrain.mytorch.tensor import Tensor


class Optimizer:
    """Changes parameters by their gradients; the settings stand in `param_groups`, where a schedule may change them."""

    def __init__(self, params: Iterable[Tensor], **settings: Any) -> None:
        """Take over parameters with their settings.

        Raises:
            ValueError: There are none, one was computed from others, or a setting is negative.
        """
        self.param_groups: list[dict[str, Any]] = [{"params": list(params), **settings}]
        self._memory: dict[int, dict[str, Any]] = {}
        negative = {name: value for name, value in settings.items() if np.min(value) < 0}
        if negative or not self.param_groups[0]["params"]:
            got = negative or "no parameters"
            expected = "parameters, and settings of 0 or more"
            raise ValueError(fault("no optimiser for these", got=got, expected=expected, remedy="check the arguments"))
        for parameter in self.param_groups[0]["params"]:
            if not isinstance(parameter, Tensor) or not parameter.is_leaf:
                what, expected = "this cannot be optimised", "leaves: tensors that were not computed"
                raise ValueError(fault(what, got=parameter, expected=expected, remedy="pass a list of parameters"))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self) -> None:
        """Change each parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    gradient = parameter.grad.array
                    if group["weight_decay"]:
                        gradient = gradient + group["weight_decay"] * parameter.array
                    memory = self._memory.setdefault(id(parameter), {})
                    parameter.array -= group["lr"] * self.direction(gradient, memory, group)

    def direction(self, gradient: Array, memory: dict[str, Any], group: dict[str, Any]) -> Array:
        """Where to go down: the update is this times −lr."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent: v ← momentum · v + g, from v = g on; weight decay is added to the gradient."""

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0, *, weight_decay: float = 0
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def direction(self, gradient: Array, memory: dict[str, Any], group: dict[str, Any]) -> Array:
        """See the class."""
        if not group["momentum"]:
            return gradient
        before = memory.get("velocity")
        memory["velocity"] = gradient.copy() if before is None else group["momentum"] * before + gradient
        velocity: Array = memory["velocity"]
        return velocity


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015): m̂ / (√v̂ + eps), of running means of g and g² freed of their start at 0."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        if max(betas) >= 1:
            raise ValueError(fault("no running means with these betas", got=betas, expected="below 1", remedy="0.9"))

    def direction(self, gradient: Array, memory: dict[str, Any], group: dict[str, Any]) -> Array:
        """See the class."""
        first, second = group["betas"]
        step = memory["step"] = memory.get("step", 0) + 1
        mean = memory["mean"] = first * memory.get("mean", 0) + (1 - first) * gradient
        square = memory["square"] = second * memory.get("square", 0) + (1 - second) * gradient * gradient
        root = np.sqrt(square / (1 - second**step)) + group["eps"]
        direction: Array = mean / (1 - first**step) / root
        return direction
