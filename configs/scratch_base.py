"""What the zoo's configs start from: small images as they are, every layer from random weights, AdamW, cosine.

    python main.py --config configs/scratch_base.py

A starting point for other configs; not measured by itself.
"""

from finegrain.data.digits import Digits
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.trainer import TrainConfig
from finegrain.losses.cross_entropy import CrossEntropy
from finegrain.models.config import ModelConfig
from finegrain.optim.adamw import AdamW
from finegrain.optim.cosine import Cosine
from finegrain.recipe import Recipe
from finegrain.tuning.scratch import Scratch


def config() -> Recipe:
    """Return a fresh recipe."""
    return Recipe(
        name="scratch_base",
        data=Digits(),
        augment=AugmentConfig(preset="weak", min_scale=0.7, flip=0.0),  # a mirrored digit is no digit
        model=ModelConfig(name="scratch/mlp", image_size=8, args={"in_channels": 1}),
        tuning=Scratch(),
        loss=CrossEntropy(),
        optim=AdamW(lr=1e-3, weight_decay=0.05),
        schedule=Cosine(warmup_epochs=1.0),
        train=TrainConfig(epochs=40, batch_size=64, monitor="last"),
    )
