"""A vision transformer for MNIST (Dosovitskiy et al., ICLR 2021), with its own multi-head attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import Channels, InChannels, num_patches


class MultiHeadAttention(nn.Module):
    """softmax(q kᵀ / √d) v in each head, with a projection of its own for q, k, v and the output."""

    def __init__(self, dim: int, num_heads: int, attention_dropout: float) -> None:
        """Build it.

        Args:
            dim: D, a multiple of `num_heads`; each head has d = D / num_heads features.
            num_heads: H.
            attention_dropout: Rate on attention weights.
        """
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim {dim} for {num_heads} heads, of which it is no multiple")
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.attn_drop = nn.Dropout(attention_dropout)
        self.fused_attn = True
        """False: the weights are formed and pass through `attn_drop`, where a hook sees them, as in timm."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        q, k, v = (self._split(project(tokens)) for project in (self.query, self.key, self.value))
        if self.fused_attn:
            rate = self.attn_drop.p if self.training else 0.0
            attended = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        else:
            weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
            attended = self.attn_drop(weights) @ v
        output: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return output

    def _split(self, tokens: Tensor) -> Tensor:
        """[B, N, D] → [B, H, N, d]."""
        batch, count, _ = tokens.shape
        return tokens.view(batch, count, self.num_heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention and an MLP, each behind a norm and added to what it read."""

    def __init__(self, dim: int, mlp_dim: int, num_heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = MultiHeadAttention(dim, num_heads, attention_dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        tokens = tokens + self.drop(self.attn(self.norm1(tokens)))
        output: Tensor = tokens + self.drop(self.mlp(self.norm2(tokens)))
        return output


class MnistViT(nn.Module):
    """Pre-norm blocks over linear patches, a class token and learned positions.

    [B, 1, 28, 28] → [B, 16, 64] patches → [B, 17, 64] with the class token, after each block too → [B, 64], the class
    token's → [B, K].
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: Count = 28,
        in_channels: InChannels = 1,
        patch_size: Count = 7,
        dim: Count = 64,
        mlp_dim: Count = 128,
        depth: Count = 6,
        num_heads: Count = 8,
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
    ) -> None:
        """Build it.

        Args:
            num_classes: K.
            image_size: S, a multiple of `patch_size`.
            in_channels: C.
            patch_size: Side of a patch in pixels; N = (S / patch_size)².
            dim: D, a multiple of `num_heads`.
            mlp_dim: Hidden features of each block's MLP.
            depth: Blocks.
            num_heads: Of each block's attention.
            dropout: Rate in each block, but for attention weights.
            attention_dropout: Rate on attention weights.

        Raises:
            ConfigError: The image does not divide into patches.
            ValueError: `dim` is no multiple of `num_heads`.
        """
        super().__init__()
        tokens = 1 + num_patches("the MNIST ViT", image_size, patch_size)
        self.channels = Channels(in_channels, image_size)
        # A linear layer on each patch, as a convolution: what it gives is a grid, by which the network is explained.
        self.patch_embed = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.Sequential(*(Block(dim, mlp_dim, num_heads, dropout, attention_dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, S, S] to logits [B, K]."""
        patches = self.patch_embed(self.channels(images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        tokens = self.norm(self.blocks(tokens + self.pos_embed))
        logits: Tensor = self.head(tokens[:, 0])
        return logits
