import io

import numpy as np
import pytest
import torch
from PIL import Image

from finegrain.gan import latent
from finegrain.gan.latent import MOST_WALKS, NOISES, STEPS, across, slerp, walks
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.pictures import GAP


def generator(*, classes: int) -> Generator:
    torch.manual_seed(0)
    made = GeneratorConfig(width=2, noise_dim=4, embedding_dim=128).build(image_size=32, num_classes=classes)
    with torch.no_grad():  # as it is made, what it shows hardly differs
        made.embedding.weight *= 5
        made.input.weight *= 30
        for doubling in made.doublings:
            doubling.weight *= 3
    return made.eval()


def tiles(content: bytes) -> np.ndarray:
    """The images of a grid, uint8 [R, C, 32, 32, 3]."""
    picture = np.asarray(Image.open(io.BytesIO(content)))
    step = 32 + GAP
    rows, columns = ((side + GAP) // step for side in picture.shape[:2])
    places = [
        [picture[step * r : step * r + 32, step * c : step * c + 32] for c in range(columns)] for r in range(rows)
    ]
    return np.array(places)


def test_the_arc_keeps_its_ends_its_length_and_its_pace() -> None:
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    points = slerp(first, second, torch.linspace(0, 1, 4))
    torch.testing.assert_close(points[[0, -1]], torch.stack([first, second]))
    torch.testing.assert_close(points.norm(dim=1), torch.full((4,), 3.0))
    angles = torch.atan2(points[:, 1], points[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, torch.pi / 2, 4))


def test_images_of_noise_are_those_of_the_seed_it_was_drawn_by() -> None:
    network = generator(classes=3)
    made = network.render(network.noise([5, 6]), [2, 0])
    assert torch.equal(made, network.sample([2, 0], [5, 6]))
    assert made.min() < made.max()


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (9, MOST_WALKS)])
def test_a_walk_leads_from_one_noise_to_another_in_each_row(classes: int, rows: int) -> None:
    shown = tiles(walks(generator(classes=classes), seed=1)).astype(int)
    assert shown.shape == (rows, STEPS, 32, 32, 3)
    whole = abs(shown[:, 0] - shown[:, -1]).mean()
    assert 0 < abs(np.diff(shown, axis=1)).mean() < whole / 3
    assert walks(generator(classes=classes), seed=1) == walks(generator(classes=classes), seed=1)


def test_one_noise_is_shown_in_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    network = generator(classes=3)
    shown = tiles(across(network, seed=1))
    assert shown.shape == (NOISES, 3, 32, 32, 3)
    assert (shown[:, 0] != shown[:, 1]).any()
    torch.nn.init.zeros_(network.embedding.weight)  # the class has no say
    alike = tiles(across(network, seed=1))
    assert (alike == alike[:, :1]).all()
    monkeypatch.setattr(latent, "MOST_CLASSES", 2)
    assert np.array_equal(tiles(across(generator(classes=3), seed=1)), shown[:, :2])
