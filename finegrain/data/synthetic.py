"""SyntheticBirds: drawn bird species that differ in few parts, with the box of every part; needs no files.

The pixels of an image are a function of (seed, species, index) and the size alone: the same in any order and process.
"""

import csv
import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finegrain.config import Count, CountOrZero, Range
from finegrain.data.base import DataConfig, Facts, Sample, Split, Table
from finegrain.data.birds.photograph import Rendered, render
from finegrain.data.birds.species import Domain, Species, catalogue, distinguishing_parts
from finegrain.errors import ConfigError, DataError, OutputError, fault


@dataclass(kw_only=True, slots=True)
class SyntheticBirds(DataConfig):
    """Drawn birds of 16 target or 48 source species, in genera of four that differ in one to three parts.

    Nothing to download: `root` stays empty. Paths are `target/bibbed_russet_sparrow/0007.png`; the first numbers of
    a species are its train images, the next val, the last test.
    """

    root: str = ""
    """Not used."""
    species: Domain = "target"
    """Source species are for pretraining; the target species share none of their combinations of traits."""
    num_species: Annotated[int, Range(least=2)] | None = None
    """The first so many species, genus by genus; none: all of them."""
    train_per_species: Count = 20
    """Train images of each species."""
    val_per_species: Count = 10
    """Val images of each species."""
    test_per_species: Count = 20
    """Test images of each species."""
    image_size: Annotated[int, Range(least=32, most=1024)] = 96
    """Side of a drawn image in pixels."""
    seed: CountOrZero = 0
    """Seed of poses and scenes; the species are always the same."""
    keep_drawn: bool = True
    """Keep drawn images in memory, so that each is drawn once a process (27 kB for one of 96 pixels)."""

    def faults(self) -> list[str]:
        """What the types cannot say."""
        known = len(catalogue(self.species))
        if self.num_species is None or self.num_species <= known:
            return []
        expected = f"at most {known} {self.species} species"
        return [fault("num_species is too large", got=self.num_species, expected=expected, remedy="ask for fewer")]

    def sizes(self) -> Facts:
        """As many as the fields say."""
        num_classes = self.num_species or len(catalogue(self.species))
        train, val, test = (
            n * num_classes for n in (self.train_per_species, self.val_per_species, self.test_per_species)
        )
        return Facts(num_classes=num_classes, train=train, val=val, test=test)

    def table(self) -> Table:
        """The rows of the chosen species and the source that draws them.

        Raises:
            ConfigError: More species are asked for than there are.
        """
        if faults := self.faults():
            raise ConfigError(faults[0])
        chosen = catalogue(self.species)[: self.num_species]
        counts: dict[Split, int] = {
            "train": self.train_per_species, "val": self.val_per_species, "test": self.test_per_species,
        }  # fmt: skip
        splits = [split for split, count in counts.items() for _ in range(count)]
        samples = tuple(
            Sample(path=f"{self.species}/{species.name}/{index:04d}.png", label=label, split=split)
            for label, species in enumerate(chosen)
            for index, split in enumerate(splits)
        )
        source = DrawnSource(seed=self.seed, size=self.image_size, keep=self.keep_drawn)
        return Table(samples=samples, class_names=tuple(s.name for s in chosen), source=source)


class DrawnSource:
    """Draws the photograph that a sample's path names, `<domain>/<species>/<index>.png`.

    Args:
        seed: The dataset's seed.
        size: Side in pixels.
        keep: Keep what was drawn, and draw it once.
    """

    def __init__(self, *, seed: int, size: int, keep: bool) -> None:
        self.seed = seed
        self.size = size
        self.keep = keep
        self._drawn: dict[str, NDArray[np.uint8]] = {}

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [S, S, 3].

        Raises:
            DataError: The path names no drawn bird.
        """
        if sample.path in self._drawn:
            return self._drawn[sample.path].copy()
        pixels = self.render(sample).pixels
        if self.keep:
            self._drawn[sample.path] = pixels.copy()
        return pixels

    def fingerprint(self, sample: Sample) -> str:
        """All that the pixels depend on."""
        return repr((sample.path, self.seed, self.size))

    def scene(self, sample: Sample) -> str:
        """All that is drawn depends on: at another size it is the same photograph."""
        return repr((sample.path, self.seed))

    def render(self, sample: Sample) -> Rendered:
        """The image with the boxes of its parts.

        Raises:
            DataError: The path names no drawn bird.
        """
        species, index = parse_path(sample.path)
        return render(species, index, seed=self.seed, size=self.size)


def parse_path(path: str) -> tuple[Species, int]:
    """The species and index that a path `<domain>/<species>/<index>.png` names.

    Raises:
        DataError: It names none.
    """
    match path.split("/"):
        case [domain, name, file] if (domain, name) in _by_name() and re.fullmatch(r"\d+\.png", file, re.ASCII):
            return _by_name()[domain, name], int(file.removesuffix(".png"))
    expected = f"<domain>/<species>/<number>.png, e.g. target/{catalogue('target')[0].name}/0007.png"
    raise DataError(fault("no such drawn bird", got=path, expected=expected, remedy="take paths from the table"))


@functools.cache
def _by_name() -> dict[tuple[str, str], Species]:
    domains: tuple[Domain, ...] = get_args(Domain)
    return {(domain, species.name): species for domain in domains for species in catalogue(domain)}


def write_folder(config: SyntheticBirds, folder: str | Path) -> None:
    """Draw a whole dataset to disk as an ImageFolder, with what tells the species apart.

    Writes `<split>/<species>/<index>.png`; `parts.csv`, a row for each visible part of each image (path, part, left,
    top, right, bottom in pixels); and `species.json`, each species with its genus, its traits and, for every other
    species of its genus, the parts that tell them apart.

    Raises:
        OutputError: The folder cannot be written, or something is in it already.
    """
    root, chosen = Path(folder), catalogue(config.species)[: config.num_species]
    samples = config.table().samples
    facts = {species.name: _facts(species, chosen) for species in chosen}
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            remedy = "choose another folder or empty this one"
            raise OutputError(fault("the folder is in use", got=str(root), expected="an empty folder", remedy=remedy))
        (root / "species.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        with (root / "parts.csv").open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(("path", "part", "left", "top", "right", "bottom"))
            for sample in samples:
                rows.writerows(_write_image(root, sample, config))
    except OSError as error:
        remedy = "choose a folder you may write to, with enough space"
        raise OutputError(
            fault("cannot write the images", got=str(error), expected="a folder", remedy=remedy)
        ) from error


def _write_image(root: Path, sample: Sample, config: SyntheticBirds) -> list[tuple[str | float, ...]]:
    """Write one image and return its rows of `parts.csv`."""
    species, index = parse_path(sample.path)
    rendered = render(species, index, seed=config.seed, size=config.image_size)
    path = f"{sample.split}/{species.name}/{index:04d}.png"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rendered.pixels).save(root / path)
    return [(path, part, *box) for part, box in rendered.parts.items()]


def _facts(species: Species, others: Sequence[Species]) -> dict[str, object]:
    relatives = [other for other in others if other.genus == species.genus and other is not species]
    return {
        "genus": species.genus,
        "traits": dataclasses.asdict(species.traits),
        "told_apart_by": {other.name: distinguishing_parts(species, other) for other in relatives},
    }
