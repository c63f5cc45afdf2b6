import pytest
import torch
from torch import Tensor

from finegrain.gan.augment import DiffAugment

OFF = {"flip": 0.0, "translation": 0.0, "cutout": 0.0, "color": False}
KINDS = ({"translation": 0.25}, {"cutout": 0.5}, {"color": True})


def images(count: int = 6, side: int = 8) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(count, 3, side, side) + 0.1


def test_off_is_the_identity() -> None:
    off, shown = DiffAugment(**OFF), images()
    assert off(shown) is shown
    assert off.mirror(shown) is shown


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_draws_its_own_and_the_seed_decides(kind: dict[str, float]) -> None:
    augment, alike = DiffAugment(**{**OFF, **kind}), images(1).expand(40, -1, -1, -1)
    torch.manual_seed(1)
    first = augment(alike)
    second = augment(alike)
    torch.manual_seed(1)
    assert torch.equal(augment(alike), first)
    assert not torch.equal(first, second)
    assert len(first.flatten(1).unique(dim=0)) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_image(kind: dict[str, float]) -> None:
    shown = images().requires_grad_()
    DiffAugment(**{**OFF, **kind})(shown).square().sum().backward()
    assert shown.grad is not None
    assert (shown.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_translation_moves_whole_images_by_whole_pixels() -> None:
    shown = images(30)
    moved = DiffAugment(**{**OFF, "translation": 0.25})(shown)
    shifts = set()
    for before, after in zip(shown, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(
                after[:, max(down, 0) : 8 + min(down, 0), max(right, 0) : 8 + min(right, 0)],
                before[:, max(-down, 0) : 8 + min(-down, 0), max(-right, 0) : 8 + min(-right, 0)],
            )
        ]
        assert len(found) == 1
        kept = (8 - abs(found[0][0])) * (8 - abs(found[0][1]))
        assert (after != 0).all(dim=0).sum() == kept
        shifts.add(found[0])
    assert len(shifts) > 8


def test_cutout_blackens_one_square_and_leaves_the_rest() -> None:
    shown = images(200)
    cut = DiffAugment(**{**OFF, "cutout": 0.5})(shown)
    black = (cut == 0).all(dim=1)
    assert torch.equal(cut[~black[:, None].expand_as(cut)], shown[~black[:, None].expand_as(cut)])
    rows, columns = black.any(dim=2), black.any(dim=1)
    assert torch.equal(black, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(dim=1).max() == columns.sum(dim=1).max() == 4
    assert rows.sum(dim=1).min() == 2  # at the edge a part falls outside


def test_colour_keeps_the_grey_of_a_grey_image_grey() -> None:
    grey = images()[:, :1].expand(-1, 3, -1, -1)
    changed = DiffAugment(**{**OFF, "color": True})(grey)
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    assert not torch.allclose(changed, grey)


def test_about_half_of_the_real_images_are_mirrored() -> None:
    shown = images(400, side=4)
    mirrored = DiffAugment().mirror(shown)
    flipped = [torch.equal(after, before.flip(2)) for before, after in zip(shown, mirrored, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(shown, mirrored, strict=True)]
    assert all(one != other for one, other in zip(flipped, kept, strict=True))
    assert 150 < sum(flipped) < 250
