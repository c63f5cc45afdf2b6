"""The campaigns at the size that every change can afford."""

from pathlib import Path

from crash import cells_campaign
from crash.campaign import campaign
from forked import Forked
from tiny_recipe import write_images


def test_killed_runs_end_bit_identical_to_one_left_alone(tmp_path: Path) -> None:
    runs, identical = campaign(Forked, tmp_path, write_images(tmp_path / "images"), kills=3, seed=1)
    assert identical == runs


def test_killed_evaluations_end_with_the_table_of_one_left_alone(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    evaluations, right = cells_campaign.campaign(Forked, tmp_path, images, kills=3, seed=1)
    assert right == evaluations
