import math

import torch
from small_gan import feed

from finegrain.gan.nearest import SIDE, Thumbnails, thumbnails, thumbnails_of


def flat(level: float) -> torch.Tensor:
    return torch.full((1, 3, 32, 32), level)


def test_the_nearest_of_its_class_is_found() -> None:
    rows = torch.cat([thumbnails(flat(level)) for level in (-1.0, 0.0, 1.0)])
    known = Thumbnails(pixels=rows, labels=torch.tensor([0, 0, 1]))
    images = torch.cat([flat(-0.5), flat(-0.5), flat(0.0), flat(0.0)])
    assert known.nearest(images, [0, 1, 0, 2]) == [
        round(64 / 255, 4),  # level 64 is as near to 0 as to 128
        round((255 - 64) / 255, 4),
        0.0,
        None,
    ]


def test_a_difference_is_a_root_mean_square_over_areas() -> None:
    image = flat(-1.0)
    known = Thumbnails(pixels=thumbnails(image), labels=torch.tensor([0]))
    changed = image.clone()
    changed[0, 0, :4, :4] = 1.0  # one of the areas, of one of three colours
    assert known.nearest(changed, [0]) == [round(math.sqrt(1 / (3 * SIDE**2)), 4)]
    lopsided = Thumbnails(pixels=thumbnails(changed), labels=torch.tensor([0]))
    assert lopsided.nearest(torch.cat([changed, changed.flip(3)]), [0, 0]) == [0.0, 0.0]
    assert lopsided.nearest(changed.flip(2), [0])[0] > 0


def test_every_train_image_has_a_thumbnail() -> None:
    images = feed(11, batch_size=4)
    known = thumbnails_of(images)
    assert known.pixels.shape == (11, 3 * SIDE**2)
    assert known.pixels.dtype == torch.uint8
    shown = torch.cat([inputs.views[0] for inputs in images.epoch(0)])
    labels = torch.cat([inputs.labels for inputs in images.epoch(0)])
    assert known.nearest(shown, labels.tolist()) == [0.0] * 11
