"""Stanford Dogs in its official layout."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing
from finegrain.data.matlab import read_mat

_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(kw_only=True, slots=True)
class Dogs(DataConfig):
    """Stanford Dogs (Khosla et al., 2011): 120 breeds taken from ImageNet, 12,000 train and 8,580 test images.

    From the Stanford Vision Lab's page of the dataset (images.tar, lists.tar). Weights pretrained on ImageNet have
    seen these images. The root is this folder or the one above it; the lists lie in it or in `lists/`:

        stanford_dogs/
            train_list.mat, test_list.mat
            Images/n02085620-Chihuahua/*.jpg
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=120, train=12000, val=0, test=8580)

    def table(self) -> Table:
        """Read the two official lists; a breed's name is its folder's name without the WordNet id.

        Raises:
            DataError: The root or a list is missing, or rows are wrong.
        """
        root = require_root(self, marker="Images", below=("", "stanford_dogs"))
        folder = "lists/" if (root / "lists").is_dir() else ""
        rows = Listing(root, "Stanford Dogs")
        entries = []
        for split in _SPLITS:
            name = f"{folder}{split}_list.mat"
            pairs = zip(*read_mat(root / name, "file_list", "labels"), strict=True)
            entries += [(f"{name} row {row}", str(file), label, split) for row, (file, label) in enumerate(pairs, 1)]
        rows.name_class_ids((where, class_id, _breed(file)) for where, file, class_id, _ in entries)
        for where, file, class_id, split in entries:
            rows.add(where, f"Images/{file}", rows.class_id(class_id, where), split)
        notes = ("Stanford Dogs is part of ImageNet: weights pretrained there have seen its test images.",)
        source = FileSource(root, self.max_pixels)
        return Table(samples=rows.finish(), class_names=rows.class_names, source=source, notes=notes)


def _breed(file: str) -> str:
    return file.partition("/")[0].partition("-")[2]
