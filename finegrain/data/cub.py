"""CUB-200-2011 in its official layout, optionally cropped to the bird's box."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from finegrain.config import NonNegative
from finegrain.data.base import Box, DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing


@dataclass(kw_only=True, slots=True)
class Cub(DataConfig):
    """Caltech-UCSD Birds-200-2011 (Wah et al., 2011): 200 species, 5,994 train and 5,794 test images.

    From the Caltech Vision Lab's page of the dataset (CUB_200_2011.tgz). The root is this folder or the one above it:

        CUB_200_2011/
            images.txt                <image id> <path below images/>
            image_class_labels.txt    <image id> <class id>
            train_test_split.txt      <image id> <1 for train, 0 for test>
            classes.txt               <class id> <name>
            bounding_boxes.txt        <image id> <left> <top> <width> <height>
            images/001.Black_footed_Albatross/*.jpg
    """

    box_margin: NonNegative | None = None
    """Crop to the bird's box with this margin, as a fraction of the box's sides; none: the whole image."""

    facts: ClassVar[Facts | None] = Facts(num_classes=200, train=5994, val=0, test=5794)

    def table(self) -> Table:
        """Read the five official lists.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="images.txt", below=("", "CUB_200_2011"))
        rows = Listing(root, "CUB-200-2011")
        names = rows.by_id("classes.txt", lambda text, where: text)
        if (ids := sorted(names)) != list(range(1, len(names) + 1)):
            rows.refuse("classes.txt", "class ids with gaps", got=ids, expected=f"1 to {len(names)}", remedy="mend it")
        rows.name_classes([name.partition(".")[2] or name for _, name in sorted(names.items())])
        paths = rows.by_id("images.txt", lambda text, where: f"images/{text}")
        labels = rows.by_id("image_class_labels.txt", rows.class_id, ids=paths)
        splits: dict[int, Split] = rows.by_id("train_test_split.txt", partial(_split, rows), ids=paths)
        boxes = rows.by_id("bounding_boxes.txt", partial(_box, rows), ids=paths)
        for number, path in paths.items():
            where = f"images.txt id {number}"
            rows.add(where, path, labels.get(number), splits.get(number), box=boxes.get(number))
        source = FileSource(root, self.max_pixels, self.box_margin)
        samples = rows.finish()
        return Table(samples=samples, class_names=rows.class_names, source=source, notes=rows.unlisted("images"))


def _split(rows: Listing, text: str, where: str) -> Split | None:
    splits: dict[str, Split] = {"1": "train", "0": "test"}
    if text not in splits:
        rows.refuse(where, "no such split", got=text, expected="1 for train or 0 for test")
    return splits.get(text)


def _box(rows: Listing, text: str, where: str) -> Box | None:
    """Left, top, width, height as left, top, right, bottom."""
    try:
        left, top, width, height = (float(word) for word in text.split())
        if math.isfinite(left + top + width + height) and width > 0 and height > 0:
            return left, top, left + width, top + height
    except ValueError:
        pass
    rows.refuse(where, "not a box", got=text, expected="left, top, width and height in pixels")
    return None
