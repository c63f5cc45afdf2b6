"""Which labels are suspected to be wrong, by what models say of images that they were not trained on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.mistakes import Mistake, as_mistakes
from finegrain.metrics.probabilities import checked_probabilities

_ROUNDING = 1e-6
"""A class whose images are all equally probable reaches its own mean."""


def suspected_labels(
    paths: Sequence[str], labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[Mistake, ...]:
    """Confident learning: the images that count off the diagonal of the confident joint, most suspect first.

    The threshold t_j of class j is the mean of p_j over the images listed under j. An image counts for the most
    probable of the classes with p_j ≥ t_j. It is suspect where that is not its label, and its label is not the most
    probable class of all. The order is by the normalised margin, p_label less the largest of the others, which is
    negative here; ties in the order of the images (Northcutt, Jiang & Chuang, "Confident Learning: Estimating
    Uncertainty in Dataset Labels", JAIR 70, 2021, eqs. 1 and 2, method C_{ỹ,y*}).

    Args:
        paths: Of N images.
        labels: The classes they are listed under [N].
        probabilities: [N, K], each row said by models that were not trained on its image.

    Returns:
        Mistakes, `predicted` being the class suggested.

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
    """
    probabilities = checked_probabilities(labels, probabilities)
    rows, classes = np.arange(len(labels)), range(probabilities.shape[1])
    own = probabilities[rows, labels]
    means = [own[labels == label].mean() if (labels == label).any() else np.inf for label in classes]
    confident = np.where(probabilities >= np.array(means) - _ROUNDING, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    margins = own - others.max(axis=1)
    suspects = np.flatnonzero((confident.max(axis=1) >= 0) & (suggested != labels) & (margins < 0))
    order = suspects[np.argsort(margins[suspects], kind="stable")]
    return as_mistakes(order, suggested, paths=paths, labels=labels, probabilities=probabilities)
