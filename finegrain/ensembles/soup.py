"""A soup: one model whose weights are the average of several models' weights, at the cost of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from finegrain.engine.evaluate import Predictions
from finegrain.ensembles.members import Member
from finegrain.models.classifier import Classifier

_ALIKE = {
    "architecture": "architecture",
    "image size": "model.image_size",
    "crop": "model.crop_fraction",
    "the weights they started from": "model.weights",
    "the number of their prompts": "tuning.count",
    "the depth of their prompts": "tuning.deep",
}
"""What the members must share: in words, and by its key in the identity of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Soup:
    """An average of weights."""

    model: Classifier
    kept: tuple[int, ...]
    """Positions of the models in it."""
    val: Predictions
    """What it says of val."""


def why_not(members: Sequence[Member]) -> str:
    """What stands against a soup of these models, in words; empty where nothing does."""
    if any(member.load is None for member in members):
        return "heads on features have no weights on the disk"
    if any(member.knows_val for member in members):
        return "the members share no val split that could choose"
    for what, key in _ALIKE.items():
        values = dict.fromkeys(str(member.identity.get(key)) for member in members)
        if len(values) > 1:
            return f"the members differ in {what}: {', '.join(values)}"
    if members[0].identity.get("model.weights") is None:
        return "the members started from random weights, between which there is no way without a loss"
    return ""


def greedy_soup(
    ranked: Sequence[Callable[[], Classifier]], *, see: Callable[[Classifier], Predictions], first: Predictions
) -> Soup:
    """Average weights greedily: a model is kept where the average with it gets no fewer val images right.

    Wortsman et al., "Model soups", ICML 2022, recipe 1. Two models are in memory at once. The running statistics of
    batch norm are averaged like weights; what that costs, val shows.

    Args:
        ranked: Read the models, which differ in nothing but values, the best on val first; one or more.
        see: Predicts val.
        first: What the first of them says of val.
    """
    soup = Soup(model=ranked[0](), kept=(0,), val=first)
    for position, load in enumerate(ranked[1:], start=1):
        model = load()
        _stir(model, soup.model, parts=len(soup.kept))
        val = see(model)
        if top1(val) >= top1(soup.val):
            soup = Soup(model=model, kept=(*soup.kept, position), val=val)
    return soup


def top1(said: Predictions) -> float:
    """The share of images that are recognised."""
    return float((said.probabilities.argmax(axis=1) == said.labels).mean())


@torch.no_grad()
def _stir(model: Classifier, soup: Classifier, *, parts: int) -> None:
    """Turn `model` into the average of itself and the `parts` models in `soup`."""
    stirred = soup.state_dict()
    for name, values in model.state_dict().items():
        if values.is_floating_point():
            values.copy_(torch.lerp(stirred[name], values, 1 / (parts + 1)))
