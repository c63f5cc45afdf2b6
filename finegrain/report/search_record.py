"""Everything a search of settings has to tell, as plain values: what its page and table are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Varied:
    """One field of the recipe that was searched."""

    key: str
    words: str
    """What it might be, for people."""
    choices: tuple[str, ...] = ()
    """Empty where it is a number between `low` and `high`."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether `low` to `high` was searched on a logarithmic scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One training with values of its own."""

    number: int
    values: Mapping[str, object]
    """By key: numbers, and the words of choices."""
    figure: float | None
    """The validation figure of the epoch it keeps; None where no epoch was finished."""
    loss: float | None
    """Validation loss of that epoch, in nats."""
    kept_epoch: int | None
    """Counted from 0."""
    epochs: int
    """How many were trained."""
    seconds: float
    """Time of the epochs."""
    stopped: str = ""
    """Why it was not trained to its end; empty where it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalResult:
    """What the run with the best setting, on all of train, did on test."""

    top1: float
    interval: tuple[float, float]
    """95 %, of the images."""
    loss: float
    """Log-loss, in nats."""
    n: int
    page: str
    """Path of its own report from the folder of this one."""
    looks: int
    """How often test was looked at in this folder, by this run and any before it."""
    train_images: int
    parameters: int
    """All of them, trained or not."""
    trained: int
    """Parameters that were trained."""
    seconds: float
    """Time of the training."""
    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecord:
    """One search."""

    name: str
    monitor: str
    """Validation metric that chose: `top1`, `macro_f1` or `loss`."""
    varied: Sequence[Varied]
    trials: Sequence[Trial]
    """In the order they began."""
    best: Trial
    setting: Sequence[str]
    """The best values as KEY=VALUE words."""
    protocol: Sequence[str]
    """On what the trials were trained, what chose, and what stopped them: one plain sentence each."""
    importances: Mapping[str, float]
    """Share of each key in the variance of the figures, by fANOVA; empty where there are too few trials to say."""
    test: FinalResult | None
    """None before that run is finished."""
    recipe_source: str
    """The recipe that was varied, as Python."""
    environment: Mapping[str, str] = field(default_factory=dict)
