"""The Patch LSTM: a recurrent network that reads an image's patches row by row, in both directions."""

import torch
from torch import Tensor, nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import Channels, InChannels, num_patches


class LastStep(nn.LSTM):
    """A bidirectional LSTM of which the last step's output is taken.

    Of the way back that is what its first step says, in which the last layer's recurrent weights have no part.
    """

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Map [B, N, D] to [B, 2 · hidden]."""
        outputs: Tensor = nn.LSTM.forward(self, tokens)[0]  # torch.compile knows no `super()` here
        return outputs[:, -1]


class PatchLstm(nn.Module):
    """Patches with learned positions through a bidirectional LSTM (Hochreiter & Schmidhuber, 1997) and a GELU layer.

    [B, C, S, S] → [B, N, D] → [B, 2 · hidden], the last step's → [B, 256] → [B, K].
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: Count = 32,
        in_channels: InChannels = 3,
        patch_size: Count = 2,
        dim: Count = 128,
        hidden: Count = 256,
        depth: Count = 2,
        dropout: Probability = 0.1,
    ) -> None:
        """Build it.

        Args:
            num_classes: K.
            image_size: S, a multiple of `patch_size`.
            in_channels: C.
            patch_size: Side of a patch in pixels; N = (S / patch_size)².
            dim: D, features of a patch.
            hidden: Features of each direction, and of the layer before the head.
            depth: Layers of the LSTM.
            dropout: Rate on patches, between the LSTM's layers, and before the head.

        Raises:
            ConfigError: The image does not divide into patches.
        """
        super().__init__()
        tokens = num_patches("the Patch LSTM", image_size, patch_size)
        self.channels = Channels(in_channels, image_size)
        self.patch_embed = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.drop = nn.Dropout(dropout)
        between = dropout if depth > 1 else 0.0
        lstm = LastStep(dim, hidden, depth, batch_first=True, dropout=between, bidirectional=True)
        neck = nn.LayerNorm(2 * hidden), nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Dropout(dropout)
        self.blocks = nn.Sequential(lstm, nn.Sequential(*neck))
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, S, S] to logits [B, K]."""
        tokens = self.patch_embed(self.channels(images)).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.blocks(self.drop(tokens + self.pos_embed)))
        return logits
