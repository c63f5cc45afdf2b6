"""Turn a dataset's table into disjoint train, val and test splits that every later number stands on."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from finegrain.data.base import Data, DataConfig, Dropped, Facts, Sample, Source, Split, Table
from finegrain.data.carve import carve
from finegrain.data.copies import Copies, find_copies, group_copies, notes_on, straddling
from finegrain.data.generated import mix, read_version, size_notes
from finegrain.data.image import FileSource
from finegrain.data.pixel_cache import FingerprintedSource, PixelCache
from finegrain.data.scan import scan
from finegrain.errors import DataError, fault, fault_list, printable
from finegrain.storage import locate

_SHOWN = 20


@runtime_checkable
class DrawingSource(Source, Protocol):
    """A source that draws its images."""

    def scene(self, sample: Sample) -> str:
        """What is drawn of `sample`, at whatever size."""
        ...


def build(config: DataConfig, table: Table) -> Data:
    """Check every image file of a table, carve the splits it does not ship, and mix generated images into train.

    Args:
        config: Says how.
        table: `config.table()`.

    Raises:
        DataError: An image cannot be read, or is a copy of one in another split, and `on_bad` is "error"; a class has
            no train image; nothing is left to validate or test on; one image or one group lies in two splits; the
            generated images cannot be used, or their generator was trained on images of val or test.
    """
    samples, dropped, file_notes = table.samples, tuple[Dropped, ...](), list[str]()
    source: Source = table.source
    if isinstance(source, FileSource):  # arrays and drawings cannot be damaged one by one
        samples, dropped, copies = _check_files(samples, source, on_bad=config.on_bad)
        file_notes = [*_file_notes(source.notes()), *notes_on(copies, table.class_names)]
    digests = _digests(samples, source)
    splits, carved = _fill(samples, config)
    notes = [*table.notes, *_size_notes(config.facts, table)]
    if carved and all(sample.group is None for sample in table.samples):
        notes.append(
            "The dataset names no groups: images of one specimen or burst may lie on both sides of a carved split, "
            "which then looks better than new images would."
        )
    _check(splits, table.class_names)
    if isinstance(source, FileSource) and config.pixel_cache is not None:
        source = PixelCache(Path(config.pixel_cache).expanduser(), samples, source)
    notes += [*file_notes, *_class_notes(splits, table.class_names)]
    if dropped:
        why = "which cannot be read, or are copies of images of another split"
        notes.append(f"Left out {len(dropped)} of {len(table.samples)} images, {why}.")
    data = Data(
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        class_names=table.class_names,
        source=source,
        dropped=dropped,
        notes=tuple(notes),
        carved=tuple(carved),
        digests=digests,
        image_ids=_image_ids(samples, table.source, digests),
    )
    return data if config.synthetic is None else _with_generated(config, data, locate(config.synthetic))


def _with_generated(config: DataConfig, data: Data, path: Path) -> Data:
    """The version at `path` mixed into train."""
    generated = read_version(path, max_pixels=config.max_pixels)
    mixed = mix(data, generated, fraction=config.synthetic_fraction, seed=config.split_seed)
    taken = mixed.train[len(data.train) :]
    if not taken:
        return mixed
    fake, real = (mixed.source.read(sample) for sample in (taken[0], data.train[0]))
    return replace(mixed, notes=(*mixed.notes, *size_notes(str(path), fake=fake, real=real)))


def _check_files(
    samples: Sequence[Sample], source: FileSource, *, on_bad: str
) -> tuple[tuple[Sample, ...], tuple[Dropped, ...], list[Copies]]:
    """What can be used, exact copies in one group; what is left out; and the copies that stay."""
    found = scan(samples, source)
    usable = tuple(sample for sample in samples if sample.path in found.digests)
    copied = straddling(find_copies(usable, found.digests))
    for bad, what in ((found.unreadable, "cannot be read"), (copied, "are copies of images of another split")):
        if bad and on_bad == "error":
            faults = fault_list(f"{len(bad)} of {len(samples)} images {what}", [entry.reason for entry in bad])
            raise DataError(f"{faults}\nMend or delete them, or leave them out with data.on_bad=drop.")
    gone = {entry.path for entry in copied}
    usable = tuple(sample for sample in usable if sample.path not in gone)
    copies = find_copies(usable, found.digests)
    return group_copies(usable, copies), (*found.unreadable, *copied), copies


def _digests(samples: Sequence[Sample], source: Source) -> Mapping[str, bytes]:
    """SHA-256 of each image by path: of its file, of what a drawing is a function of, else of its pixels."""
    if isinstance(source, FileSource):
        return source.digests()
    if isinstance(source, FingerprintedSource):
        return {s.path: hashlib.sha256(source.fingerprint(s).encode()).digest() for s in samples}
    return {s.path: hashlib.sha256(source.read(s).tobytes()).digest() for s in samples}


def _image_ids(samples: Sequence[Sample], source: Source, digests: Mapping[str, bytes]) -> dict[str, str]:
    """`Data.image_ids`: the digests, but of what is drawn."""
    if isinstance(source, DrawingSource):
        digests = {s.path: hashlib.sha256(source.scene(s).encode()).digest() for s in samples}
    return {sample.path: digests[sample.path].hex()[:16] for sample in samples}


def _file_notes(notes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What is unusual about image files, each kind once with its number and an example."""
    kinds: dict[str, list[str]] = {}
    for path, found in sorted(notes.items()):
        for note in found:
            kinds.setdefault(note, []).append(path)
    return [f"{len(paths)} images: {note} (e.g. {printable(paths[0])})." for note, paths in kinds.items()]


def _fill(samples: Sequence[Sample], config: DataConfig) -> tuple[dict[Split, tuple[Sample, ...]], list[str]]:
    """The three splits, test and then val carved out of train where the dataset ships none, and notes on it."""
    pool = tuple(s for s in samples if s.split in (None, "train"))
    splits: dict[Split, tuple[Sample, ...]] = {
        "val": tuple(s for s in samples if s.split == "val"),
        "test": tuple(s for s in samples if s.split == "test"),
    }
    notes = []
    fractions: tuple[tuple[Split, float], ...] = (("test", config.test_fraction), ("val", config.val_fraction))
    for name, fraction in fractions:
        if not splits[name]:
            carved = carve(pool, fraction=fraction, seed=config.split_seed)
            pool, splits[name] = carved.kept, carved.taken
            notes.append(
                f"The dataset ships no {name} split: {len(carved.taken)} images were carved out of train, "
                f"stratified by class, with seed {config.split_seed}."
            )
    return {"train": pool, **splits}, notes


def _check(splits: dict[Split, tuple[Sample, ...]], class_names: Sequence[str]) -> None:
    """Every split has images, train has every class, and no image and no group lies in two splits."""
    faults = []
    for name, samples in splits.items():
        if not samples:
            expected, remedy = "at least one image", "add images, or assign splits or smaller groups"
            faults.append(fault(f"the {name} split is empty", got=0, expected=expected, remedy=remedy))
    trained = {sample.label for sample in splits["train"]}
    for label, class_name in enumerate(class_names):
        if label not in trained:
            remedy = "add images or leave the class out"
            faults.append(fault("class without a train image", got=class_name, expected="at least one", remedy=remedy))
    faults += _shared("image", {name: {s.path for s in samples} for name, samples in splits.items()})
    groups = {name: {s.group for s in samples if s.group is not None} for name, samples in splits.items()}
    faults += _shared("group", groups)
    if faults:
        raise DataError(fault_list("the splits cannot be used", faults))


def _shared(kind: str, identities: dict[Split, set[str]]) -> Iterable[str]:
    for first, second in itertools.combinations(identities, 2):
        for identity in sorted(identities[first] & identities[second]):
            what, remedy = f"one {kind} in both {first} and {second}", f"assign the {kind} to one split"
            yield fault(what, got=identity, expected="disjoint splits", remedy=remedy)


def _size_notes(facts: Facts | None, table: Table) -> list[str]:
    """Where a public dataset's folder does not hold the official number of images."""
    counts = Counter(sample.split for sample in table.samples)
    official: dict[Split, int] = {}
    if facts is not None:
        official = {"train": facts.train, "val": facts.val, "test": facts.test}
    return [
        f"The folder lists {counts[name]} {name} images, the official dataset {number}: results do not compare."
        for name, number in official.items()
        if counts[name] != number
    ]


def _class_notes(splits: dict[Split, tuple[Sample, ...]], class_names: Sequence[str]) -> list[str]:
    """Which classes cannot be evaluated."""
    notes = []
    for name, samples in splits.items():
        present = {sample.label for sample in samples}
        absent = [class_name for label, class_name in enumerate(class_names) if label not in present]
        if absent:
            shown = absent[:_SHOWN] + ["..."] * (len(absent) > _SHOWN)
            notes.append(f"Classes without a {name} image ({len(absent)}): {', '.join(shown)}.")
    return notes
