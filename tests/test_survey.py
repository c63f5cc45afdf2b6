"""The command `features`: every image's features in one file, and what they are worth on val."""

import csv
from pathlib import Path

import pytest
import tiny_recipe
from safetensors import safe_open

from finegrain.commands import carry_out
from finegrain.errors import ConfigError


@pytest.fixture
def go(tmp_path: Path):
    root = tiny_recipe.write_images(tmp_path / "images")

    def go(out: str, *words: str, **options) -> str:
        recipe = tiny_recipe.config()
        recipe.data.root = str(root)
        return carry_out(recipe, ["features", *words], out=tmp_path / out, **options)

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


def test_heads_of_every_kind_are_judged_in_the_order_asked(go) -> None:
    lines = go("out", "heads=mlp,knn,cosine,linear").splitlines()[1:-1]
    names = [line.partition(": val top-1 ")[0] for line in lines]
    assert [name.partition(" (")[0] for name in names] == [
        "mlp head", "10 nearest neighbours", "cosine head", "linear probe",
    ]  # fmt: skip
    assert "100.0\N{NO-BREAK SPACE}% (61.0–100.0, n = 6)" in lines[-1]  # each class has a colour of its own


def test_a_head_that_there_is_not_is_refused(go) -> None:
    with pytest.raises(ConfigError, match="heads"):
        go("out", "heads=forest")


def test_a_kept_cache_serves_the_second_time(go, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    cache = str(tmp_path / "cache")
    go("one", cache=cache)
    caplog.clear()
    go("two", cache=cache)
    assert sum(" 0 computed" in record.message for record in caplog.records) == 3
    one, two = ((tmp_path / out / "features.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two
