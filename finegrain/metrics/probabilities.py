"""The check with which every figure of predictions begins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import DataError, NumericsError, fault


def checked_probabilities(labels: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The probabilities in float64 with rows that sum to 1 to its precision.

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
    """
    if len(labels) == 0:
        raise DataError(
            fault("nothing to evaluate", got="0 images", expected="at least one", remedy="give the split some images")
        )
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise NumericsError(
            fault(
                "the model's predictions are not finite",
                got=f"{int((~finite).sum())} of {len(labels)} images with NaN or infinity",
                expected="probabilities",
                remedy="training diverged: lower optim.lr, or set runtime.precision=fp32",
            )
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DataError(
            fault(
                "labels beyond the model's classes",
                got=f"labels from {labels.min()} to {labels.max()}",
                expected=f"0 to {probabilities.shape[1] - 1}",
                remedy="evaluate with the classes that the model was trained on",
            )
        )
    exact: NDArray[np.float64] = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return exact
