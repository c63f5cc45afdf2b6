"""What a head trained by mini-batches can be: linear, cosine, or with a hidden layer; many of one kind run at once."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finegrain.config import Count, Positive
from finegrain.features.solver import Standardization, linear

Parameters = dict[str, Tensor]


@runtime_checkable
class HeadKind(Protocol):
    """One kind of head, as functions of its parameters; those of M heads are stacked in front, [M, ...]."""

    def initial(self, *, features: int, classes: int, generator: torch.Generator) -> Parameters:
        """The parameters of one head before training."""
        ...

    def logits(self, parameters: Parameters, rows: Tensor) -> Tensor:
        """Logits [M, B, K] of M heads for standardised rows [B, D]."""
        ...

    def module(self, parameters: Parameters, standardization: Standardization) -> nn.Module:
        """The head of one head's parameters, for raw features [B, D]."""
        ...


@dataclass(kw_only=True, slots=True)
class Linear:
    """One linear layer; starts at zero."""

    def initial(self, *, features: int, classes: int, generator: torch.Generator) -> Parameters:
        """Zeros."""
        return {"weight": torch.zeros(classes, features), "bias": torch.zeros(classes)}

    def logits(self, parameters: Parameters, rows: Tensor) -> Tensor:
        """W x + b."""
        return _affine(rows, parameters["weight"], parameters["bias"])

    def module(self, parameters: Parameters, standardization: Standardization) -> nn.Module:
        """A linear layer with the scaling folded in."""
        return standardization.fold(parameters["weight"], parameters["bias"])


@dataclass(kw_only=True, slots=True)
class Cosine:
    """Cosine between standardised features and class vectors, divided by a learned temperature.

    Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018.
    """

    temperature: Positive = 0.05
    """Before training."""

    def initial(self, *, features: int, classes: int, generator: torch.Generator) -> Parameters:
        """Class vectors in random directions."""
        weight = F.normalize(torch.randn(classes, features, generator=generator), dim=-1)
        return {"weight": weight, "log_temperature": torch.tensor(self.temperature).log()}

    def logits(self, parameters: Parameters, rows: Tensor) -> Tensor:
        """cos(x, w_k) / temperature."""
        directions = F.normalize(parameters["weight"], dim=-1)
        return _affine(F.normalize(rows, dim=-1), directions) / parameters["log_temperature"].exp()[:, None, None]

    def module(self, parameters: Parameters, standardization: Standardization) -> nn.Module:
        """A module that standardises first: the cosine cannot take up the scaling."""
        temperature = parameters["log_temperature"].exp()
        return CosineHead(F.normalize(parameters["weight"], dim=-1) / temperature, standardization)


@dataclass(kw_only=True, slots=True)
class Mlp:
    """One hidden layer with GELU."""

    hidden: Count = 256
    """Its width."""

    def initial(self, *, features: int, classes: int, generator: torch.Generator) -> Parameters:
        """Weights uniform within ±1/√inputs, biases zero."""
        first = torch.rand(self.hidden, features, generator=generator) * 2 - 1
        second = torch.rand(classes, self.hidden, generator=generator) * 2 - 1
        return {
            "hidden.weight": first / features**0.5,
            "hidden.bias": torch.zeros(self.hidden),
            "weight": second / self.hidden**0.5,
            "bias": torch.zeros(classes),
        }

    def logits(self, parameters: Parameters, rows: Tensor) -> Tensor:
        """W₂ gelu(W₁ x + b₁) + b₂."""
        hidden = F.gelu(_affine(rows, parameters["hidden.weight"], parameters["hidden.bias"]))
        return torch.baddbmm(parameters["bias"][:, None], hidden, parameters["weight"].mT)

    def module(self, parameters: Parameters, standardization: Standardization) -> nn.Module:
        """Two layers, the scaling folded into the first."""
        hidden = standardization.fold(parameters["hidden.weight"], parameters["hidden.bias"])
        return nn.Sequential(hidden, nn.GELU(), linear(parameters["weight"], parameters["bias"]))


class CosineHead(nn.Module):
    """A cosine head on raw features; all its numbers are in its state dict.

    Args:
        weight: Class vectors of length 1/temperature, [K, D].
        standardization: Of the rows it was trained on.
    """

    weight: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, standardization: Standardization) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("mean", standardization.mean.clone())
        self.register_buffer("scale", standardization.scale.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, K] of raw features [B, D]."""
        return F.linear(F.normalize((features - self.mean) / self.scale, dim=-1), self.weight)


def _affine(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """M layers [M, K, D] on the same rows [B, D] as one product; [M, B, K]."""
    heads, classes = weight.shape[:2]
    out = F.linear(rows, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return out.view(len(rows), heads, classes).transpose(0, 1)
