"""The Oxford-IIIT Pet dataset in its official layout."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing

_LISTS: tuple[tuple[Split, str], ...] = (("train", "annotations/trainval.txt"), ("test", "annotations/test.txt"))


@dataclass(kw_only=True, slots=True)
class Pets(DataConfig):
    """Oxford-IIIT Pet (Parkhi et al., 2012): 37 breeds of cats and dogs, 3,680 train and 3,669 test images.

    From the Oxford Visual Geometry Group's page of the dataset (images.tar.gz, annotations.tar.gz). The root is this
    folder or the one above it:

        oxford-iiit-pet/
            annotations/trainval.txt     <image> <class id> <species> <breed id>; also test.txt
            images/*.jpg
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=37, train=3680, val=0, test=3669)

    def table(self) -> Table:
        """Read the two official lists; a breed's name is the image's name without its number.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="annotations/trainval.txt", below=("", "oxford-iiit-pet"))
        rows = Listing(root, "Oxford-IIIT Pet")
        entries = []
        for split, name in _LISTS:
            for where, line in rows.lines(name):
                if line.startswith("#"):
                    continue
                image, class_id, *_ = [*line.split(), ""]
                entries.append((where, image, class_id, split))
        rows.name_class_ids((where, class_id, _breed(image)) for where, image, class_id, _ in entries)
        for where, image, class_id, split in entries:
            rows.add(where, f"images/{image}.jpg", rows.class_id(class_id, where), split)
        source = FileSource(root, self.max_pixels)
        samples = rows.finish()
        return Table(samples=samples, class_names=rows.class_names, source=source, notes=rows.unlisted("images"))


def _breed(image: str) -> str:
    return image.rpartition("_")[0].replace("_", " ").title()
