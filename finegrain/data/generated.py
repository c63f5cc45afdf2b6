"""Generated images: read from the folder of a version, and mixed into train, never into val or test."""

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Data, DataConfig, Sample, Source, content_key
from finegrain.data.image import FileSource
from finegrain.errors import ConfigError, DataError, fault

SETTINGS, MANIFEST, TRAIN_IMAGES = "generation.json", "manifest.jsonl", "train_images.txt"
"""Files of a version's folder: what was asked for, a line for each image, and what its generator was trained on."""
_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """The images of a version that were kept."""

    path: Path
    samples: tuple[Sample, ...]
    """In the manifest's order. Paths are unlike those of any real image."""
    class_names: tuple[str, ...]
    """In the order of the labels: those that images were asked of."""
    asked: tuple[int, ...]
    """How many were asked for of each class; fewer may have been kept."""
    source: "GeneratedSource"
    digests: Mapping[str, bytes]
    """SHA-256 of each file by path."""
    train_images: frozenset[str] | None
    """`Data.image_ids` of all that its generator and its filter were trained on; None where that is not known."""
    filter_known: bool
    """Whether that holds of the filter, too, if there was one."""
    settings: Mapping[str, Any]
    """All that its images depend on."""
    sha256: str
    """Of the manifest."""

    @property
    def emptied(self) -> tuple[str, ...]:
        """Classes that images were asked of, and of which none was kept."""
        kept = {sample.label for sample in self.samples}
        return tuple(name for label, name in enumerate(self.class_names) if label not in kept)

    @property
    def filter_taught_by(self) -> str | None:
        """The generated images that its filter itself learned from; None where that is not known of any."""
        found = (self.settings.get("filter") or {}).get("taught_by")
        return None if found is None else str(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedSource:
    """Reads the images of one version, whose paths begin with `prefix`, and all others from `real`."""

    prefix: str
    files: FileSource
    real: Source | None = None

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3]; raises DataError where it cannot be read."""
        own, source = self._resolve(sample)
        return source.read(own)

    def content_key(self, sample: Sample) -> bytes:
        """32 bytes that change whenever the pixels of `sample` do."""
        return content_key(*self._resolve(sample))

    def _resolve(self, sample: Sample) -> tuple[Sample, Source]:
        if self.real is not None and not sample.path.startswith(self.prefix):
            return sample, self.real
        return dataclasses.replace(sample, path=sample.path.removeprefix(self.prefix)), self.files


def listed(ids: Iterable[str]) -> bytes:
    """The content of a file `TRAIN_IMAGES`: a line for each."""
    return "".join(f"{line}\n" for line in sorted(ids)).encode("ascii")


def read_version(path: Path, *, max_pixels: int = 50_000_000) -> Generated:
    """Read the folder that `main_gan.py --gen` wrote at `path`; every file is compared with the manifest.

    Args:
        path: The folder.
        max_pixels: An image with more pixels is refused.

    Raises:
        DataError: It is no such folder, not finished, or damaged.
    """
    if not (path / SETTINGS).is_file():
        got = f"no {SETTINGS} in it" if path.is_dir() else "no such folder"
        expected, remedy = "a folder that main_gan.py --gen wrote", "make one, or name another"
        raise DataError(fault(f"{path} holds no generated images", got=got, expected=expected, remedy=remedy))
    try:
        return _read(path, FileSource(path, max_pixels))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        got = f"no {error}" if isinstance(error, KeyError) else str(error)
        remedy = f"give its command with --out {path} again, which makes what is missing, or make another version"
        expected = "the folder as main_gan.py --gen wrote it"
        raise DataError(fault(f"{path} is not whole", got=got, expected=expected, remedy=remedy)) from error


def _read(path: Path, files: FileSource) -> Generated:
    settings: dict[str, Any] = json.loads((path / SETTINGS).read_bytes())
    manifest = (path / MANIFEST).read_bytes()
    rows: list[dict[str, Any]] = [json.loads(line) for line in manifest.splitlines()]
    if len(rows) != settings["images"]:
        raise ValueError(f"{len(rows)} of {settings['images']} images")
    names, asked = tuple(settings["classes"]), Counter(row["class"] for row in rows)
    kept = [row for row in rows if row["kept"] is True]
    samples = [Sample(path=row["path"], label=names.index(row["class"]), split="train") for row in kept]
    for sample, row in zip(samples, kept, strict=True):
        files.content_key(sample)  # from here on it refuses a file that changes
        if files.digests()[sample.path].hex() != row["sha256"]:
            raise ValueError(f"{sample.path} with other bytes than {MANIFEST} says")
    sha256 = hashlib.sha256(manifest).hexdigest()
    prefix = f"generated://{sha256[:16]}/"
    return Generated(
        path=path,
        samples=tuple(dataclasses.replace(sample, path=prefix + sample.path) for sample in samples),
        class_names=names,
        asked=tuple(asked[name] for name in names),
        source=GeneratedSource(prefix=prefix, files=files),
        digests={prefix + name: digest for name, digest in files.digests().items()},
        filter_known=settings.get("filter") is None or settings["filter"]["knows_its_train_images"] is True,
        train_images=_train_images(path / TRAIN_IMAGES, settings["train_images"]),
        settings=settings,
        sha256=sha256,
    )


def _train_images(file: Path, sha256: str | None) -> frozenset[str] | None:
    if sha256 is None:
        return None
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file.name} with other bytes than {SETTINGS} says")
    return frozenset(content.decode("ascii").split())


def mix(data: Data, generated: Generated, *, fraction: float | None, seed: int) -> Data:
    """Add generated images to train; val and test stay as they are.

    Args:
        data: Real images.
        generated: Of some of their classes, or all.
        fraction: Share of generated images in the new train split, f: in each class that the version has with r real
            images they are f / (1 - f) · r, rounded so that their total is right; None: all images there are.
        seed: Chooses them; those of a smaller fraction are among those of a larger one.

    Raises:
        DataError: A class is not in the data, an image of val or test is among those that the generator was trained on,
            that is not known, or there are too few images.
    """
    if unknown := [name for name in generated.class_names if name not in data.class_names]:
        got, expected = _some(unknown), f"those of the data: {_some(data.class_names)}"
        what, remedy = (
            f"{generated.path} has other classes",
            "generate from these classes, or give the --config of its data",
        )
        raise DataError(fault(what, got=got, expected=expected, remedy=remedy))
    _refuse_leak(data, generated)
    labels = [data.class_names.index(name) for name in generated.class_names]
    pool = [dataclasses.replace(sample, label=labels[sample.label]) for sample in generated.samples]
    shown = generated.digests  # the draw is one of images, whatever the version's folder is called
    pool.sort(key=lambda sample: hashlib.sha256(f"{seed} {shown[sample.path].hex()}".encode()).digest())
    if fraction is not None:
        numbers = _numbers(data, labels, fraction)
        _require(generated, {name: numbers[label] for name, label in zip(generated.class_names, labels, strict=True)})
        places = [[sample for sample in pool if sample.label == label][:number] for label, number in numbers.items()]
        pool = [sample for part in places for sample in part]
    return dataclasses.replace(
        data,
        train=(*data.train, *sorted(pool, key=lambda sample: sample.path)),
        source=dataclasses.replace(generated.source, real=data.source),
        digests={**data.digests, **generated.digests},
        image_ids={**data.image_ids, **{path: digest.hex()[:16] for path, digest in generated.digests.items()}},
        notes=(*data.notes, *_notes(data, generated, pool)),
        synthetic=f"{len(pool)} images of {generated.sha256}",
    )


def _refuse_leak(data: Data, generated: Generated) -> None:
    """Images that the generator knows must not judge a classifier that learns from it."""
    remedy = "divide the data as for the generator (and its filter), train these anew, or set data.synthetic=none"
    if generated.train_images is None:
        what, expected = f"{generated.path} does not tell which images its generator was trained on", TRAIN_IMAGES
        raise DataError(fault(what, got="no list of them", expected=expected, remedy=remedy))
    found = {
        split: [sample.path for sample in samples if data.image_ids[sample.path] in generated.train_images]
        for split, samples in (("val", data.val), ("test", data.test))
    }
    if any(found.values()):
        got = ", ".join(f"{len(paths)} of {split} ({_some(paths)})" for split, paths in found.items() if paths)
        what = f"the generator of {generated.path} was trained on images that are to judge"
        raise DataError(fault(what, got=got, expected="no image of val or test", remedy=remedy))


def _numbers(data: Data, labels: Sequence[int], fraction: float) -> dict[int, int]:
    """How many generated images each of `labels` gets: by largest remainders."""
    counts = data.class_counts()
    exact = {label: fraction / (1 - fraction) * counts[label] for label in labels}
    numbers = {label: int(number) for label, number in exact.items()}
    missing = round(sum(exact.values())) - sum(numbers.values())
    for label in sorted(labels, key=lambda label: (numbers[label] - exact[label], label))[:missing]:
        numbers[label] += 1
    return numbers


def _require(generated: Generated, numbers: Mapping[str, int]) -> None:
    """Refuse a version that holds fewer images than are to be taken."""
    kept = Counter(generated.class_names[sample.label] for sample in generated.samples)
    short = [name for name, number in numbers.items() if kept[name] < number]
    if not short:
        return
    asked = dict(zip(generated.class_names, generated.asked, strict=True))
    needed = max(math.ceil(numbers[name] * asked[name] / max(kept[name], 1)) for name in short)
    worst = min(short, key=lambda name: kept[name] / numbers[name])
    got = f"{kept[worst]} of {worst}, too few of {len(short)} of {len(numbers)} classes"
    more = f"make more by --gen --per-class {needed}" if kept[worst] else "choose another generator or filter"
    remedy = f"{more}, or lower it; data.synthetic_fraction=none takes all there are"
    what = f"{generated.path} has too few images for this share of generated ones"
    raise DataError(fault(what, got=got, expected=f"{numbers[worst]} of it", remedy=remedy))


def _notes(data: Data, generated: Generated, taken: Sequence[Sample]) -> list[str]:
    """What a reader of the numbers must know."""
    share = len(taken) / (len(data.train) + len(taken))
    notes = [
        f"Train holds {len(taken)} generated images of {generated.path}, {share:.1%} of it; val and test hold none."
    ]
    made = {sample.label for sample in taken}
    if lacking := [name for label, name in enumerate(data.class_names) if label not in made]:
        notes.append(f"Classes without a generated image ({len(lacking)}): {_some(lacking)}.")
    if generated.filter_taught_by is not None:
        notes.append(f"The filter of the generated images itself learned from {generated.filter_taught_by}.")
    if not generated.filter_known:
        notes.append(
            "Which images the filter of the generated ones was trained on, perhaps val's or test's, is not known."
        )
    if not (generated.train_images or frozenset()).intersection(data.train_images()):
        notes.append(
            "No train image is among those that the generator was trained on: whether it saw those of val or test as "
            "other files is not known."
        )
    return notes


def size_notes(name: str, *, fake: NDArray[np.uint8], real: NDArray[np.uint8]) -> list[str]:
    """What sets the images of the version `name` apart from real ones, if one [H, W, 3] is smaller than the other."""
    sides = min(fake.shape[:2]), min(real.shape[:2])
    if sides[0] >= sides[1]:
        return []
    apart = "being less sharp sets them apart, too"
    return [f"The images of {name} have {sides[0]} pixels a side, the first of train {sides[1]}: {apart}."]


def refuse(config: DataConfig, *, command: str) -> None:
    """Refuse generated images where what a generator was trained on would judge or choose.

    Raises:
        ConfigError: There are to be some.
    """
    if config.synthetic is not None:
        what = (
            f"{command} takes no generated images: it judges, or chooses, by images of train, which their generator saw"
        )
        remedy = "set data.synthetic=none, and compare by trainings with several seeds"
        raise ConfigError(fault(what, got=f"data.synthetic={config.synthetic}", expected="none", remedy=remedy))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
