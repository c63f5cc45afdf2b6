"""The command `features`: every image's features in one file, and what they are worth on val."""

import csv
from pathlib import Path

import pytest
import tiny_recipe
from safetensors import safe_open

from finegrain.commands import carry_out


@pytest.fixture
def go(tmp_path: Path):
    root = tiny_recipe.write_images(tmp_path / "images")

    def go(out: str, **options) -> str:
        recipe = tiny_recipe.config()
        recipe.data.root = str(root)
        return carry_out(recipe, ["features"], out=tmp_path / out, **options)

    return go


def test_every_image_has_a_row_and_a_line(go, tmp_path: Path) -> None:
    said = go("out")
    assert "24 images, 96 features each" in said
    assert "linear probe" in said
    assert "10 nearest neighbours: val top-1" in said
    with safe_open(tmp_path / "out" / "features.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert len(file.metadata()["key"]) == 64
    rows = list(csv.DictReader((tmp_path / "out" / "features.csv").open()))
    for split, count in (("train", 15), ("val", 6), ("test", 3)):
        lines = [row for row in rows if row["split"] == split]
        assert tensors[split].shape == (count, 96)
        assert [int(line["label"]) for line in lines] == tensors[f"{split}_labels"].tolist()
        assert [int(line["row"]) for line in lines] == list(range(count))
        assert all(line["class"] in line["path"] for line in lines)
    assert not (tmp_path / "out" / "features").exists()


def test_a_kept_cache_serves_the_second_time(go, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    cache = str(tmp_path / "cache")
    go("one", cache=cache)
    caplog.clear()
    go("two", cache=cache)
    assert sum(" 0 computed" in record.message for record in caplog.records) == 3
    one, two = ((tmp_path / out / "features.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two
