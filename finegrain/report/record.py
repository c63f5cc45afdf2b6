"""Everything a run has to tell, as plain values: what every page and table of the report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.classification import ClassificationMetrics
from finegrain.metrics.confidence import Confidence
from finegrain.metrics.mistakes import Extremes, Mistake
from finegrain.report.perception_record import Perception


class Predictions(Protocol):
    """What a model said of the N images of a split."""

    @property
    def paths(self) -> Sequence[str]:
        """Path of each image, N of them."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """True class indices [N]."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each class [N, K]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """An image shown beside another for comparison."""

    path: str
    image: bytes
    """A small JPEG."""
    cosine: float
    """Of their features, in [−1, 1]."""
    among: int
    """How many it is the most similar of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A mistake, ready to be shown."""

    mistake: Mistake
    image: bytes
    """A small JPEG."""
    like_predicted: Likeness | None = None
    """The most similar image learned from of the class it was given to; None where there is none."""
    like_label: Likeness | None = None
    """The same of the class it is listed under."""
    heat: bytes | None = None
    """A small JPEG of what in it speaks for the class it was given to rather than for its own; None: not explained."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureMap:
    """Some images of the test split as points of a plane."""

    rows: tuple[int, ...]
    """Of the predictions [M]."""
    places: NDArray[np.float64]
    """[M, 2]; see `features.embedding.embed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorAnalysis:
    """What the errors on test look like."""

    mistakes: Sequence[Shown] = ()
    """The surest, surest first."""
    unexplained: str = ""
    """Why none of them is explained by a map, as a message; empty where they are."""
    extremes: Sequence[Extremes] = ()
    """Rows of the predictions."""
    stamps: Mapping[int, bytes] = field(default_factory=dict)
    """A small JPEG of every row that `extremes` names."""
    feature_map: FeatureMap | None = None
    """None where there are too few images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """Parameter counts of the model."""

    total: int
    trainable: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitRecord:
    """Size and identity of one split."""

    count: int
    """Number of images."""
    sha256: str
    """Hash of its ids and labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One run: its numbers, and what is needed to judge and repeat them. K classes, N test images."""

    name: str
    class_names: Sequence[str]
    """K names in the order of the model's outputs."""
    test: ClassificationMetrics
    predictions: Predictions
    """Of the test split."""
    test_evaluations: int
    """How often this run has read the test split; a clean run says 1."""
    parameters: Parameters
    splits: Mapping[str, SplitRecord]
    """By split: `train`, `val`, `test`."""
    val: ClassificationMetrics | None = None
    views: str = "plain"
    """What each prediction is an average over; see `data.transforms.eval_views`."""
    checkpoint: str | None = None
    """Name of the folder of the model that was judged."""
    confidence: Confidence | None = None
    """What the probabilities are worth; None where there was no val split to fit anything on."""
    history: Sequence[Mapping[str, float]] = ()
    """One row an epoch: epoch, train_loss, eval_loss, eval_top1, eval_top5, lr, with train_top1 where images were not
    mixed, and test_loss and test_top1 where test was judged for the curves; empty where nothing was trained."""
    kept_epoch: int | None = None
    """Epoch of the weights that were evaluated."""
    val_chose: bool = True
    """Whether validation chose it."""
    errors: ErrorAnalysis = field(default_factory=ErrorAnalysis)
    perception: Perception = field(default_factory=Perception)
    """What the model looks for."""
    architecture: str = ""
    """The network's name with its library, e.g. `timm/resnet50`."""
    structure: str = ""
    """The layers as a table in text, as `models.summary.structure` writes it; empty where it is not known."""
    recipe_source: str = ""
    """The resolved recipe as Python."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time by phase."""
    peak_memory_bytes: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions, device and the like."""
    dropped: Sequence[tuple[str, str]] = ()
    """Images left out of the data: (path, reason)."""
    notes: Sequence[str] = ()
    """What a reader should know before trusting the numbers, one sentence each."""

    @property
    def curve_looks(self) -> int:
        """How many of the test evaluations were for the curves alone."""
        return sum("test_top1" in row for row in self.history)
