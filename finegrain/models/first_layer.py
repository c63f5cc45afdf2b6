"""What the first layer of a network looks for: its weights as small images."""

from torch import Tensor, nn

from finegrain.models.classifier import Classifier


def first_kernels(classifier: Classifier) -> Tensor | None:
    """The weights of the first layer, [F, C, h, w], where it reads pixels of C = 1 or 3 channels; else None.

    Those of a convolution, of a ViT's patch embedding too, or of a linear layer that reads the whole image, each of
    whose F outputs has weights of an image's shape.
    """
    layers = (module for module in classifier.network.modules() if isinstance(module, (nn.Conv2d, nn.Linear)))
    first = next(layers, None)
    if isinstance(first, nn.Conv2d):
        return first.weight.detach().float().cpu() if first.in_channels in (1, 3) else None
    if isinstance(first, nn.Linear):
        size = classifier.preprocessing.image_size
        channels, rest = divmod(first.in_features, size**2)
        if rest == 0 and channels in (1, 3):
            return first.weight.detach().float().cpu().view(-1, channels, size, size)
    return None
