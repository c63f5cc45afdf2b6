"""timm's side of feature extraction: its network without a head, as its documentation advises, in inference mode."""

import torch
from networks import images, network
from side import Cost, Meter


class TimmFeatures:
    """fp32, contiguous tensors, nothing tuned.

    Args:
        model: timm's name.
        count: Images of an epoch, whole batches.
        batch_size: Images of a forward pass.
        image_size: Their side.
    """

    def __init__(self, *, model: str, count: int, batch_size: int, image_size: int = 224) -> None:
        self._network = network(model, image_size=image_size)
        self._network.reset_classifier(0)  # type: ignore[operator]
        self._batches = torch.split(images(count, image_size=image_size), batch_size)

    @torch.inference_mode()
    def features(self) -> torch.Tensor:
        """Of all images, float32 [count, D]."""
        return torch.cat([self._network(batch) for batch in self._batches])

    def epoch(self) -> Cost:
        """Compute them once more."""
        meter = Meter()
        return meter.read(len(self.features()))
