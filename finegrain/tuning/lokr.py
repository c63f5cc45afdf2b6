"""Train a Kronecker product of a small and a low-rank matrix beside frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finegrain.config import Count, Positive
from finegrain.tuning.adapter import Adapter, Rank
from finegrain.tuning.base import AdaptableLayer


@dataclass(kw_only=True, slots=True)
class LoKr(Adapter):
    """LoKr (Yeh et al., ICLR 2024, arXiv:2309.14859): `W + alpha/rank C ⊗ (B A)`, C whole: smaller than LoRA."""

    rank: Rank = 8
    """Of B A; where it is half of a side or more, the matrix is trained whole."""
    alpha: Positive = 16.0
    """Scale of the product, divided by the rank."""
    factor: Count = 8
    """Largest side of C."""

    def settings(self, targets: Sequence[AdaptableLayer]) -> Mapping[str, Any]:
        """peft's fields."""
        return {"peft_type": "LOKR", "r": self.rank, "alpha": self.alpha, "decompose_factor": self.factor}
