"""nanoViT: a small vision transformer of torch's own encoder layers."""

import torch
from torch import Tensor, nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import Channels, InChannels, num_patches


class NanoViT(nn.Module):
    """Patches, a class token and learned positions through post-norm encoder layers (Vaswani et al., NeurIPS 2017).

    [B, C, S, S] → [B, N, D] patches → [B, 1 + N, D] with the class token, after each layer too → [B, D], the class
    token's → [B, K].
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: Count = 32,
        in_channels: InChannels = 3,
        patch_size: Count = 2,
        dim: Count = 192,
        depth: Count = 4,
        num_heads: Count = 8,
        mlp_ratio: Count = 2,
        dropout: Probability = 0.1,
    ) -> None:
        """Build it.

        Args:
            num_classes: K.
            image_size: S, a multiple of `patch_size`.
            in_channels: C.
            patch_size: Side of a patch in pixels; N = (S / patch_size)².
            dim: D, a multiple of `num_heads`.
            depth: Encoder layers.
            num_heads: Of each layer's attention.
            mlp_ratio: Hidden features of each layer's MLP, in units of D.
            dropout: Rate in the encoder layers, of attention weights too.

        Raises:
            ConfigError: The image does not divide into patches.
        """
        super().__init__()
        tokens = 1 + num_patches("nanoViT", image_size, patch_size)
        self.channels = Channels(in_channels, image_size)
        self.patch_embed = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        # torch.relu is the function that "relu" means, under a name for which the layer's fused path, which passes
        # hooks and adapters by, does not look.
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dim, num_heads, mlp_ratio * dim, dropout, activation=torch.relu, batch_first=True
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, S, S] to logits [B, K]."""
        patches = self.patch_embed(self.channels(images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        tokens = self.blocks(tokens + self.pos_embed)
        logits: Tensor = self.head(self.norm(tokens[:, 0]))
        return logits
