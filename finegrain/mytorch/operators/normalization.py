"""Softmax, the cross-entropy that contains it, and batch normalisation."""

import numpy as np

from finegrain.errors import fault
from finegrain.mytorch.array import Array, Recorded, check_floats, positive_axes, shape_error


def softmax(x: Array, *, dim: int) -> Recorded:
    """e^x by its sum along one axis, of x less its largest, so that nothing overflows."""
    check_floats("softmax", x)
    (axis,) = positive_axes(dim, x.shape)
    result = np.exp(_log_softmax(x, axis))
    return result, (lambda g: result * (g - (g * result).sum(axis=axis, keepdims=True)),)


def log_softmax(x: Array, *, dim: int) -> Recorded:
    """The logarithm of `softmax`, finite where that is rounded to 0."""
    check_floats("log_softmax", x)
    (axis,) = positive_axes(dim, x.shape)
    result = _log_softmax(x, axis)
    return result, (lambda g: g - np.exp(result) * g.sum(axis=axis, keepdims=True),)


def cross_entropy(logits: Array, *, target: Array) -> Recorded:
    """Mean over the batch of −Σ target · log softmax(logits); the gradient is (softmax − target) / B.

    Args:
        logits: [B, K].
        target: Classes [B], integers, or probabilities [B, K].
    """
    check_floats("cross_entropy", logits)
    classes = target.dtype.kind in "iu"
    if logits.ndim != 2 or target.shape != (logits.shape[:1] if classes else logits.shape):
        expected = "logits [B, K] and integer classes [B] or probabilities [B, K]"
        raise shape_error("cross_entropy", logits.shape, target.shape, expected=expected, remedy="view the logits")
    if classes:
        target = _one_hot(target, logits)
    likelihoods = _log_softmax(logits, 1)
    mass = target.sum(axis=1, keepdims=True)
    # Of classes by choice and not by product: the logit of another class may be −inf.
    loss = -(likelihoods[target == 1] if classes else target * likelihoods).sum() / len(logits)
    return loss, (lambda g: g * (np.exp(likelihoods) * mass - target) / len(logits),)


def batch_norm(x: Array, weight: Array, bias: Array, *, mean: Array, var: Array, eps: float, batch: bool) -> Recorded:
    """weight · (x − mean) / √(var + eps) + bias, for each channel.

    Args:
        x: [B, C, ...].
        weight: [C].
        bias: [C].
        mean: [C].
        var: Variance [C], of the population.
        eps: Keeps the root away from 0.
        batch: Mean and variance are those of `x`, so that the gradient flows through them too:
            weight / √(var + eps) · (g − mean(g) − x̂ · mean(g · x̂)); else they are constants.
    """
    check_floats("batch_norm", x)
    axes, across = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    scale = 1 / np.sqrt(var + eps)
    normed = (x - mean.reshape(across)) * scale.reshape(across)

    def to_input(g: Array) -> Array:
        if batch:
            along = (g * normed).mean(axis=axes, keepdims=True)
            g = g - g.mean(axis=axes, keepdims=True) - normed * along
        return g * (weight * scale).reshape(across)

    result = normed * weight.reshape(across) + bias.reshape(across)
    return result, (to_input, lambda g: (g * normed).sum(axis=axes), lambda g: g.sum(axis=axes))


def _log_softmax(x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return result


def _one_hot(classes: Array, logits: Array) -> Array:
    known = logits.shape[1]
    outside = classes[(classes < 0) | (classes >= known)]
    if outside.size:
        expected = f"0 to {known - 1}, as the logits are {list(logits.shape)}"
        raise IndexError(fault("no such class", got=int(outside[0]), expected=expected, remedy="check the labels"))
    result = np.zeros_like(logits)
    result[np.arange(len(classes)), classes] = 1
    return result
