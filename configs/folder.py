"""Any folder of images and any backbone: classes are subfolders, flat or under train/, val/, test/.

    python main.py --config configs/folder.py data.root=FOLDER model.name=resnet50 model.weights=FILE_OR_TAG

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "folder"
    recipe.data.root = "images"
    return recipe
