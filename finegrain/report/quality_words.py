"""What was found out about generated images, in sentences: verdicts from intervals, never from a number alone."""

from collections.abc import Iterator, Sequence

from finegrain.metrics.comparison import Comparison
from finegrain.metrics.memorisation import Memorisation
from finegrain.metrics.statistics import Interval
from finegrain.report.escape import one_line
from finegrain.report.format import interval, is_p, percent, signed
from finegrain.report.quality_record import QualityRecord, VersionRecord

_NAMED = 5


def ranking(record: QualityRecord) -> list[str]:
    """Which versions teach more than which, best first, or that they cannot be told apart; of one version nothing."""
    names = [one_line(version.name) for version in record.versions]
    sentences = []
    for (one, other), compared in sorted(record.compared.items()):
        verdict = compared.verdict()
        said = "cannot be told apart by what they teach"
        if verdict != "no evidence":
            said = f"differ: {names[one if verdict == 'better' else other]} teaches more"
        sentences.append(f"{names[one]} and {names[other]} {said} ({_points(compared)}).")
    return sentences


def findings(version: VersionRecord, record: QualityRecord) -> list[str]:
    """What the numbers of a version say, one sentence each: its worth first."""
    return [
        _teaches(version, record),
        _shows(version, record),
        _distance(version),
        *_collapse(version, record.class_names),
        _copies(version),
    ]


def in_short(version: VersionRecord, record: QualityRecord) -> str:
    """A version in one line, for a terminal and under a heading."""
    return f"{one_line(version.name)}: {_teaches(version, record)} {_shows(version, record)}"


def _teaches(version: VersionRecord, record: QualityRecord) -> str:
    compared = version.against_real
    verdict = {
        "better": "They teach more than as many real images",
        "worse": "They teach less than as many real images",
        "no evidence": "What they teach cannot be told from what as many real images teach",
    }[compared.verdict()]
    taught, real = version.taught, record.real_taught
    trained = f"trained on {taught.n_train:,} of them alone"
    if taught.trainings > 1:
        trained += f", {taught.trainings} times on others,"
    return (
        f"{verdict}: a classifier {trained} recognises "
        f"{_share(taught.accuracy, taught.interval)} of {len(taught.labels):,} real test images, one trained on real "
        f"ones {_share(real.accuracy, real.interval)} ({_points(compared)})."
    )


def _shows(version: VersionRecord, record: QualityRecord) -> str:
    shown, real, chance = version.shown, record.real, record.chance
    if shown.interval[0] <= chance:
        verdict = "They do not show their classes"
    elif shown.interval[1] < real.interval[0]:
        verdict = "They show their classes less often than real images"
    elif shown.interval[0] > real.interval[1]:
        verdict = "They show their classes more plainly than real images"
    else:
        verdict = "They show their classes about as often as real images"
    return (
        f"{verdict}: a classifier that has seen no generated image recognises {_share(shown.accuracy, shown.interval)} "
        f"of {shown.n:,}, and {_share(real.accuracy, real.interval)} of real test images; chance is {percent(chance)}."
    )


def _distance(version: VersionRecord) -> str:
    overall = version.distances.overall
    ends = "" if overall.interval is None else f" ({overall.interval[0]:.3g} to {overall.interval[1]:.3g})"
    classes = [row.result for row in version.distances.classes if row.result is not None]
    above = sum(result.above_floor for result in classes)
    return (
        f"They are {'' if overall.above_floor else 'no '}further from held-out images than those from each other: "
        f"kernel distance {overall.value:.3g}{ends}, floor {overall.floor.high:.3g}, n = {overall.n_fake:,} each; "
        f"of {_classes(len(classes))} by themselves {above} are."
    )


def _collapse(version: VersionRecord, class_names: Sequence[str]) -> Iterator[str]:
    if collapsed := version.collapsed:
        names = ", ".join(one_line(class_names[label]) for label in collapsed[:_NAMED])
        more = f" and {len(collapsed) - _NAMED} more" if len(collapsed) > _NAMED else ""
        yield f"In {_classes(len(collapsed))} they are surely less than half as diverse as real ones: {names}{more}."


def _copies(version: VersionRecord) -> str:
    found: Memorisation | None = version.memorisation
    if found is None:
        return f"Whether they are copies is not measured: {version.unmeasured}."
    verdict = "Some are copies of train images" if version.copied else "No more look like copies than of new images"
    return (
        f"{verdict}: {percent(found.rate)} are nearer to a train image than the nearest "
        f"{percent(found.expected_rate)} of {found.n_held_out:,} held-out images ({is_p(found.p)}); "
        f"{percent(found.duplicate_rate)} are duplicates of each other within a class."
    )


def _classes(number: int) -> str:
    return "1 class" if number == 1 else f"{number} classes"


def _share(value: float | None, ends: Interval | None) -> str:
    return percent(value) if ends is None else f"{percent(value)} ({interval(ends)})"


def _points(compared: Comparison) -> str:
    said = f"{signed(compared.difference)} points"
    if compared.interval is not None:
        said += f", {' to '.join(map(signed, compared.interval))}"
    if compared.adjusted_p is not None:
        said += f", {is_p(compared.adjusted_p)}"
    return said
