"""What every config starts from: ImageNet ResNet-50, layer4 and the head trained, AdamW, cosine.

    python main.py --config configs/base.py data.root=FOLDER

A starting point for other configs; not measured by itself.
"""

from finegrain.data.folder import ImageFolder
from finegrain.data.transforms import AugmentConfig
from finegrain.losses.label_smoothing import LabelSmoothing
from finegrain.models.config import ModelConfig
from finegrain.optim.adamw import AdamW
from finegrain.optim.cosine import Cosine
from finegrain.recipe import Recipe
from finegrain.tuning.last_block import LastBlock


def config() -> Recipe:
    """Return a fresh recipe."""
    return Recipe(
        name="base",
        data=ImageFolder(root="images"),
        augment=AugmentConfig(preset="medium"),
        model=ModelConfig(name="resnet50", weights="IMAGENET1K_V2"),
        tuning=LastBlock(),
        loss=LabelSmoothing(smoothing=0.1),
        optim=AdamW(lr=3e-4, head_lr=1e-3, weight_decay=0.05),
        schedule=Cosine(warmup_epochs=1.0),
    )
