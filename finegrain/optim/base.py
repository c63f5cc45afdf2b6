"""What every optimiser has in common: its config section and how it gets its parameter groups."""

from dataclasses import dataclass
from typing import Annotated, Any

from torch.optim import Optimizer

from finegrain.config import NonNegative, Positive, Range
from finegrain.optim.groups import LayeredModel, parameter_groups


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """What every optimiser has in common; an optimiser is a subclass in its own file."""

    lr: Positive
    """Learning rate after the warm-up."""
    head_lr: Positive | None = None
    """Learning rate of the classification layer, which starts at random; none: `lr`."""
    weight_decay: NonNegative = 0.0
    """Weight decay per step, in units of the learning rate; not of norms, biases, position embeddings and tokens."""
    layer_decay: Annotated[float, Range(above=0, most=1)] | None = None
    """Ratio of the rates of neighbouring layers, the head's being `lr`; none: one rate for the backbone. Discriminative
    fine-tuning (Howard & Ruder, ACL 2018) divides by 2.6, which is 0.385; ViTs are usually given 0.65 to 0.9."""

    def build(self, model: LayeredModel) -> Optimizer:
        """Make the optimiser of the trainable parameters.

        Raises:
            ConfigError: Nothing is trainable.
        """
        groups = parameter_groups(
            model,
            lr=self.lr,
            head_lr=self.head_lr,
            weight_decay=self.weight_decay,
            layer_decay=self.layer_decay,
        )
        return self.optimizer(groups)

    def optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The torch optimiser of these parameter groups, which carry their own rates and decays."""
        raise NotImplementedError
