"""torchvision's self-attention with its projections as layers, so that an adapter put on them takes part.

`nn.MultiheadAttention` keeps q, k and v in one bare parameter and never calls its output layer; in eval mode it runs as
one fused operation. What is put on its layers would be passed over in silence.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import EncoderBlock


class UnpackedAttention(nn.Module):
    """The same function, with q, k and v as one linear layer `in_proj`, D to 3 D, as timm has it."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """Take over the parameters of `attention` themselves, not copies."""
        super().__init__()
        self.num_heads, self.dropout = attention.num_heads, attention.dropout
        size: int = attention.embed_dim
        self.in_proj = _linear(size, 3 * size, attention.in_proj_weight, attention.in_proj_bias)
        self.out_proj = _linear(size, size, attention.out_proj.weight, attention.out_proj.bias)
        self.train(attention.training)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False) -> tuple[Tensor, None]:
        """Attend [B, N, D] to itself: `key` and `value` are `query`, and weights are not given."""
        batch, tokens, size = query.shape
        projected = self.in_proj(query).view(batch, tokens, 3, self.num_heads, size // self.num_heads)
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out_proj(attended.transpose(1, 2).reshape(batch, tokens, size)), None

    def packed(self) -> nn.MultiheadAttention:
        """torchvision's own layer again, with the parameters of this one."""
        size = self.in_proj.in_features
        attention: Any = nn.MultiheadAttention(
            size, self.num_heads, dropout=self.dropout, batch_first=True, device="meta"
        )
        attention.in_proj_weight, attention.in_proj_bias = self.in_proj.weight, self.in_proj.bias
        attention.out_proj.weight, attention.out_proj.bias = self.out_proj.weight, self.out_proj.bias
        packed: nn.MultiheadAttention = attention.train(self.training)
        return packed


def packed_attention(network: nn.Module) -> dict[str, nn.MultiheadAttention]:
    """The packed self-attention of torchvision's transformer blocks, by path."""
    return {
        f"{path}.self_attention": block.self_attention
        for path, block in network.named_modules()
        if isinstance(block, EncoderBlock) and isinstance(block.self_attention, nn.MultiheadAttention)
    }


def _linear(inputs: int, outputs: int, weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, device="meta")
    layer.weight, layer.bias = weight, bias
    return layer
