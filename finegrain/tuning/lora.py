"""Train a product of two thin matrices beside frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finegrain.config import Positive, Probability
from finegrain.tuning.adapter import Adapter, Rank
from finegrain.tuning.base import AdaptableLayer


@dataclass(kw_only=True, slots=True)
class Lora(Adapter):
    """LoRA (Hu et al., ICLR 2022, arXiv:2106.09685): `W + alpha/rank B A`, A [rank, in] random, B [out, rank] zero.

    Of a fused `qkv` the three share A and have rows of B each. A convolution's A is a convolution, its B is 1×1.
    """

    rank: Rank = 8
    """Of the product."""
    alpha: Positive = 16.0
    """Its scale, divided by the rank."""
    dropout: Probability = 0.0
    """Rate on what A reads."""
    rslora: bool = False
    """Divide alpha by √rank instead (Kalajdzievski, arXiv:2312.03732): for high ranks."""
    dora: bool = False
    """Train the length of each row of the sum by itself (DoRA, Liu et al., ICML 2024, arXiv:2402.09353)."""

    def settings(self, targets: Sequence[AdaptableLayer]) -> Mapping[str, Any]:
        """peft's fields."""
        return {
            "peft_type": "LORA",
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.rslora,
            "use_dora": self.dora,
        }
