"""Oxford Flowers-102 in its official layout."""

from dataclasses import dataclass
from typing import ClassVar

from torchvision.datasets import Flowers102

from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing
from finegrain.data.matlab import read_mat

_SPLITS: dict[Split, str] = {"train": "trnid", "val": "valid", "test": "tstid"}


@dataclass(kw_only=True, slots=True)
class Flowers(DataConfig):
    """Oxford Flowers-102 (Nilsback and Zisserman, 2008): 102 flowers, 1,020 train, 1,020 val and 6,149 test images.

    From the Oxford Visual Geometry Group's page of the dataset (102flowers.tgz, imagelabels.mat, setid.mat). The root
    is this folder or the one above it:

        flowers-102/
            setid.mat              image ids of the three splits
            imagelabels.mat        class id of every image
            jpg/image_00001.jpg    numbered from 1
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=102, train=1020, val=1020, test=6149)

    def table(self) -> Table:
        """Read the labels and the three official splits; the files name no classes, torchvision does.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="imagelabels.mat", below=("", "flowers-102"))
        rows = Listing(root, "Oxford Flowers-102")
        rows.name_classes(Flowers102.classes)
        (labels,) = read_mat(root / "imagelabels.mat", "labels")
        for split, variable in _SPLITS.items():
            (numbers,) = read_mat(root / "setid.mat", variable)
            for row, number in enumerate(numbers, start=1):
                where = f"setid.mat {variable} row {row}"
                if not 1 <= number <= len(labels):
                    rows.refuse(where, "unknown image id", got=int(number), expected=f"1 to {len(labels)}")
                    continue
                label = rows.class_id(labels[int(number) - 1], f"imagelabels.mat row {int(number)}")
                rows.add(where, f"jpg/image_{int(number):05d}.jpg", label, split)
        source = FileSource(root, self.max_pixels)
        samples = rows.finish()
        return Table(samples=samples, class_names=rows.class_names, source=source, notes=rows.unlisted("jpg"))
