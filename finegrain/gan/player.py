"""A network with its optimiser: how it takes a step, and how it is kept from taking one."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from finegrain.errors import NumericsError, fault
from finegrain.optim.layout import restore_layout
from finegrain.runtime import Runtime

MAX_SKIPPED_STEPS = 20
"""fp16 steps in a row whose gradients may overflow before training is given up."""
Network = TypeVar("Network", bound=nn.Module)


@dataclass(kw_only=True)
class Player(Generic[Network]):
    """A network, and what trains it."""

    name: str
    """For messages and the history."""
    network: Network
    optimizer: torch.optim.Optimizer
    runtime: Runtime

    def __post_init__(self) -> None:
        """Give it a gradient scaler of its own: two networks' gradients have nothing in common."""
        self.scaler = torch.amp.GradScaler(self.runtime.device.type, enabled=self.runtime.precision == "fp16")
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._skipped_in_a_row = 0

    def step(self, loss: Tensor, *, number: int, watched: Mapping[str, Tensor]) -> dict[str, float]:
        """Take a step down `loss`, unless it or its gradient is not finite.

        Args:
            loss: A scalar with a graph.
            number: The training's step, for messages.
            watched: Further scalars to read, as the step waits for the device but once.

        Returns:
            The watched values by name.

        Raises:
            NumericsError: The loss or the gradient is not finite, or fp16 overflows again and again; the weights
                are as they were.
        """
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        if self.runtime.replicas.count > 1:
            self.runtime.replicas.average([p.grad for p in self.parameters if p.grad is not None])
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        read = torch.stack(
            [norm.double(), loss.detach().double(), *(value.detach().double() for value in watched.values())]
        )
        norm_value, loss_value, *values = read.tolist()
        if not math.isfinite(loss_value):
            raise self._diverged("loss", loss_value, number)
        if math.isfinite(norm_value):
            self.scaler.step(self.optimizer)
            self._skipped_in_a_row = 0
        elif self.scaler.is_enabled():
            self._skip(number)
        else:
            raise self._diverged("gradient", norm_value, number)
        self.scaler.update()
        if self.runtime.replicas.count > 1:
            self.runtime.replicas.average([b for b in self.network.buffers() if b.is_floating_point()])
        return dict(zip(watched, values, strict=True))

    def _skip(self, number: int) -> None:
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= MAX_SKIPPED_STEPS:
            raise NumericsError(
                fault(
                    f"fp16 gradients of the {self.name} overflow at step {number}",
                    got=f"{self._skipped_in_a_row} skipped steps in a row",
                    expected=f"fewer than {MAX_SKIPPED_STEPS}",
                    remedy="set runtime.precision=bf16 or lower train.lr",
                )
            )

    def _diverged(self, what: str, value: float, number: int) -> NumericsError:
        return NumericsError(
            fault(
                f"the {self.name}'s {what} is not finite at step {number}",
                got=f"{value} with learning rate {self.optimizer.param_groups[0]['lr']:g}",
                expected="a finite number",
                remedy="lower train.lr, or choose another loss or precision; "
                "its weights were not updated, and the last checkpoint is good",
            )
        )

    @classmethod
    def with_adam(
        cls, name: str, network: Network, *, lr: float, betas: tuple[float, float], runtime: Runtime
    ) -> "Player[Network]":
        """The network on its device, trained by Adam."""
        runtime.place_model(network)
        optimizer = torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)
        return cls(name=name, network=network, optimizer=optimizer, runtime=runtime)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While entered, the network gets no gradients and its buffers stay: it is in eval mode."""
        self.network.eval().requires_grad_(False)
        try:
            yield
        finally:
            self.network.train().requires_grad_(True)

    def state(self) -> dict[str, Any]:
        """Everything that continues it; tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped_in_a_row": self._skipped_in_a_row,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it up where `state` was saved."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        restore_layout(self.optimizer)
        self.scaler.load_state_dict(state["scaler"])
        self._skipped_in_a_row = state["skipped_in_a_row"]
