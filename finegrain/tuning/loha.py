"""Train an elementwise product of two low-rank matrices beside frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finegrain.config import Positive
from finegrain.tuning.adapter import Adapter, Rank
from finegrain.tuning.base import AdaptableLayer


@dataclass(kw_only=True, slots=True)
class LoHa(Adapter):
    """LoHa (FedPara, Hyeon-Woo et al., ICLR 2022, arXiv:2108.06098): `W + alpha/rank (B1 A1) ⊙ (B2 A2)`.

    Its rank is up to rank², from twice LoRA's parameters.
    """

    rank: Rank = 4
    """Of either factor."""
    alpha: Positive = 8.0
    """Scale of the product, divided by the rank."""

    def settings(self, targets: Sequence[AdaptableLayer]) -> Mapping[str, Any]:
        """peft's fields."""
        return {"peft_type": "LOHA", "r": self.rank, "alpha": self.alpha}
