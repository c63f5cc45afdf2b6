"""Train tokens beside the image's, and the head; the network stays."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from finegrain.config import Range
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Prompts(Tuning):
    """Visual prompt tuning (VPT, Jia et al., ECCV 2022, arXiv:2203.12119), for plain vision transformers.

    Learned tokens follow the class token. Unlike adapters they change what the network says from the start, so that a
    probe (`probe_first`) reads random prompts' features; and they cannot become part of the weights: the run's model
    keeps them and is loaded by this project, not by timm. Each block's time grows with its tokens.
    """

    small: ClassVar[bool] = True

    count: Annotated[int, Range(least=1, most=1000)] = 10
    """Tokens."""
    deep: bool = True
    """Fresh tokens in every block, in the place of the last block's; false: the same go through all blocks."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but the prompts and the classifier layer.

        Raises:
            ConfigError: The network is no plain vision transformer, or has other prompts already.
        """
        path = classifier.add_prompts(count=self.count, deep=self.deep)
        classifier.set_trainable((path, classifier.head_name), boundary=f"{path}.0")
