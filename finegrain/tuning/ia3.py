"""Train factors for the channels of frozen layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finegrain.tuning.adapter import Adapter
from finegrain.tuning.base import AdaptableLayer, Tunable


@dataclass(kw_only=True, slots=True)
class IA3(Adapter):
    """(IA)³ (Liu et al., NeurIPS 2022, arXiv:2205.05638): a factor, one at first, for each channel of a layer's output.

    Linear layers that contract, as the second of an MLP does, have what they read multiplied. Without a target it takes
    q, k and v, and each block's contracting layers; the factors learn best at a hundred times LoRA's rate and more.
    """

    def settings(self, targets: Sequence[AdaptableLayer]) -> Mapping[str, Any]:
        """peft's fields."""
        contracting = [layer.path.removeprefix("network.") for layer in targets if _contracts(layer)]
        return {"peft_type": "IA3", "feedforward_modules": contracting}

    def usual_targets(self, classifier: Tunable, layers: Sequence[AdaptableLayer]) -> list[AdaptableLayer]:
        """What expands in self-attention, and what contracts outside; all of the blocks without self-attention."""
        if not any(layer.in_attention for layer in layers):
            return Adapter.usual_targets(self, classifier, layers)
        return [
            layer
            for layer in layers
            if (layer.out_features > layer.in_features if layer.in_attention else _contracts(layer))
        ]


def _contracts(layer: AdaptableLayer) -> bool:
    return not layer.in_attention and layer.out_features < layer.in_features
