"""Stanford Cars in its official layout, optionally cropped to the car's box."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.config import NonNegative
from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing
from finegrain.data.matlab import read_mat

_LISTS: tuple[tuple[Split, str], ...] = (
    ("train", "devkit/cars_train_annos.mat"),
    ("test", "cars_test_annos_withlabels.mat"),
)
_COLUMNS = tuple(f"annotations.{name}" for name in ("fname", "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"))


@dataclass(kw_only=True, slots=True)
class Cars(DataConfig):
    """Stanford Cars (Krause et al., 2013): 196 models, 8,144 train and 8,041 test images.

    From the Stanford AI Lab's page of the dataset or a mirror of it; the test labels are a file of their own. The root
    is this folder or the one above it:

        stanford_cars/
            devkit/cars_meta.mat, cars_train_annos.mat
            cars_test_annos_withlabels.mat
            cars_train/*.jpg
            cars_test/*.jpg
    """

    box_margin: NonNegative | None = None
    """Crop to the car's box with this margin, as a fraction of the box's sides; none: the whole image."""

    facts: ClassVar[Facts | None] = Facts(num_classes=196, train=8144, val=0, test=8041)

    def table(self) -> Table:
        """Read the development kit and the test labels.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="devkit/cars_meta.mat", below=("", "stanford_cars"))
        rows = Listing(root, "Stanford Cars")
        (names,) = read_mat(root / "devkit/cars_meta.mat", "class_names")
        rows.name_classes([str(name) for name in names])
        for split, name in _LISTS:
            for number, entry in enumerate(zip(*read_mat(root / name, *_COLUMNS), strict=True), start=1):
                where = f"{name} row {number}"
                file, class_id, left, top, right, bottom = entry
                # MATLAB counts pixels from 1 and its right and bottom are inside the box.
                box = (float(left) - 1, float(top) - 1, float(right), float(bottom))
                rows.add(where, f"cars_{split}/{file}", rows.class_id(class_id, where), split, box=box)
        source = FileSource(root, self.max_pixels, self.box_margin)
        return Table(samples=rows.finish(), class_names=rows.class_names, source=source)
