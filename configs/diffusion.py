"""Sixteen drawn bird species by a class-conditional diffusion model.

    python main_gan.py --config configs/diffusion.py

At 64 pixels not measured. With image_size=32 train.patience=none, one shared CPU core, about 12 CPU minutes, one seed:
kernel distance 0.0125 by principal components of pixels, floor 0.011, after 2,000 steps; the birds are grainy, and
2 x 2 squares show. 1,600 images take 2 CPU minutes. README compares it.
"""

from configs.gan import config as gan
from finegrain.gan.methods.denoising import DiffusionRecipe


def config() -> DiffusionRecipe:
    """Return the recipe."""
    recipe = DiffusionRecipe(name="diffusion", data=gan().data)
    recipe.train.steps, recipe.train.evaluate_steps = 2000, 1000
    recipe.runtime.channels_last = False  # on CPUs, where a step in bf16 takes 0.28 s of CPU time in place of 0.50
    return recipe
