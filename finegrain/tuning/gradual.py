"""Train the head first, and one more layer group every few epochs, until all are trained."""

import logging
from dataclasses import dataclass

from finegrain.config import Count
from finegrain.tuning.base import Tunable
from finegrain.tuning.full import Full

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Gradual(Full):
    """Gradual unfreezing, from the head towards the stem (ULMFiT, Howard & Ruder, ACL 2018, arXiv:1801.06146).

    In epoch e = 0, 1, ... the last `1 + e // every` layer groups are trained; the others are frozen, statistics and
    all, and what is frozen meets neither weight decay nor momentum. A ResNet has 6 groups, a ViT of 12 blocks 14:
    with fewer epochs than it takes, the first layers stay as they are. `optim.layer_decay` adds ULMFiT's rates.
    """

    every: Count = 1
    """Epochs from one group to the next."""

    def begin_epoch(self, classifier: Tunable, *, epoch: int) -> None:
        """Freeze the groups whose time has not come."""
        groups = classifier.layer_groups()
        trained = groups[-1 - epoch // self.every :]
        if len(trained) == len(groups):
            self.apply(classifier)
            return
        paths = [path for group in trained for path in group.module_paths]
        classifier.set_trainable(paths, boundary=paths[0], frozen_statistics=self.frozen_statistics)
        logger.info("epoch %d: %d of %d layer groups are trained", epoch + 1, len(trained), len(groups))
