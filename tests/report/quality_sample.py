"""A record of judged versions, made by hand: what a page of it must show is known."""

from typing import Any

import numpy as np

from finegrain.metrics.by_class import KernelDistances, OfClass
from finegrain.metrics.density_coverage import DensityCoverage
from finegrain.metrics.diversity import Diversity
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import Floor, KernelDistance
from finegrain.metrics.memorisation import Memorisation
from finegrain.metrics.recognition import Recognition, Taught, every_pair
from finegrain.report.gallery import strip, thumbnail
from finegrain.report.quality import QualityReport
from finegrain.report.quality_record import Twin, VersionRecord

NETWORK = Extractor(name="resnet50 at 224 px", sha256="ab" * 32)
LABELS = np.arange(200) % 2
PIXELS = np.zeros((8, 8, 3), np.uint8)


def taught(right: int, *, trainings: int = 1) -> Taught:
    """The first so many of 200 test images are recognised."""
    return Taught(hits=np.tile(np.arange(200) < right, (trainings, 1)), labels=LABELS, n_train=80)


def distance(value: float) -> KernelDistance:
    floor = Floor(n=50, mean=0.0, high=0.01)
    return KernelDistance(
        value=value, interval=(value / 2, value * 2), p=0.25, floor=floor, extractor=NETWORK, features=8, n_real=90,
        n_fake=90,
    )  # fmt: skip


def diversity(ratio: float) -> Diversity:
    return Diversity(ratio=ratio, interval=(ratio / 2, ratio), real=1.0, fake=ratio, n_real=45, n_fake=45)


def of_class(label: int, result: Any) -> OfClass[Any]:
    return OfClass(label=label, n_real=45, n_fake=45, result=result, remark="" if result else "too few images")


def memorisation(*, p: float = 0.5, copies: int = 2) -> Memorisation:
    return Memorisation(
        threshold=0.5, expected_rate=0.01, expected_range=(0.005, 0.02), n_held_out=199, distance=np.ones(100), p=p,
        nearest_train=np.zeros(100, np.int64), copies=np.arange(copies), duplicates=np.arange(3),
    )  # fmt: skip


def version(name: str = "A", *, right: int = 120, shown: int = 60, far: float = 0.5, **changes: Any) -> VersionRecord:
    """A version that teaches `right` of 200 test images and shows its class in `shown` of 100 images."""
    score = taught(right)
    settings: dict[str, Any] = {
        "name": name, "sha256": "cd" * 32, "given": 120, "n": 100, "counts": (50, 50, 0),
        "distances": KernelDistances(
            overall=distance(far), classes=(of_class(0, distance(far)), of_class(1, None)), adjusted_p=(0.5, None)
        ),
        "places": DensityCoverage(density=0.9, coverage=0.8, like_coverage=0.95, k=5, n_real=90, n_fake=90),
        "diversities": (of_class(0, diversity(0.8)), of_class(1, None)),
        "shown": Recognition(right=shown, n=100),
        "shown_by_class": tuple(Recognition(right=r, n=n) for r, n in ((shown // 2, 50), (shown // 2, 50), (0, 0))),
        "taught": score, "against_real": score.minus(taught(160)), "memorisation": memorisation(), "unmeasured": "",
        "twins": [Twin(image=thumbnail(PIXELS), train=thumbnail(PIXELS), label=1, path="generated://cd/wren/7.png",
                       train_path="train/wren/3.jpg", ratio=0.75)],
        "strips": {0: strip([PIXELS] * 3, side=8), 1: strip([PIXELS], side=8)},
    }  # fmt: skip
    return VersionRecord(**{**settings, **changes})


def report(*versions: VersionRecord, **changes: Any) -> QualityReport:
    """Of the versions given, in their order."""
    versions = versions or (version(),)
    settings: dict[str, Any] = {
        "name": "birds", "class_names": ("jay", "wren", "owl"), "judged": (0, 1), "versions": versions,
        "compared": every_pair([one.taught for one in versions]), "extractor": NETWORK, "features": 8,
        "real": Recognition(right=160, n=200), "real_taught": taught(160),
        "real_by_class": (Recognition(right=90, n=100), Recognition(right=70, n=100), Recognition(right=0, n=0)),
        "strips": {0: strip([PIXELS], side=8), 1: strip([PIXELS], side=8)}, "counts": {"train": 80, "test": 200},
        "identity": {"train split": "ef" * 32}, "test_evaluations": 1, "seconds": {"features": 61.0},
        "environment": {"torch": "2"}, "recipe_source": "def config(): ...", "notes": ("A note.",),
    }  # fmt: skip
    return QualityReport(**{**settings, **changes})
