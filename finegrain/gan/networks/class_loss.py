"""ReACGAN's loss of a discriminator's second head."""

import torch
from torch import Tensor
from torch.nn import functional


def data_to_data(images: Tensor, classes: Tensor, labels: Tensor, *, temperature: float, margin: float) -> Tensor:
    """D2D-CE (Kang et al., NeurIPS 2021, arXiv:2111.01118), the mean over a batch.

    With f an image's embedding and v its class's, both of length 1, of image i it is `−p + log(eᵖ + Σⱼ eⁿʲ)` with
    `p = min(0, f·v − m) / τ`, `nⱼ = max(0, f·fⱼ − (1 − m)) / τ` over the images j of other classes: easy pairs, whose
    class is near enough or whose images are far enough apart, give no gradient. The margin of negatives is 1 − m as in
    the authors' code, which besides divides the sum over j by the largest of all `eⁿʲ`; the formula does not.

    Args:
        images: float32 [B, E].
        classes: float32 [B, E], of the images' labels.
        labels: int64 [B].
        temperature: τ.
        margin: m.
    """
    near = ((images * classes).sum(dim=1) - margin).clamp(max=0) / temperature
    far = functional.relu(images @ images.T - (1 - margin)) / temperature
    far = far.masked_fill(labels[:, None] == labels, -torch.inf)
    return (torch.logsumexp(torch.cat([near[:, None], far], dim=1), dim=1) - near).mean()
