"""Train the last block and everything after it: `layer4` and `fc` of a ResNet, the last block and head of a ViT."""

from dataclasses import dataclass

from finegrain.config import Count
from finegrain.errors import ConfigError, fault
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class LastBlock(Tuning):
    """The last stage of a convolutional network or the last block of a ViT is trained, and what follows it."""

    blocks: Count = 1
    """Blocks (of a ViT) or stages (of a convolutional network) that are trained, counted from the end."""
    frozen_statistics: bool = False
    """BatchNorm keeps the pretrained mean and variance and trains its scale and shift: better from few images."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all before the last `blocks` blocks.

        Raises:
            ConfigError: There are fewer blocks.
        """
        blocks = classifier.layer_groups()[1:-1]
        if self.blocks > len(blocks):
            remedy = f"set tuning.blocks={len(blocks)} or choose the tuning Full"
            what = f"{classifier.architecture} has fewer blocks"
            raise ConfigError(fault(what, got=self.blocks, expected=f"1 to {len(blocks)}", remedy=remedy))
        groups = classifier.layer_groups()[-1 - self.blocks :]
        paths = [path for group in groups for path in group.module_paths]
        classifier.set_trainable(paths, boundary=paths[0], frozen_statistics=self.frozen_statistics)
