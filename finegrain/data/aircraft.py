"""FGVC-Aircraft, variants, in its official layout."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing

_SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(kw_only=True, slots=True)
class Aircraft(DataConfig):
    """FGVC-Aircraft (Maji et al., 2013): 100 variants, 3,334 train, 3,333 val and 3,333 test images.

    From the Oxford Visual Geometry Group's page of the dataset (fgvc-aircraft-2013b.tar.gz). The root is the folder
    `data`, or one or two above it:

        fgvc-aircraft-2013b/data/
            variants.txt                     <variant>
            images_variant_train.txt         <image> <variant>; also _val and _test
            images/*.jpg
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=100, train=3334, val=3333, test=3333)

    def table(self) -> Table:
        """Read the list of variants and the three official splits.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="variants.txt", below=("", "data", "fgvc-aircraft-2013b/data"))
        rows = Listing(root, "FGVC-Aircraft")
        rows.name_classes([text for _, text in rows.lines("variants.txt")])
        for split in _SPLITS:
            for where, line in rows.lines(f"images_variant_{split}.txt"):
                image, _, variant = line.partition(" ")
                rows.add(where, f"images/{image}.jpg", rows.class_name(variant, where), split)
        source = FileSource(root, self.max_pixels)
        samples = rows.finish()
        return Table(samples=samples, class_names=rows.class_names, source=source, notes=rows.unlisted("images"))
