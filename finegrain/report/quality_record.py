"""Everything a judgement of generated images has to tell, as plain values: what its page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finegrain.metrics.by_class import KernelDistances, OfClass
from finegrain.metrics.comparison import Comparison
from finegrain.metrics.density_coverage import DensityCoverage
from finegrain.metrics.diversity import Diversity
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.memorisation import Memorisation
from finegrain.metrics.recognition import Recognition, Taught


@dataclass(frozen=True, kw_only=True, slots=True)
class Twin:
    """A generated image beside the train image that it is nearest to."""

    image: bytes
    """A small picture as JPEG."""
    train: bytes
    label: int
    """What the generated one was asked to show."""
    path: str
    train_path: str
    ratio: float
    """Their distance over the threshold: at most 1 for a copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRecord:
    """What was found out about one folder of generated images."""

    name: str
    sha256: str
    """Of its manifest."""
    given: int
    """Images in the folder."""
    n: int
    """Images that were judged."""
    counts: Sequence[int]
    """Of these, images of each class [K]."""
    distances: KernelDistances
    """To real images that were held out, with as many generated ones of each class as real ones."""
    places: DensityCoverage
    """Of the same images."""
    diversities: tuple[OfClass[Diversity], ...]
    shown: Recognition
    """How many a classifier recognises that was trained on real train images alone (GAN-test)."""
    shown_by_class: tuple[Recognition, ...]
    """[K]."""
    taught: Taught
    """Test accuracy of classifiers trained on these images alone (GAN-train, or CAS)."""
    against_real: Comparison
    """The same minus that of a classifier trained on as many real images."""
    memorisation: Memorisation | None
    unmeasured: str
    """Why there is none; else empty."""
    twins: Sequence[Twin]
    """The nearest to train, nearest first."""
    strips: Mapping[int, bytes]
    """Some images of a class side by side, as JPEG, by label; of the first classes alone."""

    @property
    def collapsed(self) -> list[int]:
        """Labels of the classes whose images are surely less than half as diverse as real ones."""
        return [row.label for row in self.diversities if row.result is not None and row.result.collapsed]

    @property
    def copied(self) -> bool:
        """Whether more images look like copies of train than of real images that were held out."""
        return self.memorisation is not None and self.memorisation.p < 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityRecord:
    """Versions judged by one extractor, on the same real images and with the same number of images of each class."""

    name: str
    class_names: Sequence[str]
    """K."""
    judged: Sequence[int]
    """Labels of the classes that every version has."""
    versions: tuple[VersionRecord, ...]
    """The one that teaches most first."""
    compared: Mapping[tuple[int, int], Comparison]
    """What two of them teach, the first minus the second, by their places; a family."""
    extractor: Extractor
    features: int
    """D."""
    real: Recognition
    """Test images that the classifier of GAN-test recognises."""
    real_by_class: tuple[Recognition, ...]
    """[K]."""
    real_taught: Taught
    """Test accuracy of a classifier trained on as many real images as each on generated ones."""
    strips: Mapping[int, bytes]
    """As a version's, of train."""
    counts: Mapping[str, int]
    """Images of each split."""
    identity: Mapping[str, str]
    """Digests of the splits and of what their images show."""
    test_evaluations: int
    seconds: Mapping[str, float]
    environment: Mapping[str, str]
    recipe_source: str
    notes: Sequence[str] = ()

    @property
    def chance(self) -> float:
        """What the classifier of GAN-test would get by guessing."""
        return 1 / len(self.class_names)
