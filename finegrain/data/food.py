"""Food-101 in its official layout."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing

_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(kw_only=True, slots=True)
class Food101(DataConfig):
    """Food-101 (Bossard et al., 2014): 101 dishes, 75,750 train images with some label noise and 25,250 test images.

    From the ETH Computer Vision Lab's page of the dataset (food-101.tar.gz). The root is this folder or the one
    above it:

        food-101/
            meta/classes.txt     <class>
            meta/train.txt       <class>/<image>; also test.txt
            images/<class>/<image>.jpg
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=101, train=75750, val=0, test=25250)

    def table(self) -> Table:
        """Read the list of classes and the two official splits.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="meta/classes.txt", below=("", "food-101"))
        rows = Listing(root, "Food-101")
        rows.name_classes([text for _, text in rows.lines("meta/classes.txt")])
        for split in _SPLITS:
            for where, line in rows.lines(f"meta/{split}.txt"):
                name = line.partition("/")[0]
                rows.add(where, f"images/{line}.jpg", rows.class_name(name, where), split)
        source = FileSource(root, self.max_pixels)
        samples = rows.finish()
        return Table(samples=samples, class_names=rows.class_names, source=source, notes=rows.unlisted("images"))
